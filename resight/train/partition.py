"""Deals indivisible groups of labelled examples out to parts, so that each part has its share of each class."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

Unit = Mapping[str, int]


def partition(units: Sequence[Unit], shares: Sequence[float], seed: int) -> list[int]:
    """The part of each unit.

    units:  label -> number of examples, of each group (or single example) that must stay whole
    shares: of each part, adding up to 1
    ->      places in `shares`

    Large units first (their order shuffled a little, so that seeds differ), each goes where it brings the numbers of
    its classes, and the total, nearest to the shares: the least sum over classes c and parts p of
    (n_pc - share_p N_c)^2 / N_c. Single examples so end within one of their class's share.
    """
    draw = random.Random(seed)
    totals: dict[str, int] = {}
    for unit in units:
        _add(totals, unit)
    everything = max(1, sum(totals.values()))
    have: list[dict[str, int]] = [dict.fromkeys(totals, 0) for _ in shares]
    filled = [0] * len(shares)
    where = [0] * len(units)
    sizes = [sum(unit.values()) for unit in units]
    keys = [-size * draw.uniform(0.5, 1) for size in sizes]
    open_parts = [part for part, share in enumerate(shares) if share > 0]
    for place in sorted(range(len(units)), key=keys.__getitem__):
        unit, size = units[place], sizes[place]
        least, best = math.inf, 0
        for part in open_parts:
            # What the unit adds to the sum, less what does not depend on the part.
            share, held = shares[part], have[part]
            growth = size * (2 * (filled[part] - share * everything) + size) / everything
            for label, count in unit.items():
                growth += count * (2 * (held[label] - share * totals[label]) + count) / totals[label]
            if growth < least:
                least, best = growth, part
        where[place] = best
        _add(have[best], unit)
        filled[best] += size
    return where


def fill(units: Sequence[Unit], where: list[int], part: int, donors: Sequence[int], *, robbing: bool = False) -> None:
    """Moves units so that each class has one in `part`; changes `where`.

    donors:  parts to take from
    robbing: take also what leaves the donor without a class

    The smallest unit that has the class moves. Without robbing, a class stays absent where the donors cannot spare it.
    """
    # Of units, not of examples.
    held: list[dict[str, int]] = [{} for _ in range(max([*where, part, *donors]) + 1)]
    holders: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        _add(held[where[place]], dict.fromkeys(unit, 1))
        for label in unit:
            holders.setdefault(label, []).append(place)
    for label in sorted(holders, key=lambda label: (len(holders[label]), label)):
        if held[part].get(label):
            continue
        free = [
            place
            for place in holders[label]
            if where[place] in donors and (robbing or all(held[where[place]][other] > 1 for other in units[place]))
        ]
        if free:
            moved = min(free, key=lambda place: sum(units[place].values()))
            _add(held[where[moved]], dict.fromkeys(units[moved], -1))
            _add(held[part], dict.fromkeys(units[moved], 1))
            where[moved] = part


def _add(counts: dict[str, int], unit: Unit) -> None:
    for label, count in unit.items():
        counts[label] = counts.get(label, 0) + count
