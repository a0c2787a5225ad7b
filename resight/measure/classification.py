"""The scores of a classifier: probabilities of images against their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.measure.calibration import Calibration, calibration, log_loss
from resight.measure.confusion import Confusion, confusion

TOP = (1, 3, 5)


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier said of images whose class is known.

    classes: (C,)    names, C >= 2
    truth:   (N,)    class numbers, N >= 1
    scores:  (N, C)  probabilities, each row's sum is 1; kept as float32
    names:   (N,)    of the images, for lists; may be left out
    unit:    what was classified, in words: images, sequences

    Raises InputError if the shapes do not fit, a number is no class, or a score is no probability.

    >>> Classification(("cat", "dog"), np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]])).accuracy
    0.5
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    scores: NDArray[np.float32]
    names: tuple[str, ...] = ()
    unit: str = "images"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "names", tuple(self.names))
        truth, scores = np.array(self.truth), np.array(self.scores, np.float32)
        for name, array in (("truth", truth), ("scores", scores)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.classes) < 2:
            raise InputError(f"a classifier has at least 2 classes, got {len(self.classes)}")
        if scores.shape != (len(truth), len(self.classes)):
            expected = (len(truth), len(self.classes))
            raise InputError(f"expected scores {expected}, images x classes, got shape {scores.shape}")
        if self.names and len(self.names) != len(truth):
            raise InputError(f"expected {len(truth):,} names of images, got {len(self.names):,}")
        sums = scores.sum(1, dtype=np.float64)
        if not np.isfinite(sums).all() or (scores < 0).any() or (np.abs(sums - 1) > 1e-3).any():
            wrong = int(np.flatnonzero(~(np.isfinite(sums) & (scores >= 0).all(1) & (np.abs(sums - 1) <= 1e-3)))[0])
            raise InputError(f"scores must be probabilities, each row's sum 1; row {wrong} has the sum {sums[wrong]:g}")
        _ = self.confusion  # raises for labels that are no classes

    def __len__(self) -> int:
        return len(self.truth)

    def __str__(self) -> str:
        low, high = self.interval
        images = f"{len(self):,} {self.unit} of {len(self.classes):,} classes"
        return f"accuracy {self.accuracy:.4f} [{low:.4f}, {high:.4f}] on {images}, ECE {self.calibration.error:.3f}"

    def __repr__(self) -> str:
        return f"<Classification: {self}>"

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the class of the highest score; the first of equals."""
        return np.asarray(self.scores.argmax(1), np.int64)

    @cached_property
    def confusion(self) -> Confusion:
        """Counts of truth against prediction, with accuracy, balanced accuracy, precision, recall, F1."""
        return confusion(self.truth, self.predicted, self.classes)

    @property
    def accuracy(self) -> float:
        """Share of images that are right."""
        return self.confusion.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy: what chance does in a test set of this size, and nothing else."""
        return self.confusion.interval

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' recalls."""
        return self.confusion.balanced_accuracy

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' F1 scores."""
        return self.confusion.macro_f1

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """(N,) how many classes stand before the true one, 0 if it is predicted."""
        own = np.take_along_axis(self.scores, self.truth[:, None], 1)
        before = np.arange(len(self.classes)) < self.truth[:, None]
        return np.asarray(((self.scores > own) | ((self.scores == own) & before)).sum(1))

    @property
    def top_k(self) -> dict[int, float]:
        """{k: share of images whose class is among the k first}, for 1, 3 and 5 as far as there are more classes."""
        return {k: float((self.ranks < k).mean()) for k in TOP if k < len(self.classes)}

    @cached_property
    def calibration(self) -> Calibration:
        """Confidence against accuracy in 15 bins."""
        return calibration(self.scores.max(1), self.ranks == 0)

    @cached_property
    def log_loss(self) -> float:
        """Mean of -log(probability of the true class), in nats; lower is better."""
        return log_loss(self.scores, self.truth)

    def as_dict(self) -> dict[str, Any]:
        """Every score as plain values for JSON; null for what has no value."""
        head = {"classes": list(self.classes), **self.confusion.as_dict()}
        top = {str(k): value for k, value in self.top_k.items()}
        return {**head, "top_k": top, "log_loss": self.log_loss, "calibration": self.calibration.as_dict()}

    def text(self, most: int | None = 30) -> str:
        """Lines for a terminal: the scores, then a table of the classes.

        most: classes listed; of more, the ones of lowest F1; None: all
        """
        from resight.measure.classification_text import class_lines, score_lines

        return "\n".join([*score_lines(self), "", *class_lines(self.confusion, most, self.unit)])

    def save(
        self, folder: str | os.PathLike[str], about: Mapping[str, Any] | None = None,
        more: Mapping[str, bytes | str] | None = None,
    ) -> None:  # fmt: skip
        """Write results.json, results.txt, confusion.csv, predictions.csv, confusion.png and reliability.png.

        folder: appears whole or not at all; nothing may be there yet
        about:  what else belongs into results.json and results.txt: the run, the data ...
        more:   other files, {name: content}

        Raises InputError if there is something in the folder, WorkError if the disk refuses.
        """
        from resight.measure.classification_text import result_files
        from resight.show.confusion import confusion_picture
        from resight.show.folders import write_folder
        from resight.show.reliability import reliability_picture

        bins = self.calibration
        pictures = {
            "confusion.png": confusion_picture(self.confusion.counts, self.classes),
            "reliability.png": reliability_picture(
                bins.edges, bins.counts, bins.confidence, bins.accuracy, error=bins.error, unit=self.unit
            ),
        }
        write_folder(folder, {**result_files(self, about or {}), **pictures, **(more or {})})

    def _repr_png_(self) -> bytes:
        from resight.show.confusion import confusion_picture

        return confusion_picture(self.confusion.counts, self.classes)
