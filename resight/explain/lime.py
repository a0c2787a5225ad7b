"""LIME: which superpixels a class's probability hangs on, by hiding half of them again and again. Ribeiro 2016.

Cost is passes through the network. Nothing else of it takes time: masks are drawn, laid over the image and weighed as
arrays, and all classes are fitted at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight import choices
from resight.choices import Option, Value
from resight.errors import InputError
from resight.explain.classes import Wanted, ask_classes
from resight.explain.heat import Heat
from resight.explain.listening import undisturbed
from resight.explain.stability import split_half
from resight.explain.subject import Subject, open_subject
from resight.explain.superpixels import MOST, SUPERPIXELS, Labels, fit_labels, superpixels
from resight.explain.surrogate import Floats, fit_surrogate
from resight.explain.work import Ask, Batch, Found, Maps, asks_of, checked, item_name, probabilities
from resight.images.read import read_image

Progress = Callable[[int, int], None]
EACH, FEWEST, MOST_BY_DEFAULT, MOST_SAMPLES = 12, 200, 1000, 100_000
CPU_BATCH, GPU_BATCH = 8, 64  # samples of a pass

OPTIONS: dict[str, Option] = {
    "segments": Option(str, "slic", f"one of {', '.join(SUPERPIXELS)}", lambda value: value in SUPERPIXELS),
    "count": Option(int, 50, f"a whole number from 2 to {MOST}", lambda value: 2 <= int(value) <= MOST),
    "samples": Option(
        int, 0, f"a whole number from 10 to {MOST_SAMPLES}, or 0 for {EACH} of each superpixel",
        lambda value: int(value) == 0 or 10 <= int(value) <= MOST_SAMPLES,
    ),
    "hide": Option(str, "mean", "mean or black", lambda value: value in ("mean", "black")),
    "seed": Option(int, 0, "a whole number of at least 0", lambda value: int(value) >= 0),
    "positive_only": Option(bool, False, "true or false"),
    "features": Option(int, 0, "a whole number of at least 1, or 0 for all", lambda value: int(value) >= 0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lime:
    """What the superpixels of an image add to the probabilities of C classes.

    targets       (C,) the classes' numbers;  labels  their names
    coefficients  (C, n) what showing each superpixel adds to the probability, in the linear model
    intercepts    (C,) the model's probability with all of them hidden
    r2            (C,) weighted share of the samples' variance that the model explains; nan if there is none
    stability     (C,) rank correlation of the coefficients of two halves of the samples, see `split_half`
    chosen        (C, n) the superpixels of `heats`: all, or as `features` and `positive_only` ask
    segments      (S, S) int32, 0 .. n-1, of the square that the network sees
    samples       masks that were tried, the whole image among them
    logits        (all classes,) of the whole image
    square        (S, S, 3) uint8
    heats         one for each class: the coefficient of each pixel's superpixel, 0 where it was not chosen
    """

    targets: tuple[int, ...]
    labels: tuple[str, ...]
    coefficients: Floats = field(repr=False)
    intercepts: Floats
    r2: Floats
    stability: Floats
    chosen: NDArray[np.bool_] = field(repr=False)
    segments: Labels = field(repr=False)
    samples: int
    logits: NDArray[np.float32] = field(repr=False)
    square: NDArray[np.uint8] = field(repr=False)
    heats: tuple[Heat, ...]

    @property
    def heat(self) -> Heat:
        """That of the first class."""
        return self.heats[0]

    def cut_out(self, order: int = 0) -> NDArray[np.uint8]:
        """The square with all but the chosen superpixels of the order-th class black, (S, S, 3) uint8."""
        return np.where(self.chosen[order][self.segments][..., None], self.square, np.uint8(0))

    def about(self, order: int = 0) -> dict[str, float | int | None]:
        """What tells whether the order-th class's map can be believed, as plain values for JSON."""
        r2, stability = float(self.r2[order]), float(self.stability[order])
        return {
            "superpixels": self.coefficients.shape[1], "samples": self.samples,
            "r2": None if np.isnan(r2) else r2, "stability": None if np.isnan(stability) else stability,
        }  # fmt: skip


