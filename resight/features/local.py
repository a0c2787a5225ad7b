"""Local features: RootSIFT points of an image and their matches in another (Lowe 2004, Arandjelovic 2012)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images import crop_box, fit

Floats = NDArray[np.floating[Any]]
LENGTH = 128
MARGIN, MARGIN_PIXELS = 0.1, 16  # around a box: without it its outer points lack the ground they are described by
LIMIT = 16_384  # features of one image: two such images are matched in a matrix of 1 GiB


@dataclass(frozen=True, eq=False, repr=False)
class LocalFeatures:
    """What `rootsift` finds in an image, strongest first.

    points:      (n, 2)     float32, x, y in pixels of the image as it was given, pixel centres at +.5
    scales:      (n,)       float32, standard deviation of the Gaussian at which the point was found, in those pixels
    angles:      (n,)       float32, degrees 0..360 from the x axis towards the y axis (clockwise on a screen)
    descriptors: (n, 128)   float32, length 1
    size:        (H, W) of the image

    Raises InputError if shapes do not fit, a number is not finite, or there are more than 16,384 features.
    """

    points: Floats
    scales: Floats
    angles: Floats
    descriptors: Floats
    size: tuple[int, int]

    def __post_init__(self) -> None:
        count = len(self.points)
        shapes = {"points": (count, 2), "scales": (count,), "angles": (count,), "descriptors": (count, LENGTH)}
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtype=np.float32, order="C")
            if array.shape != shape or not np.isfinite(array).all():
                raise InputError(f"expected {name} as finite numbers {shape}, got shape {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if count > LIMIT:
            raise InputError(f"expected at most {LIMIT:,} local features, got {count:,}: keep the strongest")

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"<LocalFeatures {len(self):,} in an image of {self.size[1]} x {self.size[0]} (W x H)>"


def rootsift(
    image: NDArray[np.uint8], *, longest: int = 1024, most: int = 2048, box: Sequence[float] | None = None,
    contrast: float = 0.04, blur: float = 1.6,
) -> LocalFeatures:  # fmt: skip
    """RootSIFT features of an image.

    image:   (H, W, 3) uint8 RGB
    longest: the longest side (with a box: of the box and its margin) is reduced to this many pixels, never enlarged
    most:    so many are kept, by contrast; of equals those higher up, then further left
    box:     x1, y1, x2, y2 in pixels: only features whose point lies inside. They are found in the box and a margin of
             a tenth of its longest side, 16 pixels at least, so that a small box of a large image is seen in detail
    contrast: points of less are left out (Lowe's threshold over his 3 layers of an octave); less brings weaker points
    blur:    pixels of the Gaussian of the first layer, in the picture doubled (Lowe's sigma); less brings finer points
    ->       none at all on a picture without structure, which is no error

    SIFT by OpenCV (Lowe 2004) on grey values; descriptors are divided by their sum and the root is taken, so that
    their inner product is the Hellinger kernel of the SIFT vectors (Arandjelovic 2012).
    Raises InputError if the image is none, the box does not overlap it, or another option is out of range.

    >>> rootsift(np.zeros((60, 80, 3), np.uint8))
    <LocalFeatures 0 in an image of 80 x 60 (W x H)>
    """
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or not 1 <= most <= LIMIT:
        raise InputError(f"expected most as a whole number from 1 to {LIMIT:,}, got {most!r}")
    if not 0 <= contrast < 1:
        raise InputError(f"expected contrast from 0 to below 1, got {contrast!r}")
    if not 0.5 <= blur <= 8:
        raise InputError(f"expected blur from 0.5 to 8, got {blur!r}")
    part, left, top = (image, 0, 0) if box is None else _around(image, box)
    small = fit(part, longest, "longest")
    # OpenCV keeps its strongest before it looks at a mask, so with a box it has to bring all.
    keypoints, descriptors = _detect(small, int(most) if box is None else 0, contrast, blur)
    x, y, diameter, angles, strength = keypoints.T
    down, across = part.shape[0] / small.shape[0], part.shape[1] / small.shape[1]
    points = np.column_stack([(x + 0.5) * across + left, (y + 0.5) * down + top])
    order = np.lexsort((angles, diameter, x, y, -strength))
    if box is not None:
        x1, y1, x2, y2 = box
        order = order[np.all((points >= (x1, y1)) & (points <= (x2, y2)), axis=1)[order]]
    order = order[:most]
    scales = diameter / 2 * np.sqrt(across * down)
    size = int(image.shape[0]), int(image.shape[1])
    return LocalFeatures(points[order], scales[order], angles[order], _root(descriptors[order]), size)


def match_features(a: LocalFeatures, b: LocalFeatures, *, ratio: float = 0.8, mutual: bool = True) -> NDArray[np.int64]:
    """Which feature of b looks like which of a, where that is clear.

    ratio:  the nearest in b must be nearer than `ratio` times the second nearest (Lowe 2004); 1 asks only that no
            other is as near. Where b has one feature there is no second, and the test passes.
    mutual: the feature of a must in turn be the nearest to that of b
    ->      (m, 2)   (index in a, index in b), ascending by the first

    On vectors of length 1 the largest inner product belongs to the smallest distance, so one matrix product ranks all.
    Raises InputError if ratio is not above 0 and at most 1.
    """
    if not 0 < ratio <= 1:
        raise InputError(f"expected ratio above 0 and at most 1, got {ratio!r}")
    if len(a) == 0 or len(b) == 0:
        return np.empty((0, 2), np.int64)
    alike = a.descriptors @ b.descriptors.T
    rows = np.arange(len(a))
    nearest = alike.argmax(1)
    # max over a column and a comparison: argmax along that axis takes thirty times as long.
    kept = alike[rows, nearest] >= alike.max(0)[nearest] if mutual else np.ones(len(a), bool)
    if len(b) > 1:
        alike[rows, nearest] = -np.inf
        second = alike.argmax(1)
        # 1 - cosine has lost its digits where descriptors are nearly equal; differences have not.
        first_gap, second_gap = (((a.descriptors - b.descriptors[other]) ** 2).sum(1) for other in (nearest, second))
        kept &= first_gap < ratio**2 * second_gap
    left = rows[kept]
    if mutual:  # where two of a are equally near to one of b, it goes to the first
        left = left[np.sort(np.unique(nearest[left], return_index=True)[1])]
    return np.stack([left, nearest[left]], 1, dtype=np.int64)


def _around(image: NDArray[np.uint8], box: Sequence[float]) -> tuple[NDArray[np.uint8], int, int]:
    """The part of the image in and around a box, and where its left and upper edges lie."""
    crop_box(image, box)  # for its refusals
    x1, y1, x2, y2 = box
    margin = max(MARGIN_PIXELS, MARGIN * max(x2 - x1, y2 - y1))
    part = crop_box(image, (x1 - margin, y1 - margin, x2 + margin, y2 + margin))
    return part, max(0, math.floor(x1 - margin)), max(0, math.floor(y1 - margin))


def _detect(
    image: NDArray[np.uint8], most: int, contrast: float, blur: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """OpenCV's keypoints as x, y, diameter, angle, response (n, 5) and SIFT (n, 128); all of them if most is 0.

    Without precise upscaling every point would lie 0.25 pixels too far right and down.
    """
    import cv2

    detector = cv2.SIFT.create(nfeatures=most, contrastThreshold=contrast, sigma=blur, enable_precise_upscale=True)
    keypoints, found = detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    columns = [(*point.pt, point.size, point.angle, point.response) for point in keypoints]
    descriptors = np.empty((0, LENGTH), np.float32) if found is None else np.asarray(found, np.float32)
    return np.array(columns, np.float64).reshape(-1, 5), descriptors


def _root(descriptors: Floats) -> Floats:
    total = np.abs(descriptors).sum(1, keepdims=True)
    return np.sqrt(descriptors / np.where(total > 0, total, 1))
