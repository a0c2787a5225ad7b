"""Backbones from timm, where their weights come from, and the preprocessing that belongs to the weights."""

from resight.models.backbone import Backbone
from resight.models.preprocessing import Preprocessing
from resight.models.weights import PACKAGED

__all__ = ["PACKAGED", "Backbone", "Preprocessing"]
