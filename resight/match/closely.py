"""A supposed place looked at closely: the local features of the scene around it only, which are soon found."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from resight.match.evidence import Evidence, better, gather
from resight.match.fine import template_features
from resight.match.guided import refine
from resight.match.planes import Matrix, area, moved, project, rectangle
from resight.match.scene import Scene
from resight.match.voting import Candidate

if TYPE_CHECKING:
    from resight.match.template import Template

AROUND, LEAST = 0.1, 16  # of its size, and pixels: how far around it features are looked for


def look_closely(template: Template, scene: Scene, place: Evidence, level: int) -> Evidence:
    """The place moved to where the local features around it agree, and to the pixel, with those as evidence.

    level: of detail, see `fine`
    """
    corners = project(place.homography, rectangle(template.size))
    margin = max(AROUND * float(np.ptp(corners, axis=0).max()), LEAST)
    size = scene.size[::-1]
    x1, y1 = np.clip(np.floor(corners.min(0) - margin), 0, size).astype(int)
    x2, y2 = np.clip(np.ceil(corners.max(0) + margin), 0, size).astype(int)
    if min(x2 - x1, y2 - y1) < LEAST:
        return place
    part, offset = Scene(scene.image[y1:y2, x1:x2]), np.array([x1, y1], np.float64)
    places = [moved(place.homography, -offset)]
    own = template_features(template, level)
    if len(own) and len(part.features(level)):
        found = refine(own, part.ground(level), _candidate(places[0], template.size))
        places += [found] if found is not None else []
    judged = [gather(template, part, one, place.method, level) for one in places]
    best = better(template, part, max(judged, key=lambda one: one.score), level)
    return replace(best, homography=moved(best.homography, offset))


def _candidate(place: Matrix, size: tuple[int, int]) -> Candidate:
    """The similarity next to a place."""
    quad = project(place, rectangle(size))
    across = quad[1] - quad[0] + quad[2] - quad[3]
    scale = math.sqrt(max(area(quad), 0.0) / (size[0] * size[1]))
    centre = project(place, [[size[1] / 2, size[0] / 2]])[0]
    return Candidate(scale, math.atan2(across[1], across[0]), centre, 0.0, np.empty(0, np.int64))
