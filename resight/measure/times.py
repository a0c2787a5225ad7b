"""Times as people write them."""

from __future__ import annotations

import re

from resight.errors import InputError

SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}


def parse_time(text: str, name: str = "--budget") -> float:
    """Seconds from "200ms", "1.5s" or "2min". Raises InputError that starts with `name` for anything else, and for 0.

    >>> parse_time("200ms"), parse_time("1.5 s")
    (0.2, 1.5)
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,12})?)\s*(ms|s|min)", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise InputError(f"{name} takes a time such as 200ms, 1.5s or 2min; got {text[:40]!r}")
    return float(found[1]) * SECONDS[found[2]]
