"""Images that an evaluation needs and cannot have: said with names, all of which can be had."""

from __future__ import annotations

from collections.abc import Sequence

from resight.errors import InputError

SHOWN = 10
ALL_OF_THEM = "--missing-list FILE or --json names all"


class MissingImages(InputError):
    """Images are missing and `allow_missing` was not said.

    missing     names in the ground truth that the collection lacks
    unreadable  paths of image files that are gone or damaged
    """

    def __init__(self, message: str, missing: Sequence[str] = (), unreadable: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.missing, self.unreadable = tuple(missing), tuple(unreadable)


def some_of(texts: Sequence[str], more: str = ALL_OF_THEM) -> str:
    """The first ten of these in a row, how many more there are, and how to get all.

    >>> some_of(list("abcdefghijkl"), "see FILE")
    'a, b, c, d, e, f, g, h, i, j and 2 more (see FILE)'
    """
    left = len(texts) - SHOWN
    end = f" and {left:,} more{f' ({more})' if more else ''}" if left > 0 else ""
    return ", ".join(texts[:SHOWN]) + end
