"""Boxes around what a heat map singles out: the proposals of region re-ranking (Jimenez 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError

THRESHOLDS = (0.01, 0.1, 0.2, 0.3, 0.4)


def heat_boxes(
    heat: NDArray[np.floating[Any]], thresholds: Sequence[float] = THRESHOLDS, least: int = 5
) -> NDArray[np.int64]:
    """The box of the largest warm region at each threshold.

    heat:       (H, W)   at least 0
    thresholds: shares of the map's maximum, each above 0 and at most 1
    least:      a box has at least this many cells across and down, or all that a smaller map has
    ->          (n, 4)   x1, y1, x2, y2 in cells, x2 and y2 exclusive; in the order of the thresholds, each box once

    A region is a 4-connected component of heat >= threshold * max. The largest has the most cells; of equals, the most
    heat; of those, the first in reading order. A map of zeros has no boxes. Jimenez 2017, on re-ranking: the mean of
    the class activation maps of the query's first classes is the heat.
    Raises InputError if heat is not (H, W) of finite numbers from 0, or a threshold or least is out of range.

    >>> heat_boxes(np.pad(np.ones((5, 6)), 2)).tolist()
    [[2, 2, 8, 7]]
    """
    heat = _checked(heat)
    _check_settings(thresholds, least)
    peak = heat.max()
    if peak == 0:
        return np.empty((0, 4), np.int64)
    height, width = (min(least, side) for side in heat.shape)
    boxes: dict[tuple[int, int, int, int], None] = {}  # a set that keeps its order
    for threshold in thresholds:
        x1, y1, x2, y2 = box = _largest(heat, threshold * peak)
        if x2 - x1 >= width and y2 - y1 >= height:
            boxes[box] = None
    return np.array(list(boxes), np.int64).reshape(-1, 4)


def cells_to_pixels(boxes: ArrayLike, cells: tuple[int, int], pixels: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes on a map as boxes on the image it was made from.

    boxes:  (n, 4)   x1, y1, x2, y2 in cells
    cells:  (h, w) of the map
    pixels: (H, W) of the image
    ->      (n, 4)   float64, x1, y1, x2, y2 in pixels: x * W / w, y * H / h

    The map is taken to cover the image evenly, edge to edge.
    Raises InputError if boxes is not (n, 4) of finite numbers or a size is not two whole numbers from 1.

    >>> cells_to_pixels([[1, 0, 3, 2]], cells=(2, 4), pixels=(100, 400)).tolist()
    [[100.0, 0.0, 300.0, 100.0]]
    """
    found = np.asarray(boxes)
    if found.ndim != 2 or found.shape[1] != 4 or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise InputError(f"expected boxes (n, 4) of finite numbers, got {found.dtype} of shape {found.shape}")
    for name, size in (("cells", cells), ("pixels", pixels)):
        if len(size) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in size):
            raise InputError(f"expected {name} as (height, width), two whole numbers from 1, got {size!r}")
    down, across = pixels[0] / cells[0], pixels[1] / cells[1]
    return np.asarray(found * np.array([across, down, across, down]))


def _checked(heat: object) -> NDArray[np.float64]:
    found = np.asarray(heat)
    if found.ndim != 2 or found.size == 0 or found.dtype.kind not in "fiu":
        raise InputError(f"expected heat as numbers (H, W), got {found.dtype} of shape {found.shape}")
    found = found.astype(np.float64)
    low, high = found.min(), found.max()  # NaN comes through both
    if not (low >= 0 and high < math.inf):
        raise InputError(
            f"expected heat of finite numbers from 0, got values from {low:g} to {high:g}: apply a ReLU first"
        )
    return found


def _check_settings(thresholds: Sequence[float], least: int) -> None:
    if len(thresholds) == 0 or not all(0 < threshold <= 1 for threshold in thresholds):
        raise InputError(f"expected thresholds above 0 and at most 1, shares of the maximum, got {tuple(thresholds)}")
    if isinstance(least, bool) or not isinstance(least, (int, np.integer)) or least < 1:
        raise InputError(f"expected least as a whole number of cells from 1, got {least!r}")


def _largest(heat: NDArray[np.float64], level: float) -> tuple[int, int, int, int]:
    """The box of the largest component of heat >= level; there is one, as level is at most the maximum."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats((heat >= level).astype(np.uint8), connectivity=4)
    cells = stats[1:, cv2.CC_STAT_AREA]  # 0 is the ground
    best = 1 + np.flatnonzero(cells == cells.max())
    if len(best) > 1:
        flat = np.asarray(labels, np.intp).ravel()
        warmth = np.bincount(flat, heat.ravel(), count)[best]
        best = best[warmth == warmth.max()]
        best = flat[np.isin(flat, best)]  # in reading order, which OpenCV does not promise for its numbers
    x, y, wide, high = stats[best[0], :4].tolist()
    return x, y, x + wide, y + high
