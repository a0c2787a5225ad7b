"""Guided matching: once a place is supposed, each feature of the template is looked for near where it must lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.features.geometry import verify_geometry
from resight.features.local import LocalFeatures
from resight.match.planes import Matrix, believable, project, similarity

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from resight.match.voting import Candidate

Floats = NDArray[np.floating[Any]]

# Radius as a share of the template's size in the scene, and inner product of RootSIFT, round by round.
ROUNDS = ((0.08, 0.72), (0.04, 0.76), (0.03, 0.84))
POLISH = ((0.015, 0.8), (0.01, 0.8), (0.006, 0.8))
LEAST_RADIUS = 3.0  # pixels of the scene
ALIKE = 0.72  # inner product of RootSIFT from which features of a place are counterparts
SCALES = 1.0  # octaves by which the scale of a feature may differ from the place's
MISS = 2.0  # pixels
CLOSE = 16  # features of the scene that are looked at around each of the template
FEW, SOME = 6, 12  # inliers below which only a similarity, an affine map is fitted


@dataclass(frozen=True, eq=False)
class Ground:
    """Features of a scene, ready to be asked what lies near a point."""

    features: LocalFeatures
    tree: cKDTree


def make_ground(features: LocalFeatures) -> Ground:
    """Features of a scene with their search tree."""
    from scipy.spatial import cKDTree

    return Ground(features, cKDTree(features.points))


def refine(template: LocalFeatures, ground: Ground, first: Candidate) -> Matrix | None:
    """The homography that features near a candidate agree on, in rounds of a shrinking radius; None if they do not.

    Fewer than 6 matches determine a similarity, fewer than 12 an affine map, more a homography (MAGSAC++).
    """
    size = template.size
    matrix = similarity(first.scale, first.turn, (size[1] / 2, size[0] / 2), first.centre)
    best = None
    for share, least in ROUNDS:
        pairs = near(template, ground, matrix, share, least)
        fitted = _fit(template.points[pairs[:, 0]], ground.features.points[pairs[:, 1]])
        if fitted is None or not believable(fitted, size):
            break
        best = matrix = fitted
    return best


def polish(template: LocalFeatures, ground: Ground, matrix: Matrix) -> Matrix:
    """The homography that ever nearer counterparts agree on, from a place that many features agree on already."""
    for share, least in POLISH:
        pairs = near(template, ground, matrix, share, least)
        fitted = _fit(template.points[pairs[:, 0]], ground.features.points[pairs[:, 1]])
        if fitted is None or not believable(fitted, template.size):
            break
        matrix = fitted
    return matrix


def near(
    template: LocalFeatures, ground: Ground, matrix: Matrix, share: float, least: float = ALIKE
) -> NDArray[np.int64]:
    """(n, 2) for each feature of the template the most alike near where the map takes it, if it is alike enough.

    share: radius over the template's size in the scene; least: inner product
    """
    places = project(matrix, template.points)
    grown = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    radius = max(LEAST_RADIUS, share * np.sqrt(template.size[0] * template.size[1]) * grown)
    apart, close = ground.tree.query(np.nan_to_num(places, nan=-1e9), CLOSE, distance_upper_bound=radius)
    ours, column = np.nonzero(np.isfinite(apart))
    theirs = close[ours, column]
    octaves = np.log2(ground.features.scales[theirs] / (template.scales[ours] * grown))
    kept = np.abs(octaves) < SCALES
    ours, theirs = ours[kept], theirs[kept]
    alike = np.einsum("nd,nd->n", template.descriptors[ours], ground.features.descriptors[theirs])
    kept = alike > least
    ours, theirs, alike = ours[kept], theirs[kept], alike[kept]
    order = np.argsort(-alike, kind="stable")
    pairs = np.stack([ours[order], theirs[order]], 1)
    pairs = pairs[_first(pairs[:, 0])]  # the best of each feature of the template
    pairs = pairs[_first(pairs[:, 1])]  # and of the scene
    return pairs[_first(template.points[pairs[:, 0]].round(1) @ np.array([1, 1j]))]  # a point with two angles once


def _first(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where each value stands first, ascending."""
    return np.sort(np.unique(values, return_index=True)[1])


def _fit(a: Floats, b: Floats) -> Matrix | None:
    if len(a) >= SOME:
        found = verify_geometry(a, b, threshold=MISS)
        if found.matrix is not None:
            return found.matrix
    if len(a) >= FEW:
        found = verify_geometry(a, b, model="affine", threshold=MISS)
        if found.matrix is not None:
            return found.matrix
    return _fit_similarity(a, b) if len(a) >= 2 else None


def _fit_similarity(a: Floats, b: Floats) -> Matrix | None:
    """Least squares (Umeyama 1991) on complex numbers, once more without what misses by more than others do."""
    x, y = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    weights = np.ones(len(x))
    for _ in range(3):
        total = weights.sum()
        mx, my = (weights * x).sum() / total, (weights * y).sum() / total
        spread = (weights * abs(x - mx) ** 2).sum()
        if spread < 1e-6:
            return None
        factor = (weights * (y - my) * np.conj(x - mx)).sum() / spread
        misses = abs(factor * (x - mx) + my - y)
        weights = 1 / (1 + (misses / max(float(np.median(misses)), 1.0)) ** 2)
    offset = my - factor * mx
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag], [0, 0, 1]])
