"""How an image to find something in differs from the picture of it: light, colour, blur, noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

GAMMA = 1.8  # another exposure: the power of the pixels, or one over it
GRADIENT = 0.5  # light from a side: darker by up to this share at one edge, brighter at the other
TINT = 0.25  # light of another colour: each channel by up to this share
JITTER = 0.25  # contrast, brightness and colour, each by up to this share
BLUR = 1.5  # most standard deviation in pixels of an image of 224, in proportion to others
NOISE = 12.0  # most standard deviation in grey levels


def change(image: Image, dice: np.random.Generator, *, light: float, noise: float) -> Image:
    """The image in another light and by another camera.

    image: (S, S, 3) uint8;  dice: where its random numbers come from
    light: chance each of another gamma, light from a side, light of another colour
    noise: chance each of blur, colour jitter, noise
    ->     (S, S, 3) uint8, new memory

    As many random numbers are drawn whatever the chances.
    """
    drawn = dice.random(6)
    found = image.astype(np.float32)
    chances = (light, light, light, noise, noise, noise)
    for way, chance, own, seed in zip(CHANGES, chances, drawn, dice.integers(0, 2**32, 6), strict=True):
        if own < chance:
            found = way(found, np.random.default_rng(int(seed)))
    result: Image = np.clip(found + 0.5, 0, 255).astype(np.uint8)
    return result


def gamma(image: Floats, dice: np.random.Generator) -> Floats:
    """Another exposure: 255 (v / 255) ^ g, the logarithm of g even between those of 1 / GAMMA and GAMMA."""
    power = math.exp(dice.uniform(-1, 1) * math.log(GAMMA))
    return np.asarray(255 * (np.clip(image, 0, 255) / 255) ** power, np.float32)


def side_light(image: Floats, dice: np.random.Generator) -> Floats:
    """Light from any side: a factor that runs evenly over the image, 1 in its middle."""
    angle, most = dice.uniform(0, 2 * math.pi), dice.uniform(0, GRADIENT)
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    factor = 1 + most * (math.cos(angle) * x + math.sin(angle) * y) / math.sqrt(2)
    return np.asarray(image * factor[:, :, None], np.float32)


def tint(image: Floats, dice: np.random.Generator) -> Floats:
    """Light of another colour: a factor for each channel."""
    return np.asarray(image * dice.uniform(1 - TINT, 1 + TINT, 3), np.float32)


def blur(image: Floats, dice: np.random.Generator) -> Floats:
    """A Gaussian blur of 0.3 to BLUR pixels."""
    import cv2

    sigma = dice.uniform(0.3, BLUR) * max(image.shape[:2]) / 224
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)), np.float32)


def jitter(image: Floats, dice: np.random.Generator) -> Floats:
    """Brightness, contrast about the mean, and colour about the grey, each by up to JITTER."""
    bright, contrast, colour = dice.uniform(1 - JITTER, 1 + JITTER, 3)
    found = image * bright
    found = (found - found.mean()) * contrast + found.mean()
    grey = found.mean(2, keepdims=True)
    return np.asarray((found - grey) * colour + grey, np.float32)


def grain(image: Floats, dice: np.random.Generator) -> Floats:
    """Noise of a sensor: normal, of one standard deviation up to NOISE in all channels."""
    return np.asarray(image + dice.uniform(0, NOISE) * dice.standard_normal(image.shape, np.float32), np.float32)


CHANGES: tuple[Callable[[Floats, np.random.Generator], Floats], ...] = (gamma, side_light, tint, blur, jitter, grain)
