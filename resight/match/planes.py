"""Plane maps from template to scene: projecting, what is believable, the similarity next to one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
AREA = (0.04, 25.0)  # of the template in the scene over that in itself
EDGES = 4.0  # opposite edges may differ by this factor
SHORTEST = 5.0  # pixels of the shortest edge in the scene; of tiny templates 0.6 of their shorter side
FLATTEST = 0.12  # sine of the sharpest corner, and how much one direction may be shrunk against the other


def rectangle(size: tuple[int, int]) -> Matrix:
    """(4, 2) corners of a template of (H, W), clockwise from the top left.

    >>> rectangle((2, 3)).tolist()
    [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 2.0]]
    """
    height, width = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def project(matrix: Matrix, points: ArrayLike) -> Matrix:
    """Points (n, 2) through a (3, 3) plane map -> (n, 2); not finite on the horizon."""
    given = np.asarray(points, np.float64)
    found = given @ matrix[:, :2].T + matrix[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found[:, :2] / found[:, 2:])


def similarity(scale: float, turn: float, source: ArrayLike, target: ArrayLike) -> Matrix:
    """The map that scales, turns by radians (from the x axis to the y axis) and takes point source (2,) to target.

    >>> project(similarity(2, 0, (1, 1), (5, 5)), [[2, 1]]).tolist()
    [[7.0, 5.0]]
    """
    cosine, sine = scale * math.cos(turn), scale * math.sin(turn)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.asarray(target, np.float64) - linear @ np.asarray(source, np.float64)
    return matrix


def moved(matrix: Matrix, by: ArrayLike) -> Matrix:
    """The map that takes each point so much further: by (2,) pixels.

    >>> project(moved(np.eye(3), (3, 1)), [[2, 2]]).tolist()
    [[5.0, 3.0]]
    """
    shift = np.eye(3)
    shift[:2, 2] = by
    found = shift @ matrix
    return np.asarray(found / found[2, 2])


def believable(matrix: Matrix | None, size: tuple[int, int]) -> bool:
    """Whether a template of (H, W) can lie in a scene so: finite, in front of the horizon, convex, not mirrored, its
    area and edges within bounds.

    >>> believable(np.diag([1.0, -1.0, 1.0]), (10, 10))
    False
    """
    if matrix is None or not np.isfinite(matrix).all():
        return False
    corners = rectangle(size)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not (depth > 1e-9).all() and not (depth < -1e-9).all():
        return False
    quad = project(matrix, corners)
    edges = np.roll(quad, -1, 0) - quad
    lengths = np.linalg.norm(edges, axis=1)
    if not np.isfinite(quad).all() or lengths.min() < min(SHORTEST, 0.6 * min(size)):
        return False
    after = np.roll(edges, -1, 0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    if (turns < FLATTEST * lengths * np.roll(lengths, -1)).any():  # clockwise on a screen, as the template's
        return False
    across, down = lengths[[0, 2]], lengths[[1, 3]]
    if max(across.max() / across.min(), down.max() / down.min()) > EDGES:
        return False
    height, width = size
    stretch = np.sort([across.mean() / width, down.mean() / height])
    grown = area(quad) / (height * width)
    return bool(AREA[0] <= grown <= AREA[1] and stretch[0] >= FLATTEST * stretch[1])


def area(quad: Matrix) -> float:
    """Of a polygon (n, 2), positive if it turns clockwise on a screen.

    >>> area(rectangle((2, 3)))
    6.0
    """
    x, y = quad.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