def lime(
    image: Any, model: Any = "tf_efficientnet_lite0", classes: Wanted = "top:1", *,
    segments: str | NDArray[Any] = "slic", count: int = 50, samples: int | None = None, hide: str = "mean",
    seed: int = 0, positive_only: bool = False, features: int | None = None, weights: str = "package",
    device: str = "auto", progress: Progress | None = None,
) -> Lime:  # fmt: skip
    """Which superpixels of an image the probabilities of classes hang on. Several classes cost no more than one.

    image, model, weights, device: as of `explain`; runs on sequences are refused
    classes:  "top:5", a name, a number, or a list of names and numbers
    segments: slic, quickshift, felzenszwalb or grid, or (H, W) whole numbers of the image; where one of the first three
              leaves the image whole (a plain colour) or in more than 2,000 parts, it is cut by grid
    count:    superpixels that slic and grid aim at
    samples:  masks to try; default 12 for each superpixel, but from 200 to 1,000
    hide:     what stands in for a hidden superpixel: its mean colour (in whole grey levels, downwards) or black
    seed:     of the masks
    features, positive_only: show only so many superpixels, the strongest, and only those that speak for the class
    progress: called with (samples done, of how many)

    Raises InputError for an unknown class or option, fewer than two parts in given segments, or a model of sequences;
    ImageError if the image cannot be read.
    """
    given: dict[str, Value | None] = {
        "segments": segments if isinstance(segments, str) else None, "count": count, "samples": samples, "hide": hide,
        "seed": seed, "positive_only": positive_only, "features": features,
    }  # fmt: skip
    settings = _settings({name: value for name, value in given.items() if value is not None})
    subject = open_subject(model, weights=weights, device=device)
    ask = checked(ask_classes(classes, subject.classes, f"class of {subject.name}"), item_name(image))
    _refuse_sequences(subject)
    picture = read_image(image)
    size, frame = (picture.shape[0], picture.shape[1]), subject.frame((picture.shape[0], picture.shape[1]))
    labels = None if isinstance(segments, str) else fit_labels(segments, size, frame, subject.size)
    with undisturbed(subject.module):
        return _lime(subject, subject.fit(picture), ask, settings, size, subject.covered(size), labels, progress)


def by_superpixels(batch: Batch, ask: Ask, layer: str | None = None, **options: Value) -> Found:
    """LIME as one of METHODS: the images of a batch one after the other. Maps are (S, S), in units of the probability.

    options: as in OPTIONS

    Raises InputError for a layer, sequences, and as `lime` does.
    """
    subject = batch.subject
    if layer is not None:
        raise InputError("lime looks at no layer, only at the image and the score: leave the layer out")
    settings = _settings(options)
    _refuse_sequences(subject)
    side = float(subject.size)
    whole = (subject.size, subject.size), (0.0, 0.0, side, side)
    asks = asks_of(ask, len(batch))
    found = [_lime(subject, pixels.cpu(), own, settings, *whole) for pixels, own in zip(batch.pixels, asks)]
    targets = tuple(one.targets for one in found)
    maps = []
    for place in range(max(map(len, targets))):
        heats = [one.heats[min(place, len(one.heats) - 1)] for one in found]
        maps.append(Maps({"": torch.from_numpy(np.stack([heat.map for heat in heats]))}))
    return Found(torch.from_numpy(np.stack([one.logits for one in found])), targets, tuple(maps), {"": ""})


def _settings(given: dict[str, Value]) -> dict[str, Any]:
    checked = choices.check("lime", given.items(), {"lime": OPTIONS})
    return choices.settings("lime", checked, {"lime": OPTIONS})


def _refuse_sequences(subject: Subject) -> None:
    if subject.frames:
        raise InputError(
            f"lime cannot explain {subject.name}, which takes sequences: superpixels belong to one frame, and every "
            "sample would be a pass of all frames; use gradcam, which gives a map for each frame"
        )


def _lime(
    subject: Subject, pixels: Tensor, ask: Ask, settings: dict[str, Any], size: tuple[int, int],
    box: tuple[float, float, float, float], labels: Labels | None = None, progress: Progress | None = None,
) -> Lime:  # fmt: skip
    square = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    if labels is None:
        labels = _cut(square, settings["segments"], settings["count"])
    count = int(labels.max()) + 1
    masks = draw_masks(count, settings["samples"] or default_samples(count), settings["seed"])
    logits, targets, scores = score_masks(subject, square, labels, masks, ask, settings["hide"], progress)
    fitted = fit_surrogate(masks, scores)
    chosen = choose(fitted.coefficients, settings["features"], settings["positive_only"])
    shown = np.where(chosen, fitted.coefficients, 0).astype(np.float32)
    names = tuple(subject.classes[target] for target in targets)
    heats = tuple(
        Heat(shown[place][labels], float(logits[target]), float(scores[0, place]), target, names[place], "lime", "",
             size, box)
        for place, target in enumerate(targets)
    )  # fmt: skip
    return Lime(targets, names, fitted.coefficients, fitted.intercepts, fitted.r2, split_half(masks, scores), chosen,
                labels, len(masks), logits, square, heats)  # fmt: skip


