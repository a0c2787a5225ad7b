"""What can be asked of the gliding box: scales, rules, distances, centres, presets. Names are in plain dicts."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from resight.errors import InputError, unknown

Scales: TypeAlias = str | Iterable[int]

DEFAULT_SCALES = "3:41:2"
LARGEST = 253  # a distance is kept in 8 bits, and 255 stands for "more"

# The largest colour distance that counts in a box of side L.
RULES: dict[str, Callable[[int], int]] = {"hypercube": lambda side: (side - 1) // 2, "glidingbox": lambda side: side}
DISTANCES = {"chebyshev": 0, "manhattan": 1, "euclidean": 2}
CENTERS = {"each": "all complete boxes of a scale", "common": "centres that have a complete box at every scale"}
CONNECTIVITIES = {4: "sides", 8: "sides and corners"}
PRESETS: dict[str, dict[str, str | int]] = {
    "gcc": {"rule": "glidingbox", "distance": "chebyshev", "centers": "each", "connectivity": 4}
}


@dataclass(frozen=True)
class Options:
    """What a result was made with."""

    scales: tuple[int, ...]
    rule: str = "hypercube"
    centers: str = "each"
    distance: str = "chebyshev"
    connectivity: int = 4
    channels: str = "all"
    preset: str | None = None

    @property
    def halves(self) -> tuple[int, ...]:
        """(L - 1) / 2 of each scale."""
        return tuple(side // 2 for side in self.scales)

    @property
    def bounds(self) -> tuple[int, ...]:
        """The largest colour distance that counts, for each scale."""
        return tuple(RULES[self.rule](side) for side in self.scales)


def parse_scales(scales: Scales) -> tuple[int, ...]:
    """Box sides as ascending odd numbers: "first:last:step" (last included), or any list of them.

    Raises InputError for an even side, one outside 3..253, sides out of order, or text of another form.

    >>> parse_scales("3:9:2")
    (3, 5, 7, 9)
    """
    if isinstance(scales, str):
        parts = scales.split(":")
        if len(parts) not in (2, 3) or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            raise InputError(f"scales are written first:last:step, as in {DEFAULT_SCALES!r}, got {scales!r}")
        first, last, step = (int(part) for part in (*parts, "2")[:3])
        if step < 1:
            raise InputError(f"scales {scales!r} have step 0: take an even step, as in {DEFAULT_SCALES!r}")
        # Only so far that the checks below see the first side that is too large.
        scales = range(first, min(last, LARGEST + step) + 1, step)
    try:
        sides = tuple(_whole(side) for side in scales)
    except TypeError as error:
        raise InputError(f"scales must be whole numbers or text like {DEFAULT_SCALES!r}: {error}") from error
    if not sides:
        raise InputError(f"no scales: give at least one odd box side, as in {DEFAULT_SCALES!r}")
    for side in sides:
        if side % 2 == 0:
            raise InputError(f"scale {side} is even and a box has a pixel at its centre: take {side - 1} or {side + 1}")
        if not 3 <= side <= LARGEST:
            raise InputError(f"scale {side} is outside 3..{LARGEST}")
    if any(b <= a for a, b in itertools.pairwise(sides)):
        raise InputError(f"scales must ascend, each once, got {', '.join(map(str, sides))}")
    return sides


def _whole(side: object) -> int:
    if isinstance(side, bool):
        raise TypeError(f"got {side!r}")
    return operator.index(side)  # type: ignore[arg-type]


def make_options(
    scales: Scales = DEFAULT_SCALES,
    *,
    rule: str | None = None,
    centers: str = "each",
    distance: str = "chebyshev",
    connectivity: int = 4,
    channels: str = "all",
    preset: str | None = None,
) -> Options:
    """Checked options; rule None is the preset's, or hypercube.

    Raises InputError for an unknown name, or an option that contradicts the preset.
    """
    if preset is not None and preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    fixed: Mapping[str, str | int] = MappingProxyType(PRESETS[preset]) if preset else {}
    rule = str(fixed.get("rule", "hypercube")) if rule is None else rule
    for kind, name, family in (("rule", rule, RULES), ("distance", distance, DISTANCES), ("centers", centers, CENTERS)):
        if name not in family:
            raise unknown(kind, name, family)
    if isinstance(connectivity, bool) or connectivity not in CONNECTIVITIES:
        raise InputError(f"connectivity is 4 (sides) or 8 (sides and corners), got {connectivity!r}")
    given = {"rule": rule, "distance": distance, "centers": centers, "connectivity": connectivity}
    for name, value in fixed.items():
        if given[name] != value:
            raise InputError(f"preset {preset!r} has {name}={value!r}, got {given[name]!r}: leave out one of the two")
    return Options(parse_scales(scales), rule, centers, distance, int(connectivity), channels, preset)
