"""Takes parts of an image away in the order that a map gives, and fills the holes with what holds no evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.explain.heat import place_map, regrid

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
BLUR = 22.4  # of the side: 10 pixels of 224
# Weights of neighbours in the imputation, straight and diagonal ones. Rong 2022, section 5.1: 1/6 and 1/12.
KERNEL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12
NOISE = 0.6  # grey levels: the 0.01 of the authors' code is of an image divided by its deviation, some 57 levels
EXACT = 0.005  # grey levels that a pixel may miss the mean of its neighbours by: 0.3 of them off on average at worst
ROUNDS = 400


def removal_ranks(values: NDArray[Any], side: int, cells: int | None = None) -> NDArray[np.float64]:
    """For each pixel of a square how much of it, as a share in [0, 1), goes before that pixel: highest values first.

    values: (h, w) a map over the square
    side:   S, pixels of the square's side
    cells:  None: pixel by pixel, the map laid over the square bilinearly; n: in whole cells of n x n by their mean
    ->      (S, S); of equal values the upper left one goes first, and a cell's pixels share a rank

    Raises InputError if the map is not finite, or the cells do not fit.

    >>> removal_ranks(np.array([[1.0, 3.0], [2.0, 0.0]]), 2).tolist()
    [[0.5, 0.0], [0.25, 0.75]]
    """
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(f"expected a map (h, w) of finite numbers, got shape {values.shape} with "
                         f"{int((~np.isfinite(values)).sum())} that are not finite")  # fmt: skip
    if cells is None:
        return _ranked(place_map(values, (side, side), (0, 0, side, side)))
    if not 1 <= cells <= side:
        raise InputError(f"cells must be from 1 to the image's side, {side}, got {cells}")
    own = np.arange(side) * cells // side
    coarse = _ranked(regrid(values, (cells, cells)))
    # Cells differ by a pixel in size where the side is no multiple: shares are of cells, not of pixels.
    return coarse[own[:, None], own]


def _ranked(values: NDArray[Any]) -> NDArray[np.float64]:
    order = np.argsort(-values.ravel(), kind="stable")
    ranks = np.empty(values.size)
    ranks[order] = np.arange(values.size) / values.size
    return ranks.reshape(values.shape)


def mean_colour(image: Pixels) -> Pixels:
    """The image's mean colour all over."""
    return np.broadcast_to(np.rint(image.mean((0, 1))).astype(np.uint8), image.shape)


def black(image: Pixels) -> Pixels:
    """Black all over."""
    return np.zeros_like(image)


def blurred(image: Pixels) -> Pixels:
    """The image under a Gaussian of 1/22.4 of its side, 10 pixels of 224, in which little can be recognised."""
    import cv2

    found = cv2.GaussianBlur(image, (0, 0), image.shape[0] / BLUR, borderType=cv2.BORDER_REFLECT)
    return np.asarray(found, np.uint8)


FILLINGS: dict[str, Callable[[Pixels], Pixels]] = {"mean": mean_colour, "blur": blurred, "black": black}


def filled(image: Pixels, filling: str) -> Pixels:
    """What stands where the image (S, S, 3) was taken away. Raises InputError for an unknown filling."""
    if filling not in FILLINGS:
        raise unknown("filling", filling, FILLINGS)
    return FILLINGS[filling](image)


def exchange(before: Pixels, after: Pixels, ranks: NDArray[np.float64], fraction: float) -> Pixels:
    """`before` with a share of its pixels, those of the lowest ranks, as in `after`. All (S, S, 3)."""
    found: Pixels = np.where((ranks < fraction)[..., None], after, before)
    return found


def impute(image: Pixels, gone: NDArray[np.bool_], noise: float = NOISE, seed: int = 0) -> Pixels:
    """Noisy linear imputation: each missing pixel is the weighted mean of its neighbours, plus noise.

    image: (H, W, 3); gone: (H, W) what is missing, not everything
    noise: standard deviation of the noise in grey levels
    ->     (H, W, 3)

    Edges of what is missing, which betray its shape to a network, are gone. Rong 2022 (ROAD), section 5.1; borders
    take the mean over the neighbours that there are. Solved by conjugate gradients from a coarser solution.
    Raises InputError if everything is missing.
    """
    if gone.all():
        raise InputError("nothing of the image is left to impute the rest from: take less away")
    if not gone.any():
        return image
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    found = _smooth(planes, gone).transpose(1, 2, 0)
    drawn = np.random.default_rng(seed).normal(0, noise, image.shape) if noise else 0
    result: Pixels = np.where(gone[..., None], np.clip(np.rint(found + drawn), 0, 255), image).astype(np.uint8)
    return result


def _smooth(planes: Planes, gone: NDArray[np.bool_]) -> Planes:
    """(C, H, W) with what is missing harmonic in the rest."""
    missing = gone.astype(np.float32)
    weight = _around(np.ones((1, *gone.shape), np.float32))[0] * missing

    def excess(values: Planes) -> Planes:
        found: Planes = values * weight - _around(values) * missing
        return found

    def products(first: Planes, second: Planes) -> Planes:
        found: Planes = np.einsum("cij,cij->c", first, second, dtype=np.float64)[:, None, None]
        return found

    solved = np.where(gone, _guess(planes, gone), planes)
    rest = -excess(solved)
    way, power = rest, products(rest, rest)
    for _ in range(ROUNDS):
        if np.abs(rest).max() <= EXACT:
            break
        pushed = excess(way)
        step = (power / np.maximum(products(way, pushed), 1e-20)).astype(np.float32)
        solved, rest = solved + step * way, rest - step * pushed
        now = products(rest, rest)
        way, power = rest + (now / np.maximum(power, 1e-20)).astype(np.float32) * way, now
    return solved


def _around(planes: Planes) -> Planes:
    """The weighted sum of each place's neighbours, nothing beyond the border."""
    import cv2

    return np.stack([cv2.filter2D(plane, -1, KERNEL, borderType=cv2.BORDER_CONSTANT) for plane in planes])


def _guess(planes: Planes, gone: NDArray[np.bool_]) -> Planes:
    """What is missing by the solution of the image at half its size, where two by two pixels are one."""
    import cv2

    high, wide = gone.shape
    pad = ((0, 0), (0, high % 2), (0, wide % 2))
    stack = np.pad(np.concatenate([(~gone).astype(np.float32)[None], planes * ~gone]), pad)
    sums = stack.reshape(len(stack), stack.shape[1] // 2, 2, -1, 2).sum((2, 4))
    known, whole = sums[0], sums[1:] / np.maximum(sums[0], 1)
    empty = known == 0
    coarse = _smooth(whole, empty) if empty.any() else whole
    return np.stack([cv2.resize(plane, (wide, high), interpolation=cv2.INTER_LINEAR) for plane in coarse])
