"""The finder by correlation: where a copy lies at one scale, for small and plain templates over scales and turns.

Normalised cross-correlation (Lewis 1995): of grey values less their mean, over the root of both energies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.match.evidence import Evidence, gather
from resight.match.planes import Matrix, believable, similarity
from resight.match.pyramid import search_pyramid
from resight.match.scene import Scene
from resight.match.sift import aligned, distinct
from resight.match.template import Template
from resight.match.verify import grey

Floats = NDArray[np.floating[Any]]

COARSE = 20  # pixels of the shorter side to which a template may be reduced
LARGEST = 8  # factor by which
PEAKS = 3  # places that are looked at closely
TURNED = 5  # places of the pyramid that are looked at
WEAK = 0.5  # correlation below which a place is not looked at


def by_correlation(template: Template, scene: Scene, *, most: int = 1) -> list[Evidence]:
    """Places where the template lies upright and in its own size, most convincing first."""
    found = [
        gather(template, scene, matrix, "correlate", None)
        for matrix in _copies(template, scene, max(PEAKS, most))
        if believable(matrix, template.size)
    ]
    return sorted(found, key=lambda one: -one.score)


def by_pyramid(template: Template, scene: Scene, *, most: int = 1) -> list[Evidence]:
    """Places where the template lies turned and scaled, by correlation of its reduced picture, best first."""
    found = [
        gather(template, scene, matrix, "correlate", 1)
        for matrix in search_pyramid(template, scene, max(TURNED, 2 * most))
        if believable(matrix, template.size)
    ]
    return aligned(distinct(found, template), template, scene, 1)


def _copies(template: Template, scene: Scene, most: int) -> list[Matrix]:
    """Where the correlation peaks: found on reduced pictures, then to the pixel."""
    import cv2

    height, width = template.size
    if height > scene.size[0] or width > scene.size[1]:
        return []
    own = template.kept("grey", lambda: grey(template.image))
    if float(own.std()) < 1:
        return []
    factor = max(1, min(LARGEST, min(height, width) // COARSE))
    small, ground = (_reduced(image, factor) for image in (own, scene.grey))
    if small.shape[0] > ground.shape[0] or small.shape[1] > ground.shape[1]:
        return []
    alike = cv2.matchTemplate(ground, small, cv2.TM_CCOEFF_NORMED)
    found = []
    for x, y, value in peaks(alike, most, (small.shape[0] // 2, small.shape[1] // 2)):
        if value < WEAK:
            break
        found.append(_to_the_pixel(own, scene.grey, x * factor, y * factor, factor))
    return found


def _to_the_pixel(own: NDArray[np.uint8], scene: NDArray[np.uint8], x: int, y: int, reach: int) -> Matrix:
    import cv2

    height, width = own.shape
    left, top = max(0, x - reach), max(0, y - reach)
    part = scene[top : y + height + reach, left : x + width + reach]
    left, top = min(left, scene.shape[1] - width), min(top, scene.shape[0] - height)
    part = scene[top : top + max(height, part.shape[0]), left : left + max(width, part.shape[1])]
    alike = cv2.matchTemplate(part, own, cv2.TM_CCOEFF_NORMED)
    _, _, _, (dx, dy) = cv2.minMaxLoc(alike)
    return similarity(1.0, 0.0, (0, 0), (left + dx, top + dy))


def peaks(values: NDArray[Any], most: int, apart: tuple[int, int]) -> list[tuple[int, int, float]]:
    """x, y and value of the highest, none nearer to a higher one than apart (down, across)."""
    rest = np.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0)
    found = []
    for _ in range(most):
        y, x = np.unravel_index(int(rest.argmax()), rest.shape)
        value = float(rest[y, x])
        if not math.isfinite(value) or value <= -1:
            break
        found.append((int(x), int(y), value))
        rest[max(0, y - apart[0]) : y + apart[0] + 1, max(0, x - apart[1]) : x + apart[1] + 1] = -1
    return found


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    import cv2

    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]  # so that both are reduced by exactly the same
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
