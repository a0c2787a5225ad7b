"""Values from a JSON file, checked one by one; every complaint starts with where the value stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from resight.errors import InputError
from resight.images.queries import Box, checked_box

__all__ = ["Box", "box_or_none", "fields_of", "is_number", "items_of", "shares_of", "text_of"]

MAX_TEXT = 10_000


def fields_of(value: Any, where: str, required: str = "") -> dict[str, Any]:
    """The value if it is an object with these keys; InputError otherwise."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {type(value).__name__}")
    lacking = [key for key in required.split() if key not in value]
    if lacking:
        raise InputError(f"{where}: lacks {', '.join(lacking)}")
    return value


def items_of(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    """(item, where it stands) of a list; InputError if it is none."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {type(value).__name__}")
    return ((item, f"{where}[{index}]") for index, item in enumerate(value))


def text_of(value: Any, where: str) -> str:
    """The value if it is text of at most MAX_TEXT characters; InputError otherwise."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        what = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
        raise InputError(f"{where}: expected a text of at most {MAX_TEXT:,} characters, got {what}")
    return value


def is_number(value: Any) -> bool:
    """Whether the value is a finite number that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def shares_of(value: Any, where: str) -> dict[str, float]:
    """{name: number from 0 to 1}, null as NaN; InputError otherwise."""
    result: dict[str, float] = {}
    for name, share in fields_of(value, where).items():
        if share is not None and not (is_number(share) and 0 <= share <= 1 + 1e-9):
            raise InputError(f"{where}, {name[:40]}: expected a number from 0 to 1 or null")
        result[name] = math.nan if share is None else float(share)
    return result


def box_or_none(value: Any, where: str) -> Box | None:
    """A box, or None for null; InputError otherwise."""
    return None if value is None else checked_box(value, where)
