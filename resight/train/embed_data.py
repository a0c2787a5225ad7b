"""What an embedding network learns from: classes with enough images, their parts, batches of images and triplets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.examples import Examples
from resight.images.identical import identical
from resight.train.class_splits import deal
from resight.train.data import Dealt, Decoded, Look, Stored, draw_seed
from resight.train.embed_options import EmbedOptions
from resight.train.splits import Split, split_examples

CLASSES_TO_HOLD_BACK = 10  # from so many on, whole classes validate


class EmbedBatch(NamedTuple):
    """inputs (B, 3, S, S) uint8 or kept features; labels (B,) int64; triplets (T, 3) int64 places in the batch, or
    None; places (B,) int64 in the data."""

    inputs: torch.Tensor
    labels: torch.Tensor
    triplets: torch.Tensor | None
    places: torch.Tensor


@dataclass(frozen=True, eq=False)
class Parted:
    """Examples without classes that are too small, dealt out.

    by: how, resolved;  notes: what is worth knowing about it, a clause each
    """

    examples: Examples
    split: Split
    by: str
    notes: tuple[str, ...]


class EmbedBatches(Dealt):
    """The batch of a key (epoch, places) or (epoch, places, triplets). An image that can no longer be read is given as
    its error, for `resight.train.data.unwrap`.

    stored: {place: tensor};  labels: {place: class};  look: (tensor, seed) -> what the network gets of it
    """

    def __init__(self, stored: Stored, labels: Mapping[int, int], look: Look, seed: int) -> None:
        self.stored, self.labels, self.look, self.seed = stored, labels, look, seed
        self.slow = isinstance(stored, Decoded)

    def __getitem__(self, key: Any) -> EmbedBatch | WorkError:
        epoch, places = key[0], [int(place) for place in key[1]]
        triplets = torch.as_tensor(np.asarray(key[2])) if len(key) > 2 else None
        try:
            seen = [self.look(self.stored[place], draw_seed(self.seed, epoch, place)) for place in places]
        except ImageError as error:
            return WorkError(gone(error))
        labels = torch.tensor([self.labels[place] for place in places])
        return EmbedBatch(torch.stack(seen), labels, triplets, torch.tensor(places))


def gone(error: ImageError) -> str:
    """What is said of an image that can no longer be read."""
    return f"{error}; it could be read before: bring it back, then go on with --resume"


def part_examples(examples: Examples, options: EmbedOptions) -> Parted:
    """The examples to train on and to validate with, by class, image or group; what the data itself says stays.

    Raises InputError if too little is left, or what is asked for cannot be cut.
    """
    own = {item.part for item in examples.items}
    shares = (0.0 if "val" in own else options.validation, 0.0 if "test" in own else options.test)
    by, notes = _way(examples, options, own - {None} != set()), []
    if options.by == "auto" and any(shares):
        notes = [f"validated by {by}: " + _WAYS[by]]
    if any(shares):
        groups = "data" if by != "group" or any(item.group is not None for item in examples.items) else "folder"
        dealt = deal(examples, by, validation=shares[0], test=shares[1], seed=options.seed, groups=groups,
                     least=options.min_images)  # fmt: skip
        return Parted(dealt.examples, dealt.split, by, (*dealt.notes, *notes))
    kept, left = _large_enough(examples, options.min_images)
    split = split_examples(kept, validation=0.0, test=0.0, seed=options.seed)
    return Parted(kept, split, by, (*examples.notes, *left, *split.notes))


def _way(examples: Examples, options: EmbedOptions, has_parts: bool) -> str:
    if options.by != "auto":
        return options.by
    return "class" if len(examples.classes) >= CLASSES_TO_HOLD_BACK and not has_parts else "image"


def _large_enough(examples: Examples, least: int) -> tuple[Examples, list[str]]:
    counts = examples.counts
    small = [name for name, count in counts.items() if count < least]
    items = tuple(item for item in examples.items if counts[str(item.label)] >= least)
    kept = replace(examples, items=items, classes=tuple(name for name in examples.classes if name not in small))
    return kept, [f"left out: {len(small):,} classes with fewer than {least} images"] if small else []


def trained_classes(examples: Examples, places: Sequence[int]) -> tuple[str, ...]:
    """The names of the classes of these examples, sorted."""
    return tuple(sorted({str(examples.items[place].label) for place in places}))


def check_enough(parted: Parted, train: Sequence[int], val: Sequence[int]) -> None:
    """Nothing if the images that can be read will do: two classes and one pair of images, in training and validation.

    Raises InputError that says what is missing.
    """
    for what, places, advice in (
        ("train on", train, "add images, or lower --validation"),
        ("validate with", val, "raise --validation, hold back by image instead of by class, or set validation 0"),
    ):
        if not places and what != "train on" and not parted.split.val:
            continue
        counts = Counter(str(parted.examples.items[place].label) for place in places)
        if len(counts) < 2:
            raise InputError(f"{parted.examples.source}: {len(counts)} {'class' if len(counts) == 1 else 'classes'} "
                             f"to {what}, expected two at least: {advice}")  # fmt: skip
        if max(counts.values()) < 2:
            raise InputError(f"{parted.examples.source}: no class has two images to {what}: {advice}")


def content_ids(examples: Examples, places: Sequence[int]) -> NDArray[np.int64]:
    """(N,) a number for each place, equal for files of the same content."""
    paths = [examples.items[place].path for place in places]
    ids = np.arange(len(paths), dtype=np.int64)
    for group in identical(paths):
        ids[list(group)] = group[0]
    return ids


_WAYS = {
    "class": "whole classes are held back, which are unseen in training (--by image holds images of every class back)",
    "image": "images of every class are held back (--by class holds whole classes back, the harder test)",
    "group": "whole groups are held back",
}
