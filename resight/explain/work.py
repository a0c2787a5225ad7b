"""One batch on its way through a method: the images, what they scored, and which classes are asked of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resight.errors import InputError, WorkError
from resight.explain.layers import find_layers, layout_at
from resight.explain.listening import Heard, listening
from resight.explain.subject import Subject
from resight.train.runs import CPU_PIXELS, GPU_PIXELS

# What each image is asked for, by its logits (C,): numbers of classes.
Ask = Callable[[Tensor], Sequence[int]]


@dataclass(frozen=True, eq=False)
class Batch:
    """Images fitted to a subject.

    pixels   (B, 3, S, S) uint8; of sequences (B, T, 3, S, S), filled up at the end
    lengths  (B,) frames of each sequence, None for images
    """

    subject: Subject
    pixels: Tensor
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def counts(self) -> list[int]:
        """Maps that belong to each item: 1, or its frames."""
        return [1] * len(self) if self.lengths is None else [int(n) for n in self.lengths]

    def logits(self) -> Tensor:
        """(B, C), by a forward pass."""
        given = (self.pixels,) if self.lengths is None else (self.pixels, self.lengths)
        return self.subject.forward(*given)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of one class for each of the batch's items.

    by_branch  {branch: (sum of counts, h, w)}, the frames of sequences one after the other
    """

    by_branch: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Found:
    """What a method made of a batch.

    logits   (B, C)
    targets  for each item the classes that were asked
    maps     one for each place in the longest list of classes; items with fewer repeat their last
    layers   {branch: layer}
    """

    logits: Tensor
    targets: tuple[tuple[int, ...], ...]
    maps: tuple[Maps, ...]
    layers: dict[str, str]


def class_columns(targets: Sequence[Sequence[int]]) -> list[Tensor]:
    """Lists of classes as columns: in the j-th each item's j-th, or its last if it has fewer.

    >>> [column.tolist() for column in class_columns([(3, 1), (2,)])]
    [[3, 2], [1, 2]]
    """
    longest = max(map(len, targets))
    return [torch.tensor([asked[min(place, len(asked) - 1)] for asked in targets]) for place in range(longest)]


@dataclass(frozen=True)
class AskEach:
    """An `Ask` for a batch whose items are each asked for something else."""

    asks: tuple[Ask, ...]

    def __call__(self, logits: Tensor) -> Sequence[int]:
        """Raises InputError: without the item's place in the batch it is not known what it is asked for."""
        raise InputError("each item of the batch is asked for classes of its own: use asks_of")


def ask_all(logits: Tensor, ask: Ask) -> tuple[tuple[int, ...], ...]:
    """The classes that are asked of each item."""
    asked = zip(asks_of(ask, len(logits)), logits.detach(), strict=True)
    return tuple(tuple(int(number) for number in one(row)) for one, row in asked)


def asks_of(ask: Ask, count: int) -> tuple[Ask, ...]:
    """What each of `count` items is asked for. Raises InputError if an `AskEach` is of another number of items."""
    asks = ask.asks if isinstance(ask, AskEach) else (ask,) * count
    if len(asks) != count:
        raise InputError(f"there must be one target for each image, got {len(asks)} for {count}")
    return asks


def probabilities(logits: Tensor) -> Tensor:
    """(..., C) logits -> (..., C): their softmax, and the sigmoid of a single one, whose softmax would always be 1.

    >>> probabilities(torch.zeros(1, 4)).tolist(), probabilities(torch.zeros(1, 1)).tolist()
    ([[0.25, 0.25, 0.25, 0.25]], [[0.5]])
    """
    return logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)


def checked(ask: Ask, name: str) -> Ask:
    """As `ask`, but a WorkError where an image's scores are no numbers, by the image's name."""

    def asked(logits: Tensor) -> Sequence[int]:
        if bool(probabilities(logits).isnan().any()):
            raise WorkError(f"{name}: the network's scores of it are no numbers (nan or infinite): look at its weights "
                            "and at what prepares its pixels")  # fmt: skip
        return ask(logits)

    return asked


def item_name(item: Any, number: int | None = None) -> str:
    """How an image is called in messages: its path, or its number from 1."""
    if isinstance(item, (str, os.PathLike)):
        return os.fsdecode(item)
    return "the image" if number is None else f"image {number}"


def items_per_pass(subject: Subject, frames: int = 1) -> int:
    """Images, or sequences of so many frames, that go through the network at a time."""
    pixels = CPU_PIXELS if subject.device.type == "cpu" else GPU_PIXELS
    return max(1, pixels // (subject.size**2 * frames))


def hear(batch: Batch, layer: str | None, *, leaves: bool) -> tuple[Tensor, dict[str, Tensor], dict[str, str], Heard]:
    """A forward pass: logits, {branch: the layer's activations (N, K, h, w)}, {branch: layer}, and what was heard."""
    subject = batch.subject
    layers = find_layers(subject, layer)
    modules = {name: subject.module.get_submodule(name) for name in layers.values()}
    with listening(modules, leaves=leaves) as heard:
        logits = batch.logits()
    return logits, {branch: stacked(batch, branch, name, heard.calls) for branch, name in layers.items()}, layers, heard


def stacked(batch: Batch, branch: str, name: str, calls: dict[str, list[Tensor]]) -> Tensor:
    """What a layer gave, or its gradient, as (N, K, h, w): of sequences all frames, of images the last call."""
    own = calls.get(name)
    subject = batch.subject
    if not own:
        raise InputError(f"no image passes layer {name} of {subject.name}")
    whole = torch.cat(own) if batch.lengths is not None else own[-1]
    if len(whole) != sum(batch.counts):
        raise InputError(f"layer {name} of {subject.name} does not give one map for each image")
    return layout_at(subject, branch, name, whole).maps(whole)
