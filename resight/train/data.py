"""Batches for training and validation: which images, in which order, augmented by which seed.

The order of an epoch and the augmentation of an image depend on (seed, epoch, image) alone: not on the number of
workers, nor on whether the training was interrupted before. Validation images are never augmented or balanced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from resight.errors import ImageError, WorkError
from resight.features.pipeline import work_stream
from resight.measure.watching import Watch, unwatched
from resight.train.inputs import Fitting, pad_clips, why_not

KEPT_BYTES = 2 << 30
CHUNK = 16
ORDER, DRAW = 1, 2  # what a seed is for

Key = tuple[int, tuple[int, ...]]
Look = Callable[[torch.Tensor, int], torch.Tensor]
Stored = Mapping[int, torch.Tensor]


class Batch(NamedTuple):
    """inputs (B, 3, S, S) or (B, T, 3, S, S) uint8, or kept features; labels (B,) int64; lengths (B,) of sequences."""

    inputs: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor | None


@dataclass(frozen=True)
class Stock:
    """The pixels (or features) of examples by their place in the data, and the reasons for those that have none."""

    inputs: Stored
    skipped: dict[int, str]


class Decoded(Mapping[int, torch.Tensor]):
    """Pixels that are read anew whenever they are asked for: {place: path} -> {place: (3, S, S) or (T, 3, S, S)}."""

    def __init__(self, paths: Mapping[int, Path], fitting: Fitting) -> None:
        self.paths, self.fitting = paths, fitting

    def __getitem__(self, place: int) -> torch.Tensor:
        return self.fitting(self.paths[place])

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def read_stock(
    paths: Mapping[int, Path], fitting: Fitting, *, limit: int = KEPT_BYTES, watch: Watch = unwatched
) -> Stock:
    """Every image read once: those that cannot be read are told now, the others are kept in memory if they fit.

    paths: {place: file, or sequence};  limit: bytes that are kept
    """
    size = len(paths) * 3 * fitting.size**2 * max(1, fitting.frames)
    keep, found, skipped = size <= limit, {}, {}
    nothing = torch.empty(0, dtype=torch.uint8)

    def prepare(place: int) -> torch.Tensor:
        pixels = fitting(paths[place])
        return pixels if keep else nothing

    failed, unit = 0, "sequences" if fitting.frames else "images"
    stream = work_stream(paths, prepare, list, chunk=CHUNK if not fitting.frames else 1, together=True)
    with watch("reading" if keep else "checking", len(paths), unit) as show:
        for done, result in enumerate(stream, 1):
            if result.error is None:
                found[result.item] = result.vector
            else:
                skipped[result.item], failed = why_not(result.error, paths[result.item]), failed + 1
            show(done, failed)
    return Stock(found if keep else Decoded({place: paths[place] for place in found}, fitting), skipped)


class Order(Sampler[Key]):
    """Batches of places, all of nearly one size, as (epoch, places).

    places:  what is dealt out; batch: most of one step, all processes together
    seed:    shuffles anew in each epoch; None keeps the order
    weights: draw as many places as there are, with these chances, one a place, instead of each once
    rank, world: this process and how many there are; each has a part of every batch
    """

    def __init__(
        self, places: Sequence[int], batch: int, *, seed: int | None = None, weights: Sequence[float] | None = None,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self.places, self.seed, self.rank, self.world = np.asarray(places), seed, rank, world
        self.count = -(-len(self.places) // batch)
        self.chances = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch, from 0, is dealt out next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Key]:
        for part in np.array_split(self._dealt(), self.count):
            # More processes than images in the batch: some images are seen by two of them.
            whole = np.resize(part, max(len(part), self.world))
            yield self.epoch, tuple(int(place) for place in np.array_split(whole, self.world)[self.rank])

    def _dealt(self) -> np.ndarray:
        if self.seed is None:
            return self.places
        dice = np.random.default_rng((self.seed, ORDER, self.epoch))
        if self.chances is not None:
            return dice.choice(self.places, len(self.places), p=self.chances)
        return dice.permutation(self.places)


class Dealt(Dataset[Any]):
    """Batches by key; slow: they take so long to make that other processes should."""

    slow = False


class Batches(Dealt):
    """The batch of a key. An image that can no longer be read is given as its error, for `unwrap`.

    stored: {place: tensor};  labels: {place: class};  look: (tensor, seed) -> what the network gets of it
    """

    def __init__(self, stored: Stored, labels: Mapping[int, int], look: Look, seed: int) -> None:
        self.stored, self.labels, self.look, self.seed = stored, labels, look, seed
        self.slow = isinstance(stored, Decoded)

    def __getitem__(self, key: Key) -> Batch | WorkError:
        epoch, places = key
        try:
            seen = [self.look(self.stored[place], draw_seed(self.seed, epoch, place)) for place in places]
        except ImageError as error:
            # Raised in a worker, it would arrive as a traceback of many lines.
            return WorkError(f"{error}; it could be read before: bring it back, then go on with --resume")
        labels = torch.tensor([self.labels[place] for place in places])
        if seen[0].ndim in (2, 4):
            frames, lengths = pad_clips(seen)
            return Batch(frames, labels, lengths)
        return Batch(torch.stack(seen), labels, None)


def unwrap(batch: Batch | WorkError) -> Batch:
    """The batch. Raises WorkError for an image that could be read when the training began, and no longer can."""
    if isinstance(batch, WorkError):
        raise batch
    return batch


def draw_seed(seed: int, epoch: int, place: int) -> int:
    """A seed of 32 bits for one image in one epoch: neighbours have nothing in common (O'Neill 2015, as in numpy)."""
    return int(np.random.SeedSequence((seed, DRAW, epoch, place)).generate_state(1)[0])


def as_is(inputs: torch.Tensor, seed: int) -> torch.Tensor:
    """What validation sees: the image itself, whatever the seed."""
    return inputs


def together(augment: Look, circle: bool) -> Look:
    """`augment` with one seed for all frames of a sequence, and what is outside the circle black again."""

    def look(pixels: torch.Tensor, seed: int) -> torch.Tensor:
        frames = pixels if pixels.ndim == 4 else pixels[None]
        changed = torch.stack([augment(frame, seed) for frame in frames])
        if circle:
            from resight.train.augment import circle_mask

            changed = circle_mask(changed)
        return changed if pixels.ndim == 4 else changed[0]

    return look


def balance_weights(labels: Sequence[int], classes: int) -> list[float]:
    """The weight of each class in the loss, N / (C n_c): the mean weight of the N training images is 1.

    Every class must be there.

    >>> balance_weights([0, 0, 0, 1], 2)
    [0.6666666666666666, 2.0]
    """
    counts = Counter(labels)
    return [len(labels) / (classes * counts[one]) for one in range(classes)]


def make_loader(batches: Dealt, order: Sampler[Any], workers: int, *, pin: bool = False) -> DataLoader[Any]:
    """A loader of whole batches; workers: processes that read and augment, 0 for none."""
    return DataLoader(
        batches, sampler=order, batch_size=None, num_workers=workers, persistent_workers=workers > 0, pin_memory=pin,
        generator=torch.Generator(),  # or starting it would use up the random numbers of dropout
    )  # fmt: skip
