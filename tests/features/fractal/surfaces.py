"""Images whose dimension is known."""

from __future__ import annotations

import numpy as np


def carpet(depth):
    """Sierpinski's carpet, 3^depth wide, bool: log 8 / log 3 = 1.8928."""
    image = np.ones((1, 1), bool)
    for _ in range(depth):
        image = np.block([[image, image, image], [image, ~image & False, image], [image, image, image]])
    return image


def surface(size, h, seed):
    """A fractional Brownian surface by spectral synthesis, uint8: D = 3 - h."""
    phase = np.exp(2j * np.pi * np.random.default_rng(seed).random((size, size)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    height = np.fft.ifft2(frequency ** -(h + 1) * phase).real
    return np.round(255 * (height - height.min()) / np.ptp(height)).astype(np.uint8)