def _cut(square: NDArray[np.uint8], method: str, count: int) -> Labels:
    """Its superpixels; a grid where the method leaves it whole (a plain colour) or in thousands of parts (noise)."""
    try:
        return superpixels(square, method, count)
    except InputError:
        return superpixels(square, "grid", count)


def default_samples(superpixels: int) -> int:
    """Masks that are tried unless told: 12 for each superpixel, but from 200 to 1,000."""
    return min(max(EACH * superpixels, FEWEST), MOST_BY_DEFAULT)


def draw_masks(superpixels: int, samples: int, seed: int) -> NDArray[np.uint8]:
    """(samples, superpixels) of 0 and 1 with even chances; the first row, the whole image, is 1."""
    masks = np.random.default_rng(seed).integers(0, 2, (samples, superpixels), np.uint8)
    masks[0] = 1
    return masks


def hidden_square(square: NDArray[np.uint8], labels: Labels, hide: str = "mean") -> NDArray[np.uint8]:
    """What stands in where superpixels are hidden: their mean colour, whole grey levels downwards, or black."""
    if hide == "black":
        return np.zeros_like(square)
    flat = labels.ravel()
    sums = np.stack([np.bincount(flat, square[..., channel].ravel()) for channel in range(3)], 1)
    means = np.floor(sums / np.bincount(flat)[:, None]).astype(np.uint8)
    found: NDArray[np.uint8] = means[labels]
    return found


def choose(coefficients: Floats, features: int = 0, positive_only: bool = False) -> NDArray[np.bool_]:
    """Which superpixels are shown: (C, n) of coefficients (C, n).

    features: at most so many, those of the largest absolute value; 0: all
    """
    found = coefficients > 0 if positive_only else np.ones(coefficients.shape, bool)
    if features:
        strength = np.where(found, np.abs(coefficients), -1.0)
        place = np.argsort(np.argsort(-strength, axis=1, kind="stable"), axis=1)
        found &= place < features
    return found


def score_masks(
    subject: Subject, square: NDArray[np.uint8], labels: Labels, masks: NDArray[np.uint8], ask: Ask,
    hide: str = "mean", progress: Progress | None = None,
) -> tuple[NDArray[np.float32], tuple[int, ...], Floats]:  # fmt: skip
    """The probabilities of an image with parts of it hidden.

    square: (S, S, 3); labels: (S, S); masks: (N, n), 1 where a part is shown, the first row all of them
    ->      logits of the first row (all classes,), the classes asked of it, their probabilities (N, classes asked)
    """
    logits: Tensor | None = None
    targets: tuple[int, ...] = ()
    scores, done = [], 0
    for part in _passes(subject, square, hidden_square(square, labels, hide), labels, masks):
        if logits is None:
            logits, targets = part[0].float(), tuple(int(number) for number in ask(part[0]))
        scores.append(probabilities(part.double())[:, list(targets)])
        done += len(part)
        if progress is not None:
            progress(done, len(masks))
    if logits is None:
        raise InputError("lime needs masks to score, got none")
    return logits.numpy(), targets, torch.cat(scores).numpy()


def _passes(
    subject: Subject, square: NDArray[np.uint8], hidden: NDArray[np.uint8], labels: Labels, masks: NDArray[np.uint8]
) -> Iterator[Tensor]:
    """Logits of the masks, some at a time, in order; on a CPU each core passes its own, without waiting for others."""
    from resight.features.pipeline import work_stream

    device = subject.device
    on_cpu = device.type == "cpu"
    step = CPU_BATCH if on_cpu else GPU_BATCH
    shown, covered, where = (torch.tensor(one, device=device) for one in (square, hidden, labels.astype(np.int64)))

    def cover(start: int) -> Tensor:
        keep = torch.from_numpy(masks[start : start + step].astype(bool)).to(device)
        # (b, S, S, 3) seen as (b, 3, S, S): channels last, which convolutions on a CPU take faster.
        return torch.where(keep[:, where][..., None], shown, covered).permute(0, 3, 1, 2)

    def score(parts: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return [Batch(subject, part).logits().float().cpu() for part in parts]

    for result in work_stream(range(0, len(masks), step), cover, score, chunk=1, together=on_cpu):
        yield result.vector
