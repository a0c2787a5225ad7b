"""What speaks for a place: local features that agree, correlation as a whole and block by block; and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resight.match.align import align
from resight.match.colour import colour_likeness
from resight.match.fine import template_features
from resight.match.guided import near, polish
from resight.match.planes import Matrix, project, rectangle
from resight.match.score import CALIBRATION
from resight.match.verify import Agreement, agreement, face

if TYPE_CHECKING:
    from resight.match.scene import Scene
    from resight.match.template import Template

MISS = 3.0  # pixels of the scene by which an inlier may miss
MANY, COARSE = 50, 0.5  # inliers that place better than alignment of a picture reduced by more than this factor
SHARE = 0.03  # of the template's size: the radius in which inliers are looked for


@dataclass(frozen=True, eq=False)
class Evidence:
    """A supposed place and what speaks for it.

    inliers:  local features of the template that have a counterpart within 3 pixels of where the place puts them
    features: how many the template has, within the scene if the inliers are many; None: they were not looked at
    agreement: of grey values; colour: likeness of colours, 0..1
    score:    0..1, calibrated
    """

    homography: Matrix
    method: str
    inliers: int
    features: int | None
    agreement: Agreement
    colour: float
    score: float

    def as_dict(self) -> dict[str, float]:
        """What the score is made of."""
        own = self.agreement
        return {
            "inliers": float(self.inliers), "features": float(self.features or 0), "correlation": own.full,
            "median_block": own.median, "blocks_agree": own.share, "seen": own.seen, "colour": self.colour,
        }  # fmt: skip


def gather(template: Template, scene: Scene, homography: Matrix, method: str, level: int | None) -> Evidence:
    """The evidence for a place; level: of detail at which local features are looked at; None: not at all."""
    inliers, features = (0, None) if level is None else _inliers(template, scene, homography, level)
    found = agreement(template, scene.grey, homography, cut=level == 1 and inliers >= MANY)
    colour = colour_likeness(template, scene.image, homography)
    score = CALIBRATION.probability(inliers, features, found, colour)
    return Evidence(homography, method, inliers, features, found, colour, score)


def better(template: Template, scene: Scene, place: Evidence, level: int | None) -> Evidence:
    """The place after alignment to the pixel, if more speaks for it there; otherwise as it was.

    Of a large template the picture that is aligned is much reduced: many features place it better.
    """
    if level is not None and place.inliers >= MANY and min(face(template).scale) < COARSE:
        own, ground = template_features(template, level), scene.ground(level)
        after = gather(template, scene, polish(own, ground, place.homography), place.method, level)
        return after if after.inliers >= place.inliers else place
    moved = align(template, scene.grey, place.homography, place.agreement.blocks)
    if moved is None:
        return place
    after = gather(template, scene, moved, place.method, level)
    return after if after.score >= place.score else place


def overlap(a: Matrix, b: Matrix, size: tuple[int, int]) -> float:
    """Intersection over union of a template of (H, W) at two places, whose outlines are convex."""
    import cv2

    first, second = (project(matrix, rectangle(size)).astype(np.float32) for matrix in (a, b))
    shared, _ = cv2.intersectConvexConvex(first, second)
    areas = abs(cv2.contourArea(first)) + abs(cv2.contourArea(second))
    return float(shared / max(areas - shared, 1e-9))


def _inliers(template: Template, scene: Scene, homography: Matrix, level: int) -> tuple[int, int]:
    """How many local features of the template have a counterpart where the place puts them, and how many it has.

    Many inliers of level 1 prove that what is seen of the template is there: then what lies outside the scene says
    nothing. In calibration no wrong place had more than 41 of them; of the finer features of level 2 some had 160.
    """
    own = template_features(template, level)
    if not len(own) or not len(scene.features(level)):
        return 0, len(own)
    pairs = near(own, scene.ground(level), homography, SHARE)
    places = project(homography, own.points[pairs[:, 0]])
    misses = np.linalg.norm(places - scene.features(level).points[pairs[:, 1]], axis=1)
    inliers = int((misses <= MISS).sum())
    if level != 1 or inliers < MANY:
        return inliers, len(own)
    there = project(homography, own.points)
    return inliers, int(((there >= 0) & (there <= scene.size[::-1])).all(1).sum())
