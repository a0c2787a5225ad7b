"""Cheap companions of the gliding box: a grid of boxes over a mask, or over a grey or colour surface."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.fractal.dimension import DimensionFit, fit_dimension
from resight.features.fractal.pixels import Channels, Pixels, check_pixels, choose_channels

LEVELS = 256
STRIP = 128  # rows in work at a time


def box_counting(
    mask: NDArray[np.bool_], *, sizes: Iterable[int] | None = None, fit: tuple[int, int] | None = None
) -> DimensionFit:
    """The box-counting dimension of a set of pixels.

    mask:  (H, W) bool, at least one pixel set
    sizes: box sides in pixels; None: 1, 2, 4 ... up to half the shorter side
    fit:   smallest and largest size of the line

    N(r) = boxes of a grid from the upper left corner with at least one pixel in them; those at the right and lower
    border may be cut off. Raises InputError for another mask, an empty one, or sizes that cannot be.

    >>> round(box_counting(np.ones((64, 64), bool)).value, 9)
    2.0
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InputError(f"box counting needs a bool mask (H, W), got {got}: compare the image with a threshold first")
    if not mask.any():
        raise InputError("the mask is empty: an empty set has no dimension")
    sides = _sizes(sizes, min(mask.shape), 1, 2)
    counts = [
        np.count_nonzero(
            np.logical_or.reduceat(np.logical_or.reduceat(mask, np.arange(0, mask.shape[0], r), 0),
                                   np.arange(0, mask.shape[1], r), 1)
        ) for r in sides
    ]  # fmt: skip
    return fit_dimension(sides, counts, fit)


def differential_box_counting(
    image: NDArray[np.uint8],
    *,
    sizes: Iterable[int] | None = None,
    fit: tuple[int, int] | None = None,
    channels: Channels = None,
) -> DimensionFit:
    """The dimension of the image as a surface, 2 (level) to 3, by boxes r x r x h with h = 256 r / min(H, W).

    image: (H, W) or (H, W, C) uint8
    sizes: box sides in pixels; None: 2, 4, 8 ... up to a quarter of the shorter side
    fit:   smallest and largest size of the line

    N(r) = sum over the grid of floor(max / h) - floor(min / h) + 1; with several channels the channel that needs most
    boxes counts in each place. Only complete boxes are counted, and N(r) is scaled to the whole image. Sarkar and
    Chaudhuri, IEEE SMC 1994. Raises InputError for an image or sizes that cannot be.

    >>> round(differential_box_counting(np.zeros((64, 48), np.uint8)).value, 9)
    2.0
    """
    pixels = choose_channels(check_pixels(image), channels)[0]
    shorter = min(pixels.shape[:2])
    sides = _sizes(sizes, shorter, 2, 4)
    return fit_dimension(sides, [_surface_boxes(pixels, r, LEVELS * r / shorter) for r in sides], fit)


def _surface_boxes(pixels: Pixels, r: int, height: float) -> float:
    rows, columns, channels = pixels.shape[0] // r, pixels.shape[1] // r, pixels.shape[2]
    total, most = 0, max(1, STRIP // r)
    for start in range(0, rows, most):  # some rows of boxes at a time: no second copy of a large image
        strip = pixels[start * r : min(start + most, rows) * r, : columns * r].reshape(-1, r, columns * r, channels)
        top, bottom = (np.floor(_cells(edge, strip, r) / height) for edge in (np.maximum, np.minimum))
        total += int((top - bottom + 1).max(axis=2).sum())
    return float(total * pixels.shape[0] * pixels.shape[1] / (rows * columns * r * r))


def _cells(edge: np.ufunc, strip: Pixels, r: int) -> Pixels:
    """Largest or smallest value in each box: down the columns first, then over every r-th of them, which is quick."""
    lines = edge.reduce(strip, axis=1)
    cells = lines[:, ::r].copy()
    for k in range(1, r):
        edge(cells, lines[:, k::r], out=cells)
    return np.asarray(cells)


def _sizes(sizes: Iterable[int] | None, shorter: int, first: int, share: int) -> tuple[int, ...]:
    """Box sides, given or in powers of two from `first` to shorter / share."""
    if sizes is None:
        found = tuple(first << k for k in range(32) if first << k <= shorter // share)
        if len(found) < 2:
            raise InputError(
                f"a shorter side of {shorter} pixels leaves no two sizes to fit: give sizes, or more pixels"
            )
        return found
    found = tuple(int(r) for r in sizes)
    if len(found) < 2 or any(b <= a for a, b in itertools.pairwise(found)):
        raise InputError(f"sizes must be two or more, ascending, got {found}")
    if found[0] < 1 or found[-1] > shorter:
        raise InputError(f"sizes must be from 1 to {shorter}, the shorter side, got {found[0]}..{found[-1]}")
    return found
