"""Resizes and crops (H, W, 3) uint8 images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown

# Our name -> the mode of torch.nn.functional.interpolate.
INTERPOLATIONS = {"bicubic": "bicubic", "bilinear": "bilinear"}
# Longer than this many times its short side, an image loses its ends before it is scaled for a centre crop.
_LONGEST_RATIO = 16


def resize(image: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bicubic") -> NDArray[np.uint8]:
    """The image at another size, antialiased.

    image: (H, W, 3) uint8; size: (h, w) in pixels; interpolation: a key of INTERPOLATIONS
    ->     (h, w, 3) uint8, new memory

    torch's uint8 kernel: rows are scaled first, then columns, rounded and clipped to 0..255 in between. As Pillow
    does, within one grey level (two in some 0.001 % of a photo's values: torch's weights have 15 bits). Pillow 13
    takes the columns first where an image gets wider and lower at once; there the two differ at hard edges.
    An image that has the size already is copied.
    Raises InputError if the image, the size or the name is none.

    >>> resize(np.full((4, 6, 3), 7, np.uint8), (2, 3)).tolist() == [[[7, 7, 7]] * 3] * 2
    True
    """
    _check_image(image)
    if interpolation not in INTERPOLATIONS:
        raise unknown("interpolation", interpolation, INTERPOLATIONS)
    if len(size) != 2 or not all(_is_count(side) for side in size):
        raise InputError(f"expected size as (height, width), two whole numbers from 1, got {size!r}")
    if image.shape[:2] == tuple(size):
        return image.copy(order="C")
    import torch

    # (1, H, W, 3) memory seen as (1, 3, H, W) is channels_last, which the native uint8 kernel wants.
    # torch.from_numpy warns about memory that it may not write to.
    source = np.require(image, requirements=["C", "W"])
    planes = torch.from_numpy(source[None]).permute(0, 3, 1, 2)
    scaled = torch.nn.functional.interpolate(
        planes, size=(int(size[0]), int(size[1])), mode=INTERPOLATIONS[interpolation], antialias=True
    )
    result: NDArray[np.uint8] = scaled[0].permute(1, 2, 0).contiguous().numpy()
    return result


def fit(
    image: NDArray[np.uint8], size: int, mode: str, interpolation: str = "bicubic", crop: float = 0.875
) -> NDArray[np.uint8]:
    """The image made ready for a network of input `size`.

    image: (H, W, 3) uint8; size: pixels; mode: a key of FITS; crop: share of the scaled short side kept, for "crop"
    ->     (size, size, 3) uint8; for "longest" (h, w, 3) with max(h, w) <= size

    squash   to size x size, the aspect lost
    crop     short side to floor(size / crop), aspect kept, then the centre size x size (timm's evaluation rule)
    longest  longest side to size, aspect kept, never enlarged

    Raises InputError if a value or name is none of these.

    >>> fit(np.zeros((30, 60, 3), np.uint8), 20, "longest").shape
    (10, 20, 3)
    """
    _check_image(image)
    if mode not in FITS:
        raise unknown("fit", mode, FITS)
    if not _is_count(size):
        raise InputError(f"expected size as a whole number of pixels from 1, got {size!r}")
    if not 0 < crop <= 1:
        raise InputError(f"expected crop above 0 and at most 1, got {crop!r}")
    return FITS[mode](image, int(size), interpolation, crop)


def crop_box(image: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.uint8]:
    """The part of the image inside a box.

    image: (H, W, 3) uint8; box: x1, y1, x2, y2 in pixels, widened to whole pixels and clipped to the image
    ->     (h, w, 3) uint8, new memory

    Raises InputError if the box is not four finite numbers with x1 < x2 and y1 < y2, or lies outside the image.

    >>> crop_box(np.zeros((10, 20, 3), np.uint8), (2.5, 0, 4.5, 99)).shape
    (10, 3, 3)
    """
    _check_image(image)
    height, width = image.shape[:2]
    try:
        corners = [float(value) for value in box]
    except (TypeError, ValueError):
        corners = []
    shown = f"box {tuple(corners) or box!r} for an image of {width} x {height} (W x H)"
    if len(corners) != 4 or not all(math.isfinite(value) for value in corners):
        raise InputError(f"expected a box of four finite numbers x1, y1, x2, y2, got {shown}")
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"expected a box with x1 < x2 and y1 < y2, got {shown}")
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    right, bottom = min(width, math.ceil(x2)), min(height, math.ceil(y2))
    if right <= left or bottom <= top:
        raise InputError(f"expected a box that overlaps the image, got {shown}")
    return image[top:bottom, left:right].copy(order="C")


def _squash(image: NDArray[np.uint8], size: int, interpolation: str, crop: float) -> NDArray[np.uint8]:
    return resize(image, (size, size), interpolation)


def crop_target(shape: tuple[int, int], size: int, crop: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """For the fit "crop" of an image of (H, W) = shape: what is cut out of its centre, and what that is scaled to.

    >>> crop_target((100, 400), 210, 0.875)
    ((100, 400), (240, 960))
    """
    short = min(shape)
    # A 1 x 10000 strip scaled whole would need gigabytes, of which the crop keeps a thousandth.
    height, width = (min(side, short * _LONGEST_RATIO) for side in shape)
    scaled = max(size, math.floor(size / crop))
    # As torchvision's Resize(int): the long side is cut off, not rounded.
    return (height, width), (scaled * height // short, scaled * width // short)


def _crop(image: NDArray[np.uint8], size: int, interpolation: str, crop: float) -> NDArray[np.uint8]:
    (height, width), target = crop_target((image.shape[0], image.shape[1]), size, crop)
    return _centre(resize(_centre(image, height, width), target, interpolation), size, size)


def longest_target(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """(h, w) of the fit "longest" of an image of (H, W) = shape: never enlarged.

    >>> longest_target((30, 60), 20)
    (10, 20)
    """
    longest = max(shape)
    if longest <= size:
        return shape
    height, width = (max(1, (2 * side * size + longest) // (2 * longest)) for side in shape)
    return height, width


def _longest(image: NDArray[np.uint8], size: int, interpolation: str, crop: float) -> NDArray[np.uint8]:
    return resize(image, longest_target((image.shape[0], image.shape[1]), size), interpolation)


FITS: dict[str, Callable[[NDArray[np.uint8], int, str, float], NDArray[np.uint8]]] = {
    "squash": _squash,
    "crop": _crop,
    "longest": _longest,
}


def _centre(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top = round((image.shape[0] - height) / 2)
    left = round((image.shape[1] - width) / 2)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _is_count(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def _check_image(image: object) -> None:
    if not isinstance(image, np.ndarray):
        raise InputError(f"expected a (H, W, 3) uint8 array, got {type(image).__name__}: read_image makes one")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"expected a (H, W, 3) uint8 array, got {image.dtype} of shape {image.shape}")
