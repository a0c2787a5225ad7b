"""Small networks with random weights, and pictures for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from samples import picture

from resight.train.networks import ImageNetwork, make_network
from resight.train.options import make_options, resolved

SMALL = "test_resnet"  # of timm: 470,000 parameters, 96 features


def photos(count: int = 2, side: int = 64) -> torch.Tensor:
    """(count, 3, side, side) uint8."""
    pictures = np.stack([picture(number, side, side) for number in range(count)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def network(size: int = 64, classes: int = 3, **given: Any) -> ImageNetwork:
    """A network by these options, in evaluation mode; random weights unless given."""
    options = make_options(**{"backbone": SMALL, "weights": "random", **given})
    return make_network(resolved(options, size), classes).eval()


def rgb_network(backbone: str = SMALL, size: int = 64, **given: Any) -> ImageNetwork:
    """One on pixels."""
    return network(size, backbone=backbone, **given)


def sift_network(backbone: str, stem: str, sift: str, size: int = 64, **given: Any) -> ImageNetwork:
    """One on dense SIFT."""
    return network(size, input="sift", backbone=backbone, stem=stem, sift=sift, **given)
