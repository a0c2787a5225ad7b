"""What the gliding box looks at: checked uint8 pixels, their channels, and bands of rows as padded planes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown

Pixels: TypeAlias = NDArray[np.uint8]
Channels: TypeAlias = str | int | tuple[int, ...] | None

NAMED = {"red": 0, "green": 1, "blue": 2}
SPARE = 128  # columns of zeros on the right of a plane: loops run to a multiple of 64


def quantise(image: NDArray[Any], low: float, high: float) -> Pixels:
    """Values from low to high spread evenly over 0..255, rounded; what is outside is cut off.

    image: any shape, whole numbers or floats, finite
    ->     the same shape, uint8

    For 16-bit images: low=0, high=65535. Distances are measured in these 256 steps, so take the same low and high for
    all images that are compared. Raises InputError unless low < high and all values are finite.

    >>> quantise(np.array([0, 32768, 65535], np.uint16), 0, 65535).tolist()
    [0, 128, 255]
    """
    image = np.asarray(image)
    if image.dtype.kind not in "uif":
        raise InputError(f"quantise takes numbers, got {image.dtype}")
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"quantise needs finite low < high, got {low} and {high}")
    scaled = (image.astype(np.float64) - low) * (255.0 / (float(high) - float(low)))
    if not np.isfinite(scaled).all():
        raise InputError("quantise takes finite values, got NaN or infinity: replace them first")
    return np.asarray(np.floor(np.clip(scaled, 0, 255) + 0.5), dtype=np.uint8)


def check_pixels(image: object) -> Pixels:
    """The image as (H, W, C) uint8, not copied.

    Raises InputError if it is no uint8 array of that shape, with the function that makes one of it.
    """
    if not isinstance(image, np.ndarray):
        raise InputError(f"expected a uint8 array, got {type(image).__name__}: resight.read_image reads files")
    if image.dtype == bool:
        raise InputError("expected uint8, got a bool mask: take mask * np.uint8(255), or box_counting(mask)")
    if image.dtype != np.uint8:
        top = "65535" if image.dtype == np.uint16 else "high"
        call = f"resight.features.fractal.quantise(image, {'0' if top == '65535' else 'low'}, {top})"
        raise InputError(f"expected uint8, got {image.dtype}: choose the 256 steps yourself with {call}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or 0 in image.shape:
        raise InputError(f"expected an image (H, W) or (H, W, C) that is not empty, got shape {image.shape}")
    return image


def choose_channels(pixels: Pixels, channels: Channels) -> tuple[Pixels, str]:
    """The channels that count, and how to call them in a record.

    channels: None (grey or colour as it is; 2 and 4 channels are taken for alpha and refused), "all", "grey" (luma of
              RGB, as Pillow computes it), "red", "green", "blue", a number, or several numbers

    Raises InputError for alpha, an unknown name, or a channel the image does not have.
    """
    count = pixels.shape[2]
    if channels is None:
        if count in (2, 4):
            raise InputError(
                f"{count} channels: composite alpha onto a background first (resight.read_image does), "
                'or say channels="all" if these are bands'
            )
        return pixels, {1: "grey", 3: "rgb"}.get(count, f"all {count}")
    if isinstance(channels, str):
        return _named(pixels, channels)
    numbers = (channels,) if isinstance(channels, (int, np.integer)) else tuple(channels)
    if not numbers or not all(isinstance(k, (int, np.integer)) and 0 <= k < count for k in numbers):
        raise InputError(f"channels must be from 0 to {count - 1}, got {channels!r}")
    return pixels[:, :, [int(k) for k in numbers]], ",".join(str(int(k)) for k in numbers)


def _named(pixels: Pixels, name: str) -> tuple[Pixels, str]:
    count = pixels.shape[2]
    if name not in ("all", "grey", *NAMED):
        raise unknown("channels", name, ["all", "grey", *NAMED])
    if name == "all" or (name == "grey" and count == 1):
        return pixels, name if count > 1 else "grey"
    if count != 3:
        raise InputError(f"channels={name!r} is made of RGB, and this image has {count} channels")
    if name in NAMED:
        return pixels[:, :, NAMED[name] :][:, :, :1], name
    weights = np.array([19595, 38470, 7471], np.uint32)
    grey = np.empty((*pixels.shape[:2], 1), np.uint8)
    for y in range(0, len(pixels), 256):  # in bands: the sums take four bytes a channel
        grey[y : y + 256, :, 0] = (pixels[y : y + 256] @ weights + 0x8000) >> 16
    return grey, "grey"


def check_mask(mask: object, shape: tuple[int, ...]) -> Pixels:
    """Centres that count, uint8; (0, 0) if there is no mask. Raises InputError unless bool and of the image's size."""
    if mask is None:
        return np.empty((0, 0), np.uint8)
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != shape[:2]:
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InputError(f"mask must be bool of shape {shape[:2]}, got {got}")
    return np.ascontiguousarray(mask).view(np.uint8)


def band(pixels: Pixels, start: int, stop: int, reach: int) -> tuple[Pixels, int]:
    """Rows start - reach .. stop + reach - 1, as far as there are any, as planes with zeros at both sides.

    -> (C, rows, reach + W + reach + SPARE) uint8, and the image row that is the first in it
    """
    first, last = max(0, start - reach), min(len(pixels), stop + reach)
    width, channels = pixels.shape[1:]
    planes = np.zeros((channels, last - first, width + 2 * reach + SPARE), np.uint8)
    for channel in range(channels):
        planes[channel, :, reach : reach + width] = pixels[first:last, :, channel]
    return planes, first
