"""Explain a classifier's decision on images or sequences: `explain` for one, `explain_each` for a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from itertools import repeat, zip_longest
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight.errors import ImageError, InputError
from resight.explain.classes import Wanted, ask_classes
from resight.explain.heat import Heat, add_heats
from resight.explain.layers import find_layers, shown_layer
from resight.explain.listening import undisturbed
from resight.explain.methods import Method, find_method
from resight.explain.subject import Subject, open_subject
from resight.explain.work import Ask, AskEach, Batch, Found, checked, item_name, items_per_pass, probabilities
from resight.images.read import ImageLike, read_image
from resight.train.inputs import one_or_many, pad_clips

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Explained(Generic[T]):
    """A classifier's decision on one item, and why.

    item           as given
    heats          one for each class that was asked, in that order
    probabilities  (C,) float32
    classes        (C,) names
    image          (H, W, 3) uint8; of a sequence its frames as the network saw them, (T, S, S, 3)
    """

    item: T
    heats: tuple[Heat, ...]
    probabilities: NDArray[np.float32] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    image: NDArray[np.uint8] = field(repr=False)

    def top(self, count: int = 5) -> list[tuple[float, str]]:
        """The most probable classes: (probability, name), highest first."""
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(float(self.probabilities[number]), self.classes[number]) for number in best]


def explain(
    image: Any, model: Any = "tf_efficientnet_lite0", method: str = "gradcam", target: str | int | None = None, *,
    layer: str | None = None, weights: str = "package", device: str = "auto", fit: str | None = None,
) -> Heat:  # fmt: skip
    """What in an image speaks for a class.

    image:  path, (H, W, 3) uint8 array or Pillow image; for a run on sequences a folder of frames or a video
    model:  a run or its folder, the name of a timm network, a Backbone, or a Subject (`module_subject` for any module)
    method: cam, gradcam, gradcam++, xgrad, layercam, hires, eigen, score, ablation or lime; options behind it, as in
            "score:channels=64" (see `resight.explain.methods.OPTIONS`)
    target: the class's name or number; default: the most probable. Several images or classes: `explain_each`
    layer:  a module's name; default: the last with places that decide the score
    fit:    of a network given by its name: "crop" shows it the middle of the image, "squash" all of it, the aspect
            lost; default: the crop that belongs to its weights
    ->      the heat; of a fusion network, or a sequence, its `parts` are one for each branch and frame

    The heat's probability is the softmax's share; of a network with a single output it is that output's sigmoid.
    Raises InputError for an unknown method, class or layer (with the closest match), or a name that several classes
    have; ImageError if the image cannot be read; WorkError if its scores are no numbers. The model's modes, gradients
    and random numbers are as before afterwards, also after an error.
    """
    if isinstance(image, (list, tuple)) or (hasattr(target, "__len__") and not isinstance(target, str)):
        raise InputError("explain takes one image and one class: for several use resight.explain.explain_each")
    wanted: Wanted = "top:1" if target is None else target
    for found in explain_each([image], model, method, wanted, layer=layer, weights=weights, device=device, fit=fit):
        if isinstance(found, ImageError):
            raise found
        return found.heats[0]
    raise InputError("no image to explain")


def explain_each(
    images: Iterable[T] | ImageLike, model: Any = "tf_efficientnet_lite0", method: str = "gradcam",
    classes: Wanted = "top:1", *, targets: Iterable[Wanted] | None = None, layer: str | None = None,
    weights: str = "package", device: str = "auto", fit: str | None = None, batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Explained[T] | ImageError]:  # fmt: skip
    """What in each image speaks for its classes: one result per image, in order, some images at a time.

    images:   as in `explain`, several, or one alone
    classes:  "top:5", a name, a number, or a list of names and numbers, for every image
    targets:  the same for each image, in their order; `classes` is not looked at then
    batch:    images of a pass; default: by the machine
    progress: called with (done, failed)
    others:   as in `explain`
    ->        an `Explained`, or the ImageError of an image that cannot be read

    Raises what `explain` raises, and InputError if there are fewer or more targets than images.
    """
    name, run = find_method(method)
    if batch is not None and batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    with torch.inference_mode(False):  # weights made within it could have no gradients behind them
        subject = open_subject(model, weights=weights, device=device, fit=fit)
    if layer is not None:
        find_layers(subject, layer)  # a misspelt one is an error before the first image is read
    return _stream(_asked(one_or_many(images), classes, targets, subject), subject, run, name, layer, batch, progress)


def _asked(
    images: Iterable[T], classes: Wanted, targets: Iterable[Wanted] | None, subject: Subject
) -> Iterable[tuple[T, Ask]]:  # fmt: skip
    """Each image with what it is asked for."""
    what = f"class of {subject.name}"
    if targets is None:
        return zip(images, repeat(ask_classes(classes, subject.classes, what)))
    wanted = [targets] if isinstance(targets, str) else targets
    asks: Iterable[Ask] = (ask_classes(one, subject.classes, what) for one in wanted)
    if isinstance(wanted, Sized):
        asks = list(asks)  # all are checked before the first image is read
        if isinstance(images, Sized) and len(images) != len(asks):
            raise InputError(f"there must be one target for each image, got {len(asks)} for {len(images)}")
    return _paired(images, asks)


def _paired(images: Iterable[T], asks: Iterable[Ask]) -> Iterator[tuple[T, Ask]]:
    missing: Any = object()
    for number, (image, ask) in enumerate(zip_longest(images, asks, fillvalue=missing)):
        if image is missing or ask is missing:
            few, many = ("images", "targets") if image is missing else ("targets", "images")
            raise InputError(f"there must be one target for each image: {few} end after {number}, {many} go on")
        yield image, ask


def _stream(
    items: Iterable[tuple[T, Ask]], subject: Subject, run: Method, method: str, layer: str | None, size: int | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Explained[T] | ImageError]:  # fmt: skip
    from resight.features.pipeline import work_stream

    def ready(pair: tuple[T, Ask]) -> tuple[Tensor, NDArray[np.uint8], Ask]:
        return *prepare(subject, pair[0]), pair[1]

    def finish(prepared: list[tuple[Tensor, NDArray[np.uint8], Ask]]) -> list[Explained[None]]:
        found = []
        step = size or items_per_pass(subject, max(len(one[0]) if subject.frames else 1 for one in prepared))
        for start in range(0, len(prepared), step):
            fitted, images, asks = zip(*prepared[start : start + step], strict=True)
            batch = make_batch(subject, list(fitted))
            ask = asks[0] if len(asks) == 1 else AskEach(asks)
            with undisturbed(subject.module):
                made = run(batch, ask, layer)
            found += [*_explained(batch, made, method, list(images))]
        return found

    done = failed = 0
    named = ((item, checked(ask, item_name(item, number))) for number, (item, ask) in enumerate(items, 1))
    for result in work_stream(named, ready, finish, chunk=size or 4, together=False):
        done, failed = done + 1, failed + (result.error is not None)
        if progress is not None:
            progress(done, failed)
        if result.error is not None:
            yield result.error
            continue
        own: Explained[None] = result.vector
        yield Explained(result.item[0], own.heats, own.probabilities, own.classes, own.image)


def prepare(subject: Subject, item: Any) -> tuple[Tensor, NDArray[np.uint8]]:
    """What the network is given of an item, and the item's pixels: see `Explained.image`."""
    if subject.frames:
        frames = subject.fit(item)
        return frames, frames.permute(0, 2, 3, 1).contiguous().numpy()
    image = read_image(item)
    return subject.fit(image), image


