"""Sub-pixel alignment: a place is moved until the scene seen through it is as like the template as it gets.

ECC (Evangelidis and Psarakis 2008) by OpenCV on the template's face: the affine map first, which few pixels determine,
then the homography.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.match.planes import Matrix, believable, project, rectangle
from resight.match.verify import Face, face, look

if TYPE_CHECKING:
    from resight.match.template import Template

MOTIONS = ("affine", "homography")
STEPS, ENOUGH = 12, 1e-4
BLUR = 5  # pixels of the Gaussian's window: what lies between two pixels must not decide
FARTHEST = 0.25  # of the template's size in the scene that a corner may move
LEAST = 12  # pixels of the face's shorter side
HIDDEN, ENOUGH_SEEN = 0.3, 6  # correlation of a block below which something may lie in front; blocks that must be left


def align(
    template: Template, scene: NDArray[np.uint8], homography: Matrix, blocks: NDArray[np.floating[Any]] | None = None
) -> Matrix | None:
    """A place near this one where the correlation is highest; None if there is none, or it would run away.

    scene:  (H, W) uint8 grey
    blocks: of `Agreement`: where the scene is something else, as what lies in front, it has no say
    """
    own = _without_hidden(face(template), blocks)
    if min(own.grey.shape) < LEAST:
        return None
    found = homography
    for motion in MOTIONS:
        moved = _step(own, scene, found, motion)
        if moved is None or not believable(moved, template.size):
            break
        found = moved
    before, after = (project(matrix, rectangle(template.size)) for matrix in (homography, found))
    reach = FARTHEST * np.sqrt(abs(np.linalg.det(homography[:2, :2])) * template.size[0] * template.size[1])
    near = np.linalg.norm(after - before, axis=1).max() <= max(4.0, reach)
    return found if near and found is not homography else None


def _without_hidden(own: Face, blocks: NDArray[np.floating[Any]] | None) -> Face:
    """The face with a mask of the blocks that agree; as it is if they are few."""
    if blocks is None:
        return own
    agrees = ~(blocks < HIDDEN)  # NaN, where nothing can be compared, does no harm
    if (blocks >= HIDDEN).sum() < ENOUGH_SEEN or agrees.all():
        return own
    rows, columns = (
        np.searchsorted(np.linspace(0, length, count + 1).astype(int)[1:-1], np.arange(length), "right")
        for length, count in zip(own.grey.shape, blocks.shape, strict=True)
    )
    return replace(own, mask=own.mask & agrees[rows[:, None], columns])


def _step(own: Face, scene: NDArray[np.uint8], homography: Matrix, motion: str) -> Matrix | None:
    """One run of ECC between the face and the scene as seen through the place."""
    import cv2

    seen, inside = look(own, scene, homography)
    valid = (own.mask & inside).astype(np.uint8)
    kind = cv2.MOTION_AFFINE if motion == "affine" else cv2.MOTION_HOMOGRAPHY
    warp: NDArray[Any] = np.eye(3, dtype=np.float32)[: 2 if motion == "affine" else 3]
    rule = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, ENOUGH)
    try:
        _, warp = cv2.findTransformECC(own.grey, seen, warp, kind, rule, valid, BLUR)
    except cv2.error:  # did not converge
        return None
    moved = np.eye(3)
    moved[: len(warp)] = warp
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_face = np.diag([own.scale[0], own.scale[1], 1.0])
    found = homography @ np.linalg.inv(to_face) @ half @ moved @ np.linalg.inv(half) @ to_face
    return np.asarray(found / found[2, 2]) if np.isfinite(found).all() and abs(found[2, 2]) > 1e-9 else None
