"""A template looked for near where it was: correlation for the step, optical flow from the template for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.features.geometry import verify_geometry
from resight.match.planes import Matrix, area, believable, project, rectangle
from resight.match.verify import Face, face, look

if TYPE_CHECKING:
    from resight.match.template import Template

Grey = NDArray[np.uint8]

MARGIN, REACH, MOST_MARGIN = 0.3, 24.0, 72  # around it: share of its size, at least so many pixels of the scene
POINTS, APART = 120, 4  # points that are followed, and pixels between them
WINDOW, LEVELS = 13, 2  # of the optical flow
LEAST = 20  # pixels of the shorter side below which there is no flow to speak of
RETURN = 1.0  # pixels by which a point may miss itself on the way back
MISS = 1.5  # pixels of the face by which a point may miss the plane
HOMOGRAPHY, AFFINE = 24, 12  # points that a model must have
CLOSER = 0.25  # pixels of the face: if no corner has moved by more, it is in place
ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Points:
    """What is followed of a template's face: (n, 2) float32 corners in it, pixel centres at whole numbers as OpenCV
    has them, and the face as grey values (h, w) uint8."""

    places: NDArray[np.float32]
    grey: Grey


def look_nearby(template: Template, scene: Grey, last: Matrix) -> Iterator[tuple[Matrix, int]]:
    """Places where the template may be now, the likeliest first, and how many of its points say so.

    scene: (H, W) uint8
    last:  (3, 3) where it was, or is expected: template -> scene

    The scene around the last place is brought into the template's frame; normalised correlation gives the step, then
    the flow of the template's points (Lucas and Kanade 1981, forth and back as Kalal 2010) a similarity, affine map or
    homography by how many there are. The step alone is the second place, for what has few points. It is the template
    itself that is compared each time, so errors do not add up.
    """
    own, points = face(template), template.kept("points", lambda: _points(face(template)))
    step = _step(own, scene, last, template.size)
    if step is None:
        return
    found, count = step, 0
    corners = rectangle(template.size)
    for _ in range(ROUNDS if len(points.places) >= 3 else 0):
        finer, agree = _refine(own, points, scene, found)
        if finer is None or not believable(finer, template.size):
            break
        moved = np.abs(project(finer, corners) - project(found, corners)).max()
        found, count = finer, agree
        if moved < CLOSER * _grown(own, finer):
            break
    if count:
        yield found, count
    yield step, 0


def _points(own: Face) -> Points:
    import cv2

    grey = np.asarray(np.round(own.grey), np.uint8)
    if min(grey.shape) < LEAST:
        return Points(np.empty((0, 2), np.float32), grey)
    mask = None if own.mask.all() else own.mask.astype(np.uint8)
    corners: Any = cv2.goodFeaturesToTrack(grey, POINTS, 0.01, APART, mask=mask, blockSize=5)
    return Points(np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2), grey)


def _step(own: Face, scene: Grey, last: Matrix, size: tuple[int, int]) -> Matrix | None:
    """The last place moved to where the correlation is highest."""
    import cv2

    grown = _grown(own, last)
    if not 0 < grown < np.inf:
        return None
    margin = round(min(max(MARGIN * max(own.grey.shape), REACH / grown), MOST_MARGIN))
    mask = None if own.mask.all() else own.mask.astype(np.float32)
    alike: Any = cv2.matchTemplate(_around(own, scene, last, margin), own.grey, cv2.TM_CCOEFF_NORMED, mask=mask)
    alike[~np.isfinite(alike)] = -1
    _, _, _, (x, y) = cv2.minMaxLoc(alike)
    step = x + _peak(alike[y], x) - margin, y + _peak(alike[:, x], y) - margin
    moved = last @ _shift(step[0] / own.scale[0], step[1] / own.scale[1])
    moved = moved / moved[2, 2] if moved[2, 2] else last
    return moved if believable(moved, size) else None


def _peak(row: NDArray[np.floating[Any]], at: int) -> float:
    """How far from the highest of equally spaced values the top of the parabola through it and its neighbours lies."""
    if not 0 < at < len(row) - 1:
        return 0.0
    before, here, after = (float(value) for value in row[at - 1 : at + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _refine(own: Face, points: Points, scene: Grey, last: Matrix) -> tuple[Matrix | None, int]:
    there, seen = _flow(points, _around(own, scene, last, WINDOW))
    across = np.array(own.scale)
    sources = (points.places[seen] + 0.5) / across
    targets = project(last, (there[seen] - WINDOW + 0.5) / across)
    if len(sources) < 3 or not np.isfinite(targets).all():
        return None, 0
    return _fit(sources, targets, MISS * _grown(own, last))


def _flow(points: Points, around: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the points are in the scene around the last place, and which came back to where they began."""
    import cv2

    settings: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    framed = cv2.copyMakeBorder(points.grey, WINDOW, WINDOW, WINDOW, WINDOW, cv2.BORDER_REPLICATE)
    lit = _lit(around, points.grey)
    start: Any = points.places + np.float32(WINDOW)
    there, forth, _ = cv2.calcOpticalFlowPyrLK(framed, lit, start, start.copy(), **settings)
    again, back, _ = cv2.calcOpticalFlowPyrLK(lit, framed, there, start.copy(), **settings)
    missed = np.linalg.norm(again - start, axis=1)
    return np.asarray(there, np.float32), (forth[:, 0] > 0) & (back[:, 0] > 0) & (missed <= RETURN)


def _lit(around: NDArray[np.float32], grey: Grey) -> Grey:
    """The scene in the template's light: mean and spread are those of the template."""
    inner = around[WINDOW:-WINDOW, WINDOW:-WINDOW]
    gain = min(max(float(grey.std()) / max(float(inner.std()), 1.0), 0.25), 4.0)
    return np.asarray(np.clip((around - inner.mean()) * gain + grey.mean(), 0, 255), np.uint8)


def _fit(sources: Matrix, targets: Matrix, miss: float) -> tuple[Matrix | None, int]:
    """The map that most points agree on, of as many parameters as their number bears."""
    import cv2

    for model, least in (("homography", HOMOGRAPHY), ("affine", AFFINE)):
        if len(sources) >= least:
            found = verify_geometry(sources, targets, model=model, threshold=miss, iterations=300)
            if found.matrix is not None and found.count >= least:
                return found.matrix, found.count
    # Seeded by OpenCV itself: the same points give the same map.
    estimate: Any = cv2.estimateAffinePartial2D(sources, targets, method=cv2.RANSAC, ransacReprojThreshold=miss)
    matrix, inliers = estimate
    if matrix is None or not np.isfinite(matrix).all() or int(inliers.sum()) < 3:
        return None, 0
    return np.concatenate([matrix, [[0.0, 0.0, 1.0]]]), int(inliers.sum())


def _around(own: Face, scene: Grey, last: Matrix, margin: int) -> NDArray[np.float32]:
    """The scene as `look` gives it, with a margin around the template, in pixels of the face."""
    height, width = own.grey.shape
    wide = np.empty((height + 2 * margin, width + 2 * margin), np.float32)
    frame = Face(wide, np.ones(wide.shape, bool), own.scale)
    return look(frame, scene, last @ _shift(-margin / own.scale[0], -margin / own.scale[1]))[0]


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _grown(own: Face, matrix: Matrix) -> float:
    """Pixels of the scene to one of the face."""
    height, width = own.grey.shape
    corners = rectangle((height, width)) / np.array(own.scale)
    return float(np.sqrt(max(area(project(matrix, corners)) / (height * width), 0.0)))
