"""Pictures made by chance, to try locating without photographs: shapes and textures upon each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SIDE = 256
COUNT = 160
SHAPES = (10, 30)


class Drawn(Mapping[int, Image]):
    """So many pictures, each drawn when it is asked for."""

    def __init__(self, count: int = COUNT) -> None:
        self.count = count

    def __getitem__(self, number: int) -> Image:
        return draw_picture(number)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def __len__(self) -> int:
        return self.count


def draw_picture(number: int) -> Image:
    """Ellipses, rectangles and polygons of all sizes upon each other, plain, striped, dotted or rough.

    number: another one is another picture, the same the same
    ->      (SIDE, SIDE, 3) uint8
    """
    import cv2

    dice = np.random.default_rng((7, number))
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = _texture(dice, (slice(0, SIDE), slice(0, SIDE)))
    for _ in range(int(dice.integers(*SHAPES))):
        shape = np.zeros((SIDE, SIDE), np.uint8)
        middle, size = dice.uniform(0, SIDE, 2), np.exp(dice.uniform(np.log(8), np.log(90), 2))
        kind, angle = int(dice.integers(3)), float(dice.uniform(0, 180))
        if kind == 0:
            centre = (int(middle[0]), int(middle[1]))
            cv2.ellipse(shape, centre, (int(size[0]), int(size[1])), angle, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            turns = np.sort(dice.uniform(0, 2 * np.pi, 4 + int(dice.integers(4)))) if kind == 2 else _RECTANGLE
            points = np.stack([np.cos(turns), np.sin(turns)], 1) * size
            radians = np.deg2rad(angle)
            turned = points @ [[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]] + middle
            cv2.fillPoly(shape, [turned.astype(np.int32)], 255, cv2.LINE_AA)
        where = cv2.boundingRect(shape)
        part = slice(where[1], where[1] + where[3]), slice(where[0], where[0] + where[2])
        share = shape[part][:, :, None] / np.float32(255)
        image[part] = (image[part] * (1 - share) + _texture(dice, part) * share).astype(np.uint8)
    return image


_RECTANGLE = np.deg2rad([35.0, 145.0, 215.0, 325.0])


def _texture(dice: np.random.Generator, part: tuple[slice, slice]) -> NDArray[np.float32]:
    """A surface of a part of the picture: a colour and how it changes from place to place."""
    colour, other = dice.uniform(0, 255, (2, 3)).astype(np.float32)
    y, x = np.mgrid[part].astype(np.float32)
    angle, wave = dice.uniform(0, np.pi), dice.uniform(5, 40)
    along = np.cos(angle) * x + np.sin(angle) * y
    kind = int(dice.integers(4))
    if kind == 0:
        amount = along / (2 * SIDE) + 0.5
    elif kind == 1:
        amount = np.sin(along * 2 * np.pi / wave) * 0.5 + 0.5
    elif kind == 2:
        amount = (np.sin(x * 2 * np.pi / wave) * np.sin(y * 2 * np.pi / wave) > 0.3).astype(np.float32)
    else:
        amount = dice.random(x.shape, np.float32) * 0.5
    return np.asarray(colour + (other - colour) * amount[:, :, None], np.float32)
