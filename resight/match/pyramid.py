"""Correlation over a pyramid of scales and turns: a template too small or too plain for local features.

The template is made about 20 pixels long, turned, and correlated with the scene reduced by as much, within its own
outline: with t the template less its mean over its mask m, the correlation at a place is
(t * s) / sqrt(|t|^2 (m * s^2 - (m * s)^2 / |m|)), every * a correlation by FFT (Lewis 1995 with a mask).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.match.planes import Matrix, similarity
from resight.match.scene import Scene
from resight.match.template import Template
from resight.match.verify import grey

Floats = NDArray[np.floating[Any]]

LENGTH = 22.0  # pixels of the template's longer side when it is looked for
OCTAVES = tuple(np.arange(-4, 5) / 4)  # log2 of the scales
TURNS = 24  # even: half of them have the mask of the others
MOST_PIXELS = 50_000  # of a reduced scene
LEAST = 5  # pixels of the template's shorter side
PLAIN = 3.0  # grey levels: places with a smaller standard deviation match everything


def search_pyramid(template: Template, scene: Scene, most: int) -> list[Matrix]:
    """The places of highest correlation over all scales and turns, best first; at most `most`."""
    found: list[tuple[float, Matrix]] = []
    for octave in OCTAVES:
        found += _at_scale(template, scene, 2.0**octave, most)
    found.sort(key=lambda one: -one[0])
    kept: list[tuple[float, Matrix]] = []
    middle = np.array([template.size[1] / 2, template.size[0] / 2, 1])
    for value, matrix in found:
        reach = 0.2 * math.sqrt(template.size[0] * template.size[1] * abs(np.linalg.det(matrix[:2, :2])))
        place = (matrix @ middle)[:2]
        if all(np.linalg.norm(place - (other @ middle)[:2]) > reach or _apart(matrix, other) for _, other in kept):
            kept.append((value, matrix))
        if len(kept) == most:
            break
    return [matrix for _, matrix in kept]


def _apart(a: Matrix, b: Matrix) -> bool:
    """Whether two similarities differ much in turn or scale."""
    ratio = complex(a[0, 0], a[1, 0]) / complex(b[0, 0], b[1, 0])
    return abs(math.log2(abs(ratio))) > 0.4 or abs(math.atan2(ratio.imag, ratio.real)) > 0.45


def _at_scale(template: Template, scene: Scene, scale: float, most: int) -> list[tuple[float, Matrix]]:
    import cv2

    from resight.match.correlate import peaks

    height, width = template.size
    reduced = min(1.0, LENGTH / (max(height, width) * scale))
    reduced = min(reduced, math.sqrt(MOST_PIXELS / (scene.size[0] * scene.size[1])))
    if min(height, width) * scale * reduced < LEAST:
        return []
    size = max(2, round(scene.size[1] * reduced)), max(2, round(scene.size[0] * reduced))
    if max(height, width) * scale * reduced > 1.2 * max(size):
        return []
    border = math.ceil(max(height, width) * scale * reduced / 4)
    shrunk = cv2.resize(scene.grey, size, interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder(shrunk.astype(np.float32), border, border, border, border, cv2.BORDER_REPLICATE)
    across, down = size[0] / scene.size[1], size[1] / scene.size[0]
    found = []
    for turn, alike, half in _correlations(template, np.asarray(small, np.float32), scale * reduced):
        apart = max(2, round(min(height, width) * scale * reduced / 3))
        for x, y, value in peaks(alike, 2, (apart, apart)):
            centre = (x + half[0] - border) / across, (y + half[1] - border) / down
            found.append((value, similarity(scale, turn, (width / 2, height / 2), centre)))
    return sorted(found, key=lambda one: -one[0])[:most]


def _correlations(
    template: Template, small: NDArray[np.float32], scale: float
) -> Iterator[tuple[float, Floats, tuple[float, float]]]:
    """For each turn its angle, the correlation at each place of the window, and the window's half size."""
    from scipy import fft

    side = math.ceil(math.hypot(*template.size) * scale)
    side += 1 - side % 2
    if side > min(small.shape):
        return
    turned = [_turned(template, scale, 2 * math.pi * turn / TURNS, side) for turn in range(TURNS)]
    shape = [fft.next_fast_len(length, real=True) for length in small.shape]
    ground = fft.rfft2(small - small.mean(), s=shape)
    energy = fft.rfft2((small - small.mean()) ** 2, s=shape)
    rows, columns = small.shape[0] - side + 1, small.shape[1] - side + 1
    masks = np.stack([mask for _, mask in turned[: TURNS // 2]])
    spectra = np.conj(fft.rfft2(masks, s=shape))
    sums = fft.irfft2(spectra * ground, s=shape)[:, :rows, :columns]
    squares = fft.irfft2(spectra * energy, s=shape)[:, :rows, :columns]
    counts = masks.sum((1, 2))[:, None, None]
    variance = np.maximum(squares - sums**2 / counts, 0)
    plain = variance < PLAIN**2 * counts
    pictures = np.stack([picture for picture, _ in turned])
    lengths = np.sqrt((pictures**2).sum((1, 2)))
    products = fft.irfft2(np.conj(fft.rfft2(pictures, s=shape)) * ground, s=shape)[:, :rows, :columns]
    for place in range(TURNS):
        if lengths[place] < PLAIN:
            continue
        own = place % (TURNS // 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = products[place] / (lengths[place] * np.sqrt(variance[own]))
        alike[plain[own]] = 0
        yield 2 * math.pi * place / TURNS, alike, (side / 2, side / 2)


def _turned(template: Template, scale: float, turn: float, side: int) -> tuple[Floats, Floats]:
    """The template made small and turned about its centre in a square: less its mean within the mask, and the mask."""
    import cv2

    height, width = template.size
    size = max(1, round(width * scale)), max(1, round(height * scale))
    own, mask = template.kept(f"small {size}", lambda: _small(template, size))
    centre = np.array([side / 2, side / 2])
    matrix = similarity(1.0, turn, (size[0] / 2, size[1] / 2), centre)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    given = (np.linalg.inv(half) @ matrix @ half)[:2]
    picture = cv2.warpAffine(own, given, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = (cv2.warpAffine(mask, given, (side, side), flags=cv2.INTER_LINEAR) > 0.5).astype(np.float32)
    mean = (picture * cover).sum() / max(float(cover.sum()), 1.0)
    return (picture - mean) * cover, cover


def _small(template: Template, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import cv2

    own = cv2.resize(grey(template.image), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    mask = np.ones(template.size, np.float32) if template.mask is None else template.mask.astype(np.float32)
    return own, np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
