"""What public tools do to find a template in a scene, to be compared with: none of it is used by `Finder`.

A baseline takes a template and gives a function from scenes to matches, so that preparing the template is timed apart.
Their score is what the method goes by, squeezed into 0..1: no probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.match.result import Match
from resight.match.template import Template

Image = NDArray[np.uint8]
Find = Callable[[Image], Match]
Size = tuple[int, int]

RATIO = 0.75  # of the nearest distance to the second
LEAST = 4  # matches
PIXELS = 5.0  # of RANSAC
SCALES = tuple(float(scale) for scale in np.geomspace(0.5, 2, 11))
PEAK = 0.8  # correlation from which plain template matching says "found"


def sift_ransac(template: Template) -> Find:
    """SIFT on grey, ratio test .75, at least 4 matches, a homography by RANSAC with 5 px, a mask of ones warped by it.

    No sanity test: whatever RANSAC gives is called found, and its outline is that warped mask. OpenCV's defaults
    throughout. Lowe 2004, section 7.1; Fischler and Bolles 1981.
    """
    import cv2

    return _by_features(template, "sift-ransac", cv2.SIFT.create(), cv2.NORM_L2)


def orb_ransac(template: Template) -> Find:
    """ORB (Rublee 2011) in place of SIFT, Hamming distance; the rest as `sift_ransac`.

    2,000 points, FAST threshold 7, 8 pixels from the edge: with OpenCV's own values small templates have no points.
    """
    import cv2

    detector = cv2.ORB.create(nfeatures=2000, edgeThreshold=8, fastThreshold=7)
    return _by_features(template, "orb", detector, cv2.NORM_HAMMING)


def akaze_ransac(template: Template) -> Find:
    """AKAZE (Alcantarilla 2013) in place of SIFT, Hamming distance; the rest as `sift_ransac`.

    Raises InputError if this OpenCV has none: from 5.0 on it is in the contrib package only.
    """
    import cv2

    if not has_akaze():
        raise InputError(
            f"OpenCV {cv2.__version__} has no AKAZE (version 5 keeps it in its contrib package): leave it out"
        )
    return _by_features(template, "akaze", getattr(cv2, "AKAZE").create(), cv2.NORM_HAMMING)  # noqa: B009


def match_template(template: Template) -> Find:
    """OpenCV's matchTemplate, normalised correlation coefficient on grey, at the template's own size.

    Found where the highest peak is at least .8. A template larger than the scene is not found; one of a single colour
    is everywhere, as OpenCV gives it a coefficient of 1.
    """
    return _by_correlation(template, "matchtemplate", (1.0,))


def match_template_scales(template: Template) -> Find:
    """`match_template` at 11 sizes from half to twice the template's, in equal ratios; the highest peak counts."""
    return _by_correlation(template, "matchtemplate-scales", SCALES)


def has_akaze() -> bool:
    """Whether this OpenCV has AKAZE."""
    import cv2

    return hasattr(cv2, "AKAZE")


BASELINES: dict[str, Callable[[Template], Find]] = {
    "sift-ransac": sift_ransac,
    "orb": orb_ransac,
    "akaze": akaze_ransac,
    "matchtemplate": match_template,
    "matchtemplate-scales": match_template_scales,
}


def _by_features(template: Template, name: str, detector: Any, norm: int) -> Find:
    import cv2

    points, described = detector.detectAndCompute(_grey(template.image), None)
    matcher = cv2.BFMatcher(norm)

    def find(scene: Image) -> Match:
        there, found = detector.detectAndCompute(_grey(scene), None)
        size = (int(scene.shape[0]), int(scene.shape[1]))
        pairs = [] if described is None or found is None else _ratio_test(matcher.knnMatch(described, found, k=2))
        nothing = Match(False, 0.0, None, name, size, template.size, evidence={"matches": float(len(pairs))})
        if len(pairs) < LEAST:
            return nothing
        a = np.array([points[pair.queryIdx].pt for pair in pairs], np.float32)
        b = np.array([there[pair.trainIdx].pt for pair in pairs], np.float32)
        matrix, kept = cv2.findHomography(a, b, cv2.RANSAC, PIXELS)
        if matrix is None or not np.isfinite(matrix).all():
            return nothing
        height, width = size
        mask = cv2.warpPerspective(np.ones(template.size, np.uint8), matrix, (width, height)) > 0
        inliers = int(kept.sum())
        evidence = {"matches": float(len(pairs)), "inliers": float(inliers)}
        # inliers / (inliers + 10): grows with their number, the only thing this method knows.
        return Match(
            True,
            inliers / (inliers + 10),
            _centred(np.asarray(matrix, np.float64)),
            name,
            size,
            template.size,
            inliers,
            evidence,
            mask,
        )

    return find


def _ratio_test(nearest: Sequence[Sequence[Any]]) -> list[Any]:
    return [two[0] for two in nearest if len(two) == 2 and two[0].distance < RATIO * two[1].distance]


def _by_correlation(template: Template, name: str, scales: Sequence[float]) -> Find:
    grey = _grey(template.image)
    sizes = dict.fromkeys(_scaled(template.size, scale) for scale in scales)
    templates = [grey if size == template.size else _resized(grey, size) for size in sizes if min(size) >= LEAST]

    def find(scene: Image) -> Match:
        import cv2

        size, place = (int(scene.shape[0]), int(scene.shape[1])), _grey(scene)
        best, matrix = -1.0, None
        for small in templates:
            if small.shape[0] > size[0] or small.shape[1] > size[1]:
                continue
            alike = cv2.matchTemplate(place, small, cv2.TM_CCOEFF_NORMED)
            _, peak, _, (x, y) = cv2.minMaxLoc(alike)
            if peak > best:
                best = float(peak)
                down, across = small.shape[0] / template.size[0], small.shape[1] / template.size[1]
                matrix = np.array([[across, 0, x], [0, down, y], [0, 0, 1]], np.float64)
        score = min(1.0, max(0.0, best))
        return Match(best >= PEAK, score, matrix, name, size, template.size, evidence={"peak": best})

    return find


def _scaled(size: Size, scale: float) -> Size:
    return round(size[0] * scale), round(size[1] * scale)


def _resized(grey: Image, size: Size) -> Image:
    import cv2

    smaller = size[0] < grey.shape[0]
    resized = cv2.resize(grey, (size[1], size[0]), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _grey(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _centred(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map between coordinates with pixel centres at +.5, last entry 1 unless that is the horizon."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    found = half @ matrix @ np.linalg.inv(half)
    return np.asarray(found / found[2, 2] if abs(found[2, 2]) > 1e-12 else found)
