"""The collection of images, how it is stored, rankings, and steps after a search."""

from resight.search.after import STEPS, After, Step, parse_step
from resight.search.collection import Collection
from resight.search.database import Database
from resight.search.ranking import Done, Matches, Ranking
from resight.search.store import Item, Where

__all__ = [
    "STEPS",
    "After",
    "Collection",
    "Database",
    "Done",
    "Item",
    "Matches",
    "Ranking",
    "Step",
    "Where",
    "parse_step",
]
