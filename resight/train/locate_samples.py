"""Samples to learn locating from: an image, a picture of something that is in it or is not, and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.resize import crop_box, resize
from resight.match.mask_finder import place_query
from resight.match.planes import project
from resight.match.template import Template
from resight.train.data import Dealt, Key
from resight.train.locate_changes import change
from resight.train.locate_options import LocateOptions
from resight.train.locate_poses import Box, Matrix, draw_pose, render, to_square

Image = NDArray[np.uint8]
LEAST = 32.0  # pixels of the shorter side of a thing
LARGEST = 0.6  # of the image's short side that a box drawn by chance has at most
TRAIN, VAL = 1, 2  # what a seed is for
COVERED = (0.1, 0.5)  # share of the thing that is covered, least and most


class MaskBatch(NamedTuple):
    """images, queries (B, 3, S, S) uint8; masks (B, 1, S, S) bool."""

    images: torch.Tensor
    queries: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """What is looked at, what for, and where it is.

    image, query: (S, S, 3) uint8;  mask: (S, S) bool, all False where the query is of another image
    corners:      (4, 2) x, y in the square of the query's corners, clockwise from its top left; None without it
    """

    image: Image
    query: Image
    mask: NDArray[np.bool_]
    corners: Matrix | None


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of one part, and the things in them.

    pictures: {place: (H, W, 3) uint8};  places: those of this part
    things:   (place, box in pixels of its picture); none: boxes are drawn by chance
    """

    pictures: Mapping[int, Image]
    places: tuple[int, ...]
    things: tuple[tuple[int, Box], ...] = ()

    def draw(self, dice: np.random.Generator, apart_from: int | None = None) -> tuple[int, Box]:
        """A thing by chance: the place of its image, and its box; of another image than `apart_from`.

        Raises ImageError if the image can no longer be read, InputError if there is no other image.
        """
        choices: Sequence[Any] = self.things or self.places
        for _ in range(1000):
            one = choices[int(dice.integers(len(choices)))]
            place = one[0] if self.things else one
            if place != apart_from:
                return one if self.things else (place, draw_box(self.pictures[place].shape[:2], dice))
        raise InputError("expected at least two images with something in them, to take another thing from: add images, "
                         "or set negative to 0")  # fmt: skip


def draw_box(size: tuple[int, ...], dice: np.random.Generator) -> Box:
    """A box in an image of (H, W) by chance, anywhere: at least LEAST wide and high, its side up to LARGEST of the
    image's short one, its aspect from 1 : 2 to 2 : 1, both even in the logarithm.

    Raises InputError if the image is smaller than LEAST.
    """
    height, width = size[:2]
    if min(height, width) < LEAST:
        raise InputError(f"expected an image of at least {LEAST:g} pixels a side, got {width} x {height}")
    most = max(LEAST, LARGEST * min(height, width))
    side, stretch = np.exp(dice.uniform(np.log(LEAST), np.log(most))), np.exp(dice.uniform(-0.5, 0.5) * np.log(2))
    wide = round(float(np.clip(side * stretch, LEAST, width)))
    high = round(float(np.clip(side / stretch, LEAST, height)))
    left, top = int(dice.integers(width - wide + 1)), int(dice.integers(height - high + 1))
    return float(left), float(top), float(left + wide), float(top + high)


