"""The collection of images, how it is stored, and rankings."""

from resight.search.collection import Collection
from resight.search.ranking import Ranking
from resight.search.store import Item, Where

__all__ = ["Collection", "Item", "Ranking", "Where"]
