"""Templates and scenes for tests of template finding: textured pictures whose place in each other is known."""

from __future__ import annotations

import cv2
import numpy as np


def textured(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """(height, width, 3) uint8 noise on several scales: local features everywhere, no two places alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for step in (2, 4, 8, 16, 32):
        coarse = rng.standard_normal((height // step + 2, width // step + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * step**0.5
    low, high = total.min(), total.max()
    return ((total - low) / (high - low) * 255).astype(np.uint8)


def placed(template: np.ndarray, scene: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The scene with the template laid over it by a homography, pixel centres at +.5."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    given = np.linalg.inv(half) @ matrix @ half
    size = scene.shape[1], scene.shape[0]
    over = cv2.warpPerspective(template, given, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.full(template.shape[:2], 255, np.uint8), given, size, flags=cv2.INTER_LINEAR)
    return np.where(cover[:, :, None] > 254, over, scene)
