"""Four numbers that describe a curve over the scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Descriptors of a curve y over the scales L.

    area:       under the curve, by trapezoids; times (n - 1) / n with preset "gcc"
    skewness:   of the values, population formula; 0 if they are all equal
    area_ratio: area of the first n // 2 points over that of the others, both with the factor (n - 1) / n of "gcc"
                (which cancels where n is even); NaN where the latter has none
    maximum:    the largest value
    """

    area: float
    skewness: float
    area_ratio: float
    maximum: float


def describe_curve(scales: ArrayLike, values: ArrayLike, *, biased: bool = False) -> Curve:
    """The descriptors of one curve; points that are NaN are left out.

    scales: (n,)
    values: (n,)
    biased: the area as preset "gcc" has it: as if n intervals, not n - 1, made up the width

    Raises InputError if the two differ in length.

    >>> describe_curve([3, 5, 7, 9], [1.0, 1.0, 2.0, 2.0]).area
    9.0
    """
    x, y = np.asarray(scales, np.float64), np.asarray(values, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"a curve needs as many scales as values, got shapes {x.shape} and {y.shape}")
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(x) == 0:
        return Curve(np.nan, np.nan, np.nan, np.nan)
    half = len(x) // 2
    last = _biased_area(x[half:], y[half:])
    area = _biased_area(x, y) if biased else _area(x, y)
    ratio = _biased_area(x[:half], y[:half]) / last if half and last else np.nan
    return Curve(area, _skewness(y), ratio, float(y.max()))


def _area(x: Floats, y: Floats) -> float:
    return float(((y[1:] + y[:-1]) * np.diff(x)).sum() / 2)


def _biased_area(x: Floats, y: Floats) -> float:
    # As the predecessors have it, evenly spread or not: (b - a) / 2n times the sum of y[i] + y[i+1].
    return float((x[-1] - x[0]) / (2 * len(x)) * (y[1:] + y[:-1]).sum())


def _skewness(y: Floats) -> float:
    away = y - y.mean()
    variance = float((away**2).mean())
    # Equal up to rounding: the quotient of two roundings would be any number.
    if variance <= (4 * np.finfo(float).eps * float(abs(y).max())) ** 2:
        return 0.0
    return float((away**3).mean() / variance**1.5)