def make_batch(subject: Subject, fitted: list[Tensor]) -> Batch:
    """Fitted images, or sequences, as one batch."""
    if not subject.frames:
        return Batch(subject, torch.stack(fitted).to(subject.device))
    frames, lengths = pad_clips(fitted)
    return Batch(subject, frames.to(subject.device), lengths)


def _explained(
    batch: Batch, found: Found, method: str, images: list[NDArray[np.uint8]]
) -> Iterator[Explained[None]]:  # fmt: skip
    shares = probabilities(found.logits.float()).cpu().numpy()
    starts = np.concatenate([[0], np.cumsum(batch.counts)])
    for place, image in enumerate(images):
        rows = range(int(starts[place]), int(starts[place + 1]))
        heats = []
        for order, target in enumerate(found.targets[place]):
            parts = _parts(batch.subject, found, order, rows, method, image, target, place)
            heats.append(add_heats(tuple(parts)))
        yield Explained(None, tuple(heats), shares[place], batch.subject.classes, image)


def _parts(
    subject: Subject, found: Found, order: int, rows: range, method: str, image: NDArray[np.uint8], target: int,
    place: int,
) -> Iterator[Heat]:  # fmt: skip
    """One heat for each branch and frame."""
    high, wide = image.shape[-3:-1]
    probability = float(probabilities(found.logits[place].float())[target])
    for branch, maps in found.maps[order].by_branch.items():
        layer = found.layers[branch]
        for number, row in enumerate(rows):
            name = f"frame {number + 1}" if subject.frames else ""
            yield Heat(
                maps[row].detach().float().cpu().numpy(), float(found.logits[place, target]), probability, target,
                subject.classes[target], method, shown_layer(subject, branch, layer), (high, wide),
                subject.covered((high, wide)),
                " ".join(one for one in (branch, name) if one),
            )  # fmt: skip
