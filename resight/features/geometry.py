"""Geometric verification: one plane's motion that explains the matches of two images, and which matches it explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError, unknown

Points = NDArray[np.float64]
LEAST = {"homography": 4, "affine": 3}  # model -> matches that determine it
STRETCH = 20.0  # lengths may grow or shrink by this much at most


@dataclass(frozen=True, eq=False, repr=False)
class Geometry:
    """What `verify_geometry` finds.

    model:   "homography" or "affine"
    matrix:  (3, 3)   float64, maps x, y, 1 in a to b (both with pixel centres at +.5), last entry 1; None if nothing
                      believable was found, and then no match is an inlier
    inliers: (m,)     bool, the matches that the matrix explains
    """

    model: str
    matrix: Points | None
    inliers: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many matches are inliers: the score, higher is better."""
        return int(self.inliers.sum())

    def transfer(self, points: ArrayLike) -> Points:
        """Where points of a lie in b.

        points: (n, 2)   x, y in pixels of a
        ->      (n, 2)   x, y in pixels of b

        Raises InputError if there is no matrix or points is not (n, 2).
        """
        if self.matrix is None:
            raise InputError(
                "no geometry was found between these images, so no point can be transferred: look at count"
            )
        return _transfer(self.matrix, _points(points, "points"))

    def __repr__(self) -> str:
        return f"<Geometry {self.model}, {self.count} of {len(self.inliers)} matches are inliers>"


def verify_geometry(
    points_a: ArrayLike,
    points_b: ArrayLike,
    *,
    model: str = "homography",
    threshold: float = 3.0,
    confidence: float = 0.999,
    iterations: int = 2000,
) -> Geometry:
    """The homography or affine map that most matches agree on.

    points_a:   (m, 2)   x, y in pixels of a; row i matches row i of points_b
    points_b:   (m, 2)   x, y in pixels of b
    threshold:  pixels of b by which an inlier may miss
    confidence: of having met a sample without outliers, at which the search ends early
    iterations: samples tried at most
    ->          count 0 and no matrix where nothing believable was found

    MAGSAC++ (Barath 2020) by OpenCV, always from the same seed: the same matches give the same result, whatever ran
    before. Not believed are: fewer inliers at different places than determine the model; inliers within `threshold`
    of one line or point in b; a mirrored or folded picture; lengths that change more than 20 times somewhere in the
    inliers' bounding box.
    Raises InputError if shapes differ, a number is not finite, the model is unknown or a setting is out of range.

    >>> square = np.array([[0, 0], [100, 0], [100, 100], [0, 100], [30, 60]])
    >>> verify_geometry(square, 2 * square + 5).transfer([[50, 50]]).round(3).tolist()
    [[105.0, 105.0]]
    """
    if model not in LEAST:
        raise unknown("geometric model", model, LEAST)
    a, b = _points(points_a, "points_a"), _points(points_b, "points_b")
    if a.shape != b.shape:
        raise InputError(f"points_a and points_b must match row by row, got {a.shape} and {b.shape}")
    _check_settings(threshold, confidence, iterations)
    matrix = _estimate(a, b, model, threshold, confidence, iterations)
    if matrix is not None:
        inliers = _misses(matrix, a, b) <= threshold
        if _believable(matrix, a[inliers], b[inliers], LEAST[model], threshold):
            return Geometry(model, matrix, inliers)
    return Geometry(model, None, np.zeros(len(a), bool))


def _estimate(a: Points, b: Points, model: str, threshold: float, confidence: float, iterations: int) -> Points | None:
    import cv2

    if min(len(np.unique(a, axis=0)), len(np.unique(b, axis=0))) < LEAST[model]:
        return None
    # OpenCV's USAC family draws from a generator of its own, seeded anew in each call.
    estimate = cv2.findHomography if model == "homography" else cv2.estimateAffine2D
    found, _ = estimate(
        a, b, method=cv2.USAC_MAGSAC, ransacReprojThreshold=threshold, maxIters=iterations, confidence=confidence
    )
    if found is None or found.size == 0:
        return None
    matrix = np.eye(3)
    matrix[: len(found)] = found
    if not np.isfinite(matrix).all() or matrix[2, 2] == 0:
        return None
    return np.asarray(matrix / matrix[2, 2])


def _transfer(matrix: Points, points: Points) -> Points:
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])


def _misses(matrix: Points, a: Points, b: Points) -> Points:
    """Distance in b between where a point goes and where its match lies; infinite on and behind the horizon."""
    depth = a @ matrix[2, :2] + matrix[2, 2]
    # The plane's visible side is the one most matches lie on.
    ahead = depth * np.sign(np.median(depth)) > 0
    misses = np.full(len(a), np.inf)
    misses[ahead] = np.linalg.norm(_transfer(matrix, a[ahead]) - b[ahead], axis=1)
    return misses


def _believable(matrix: Points, a: Points, b: Points, least: int, threshold: float) -> bool:
    if min(len(np.unique(a, axis=0)), len(np.unique(b, axis=0))) < least:
        return False
    across = np.linalg.svd(b - b.mean(0), compute_uv=False)[-1] / math.sqrt(len(b))
    if across <= threshold:  # root mean square distance from the best line
        return False
    (x1, y1), (x2, y2) = a.min(0), a.max(0)
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not (depth > 0).all() and not (depth < 0).all():
        return False
    # In front of the horizon and with positive determinants the corners' quadrilateral is convex and not mirrored.
    slopes = (matrix[:2, :2] - _transfer(matrix, corners)[:, :, None] * matrix[2, :2]) / depth[:, None, None]
    stretch = np.linalg.svd(slopes, compute_uv=False)
    within = (stretch <= STRETCH) & (stretch >= 1 / STRETCH)
    return bool((np.linalg.det(slopes) > 0).all() and within.all())


def _points(points: ArrayLike, name: str) -> Points:
    found: NDArray[Any] = np.asarray(points)
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise InputError(f"expected {name} as finite numbers (m, 2), got {found.dtype} of shape {found.shape}")
    return found.astype(np.float64)


def _check_settings(threshold: float, confidence: float, iterations: int) -> None:
    if not 0 < threshold < math.inf:
        raise InputError(f"expected threshold as pixels above 0, got {threshold!r}")
    if not 0 < confidence < 1:
        raise InputError(f"expected confidence above 0 and below 1, got {confidence!r}")
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or not 1 <= iterations <= 10**6:
        raise InputError(f"expected iterations as a whole number from 1 to 1,000,000, got {iterations!r}")