def make_sample(pool: Pool, options: LocateOptions, seed: tuple[int, ...]) -> Sample:
    """One sample, which depends on the pool, the options and the seed only.

    The image is squashed to a square after it was changed as the options say; the query is its box as it was, black
    around it, and squashed as the image is (`place_query`).
    """
    dice = np.random.default_rng(seed)
    chances, own = dice.random(4), [np.random.default_rng(int(one)) for one in dice.integers(0, 2**63, 6)]
    place, box = pool.draw(own[0])
    picture = pool.pictures[place]
    size = (int(picture.shape[0]), int(picture.shape[1]))
    mirrored = bool(chances[0] < options.flip)
    matrix = to_square(size, options.size, mirrored) @ draw_pose(size, box, options, own[1])
    found = render(picture, matrix, box, options.size)
    absent = bool(chances[1] < options.negative)
    if absent:
        other, its_box = pool.draw(own[2], apart_from=place)
        thing = crop_box(pool.pictures[other], its_box)
    else:
        thing = crop_box(picture, box)
    query = place_query(Template(thing), size, options.size)
    image = found.image
    if options.scale > 1 or options.perspective > 0:
        image = _ground(image, found.seen, pool, options.size, own[3])
    if chances[2] < options.occlude:
        image = _cover(image, project(matrix, _corners(box)), pool, own[4])
    image = change(image, own[5], light=options.light, noise=options.noise)
    corners = project(matrix, _corners(box))
    if mirrored:
        query, corners = np.ascontiguousarray(query[:, ::-1]), corners[[1, 0, 3, 2]]
    if absent:
        return Sample(image, query, np.zeros_like(found.mask), None)
    return Sample(image, query, found.mask, corners)


class Samples(Dealt):
    """Batches of samples by (epoch, numbers): of training new ones in each epoch, of validation always the same."""

    slow = True

    def __init__(self, pool: Pool, options: LocateOptions, part: int) -> None:
        self.pool, self.options, self.part = pool, options, part

    def sample(self, epoch: int, number: int) -> Sample:
        """The sample of this number in an epoch. Raises what `make_sample` raises."""
        when = epoch if self.part == TRAIN else 0
        return make_sample(self.pool, self.options, (self.options.seed, self.part, when, number))

    def __getitem__(self, key: Key) -> MaskBatch | WorkError:
        epoch, numbers = key
        try:
            made = [self.sample(epoch, number) for number in numbers]
        except ImageError as error:
            # Raised in a worker, it would arrive as a traceback of many lines.
            return WorkError(f"{error}; it could be read before: bring it back, then go on with --resume")
        images, queries = (
            torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2).contiguous()
            for some in ([one.image for one in made], [one.query for one in made])
        )
        return MaskBatch(images, queries, torch.from_numpy(np.stack([one.mask for one in made]))[:, None])


def _ground(image: Image, seen: NDArray[np.bool_], pool: Pool, side: int, dice: np.random.Generator) -> Image:
    """What the map shows nothing of is black, or, every other time, another photograph."""
    if dice.random() < 0.5 or seen.all():
        return image
    place = pool.places[int(dice.integers(len(pool.places)))]
    return np.where(seen[:, :, None], image, resize(pool.pictures[place], (side, side), "bilinear"))


def _cover(image: Image, corners: Matrix, pool: Pool, dice: np.random.Generator) -> Image:
    """The image with a part of the thing, from one of its sides on, under a piece of another photograph."""
    side = image.shape[0]
    low, high = np.clip(corners.min(0), 0, side), np.clip(corners.max(0), 0, side)
    share, edge = dice.uniform(*COVERED), int(dice.integers(4))
    axis = edge % 2
    if edge < 2:
        high[axis] = low[axis] + share * (high[axis] - low[axis])
    else:
        low[axis] = high[axis] - share * (high[axis] - low[axis])
    (x1, y1), (x2, y2) = np.floor(low).astype(int), np.ceil(high).astype(int)
    if x2 <= x1 or y2 <= y1:
        return image
    place = pool.places[int(dice.integers(len(pool.places)))]
    picture = pool.pictures[place]
    tall, wide = min(picture.shape[0], 2 * (y2 - y1)), min(picture.shape[1], 2 * (x2 - x1))
    top, left = int(dice.integers(picture.shape[0] - tall + 1)), int(dice.integers(picture.shape[1] - wide + 1))
    found = image.copy()
    found[y1:y2, x1:x2] = resize(picture[top : top + tall, left : left + wide], (y2 - y1, x2 - x1), "bilinear")
    return found


def _corners(box: Box) -> Matrix:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)
