"""The pointing game: does the highest place of a map lie on an object of the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from resight.errors import InputError
from resight.explain.heat import Heat, place_map

TOLERANCE = 15.0  # pixels of the image


def pointing(heat: Heat, boxes: ArrayLike, tolerance: float = TOLERANCE) -> float:
    """Whether a heat's highest place is on one of the boxes, or at most `tolerance` pixels from it.

    boxes: (n, 4) x1, y1, x2, y2 in pixels of the image, all objects of the class
    ->     1 or 0; where several pixels are highest, the share of them that hits, so that a map of equal values gets
           the share of the image that boxes cover and not its corner's luck

    Zhang 2018, section 4.1. Raises InputError unless boxes are (n, 4) with x1 <= x2, y1 <= y2 and n >= 1.
    """
    known = check_boxes(boxes)
    x1, y1, x2, y2 = heat.box
    rows, columns = np.arange(heat.size[0]) + 0.5, np.arange(heat.size[1]) + 0.5
    spread = place_map(heat.map, heat.size, heat.box)
    spread[(rows < y1) | (rows > y2)] = -np.inf
    spread[:, (columns < x1) | (columns > x2)] = -np.inf
    found = np.argwhere(spread == spread.max()) + 0.5
    down, along = found[:, :1], found[:, 1:]
    beside = np.maximum(np.maximum(known[:, 0] - along, along - known[:, 2]), 0)
    above = np.maximum(np.maximum(known[:, 1] - down, down - known[:, 3]), 0)
    return float((np.hypot(beside, above) <= tolerance).any(1).mean())


def check_boxes(boxes: ArrayLike) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The boxes as (n, 4) float64. Raises InputError unless each is one."""
    known = np.asarray(boxes, np.float64)
    if known.ndim != 2 or known.shape[1] != 4 or not len(known) or not np.isfinite(known).all():
        raise InputError(f"expected boxes (n, 4) as x1, y1, x2, y2 with n >= 1, got shape {known.shape}")
    if not (known[:, :2] <= known[:, 2:]).all():
        raise InputError("expected boxes with x1 <= x2 and y1 <= y2: are they x, y, width, height?")
    return known


def pointing_accuracy(hits: ArrayLike, labels: Sequence[str]) -> float:
    """The mean over the classes of each class's share of hits, so that a frequent class counts no more. Zhang 2018.

    hits: (n,); labels: (n,) the class of each

    >>> pointing_accuracy([1, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    0.8333333333333333
    """
    values, names = np.asarray(hits, np.float64), np.asarray(labels)
    if values.shape != names.shape or not len(names):
        raise InputError(f"expected a label for each hit, at least one, got {values.shape} and {names.shape}")
    return float(np.mean([values[names == name].mean() for name in np.unique(names)]))
