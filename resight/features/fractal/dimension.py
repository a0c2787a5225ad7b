"""A dimension: the slope of a log-log line, with what is needed to judge it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DimensionFit:
    """D = -slope of log count on log size, by least squares over the sizes from fit_range[0] to fit_range[1].

    value:          the dimension; NaN with fewer than two sizes
    intercept:      of the line, at log size 0
    fit_range:      smallest and largest size that the line is fitted on
    r2:             share of the variance that the line explains
    standard_error: of the value; NaN with fewer than three sizes. Scales share their pixels, so it tells how straight
                    the curve is rather than how far off the value may be
    sizes, counts:  (n,)    the points, all of them, NaN where there is none
    local_slopes:   (n-1,)  -slope between neighbouring points: flat where the dimension holds
    note:           what a reader should know before using it, or ""
    """

    value: float
    intercept: float
    fit_range: tuple[int, int]
    r2: float
    standard_error: float
    sizes: Floats
    counts: Floats
    local_slopes: Floats
    note: str = ""

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        low, high = self.fit_range
        return f"DimensionFit({self.value:.4f} +- {self.standard_error:.4f}, r2={self.r2:.4f}, {low}..{high}{note})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DimensionFit) and all(
            same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        )

    def __hash__(self) -> int:
        return hash((self.value, self.fit_range))

    @property
    def residuals(self) -> Floats:
        """(n,) log count minus the line, at every size."""
        return np.log(self.counts) - (self.intercept - self.value * np.log(self.sizes))


def same(a: Any, b: Any) -> bool:
    """Equal as arrays or values, NaN being equal to NaN."""
    if isinstance(a, (np.ndarray, float)):
        return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))
    return bool(a == b)


def fit_dimension(
    sizes: ArrayLike, counts: ArrayLike, fit: tuple[int, int] | None = None, note: str = ""
) -> DimensionFit:
    """The dimension of counts over box sizes.

    sizes:  (n,)  ascending, positive
    counts: (n,)  positive, NaN where there is none
    fit:    smallest and largest size of the line; None: all that have a count

    Raises InputError if fit is no pair in ascending order, or leaves fewer than two sizes.

    >>> round(fit_dimension([1, 2, 4], [64, 16, 4]).value, 12)
    2.0
    """
    sizes, counts = np.array(sizes, np.float64), np.array(counts, np.float64)
    known = np.isfinite(counts) & (counts > 0)
    x, y = np.log(sizes), np.log(np.where(known, counts, np.nan))
    used = known if fit is None else known & within(sizes, fit)
    if fit is not None and used.sum() < 2:
        have = ", ".join(f"{size:g}" for size in sizes[known])
        raise InputError(
            f"fit={tuple(fit)} leaves {used.sum()} of the scales with a value ({have}): take in two or more"
        )
    with np.errstate(invalid="ignore"):
        slopes = -np.diff(y) / np.diff(x)
    for array in (sizes, counts, slopes):
        array.setflags(write=False)
    if used.sum() < 2:
        ends = (int(sizes[0]), int(sizes[-1]))
        note = "; ".join(part for part in (note, "fewer than two scales, no line") if part)
        return DimensionFit(np.nan, np.nan, ends, np.nan, np.nan, sizes, counts, slopes, note)
    ends = (int(sizes[used][0]), int(sizes[used][-1]))
    return DimensionFit(*_line(x[used], y[used], ends), sizes, counts, slopes, note)


def within(sizes: NDArray[Any], fit: tuple[int, int]) -> NDArray[np.bool_]:
    """Which sizes lie in the range. Raises InputError unless it is two numbers in ascending order."""
    try:
        low, high = (float(end) for end in fit)
    except (TypeError, ValueError) as error:
        raise InputError(f"fit must be two box sizes, smallest and largest, got {fit!r}") from error
    if not low < high:
        raise InputError(f"fit must be two box sizes, smallest first, got {fit!r}")
    return (sizes >= low) & (sizes <= high)


def _line(x: Floats, y: Floats, ends: tuple[int, int]) -> tuple[float, float, tuple[int, int], float, float]:
    """-slope, intercept, ends, r2 and the slope's standard error of the least-squares line."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    intercept = float(y.mean() - slope * x.mean())
    residue, spread = float(((dy - slope * dx) ** 2).sum()), float(dy @ dy)
    # A level curve (all counts equal up to rounding) is a perfect line of slope 0.
    level = spread <= len(y) * (np.finfo(float).eps * max(1.0, float(abs(y).max()))) ** 2
    r2 = 1.0 if level else 1.0 - residue / spread
    error = float(np.sqrt(residue / (len(x) - 2) / (dx @ dx))) if len(x) > 2 else np.nan
    return -slope, intercept, ends, r2, error
