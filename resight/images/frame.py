"""Where a place of the original image lies in the fitted one, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resight.errors import unknown
from resight.images.resize import FITS, crop_target, longest_target


@dataclass(frozen=True)
class Frame:
    """fitted = original * scale + shift, per axis (x, y), in pixels with centres at +.5."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def to_fitted(self, box: Sequence[float]) -> NDArray[np.float64]:
        """(x1, y1, x2, y2) of the original image, (..., 4) -> the same of the fitted image."""
        return np.asarray(np.asarray(box, np.float64) * np.tile(self.scale, 2) + np.tile(self.shift, 2))

    def to_original(self, box: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(x1, y1, x2, y2) of the fitted image, (..., 4) -> the same of the original image."""
        return np.asarray((np.asarray(box, np.float64) - np.tile(self.shift, 2)) / np.tile(self.scale, 2))


def fit_frame(shape: tuple[int, int], size: int, mode: str, crop: float = 0.875) -> Frame:
    """The frame of `fit(image, size, mode, crop=crop)` for an image of (H, W) = shape.

    Raises InputError for an unknown mode.

    >>> fit_frame((100, 200), 50, "squash").to_fitted((20, 20, 100, 60)).tolist()
    [5.0, 10.0, 25.0, 30.0]
    """
    height, width = shape
    if mode not in FITS:
        raise unknown("fit", mode, FITS)
    if mode == "squash":
        return Frame((size / width, size / height), (0.0, 0.0))
    if mode == "longest":
        high, wide = longest_target((height, width), size)
        return Frame((wide / width, high / height), (0.0, 0.0))
    (high, wide), (tall, broad) = crop_target((height, width), size, crop)
    x, y = broad / wide, tall / high
    left = round((width - wide) / 2) * x + round((broad - size) / 2)
    top = round((height - high) / 2) * y + round((tall - size) / 2)
    return Frame((x, y), (-left, -top))
