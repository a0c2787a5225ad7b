"""The gliding box in plain loops: slow, and short enough to be believed."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

STRUCTURE = {4: [[0, 1, 0], [1, 1, 1], [0, 1, 0]], 8: np.ones((3, 3))}
NORM = {
    "chebyshev": lambda d: d.max(-1),
    "manhattan": lambda d: d.sum(-1),
    "euclidean": lambda d: np.sqrt((d.astype(np.int64) ** 2).sum(-1)),
}


def boxes(image, side, *, rule="hypercube", distance="chebyshev", margin=None, mask=None):
    """(y, x, counted pixels as (L, L) bool) of every complete box."""
    pixels = image.reshape(*image.shape[:2], -1).astype(np.int32)
    half, bound = side // 2, side if rule == "glidingbox" else (side - 1) // 2
    edge = half if margin is None else margin
    for y in range(edge, len(pixels) - edge):
        for x in range(edge, pixels.shape[1] - edge):
            if mask is None or mask[y, x]:
                box = pixels[y - half : y + half + 1, x - half : x + half + 1]
                yield y, x, NORM[distance](abs(box - pixels[y, x])) <= bound


def brute(image, scales, *, connectivity=4, centers="each", **options):
    """probability, clusters, coverage, percolation, N(L), lacunarity, each in scale order."""
    margin = scales[-1] // 2 if centers == "common" else None
    rows = []
    for side in scales:
        masses, clusters, largest = [], [], []
        for _, _, counted in boxes(image, side, margin=margin, **options):
            labels, count = label(counted, STRUCTURE[connectivity])
            masses.append(counted.sum())
            clusters.append(count)
            largest.append(np.bincount(labels.ravel())[1:].max() / side**2)
        masses = np.array(masses)
        probability = np.bincount(masses, minlength=side**2 + 1)[1:] / len(masses)
        rows.append(
            (probability, np.mean(clusters), np.mean(largest), np.mean(masses / side**2 >= 0.59275),
             np.mean(1 / masses), masses.var() / masses.mean() ** 2)
        )  # fmt: skip
    return tuple(zip(*rows))
