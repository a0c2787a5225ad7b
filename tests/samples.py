"""Pictures for tests, made from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(seed: int, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """(height, width, 3) smooth random colours: different seeds are different pictures."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
