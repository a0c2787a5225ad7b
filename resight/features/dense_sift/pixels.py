"""An image as planes of float32, and how much of them makes 1."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.dense_sift.options import GREYS, MAGNIFICATION, Options

Planes: TypeAlias = NDArray[np.float32]

LUMA = (299.0, 587.0, 114.0)  # thousandths: sums of whole numbers are exact, so equal greys have no gradient


def check_image(image: Any) -> NDArray[Any]:
    """The image as an array. Raises InputError unless it is (H, W) or (H, W, 3), uint8 or floating and finite."""
    array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)) or 0 in array.shape:
        raise InputError(f"image must be (H, W), (H, W, 1) or (H, W, 3), got shape {array.shape}")
    if array.dtype != np.uint8 and array.dtype not in (np.float32, np.float64):
        raise InputError(f"image must be uint8, or float32 or float64 in [0, 1], got {array.dtype}")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise InputError("image has values that are not finite")
        if abs(array).max() > 1e6:
            raise InputError(f"a floating image must be in [0, 1], got {abs(array).max():.3g}")
    return array


def to_planes(image: NDArray[Any], options: Options) -> tuple[Planes, float]:
    """(C, H, W) float32, a copy, and what to multiply it by to have it in [0, 1].

    One plane for a grey image, luma or a named channel; all three for Liu's definition unless grey is given.
    """
    unit = 1 / 255 if image.dtype == np.uint8 else 1.0
    if image.ndim == 2 or image.shape[2] == 1:
        return np.array(image.reshape(1, *image.shape[:2]), np.float32, order="C"), unit
    if options.grey == "luma" or (not options.grey and not options.preset):
        red, green, blue = (image[:, :, c].astype(np.float32) for c in range(3))
        red *= np.float32(LUMA[0])
        green *= np.float32(LUMA[1])
        blue *= np.float32(LUMA[2])
        red += green
        red += blue
        return red[None], unit / 1000
    if options.grey:
        return np.array(image[None, :, :, GREYS.index(options.grey) - 1], np.float32, order="C"), unit
    return np.array(image.transpose(2, 0, 1), np.float32, order="C"), unit


def blur_taps(cell: int) -> Planes | None:
    """(2r + 1,) the Gaussian with which PHOW smooths an image for cells of this size; None where it is sharp enough.

    Variance (cell / 6)^2 - 1/4: the quarter is what the pixels themselves have. r = ceil(4 sigma), as in VLFeat.
    """
    variance = (cell / MAGNIFICATION) ** 2 - 0.25
    if variance <= 0:
        return None
    reach = math.ceil(4 * math.sqrt(variance))
    taps = np.exp(-0.5 * np.arange(-reach, reach + 1) ** 2 / variance)
    return np.asarray(taps / taps.sum(), np.float32)


def blur(planes: Planes, cell: int) -> Planes:
    """Smoothed planes, borders replicated; a new array, or the same where nothing is to do."""
    from scipy.ndimage import correlate1d

    taps = blur_taps(cell)
    if taps is None:
        return planes
    down = correlate1d(planes, taps, axis=1, mode="nearest")
    return np.ascontiguousarray(correlate1d(down, taps, axis=2, mode="nearest"), np.float32)
