"""How far a place that was found is from the true one: overlap of areas, distance of corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.match.planes import Matrix, area, project, rectangle
from resight.match.result import Match

Size = tuple[int, int]


def match_overlap(match: Match, truth: Matrix) -> float:
    """Intersection over union of a match's area and the true one, both within the scene; 0 without a place.

    truth: (3, 3) x, y, 1 in the template -> the scene

    Exact, from the corners, where the match is a convex quadrilateral in front of the horizon and has no outline of its
    own; otherwise of masks: pixels whose centre is inside.
    """
    if match.outline is None and match.homography is None:
        return 0.0
    if match.outline is None and match.homography is not None and proper(match.homography, match.template_size):
        corners = project(match.homography, rectangle(match.template_size))
        return quad_overlap(corners, project(truth, rectangle(match.template_size)), match.scene_size)
    return mask_overlap(match.mask, area_mask(truth, match.template_size, match.scene_size))


def quad_overlap(a: ArrayLike, b: ArrayLike, scene: Size) -> float:
    """Intersection over union of two convex quadrilaterals (4, 2) within a scene of (H, W); 0 where both are outside.

    Exact: polygons are clipped at each other's edges (Sutherland and Hodgman 1974), areas by the shoelace formula.

    >>> quad_overlap([[0, 0], [2, 0], [2, 2], [0, 2]], [[1, 0], [3, 0], [3, 2], [1, 2]], (10, 10))
    0.3333333333333333
    """
    frame = rectangle(scene)
    one, two = clipped(np.asarray(a, np.float64), frame), clipped(np.asarray(b, np.float64), frame)
    both = _area(clipped(one, two)) if len(one) and len(two) else 0.0
    union = _area(one) + _area(two) - both
    return min(1.0, both / union) if union > 0 else 0.0


def clipped(polygon: Matrix, window: Matrix) -> Matrix:
    """The part of a convex polygon (n, 2) within a convex polygon (m, 2) -> (k, 2), (0, 2) if there is none."""
    edges = window if area(window) > 0 else window[::-1]
    found = polygon
    for start, end in zip(edges, np.roll(edges, -1, 0), strict=True):
        if not len(found):
            break
        (x, y), (u, v) = end - start, (found - start).T
        side = x * v - y * u  # positive within, as edges turn clockwise on a screen
        after, next_side = np.roll(found, -1, 0), np.roll(side, -1)
        kept = []
        for point, other, here, there in zip(found, after, side, next_side, strict=True):
            if here >= 0:
                kept.append(point)
            if here * there < 0:
                kept.append(point + (other - point) * (here / (here - there)))
        found = np.array(kept).reshape(-1, 2)
    return found


def share_within(corners: ArrayLike, scene: Size) -> float:
    """Which share of a convex quadrilateral's area lies in a scene of (H, W)."""
    quad = np.asarray(corners, np.float64)
    whole = _area(quad)
    return _area(clipped(quad, rectangle(scene))) / whole if whole > 0 else 0.0


def mask_overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 0 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def area_mask(truth: Matrix, template: Size, scene: Size) -> NDArray[np.bool_]:
    """(H, W) bool of the scene: pixels whose centre lies in the template's area."""
    return Match(True, 1.0, truth, "truth", scene, template).mask


def corner_error(match: Match, truth: Matrix) -> float:
    """Mean distance, in pixels of the scene, of the template's four corners from the true ones; nan without corners."""
    if match.corners is None or not np.isfinite(match.corners).all():
        return float("nan")
    return float(np.linalg.norm(match.corners - project(truth, rectangle(match.template_size)), axis=1).mean())


def inside_error(match: Match, truth: Matrix, cells: int = 10) -> float:
    """Mean distance, in pixels of the scene, over points of the template whose true place lies within the scene.

    cells: points are the middles of so many cells in each direction

    Unlike the corners', it says nothing of what cannot be seen. nan without corners, or where no point is within.
    """
    if match.homography is None:
        return float("nan")
    height, width = match.template_size
    steps = (np.arange(cells) + 0.5) / cells
    points = np.stack(np.meshgrid(steps * width, steps * height), 2).reshape(-1, 2)
    right, given = project(truth, points), project(match.homography, points)
    seen = ((right >= 0) & (right <= match.scene_size[::-1])).all(1) & np.isfinite(given).all(1)
    return float(np.linalg.norm(given - right, axis=1)[seen].mean()) if seen.any() else float("nan")


def proper(matrix: Matrix, size: Size) -> bool:
    """Whether a template of (H, W) goes to a convex quadrilateral in front of the horizon, mirrored or not.

    >>> proper(np.diag([1.0, -1.0, 1.0]), (10, 10)), proper(np.array([[1, 0, 0], [0, 1, 0], [-0.2, 0, 1]]), (10, 10))
    (True, False)
    """
    corners = rectangle(size)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not np.isfinite(matrix).all() or not ((depth > 1e-9).all() or (depth < -1e-9).all()):
        return False
    quad = project(matrix, corners)
    edges = np.roll(quad, -1, 0) - quad
    after = np.roll(edges, -1, 0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool((turns > 0).all() or (turns < 0).all())


def _area(polygon: Matrix) -> float:
    return abs(area(polygon)) if len(polygon) else 0.0
