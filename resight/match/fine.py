"""Local features of templates and scenes at two levels of detail: as they are, and doubled in size.

A small template has a few dozen RootSIFT features as it is; doubled it has ten times as many, and so has the scene, at
several times the cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resight.features.local import LocalFeatures, rootsift
from resight.match.template import Template

LEVELS = (1, 2)  # the factor by which a picture is enlarged
LONGEST = 1024  # pixels at level 1 to which a scene is reduced
MOST = {1: (1500, 4000), 2: (2500, 8000)}  # features of a template, of a scene
CONTRAST = {1: 0.005, 2: 0.01}  # what is faint in the scene may be what the template has
BORDER = 8  # pixels mirrored around a doubled template: near an edge no feature is found


def template_features(template: Template, level: int) -> LocalFeatures:
    """The features in the template's mask, places in its pixels; found once."""
    return template.kept(f"features {level}", lambda: _in_mask(_of_template(template.image, level), template))


def scene_features(image: NDArray[np.uint8], level: int) -> LocalFeatures:
    """The features of a scene (H, W, 3), places in its pixels; at level 2 none if it has more than 1024 a side."""
    if level == 1:
        return rootsift(image, longest=LONGEST, most=MOST[1][1], contrast=CONTRAST[1])
    if max(image.shape[:2]) > LONGEST:
        size = (int(image.shape[0]), int(image.shape[1]))
        return LocalFeatures(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty((0, 128)), size)
    return _doubled(image, MOST[2][1], 0)


def _of_template(image: NDArray[np.uint8], level: int) -> LocalFeatures:
    if level == 1:
        return rootsift(image, longest=max(image.shape[:2]), most=MOST[1][0], contrast=CONTRAST[1])
    return _doubled(image, MOST[2][0], BORDER)


def _doubled(image: NDArray[np.uint8], most: int, border: int) -> LocalFeatures:
    import cv2

    framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    large = np.asarray(cv2.resize(framed, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    found = rootsift(large, longest=max(large.shape[:2]), most=most, contrast=CONTRAST[2])
    height, width = image.shape[:2]
    points = found.points / 2 - border
    kept = ((points >= 0) & (points <= (width, height))).all(1)
    return LocalFeatures(
        points[kept], found.scales[kept] / 2, found.angles[kept], found.descriptors[kept], (height, width)
    )


def _in_mask(found: LocalFeatures, template: Template) -> LocalFeatures:
    if template.mask is None or not len(found):
        return found
    columns, rows = found.points.astype(int).T
    kept = template.mask[rows.clip(0, template.size[0] - 1), columns.clip(0, template.size[1] - 1)]
    return LocalFeatures(
        found.points[kept], found.scales[kept], found.angles[kept], found.descriptors[kept], found.size
    )
