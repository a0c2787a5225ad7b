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

from .after import STEPS, After, Step, parse_step
from .collection import Collection
from .database import Database
from .ranking import Done, Matches, Ranking
from .store import Item, Where
