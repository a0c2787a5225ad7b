"""How far a share that was counted in a sample may be from the true one."""

from __future__ import annotations

import math

from resight.errors import InputError

Z95 = 1.959963984540054  # of the standard normal distribution, two-sided


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share: the values p that |hits / trials - p| <= 1.96 sqrt(p (1 - p) / trials) holds for.

    ->  (low, high) in [0, 1]

    Good also for shares near 0 or 1 and few trials, where the usual mean +- 1.96 sd is not. Wilson 1927.
    Raises InputError unless 0 <= hits <= trials and trials >= 1.

    >>> [round(side, 4) for side in wilson_interval(9, 10)]
    [0.5958, 0.9821]
    """
    if not 0 <= hits <= trials or trials < 1:
        raise InputError(f"expected 0 <= hits <= trials and at least 1 trial, got {hits} of {trials}")
    share, square = hits / trials, Z95 * Z95
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    return max(0.0, min(share, centre - half)) if hits else 0.0, max(share, centre + half) if hits < trials else 1.0
