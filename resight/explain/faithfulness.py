"""Does a map show what the network looks at: the class's probability when parts of the image go or come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError
from resight.explain.heat import place_map
from resight.explain.listening import undisturbed
from resight.explain.removal import NOISE, Pixels, black, exchange, filled, impute, removal_ranks
from resight.explain.subject import Subject
from resight.explain.work import Batch, items_per_pass, probabilities

Scorer = Callable[[Sequence[Pixels]], NDArray[np.float64]]
"""Images (S, S, 3) -> (n,) a probability of each."""
STEPS = 14
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, eq=False)
class Curve:
    """A probability along the way from one image to another.

    fractions  (n + 1,) 0 ... 1, how much of the image was exchanged
    scores     (n + 1,) the probability then
    """

    fractions: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Under the curve, by the trapezoid rule: the mean probability along the way."""
        return float((np.diff(self.fractions) * (self.scores[1:] + self.scores[:-1]) / 2).sum())


@dataclass(frozen=True, eq=False)
class Road:
    """The probability after a share of an image was removed and imputed.

    fractions  (n,) how much was removed
    most       (n,) the probability without the places of highest value
    least      (n,) without those of lowest value
    """

    fractions: NDArray[np.float64]
    most: NDArray[np.float64]
    least: NDArray[np.float64]

    @property
    def gain(self) -> float:
        """Half of what `least` keeps more than `most`, the mean over the fractions: in [-0.5, 0.5], 0 by chance."""
        return float((self.least - self.most).mean() / 2)


def class_scorer(subject: Subject, target: int, batch: int | None = None) -> Scorer:
    """A function from images fitted to a network to the probability of one class.

    batch: images of a pass; default: by the machine
    """
    step = batch or items_per_pass(subject)

    def score(images: Sequence[Pixels]) -> NDArray[np.float64]:
        found = []
        with undisturbed(subject.module), torch.no_grad():
            for start in range(0, len(images), step):
                part = torch.from_numpy(np.stack(images[start : start + step])).permute(0, 3, 1, 2).contiguous()
                logits = Batch(subject, part.to(subject.device)).logits()
                found.append(probabilities(logits.cpu().double())[:, target])
        return torch.cat(found).numpy() if found else np.empty(0)

    return score


def deletion(
    image: Pixels, values: NDArray[Any], score: Scorer, *, steps: int = STEPS, filling: str = "mean",
    cells: int | None = None, whole: float | None = None,
) -> Curve:  # fmt: skip
    """The class's probability while the places of highest value are taken away first. A low area is good.

    image:   (S, S, 3) as the network takes it; values: (h, w) a map over it
    steps:   in how many equal parts; each costs a forward pass
    filling: what stands where something is gone: mean (colour), blur or black
    cells:   see `removal_ranks`
    whole:   the probability of the image itself, if it is known: one pass less

    Petsiuk 2018, section 3.3. What is left of a hole's shape can itself speak for a class: see `road`.
    Raises InputError for less than one step or an unknown filling.
    """
    return _way(image, filled(image, filling), removal_ranks(values, image.shape[0], cells), score, steps, whole)


def insertion(
    image: Pixels, values: NDArray[Any], score: Scorer, *, steps: int = STEPS, filling: str = "blur",
    cells: int | None = None, whole: float | None = None,
) -> Curve:  # fmt: skip
    """The class's probability while the places of highest value are brought back first. A high area is good.

    The image starts as its filling, a blur. The rest is as in `deletion`. Petsiuk 2018, section 3.3.
    """
    ranks = removal_ranks(values, image.shape[0], cells)
    return _way(filled(image, filling), image, ranks, score, steps, None, whole)


def _way(
    before: Pixels, after: Pixels, ranks: NDArray[np.float64], score: Scorer, steps: int,
    first: float | None = None, last: float | None = None,
) -> Curve:  # fmt: skip
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    fractions = np.arange(steps + 1) / steps
    asked = slice(int(first is not None), steps + 1 - int(last is not None))
    scores = np.empty(steps + 1)
    if first is not None:
        scores[0] = first
    if last is not None:
        scores[-1] = last
    scores[asked] = score([exchange(before, after, ranks, fraction) for fraction in fractions[asked]])
    return Curve(fractions, scores)


def drop(
    image: Pixels, values: NDArray[Any], score: Scorer, whole: float | None = None
) -> tuple[float, float]:  # fmt: skip
    """What the class loses when only the map's places are shown: (drop, increase).

    drop:     the share of the probability that is lost, 0 if it grows; its mean is the average drop. Low is good
    increase: 1 if the probability grows, else 0; its mean is the average increase. High is good

    The image is multiplied with the positive part of the map over its maximum. Chattopadhay 2018, eq. 12 and 13.
    A map that shows everything loses nothing: beside "uniform" the drop says how much a map leaves out, not more.
    """
    shown = np.maximum(place_map(values, image.shape[:2], (0, 0, image.shape[1], image.shape[0])), 0)
    top = float(shown.max())
    part = np.rint(image * (shown / top)[..., None]).astype(np.uint8) if top > 0 else black(image)
    before = float(score([image])[0]) if whole is None else whole
    after = float(score([part])[0])
    return (max(0.0, before - after) / before if before > 0 else 0.0), float(after > before)


def road(
    image: Pixels, values: NDArray[Any], score: Scorer, *, fractions: Sequence[float] = FRACTIONS,
    cells: int | None = None, noise: float = NOISE, seed: int = 0,
) -> Road:  # fmt: skip
    """The class's probability without the places of highest, and of lowest, value; holes are imputed.

    fractions: how much is removed, each between 0 and 1; two passes each
    others:    see `deletion` and `impute`

    Rong 2022; like its authors on the network's input, but with probabilities, as one image has no accuracy.
    Raises InputError for a fraction that is not between 0 and 1.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not shares.size or not ((shares > 0) & (shares < 1)).all():
        raise InputError(f"fractions must be between 0 and 1, at least one, got {list(fractions)}")
    ranks = removal_ranks(values, image.shape[0], cells)
    back = ranks.max() - ranks  # what went last goes first; the difference may end a bit below its share
    images = [impute(image, order < share - 1e-9, noise, seed) for order in (ranks, back) for share in shares]
    scores = score(images)
    return Road(shares, scores[: len(shares)], scores[len(shares) :])
