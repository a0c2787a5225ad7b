"""How the thing lies in an image to find it in: a plane map, drawn by chance; and the image and mask that it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resight.images.resize import resize
from resight.match.planes import area, project
from resight.train.locate_options import LocateOptions

Matrix = NDArray[np.float64]
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
MOST = 0.95  # of the frame's sides that a thing covers after it was made larger


@dataclass(frozen=True, eq=False)
class Rendered:
    """What a plane map makes of an image.

    image: (S, S, 3) uint8, black where the map shows nothing of it
    mask:  (S, S) bool, pixels whose centre lies in the box as it was mapped
    seen:  (S, S) bool, pixels whose centre shows something of the image
    """

    image: Image
    mask: Mask
    seen: Mask


def draw_pose(size: tuple[int, int], box: Box, options: LocateOptions, dice: np.random.Generator) -> Matrix:
    """A plane map from an image to itself, by chance, (3, 3) float64; x, y, 1 with pixel centres at +.5, its third
    coordinate above 0 in front of the horizon.

    size: (H, W) of the image;  box: of the thing in it

    Turned about the image's middle, with the chance `rotate`. Where `scale` is above 1 or `perspective` above 0, the
    thing is also made larger or smaller about its middle, evenly in the logarithm, its corners are moved, and it is
    then shifted into the frame as far as need be, and made smaller if it would not fit. As many random numbers are
    drawn whatever the options.
    """
    drawn, corners = dice.uniform(-1, 1, 3), dice.uniform(-1, 1, (4, 2))
    matrix = np.eye(3)
    free = options.scale > 1 or options.perspective > 0
    if free:
        x1, y1, x2, y2 = box
        grown = math.exp(drawn[0] * math.log(options.scale))
        moved = _corners(box) + corners * options.perspective * (x2 - x1, y2 - y1)
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        matrix = plane_map(_corners(box), middle + grown * (moved - middle))
        matrix /= matrix[2] @ [*middle, 1]
    if (drawn[1] + 1) / 2 < options.rotate:
        matrix = turn(math.radians(drawn[2] * options.degrees), (size[1] / 2, size[0] / 2)) @ matrix
    return _framed(matrix, size, box) if free else matrix


def to_square(size: tuple[int, int], side: int, mirrored: bool) -> Matrix:
    """The map that squashes an image of (H, W) to a square, and mirrors it.

    >>> project(to_square((10, 20), 40, True), [[5, 10]]).tolist()
    [[30.0, 40.0]]
    """
    across = -side / size[1] if mirrored else side / size[1]
    return np.array([[across, 0, side if mirrored else 0], [0, side / size[0], 0], [0, 0, 1]], np.float64)


def render(image: Image, matrix: Matrix, box: Box, side: int) -> Rendered:
    """The image through a plane map, as `draw_pose` gives it, that takes its pixels to a square of `side` pixels.

    The image is first reduced, by the mean of pixels, as far as the box is by the map; then read between pixels. What
    lies behind the map's horizon is not seen.
    """
    import cv2

    height, width = image.shape[:2]
    x, y, front = _sources(matrix, side)
    seen = front & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    mask = front & (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    corners = _corners(box)
    sides = math.sqrt(abs(area(project(matrix, corners))) / area(corners) * width * height)
    high, wide = (max(1, round(min(one, sides))) for one in (height, width))
    small = resize(image, (high, wide), "bilinear")
    across, down = (np.where(seen, value, 0) for value in (x * wide / width - 0.5, y * high / height - 0.5))
    found = cv2.remap(small, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return Rendered(np.where(seen[:, :, None], found, np.uint8(0)), mask, seen)


def plane_map(source: Matrix, target: Matrix) -> Matrix:
    """The plane map that takes four points (4, 2) to four others, no three of them on a line; last entry 1.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> (plane_map(square, 2 * square + (2, 3)).round(9) + 0).tolist()
    [[2.0, 0.0, 2.0], [0.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    """
    (x, y), (u, v) = np.asarray(source, np.float64).T, np.asarray(target, np.float64).T
    one, nil = np.ones(4), np.zeros(4)
    of_u = np.stack([x, y, one, nil, nil, nil, -u * x, -u * y], 1)
    of_v = np.stack([nil, nil, nil, x, y, one, -v * x, -v * y], 1)
    found = np.linalg.solve(np.concatenate([of_u, of_v]), np.concatenate([u, v]))
    return np.append(found, 1.0).reshape(3, 3)


def turn(angle: float, middle: tuple[float, float]) -> Matrix:
    """A turn by radians about a point, from the x axis to the y axis: clockwise on a screen."""
    cosine, sine = math.cos(angle), math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, np.array(middle) - linear @ middle
    return matrix


def _framed(matrix: Matrix, size: tuple[int, int], box: Box) -> Matrix:
    """The map, then what brings the thing into the frame."""
    frame = np.array([size[1], size[0]], np.float64)
    quad = project(matrix, _corners(box))
    low, high = quad.min(0), quad.max(0)
    shrink = min(1.0, float((MOST * frame / (high - low)).min()))
    middle = (low + high) / 2
    half = (high - low) / 2 * shrink
    kept = np.clip(middle, half, frame - half)
    after = np.diag([shrink, shrink, 1.0])
    after[:2, 2] = kept - shrink * middle
    return np.asarray(after @ matrix, np.float64)


def _sources(matrix: Matrix, side: int) -> tuple[Matrix, Matrix, Mask]:
    """x and y in the image of each pixel's centre in the square, (S, S) each, and whether it is before the horizon."""
    inverse = np.linalg.inv(matrix)
    centres = np.arange(side) + 0.5
    depth, x, y = (row[0] * centres[None] + row[1] * centres[:, None] + row[2] for row in inverse[[2, 0, 1]])
    front = depth > 1e-9
    safe = np.where(front, depth, 1.0)
    return x / safe, y / safe, front


def _corners(box: Box) -> Matrix:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)
