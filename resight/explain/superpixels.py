"""Superpixels: an image cut into connected parts of like colour, or into a grid, numbered from 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.images.frame import Frame

Labels = NDArray[np.int32]
MOST = 2000  # parts: more cannot be told apart by any number of samples that one would wait for


def superpixels(image: NDArray[np.uint8], method: str = "slic", count: int = 50) -> Labels:
    """The part that each pixel belongs to.

    image:  (H, W, 3) uint8
    method: slic (Achanta 2012), quickshift (Vedaldi 2008), felzenszwalb (2004) or grid
    count:  parts that slic and grid aim at; the other two find their number themselves
    ->      (H, W) int32, numbers 0 .. n-1, each of them there

    Raises InputError for an unknown method, or an image that falls into fewer than 2 or more than 2,000 parts.

    >>> superpixels(np.zeros((2, 2, 3), np.uint8), "grid", 4).tolist()
    [[0, 1], [2, 3]]
    """
    if method not in SUPERPIXELS:
        raise unknown("superpixels", method, SUPERPIXELS)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InputError(f"superpixels need an image (H, W, 3) of uint8, got {image.dtype} {image.shape}")
    if not 2 <= count <= MOST:
        raise InputError(f"count must be from 2 to {MOST}, got {count}")
    return renumber(SUPERPIXELS[method](image, count), f"{method} finds", "take segments=grid, or another count")


def renumber(labels: Any, found: str = "segments have", advice: str = "give two or more") -> Labels:
    """Numbers of any kind as 0 .. n-1 in their order, so that none is passed over.

    labels: (H, W) whole numbers or true/false
    found, advice: how an error begins and ends

    Raises InputError unless there are 2 to 2,000 parts.

    >>> renumber([[5, 9], [9, 7]]).tolist()
    [[0, 2], [2, 1]]
    """
    given = np.asarray(labels)
    if given.ndim != 2 or not given.size or given.dtype.kind not in "iub":
        raise InputError(f"segments are whole numbers (H, W), got {given.dtype} {given.shape}")
    names, numbers = np.unique(given, return_inverse=True)
    if not 2 <= len(names) <= MOST:
        parts = "one part" if len(names) == 1 else f"{len(names):,} parts"
        raise InputError(f"{found} {parts}, but 2 to {MOST:,} can be explained: {advice}")
    return numbers.reshape(given.shape).astype(np.int32)


def fit_labels(labels: Any, shape: tuple[int, int], frame: Frame, size: int) -> Labels:
    """Parts of an image as they lie in the square that a network is given of it, by the nearest pixel.

    labels: (H, W) as of `renumber`
    shape:  (H, W) of the image
    frame:  where the square lies in it
    ->      (size, size) int32; parts that the square leaves out are gone

    Raises InputError if labels have another shape than the image, and as `renumber` does.
    """
    given = np.asarray(labels)
    if given.shape != tuple(shape):
        raise InputError(f"segments must be as large as the image, (H, W) = {tuple(shape)}, got {given.shape}")
    centres = np.arange(size) + 0.5
    columns = (centres - frame.shift[0]) / frame.scale[0]
    rows = (centres - frame.shift[1]) / frame.scale[1]
    across = np.clip(np.floor(columns).astype(int), 0, shape[1] - 1)
    down = np.clip(np.floor(rows).astype(int), 0, shape[0] - 1)
    return renumber(given[np.ix_(down, across)], "what the network sees of the segments has")


def _slic(image: NDArray[np.uint8], count: int) -> Any:
    from skimage.segmentation import slic

    return slic(image, n_segments=count, compactness=10, start_label=0)


def _quickshift(image: NDArray[np.uint8], count: int) -> Any:
    from skimage import segmentation

    ours: Any = segmentation.quickshift
    # As the lime package calls it, but always from the same start.
    return ours(image, kernel_size=4, max_dist=200, ratio=0.2, rng=0)


def _felzenszwalb(image: NDArray[np.uint8], count: int) -> Any:
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(image, scale=100, sigma=0.5, min_size=max(1, image.shape[0] * image.shape[1] // 1000))


def _grid(image: NDArray[np.uint8], count: int) -> Any:
    high, wide = image.shape[:2]
    rows = min(high, max(1, round(np.sqrt(count * high / wide))))
    columns = min(wide, max(1, round(count / rows)))
    return (np.arange(high) * rows // high)[:, None] * columns + np.arange(wide) * columns // wide


SUPERPIXELS: dict[str, Callable[[NDArray[np.uint8], int], Any]] = {
    "slic": _slic,
    "quickshift": _quickshift,
    "felzenszwalb": _felzenszwalb,
    "grid": _grid,
}
