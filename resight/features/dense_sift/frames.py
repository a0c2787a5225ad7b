"""Where the frames of a dense descriptor lie, and at which pixels their cells are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.dense_sift.options import Options, make_options

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

LARGEST_SIDE = 65536


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of an image: y (ny,) and x (nx,) of their centres, pixel centres at +.5; side of the 4 x 4 cells.

    With preset "siftflow" or "deepsky" the centre is that of the pixel which the descriptor belongs to.
    """

    y: Floats
    x: Floats
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return len(self.y), len(self.x)

    @property
    def centres(self) -> Floats:
        """(ny, nx, 2): x, y of each frame."""
        return np.stack(np.meshgrid(self.x, self.y), 2)


@dataclass(frozen=True, eq=False)
class Axis:
    """Along one axis: pixels (P,) at which cells are needed, ascending, and which of them each frame has, (n, 4)."""

    places: Integers
    cells: Integers


def dense_sift_frames(shape: tuple[int, ...], **options: Any) -> Frames:
    """Where the descriptors of `dense_sift(image, ...)` lie, for this shape (H, W, ...) and the same options.

    Raises InputError for an option that cannot be, or an image without room for one frame.

    >>> frames = dense_sift_frames((480, 640), step=8, cell=4)
    >>> frames.shape, frames.x[0].item(), frames.x[1].item()
    ((59, 79), 6.5, 14.5)
    """
    checked = make_options(**options)
    y, x = (centres_along(size, checked) for size in check_shape(shape, checked))
    return Frames(y, x, 4 * max(checked.cells))


def check_shape(shape: tuple[int, ...], options: Options) -> tuple[int, int]:
    """(H, W) if a frame has room in it. Raises InputError otherwise."""
    height, width = (int(side) for side in shape[:2])
    least = least_side(options)
    if min(height, width) < least:
        raise InputError(
            f"an image of {width} x {height} pixels has no room for a frame with cells of {max(options.cells)}: "
            f"it needs {least} x {least}; take a smaller cell"
            + (" or border='keep'" if options.border == "cut" else "")
        )
    if max(height, width) > LARGEST_SIDE:
        raise InputError(f"an image of {width} x {height} pixels is too large: at most {LARGEST_SIDE} a side")
    return height, width


def least_side(options: Options) -> int:
    """The smallest side of an image that has room for one frame."""
    if options.border == "keep":
        return 1
    return (4 if options.preset else 3) * max(options.cells) + 1


def centres_along(size: int, options: Options) -> Floats:
    """(n,) centres of the frames along an axis of `size` pixels, pixel centres at +.5."""
    cell = max(options.cells)
    first = _references(size, options)
    shift = 0.5 if options.preset else 1.5 * cell - (3 * cell) // 2 + 0.5
    return np.asarray(first + shift, np.float64)


def make_axis(size: int, options: Options, cell: int) -> Axis:
    """Which pixels of an axis of `size` the cells of one scale are centred on.

    Outside the image the nearest pixel's cell is taken. Only these are ever pooled: at step s and cell b all multiples
    of gcd(s, b), or fewer.
    """
    first = _references(size, options) - (cell if options.preset else (3 * cell) // 2)
    wanted = np.clip(first[:, None] + cell * np.arange(4), 0, size - 1)
    places, cells = np.unique(wanted, return_inverse=True)
    return Axis(np.ascontiguousarray(places, np.int64), np.ascontiguousarray(cells.reshape(wanted.shape), np.int64))


def _references(size: int, options: Options) -> Integers:
    """(n,) the pixel in the middle of each frame's cells; for even cells exactly, for odd ones half a pixel above."""
    cell = max(options.cells)
    if options.border == "keep":
        low, high = 0, size - 1
    elif options.preset:
        low, high = 2 * cell, size - 2 * cell - 1
    else:
        low, high = (3 * cell) // 2, size - 1 - (3 * cell - (3 * cell) // 2)
    return np.arange(low, high + 1, options.step, dtype=np.int64)
