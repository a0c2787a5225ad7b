"""What was taken for what: counts of truth against prediction, and the scores that follow from them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.measure.proportion import wilson_interval

Shares = NDArray[np.float64]
Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of images by true and predicted class.

    classes: (C,)    names
    counts:  (C, C)  rows truth, columns predicted

    What has no value is NaN: recall and F1 of a class without images, precision of one that is never predicted. Means
    over classes are over those that have images.
    Raises InputError if the shapes do not fit, names repeat, a count is negative or there is no image.

    >>> Confusion(("cat", "dog"), np.array([[3, 1], [0, 2]]))
    <Confusion: 5 of 6 right (83.3 %), 2 classes>
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        counts = np.array(self.counts)
        counts.setflags(write=False)
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "counts", counts)
        number = len(self.classes)
        if counts.shape != (number, number) or counts.dtype.kind not in "iu" or (counts < 0).any():
            raise InputError(f"expected counts (C, C) for {number} classes, got {counts.dtype} of shape {counts.shape}")
        if len(set(self.classes)) < number:
            raise InputError(f"a class is named twice among {number:,}")
        if not counts.sum():
            raise InputError("no image was tested: there is nothing to score")

    def __repr__(self) -> str:
        share = f"{self.right:,} of {self.total:,} right ({100 * self.accuracy:.1f} %)"
        return f"<Confusion: {share}, {len(self.classes)} classes>"

    @property
    def total(self) -> int:
        """Images."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """Images whose class was predicted."""
        return int(np.trace(self.counts))

    @property
    def support(self) -> NDArray[np.int64]:
        """(C,) images of each class."""
        return np.asarray(self.counts.sum(1))

    @property
    def accuracy(self) -> float:
        """Share of images that are right."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, see `wilson_interval`."""
        return wilson_interval(self.right, self.total)

    @property
    def recall(self) -> Shares:
        """(C,) share of each class's images that are predicted as it."""
        return _divide(np.diag(self.counts), self.support)

    @property
    def precision(self) -> Shares:
        """(C,) share of the images predicted as each class that are of it."""
        return _divide(np.diag(self.counts), self.counts.sum(0))

    @property
    def f1(self) -> Shares:
        """(C,) harmonic mean of precision and recall: 2 right / (images + predicted); 0 for a class never predicted."""
        scores = _divide(2 * np.diag(self.counts), self.support + self.counts.sum(0))
        return np.where(self.support > 0, scores, np.nan)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls: each class counts as much as another."""
        return float(np.nanmean(self.recall))

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 scores."""
        return float(np.nanmean(self.f1))

    @property
    def shares(self) -> Shares:
        """(C, C) counts divided by their row's sum; NaN in rows without images."""
        return _divide(self.counts, self.support[:, None])

    def mistakes(self, most: int) -> list[tuple[str, str, int]]:
        """(truth, predicted, images) of the most frequent mistakes, most frequent first."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        rows, columns = np.unravel_index(order, wrong.shape)
        return [
            (self.classes[row], self.classes[column], int(wrong[row, column]))
            for row, column in zip(rows, columns)
            if wrong[row, column]
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null for what has no value."""
        per_class = zip(self.classes, self.support.tolist(), self.precision, self.recall, self.f1)
        return {
            "images": self.total,
            "right": self.right,
            "accuracy": self.accuracy,
            "accuracy_95": list(self.interval),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "per_class": [
                {"class": name, "images": images, "precision": _plain(p), "recall": _plain(r), "f1": _plain(f)}
                for name, images, p, r, f in per_class
            ],
            "confusion": self.counts.tolist(),
        }


def confusion(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: Sequence[str]
) -> Confusion:
    """The counts of truth against prediction.

    truth, predicted: (N,)  class numbers, 0 .. C - 1
    classes:          (C,)  names

    Raises InputError if a number is no class, the lengths differ or there is no image.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ("cat", "dog")).counts.tolist()
    [[1, 1], [0, 1]]
    """
    number = len(classes)
    rows, columns = np.asarray(truth), np.asarray(predicted)
    for name, values in (("truth", rows), ("predicted", columns)):
        if values.ndim != 1 or len(values) != len(rows) or (len(values) and values.dtype.kind not in "iu"):
            raise InputError(f"{name} must be class numbers (N,), as many as images, got shape {values.shape}")
        if len(values) and (values.min() < 0 or values.max() >= number):
            raise InputError(f"{name} must be class numbers 0 .. {number - 1}, got {values.min()} .. {values.max()}")
    flat = rows.astype(np.int64) * number + columns.astype(np.int64)
    return Confusion(tuple(classes), np.bincount(flat, minlength=number * number).reshape(number, number))


def _divide(above: NDArray[Any], below: NDArray[Any]) -> Shares:
    below = np.broadcast_to(below, above.shape)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
