"""Local features of templates and scenes at two levels of detail.

A small template has some twenty RootSIFT features. Found from less blurred layers on, it has seven times as many, and a
scene three times, for a quarter more time (medians of 30 cases of the tier similarity).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resight.features.local import LocalFeatures, rootsift
from resight.match.template import Template

LEVELS = (1, 2)
BLUR = {1: 1.6, 2: 0.8}  # of the first layer (Lowe 2004 has 1.6)
CONTRAST = {1: 0.03, 2: 0.01}  # what is faint in the scene may be what the template has
LONGEST = {1: 1024, 2: 2048}  # pixels to which a scene is reduced
MOST = {1: (1500, 4000), 2: (2500, 8000)}  # features of a template, of a scene
BORDER = {1: 0, 2: 8}  # pixels mirrored around a template: near an edge no feature is found


def template_features(template: Template, level: int) -> LocalFeatures:
    """The features in the template's mask, places in its pixels; found once."""
    return template.kept(f"features {level}", lambda: _in_mask(_of_template(template.image, level), template))


def scene_features(image: NDArray[np.uint8], level: int) -> LocalFeatures:
    """The features of a scene (H, W, 3), places in its pixels."""
    return rootsift(image, longest=LONGEST[level], most=MOST[level][1], contrast=CONTRAST[level], blur=BLUR[level])


def _of_template(image: NDArray[np.uint8], level: int) -> LocalFeatures:
    import cv2

    border, size = BORDER[level], (int(image.shape[0]), int(image.shape[1]))
    framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    found = rootsift(np.asarray(framed, np.uint8), longest=LONGEST[level], most=MOST[level][0],
                     contrast=CONTRAST[level], blur=BLUR[level])  # fmt: skip
    points = found.points - border
    inside: NDArray[np.bool_] = np.all((points >= 0) & (points <= size[::-1]), axis=1)
    return _those(found, inside, points, size)


def _in_mask(found: LocalFeatures, template: Template) -> LocalFeatures:
    if template.mask is None or not len(found):
        return found
    columns, rows = found.points.astype(int).T
    kept = template.mask[rows.clip(0, template.size[0] - 1), columns.clip(0, template.size[1] - 1)]
    return _those(found, kept, found.points, found.size)


def _those(
    found: LocalFeatures, kept: NDArray[np.bool_], points: NDArray[np.floating], size: tuple[int, int]
) -> LocalFeatures:
    return LocalFeatures(points[kept], found.scales[kept], found.angles[kept], found.descriptors[kept], size)
