"""What happened in each epoch of a training: losses, accuracies, learning rates, times."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.rows import read_rows

COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "images")
SCORES = {"accuracy": "accuracy", "iou": "IoU", "map": "mAP"}  # what an epoch is judged by, and how it is written
MOST_EPOCHS = 100_000


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    epoch           from 1
    train_loss      mean of what was minimised (with smoothing and class weights, on augmented images)
    train_accuracy  of the same images, while they were learned from; in 0..1
    val_loss        mean cross-entropy of the validation images, NaN without validation
    val_accuracy    of the validation images, NaN without validation
    lr              learning rate of the last step
    seconds         training and validation together
    images          training images (or sequences) seen
    score           what the two accuracies are, a key of SCORES; iou: mean IoUs of masks, in columns train_iou, val_iou
                    (map: mean average precisions; train_map is of a sample before the epoch, NaN if not known)
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images: int
    score: str = "accuracy"

    def as_dict(self) -> dict[str, Any]:
        """The columns of metrics.csv by name."""
        return {column: getattr(self, name) for name, column in zip(COLUMNS, columns(self.score), strict=True)}


def columns(score: str) -> tuple[str, ...]:
    """The columns of metrics.csv for epochs judged by a key of SCORES.

    >>> columns("iou")[1:5]
    ('train_loss', 'train_iou', 'val_loss', 'val_iou')
    """
    return tuple(name.replace("accuracy", score) for name in COLUMNS)


@dataclass(frozen=True)
class EpochLine:
    """What is told after an epoch.

    epoch, epochs     its number, from 1, and how many there will be
    loss, train       of the training images: mean loss, accuracy
    val               accuracy of the validation images, NaN without
    best, best_epoch  the best of it so far
    lr                learning rate of the last step
    seconds, per_second  of this epoch: how long it took, and how many images it trained on a second
    left              seconds until the last epoch ends, at this pace
    unit              images or sequences
    """

    epoch: int
    epochs: int
    loss: float
    train: float
    val: float
    best: float
    best_epoch: int
    lr: float
    seconds: float
    per_second: float
    left: float
    unit: str = "images"


@dataclass(frozen=True, eq=False)
class History:
    """The epochs of a training, in order."""

    epochs: tuple[Epoch, ...]

    def __post_init__(self) -> None:
        numbers = [one.epoch for one in self.epochs]
        if numbers != list(range(1, len(numbers) + 1)):
            raise InputError(f"expected epochs 1, 2, 3 ..., got {numbers[:6]}")

    def __len__(self) -> int:
        return len(self.epochs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and repr(self.epochs) == repr(other.epochs)  # NaN equals NaN

    def __hash__(self) -> int:
        return hash(repr(self.epochs))

    def __str__(self) -> str:
        best = self.best
        if best is None:
            return "no epoch yet"
        return f"{len(self)} epochs, {_score(best)} in epoch {best.epoch}"

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights are kept; None before the first has ended.

        The one with the most validation images right, of several the one with the lowest validation loss; without
        validation the last.
        """
        best: Epoch | None = None
        for one in self.epochs:
            if best is None or is_better(one, best):
                best = one
        return best

    @property
    def score(self) -> str:
        """What its epochs are judged by, a key of SCORES."""
        return self.epochs[0].score if self.epochs else "accuracy"

    def waited(self) -> int:
        """Epochs since the best one."""
        return len(self) - self.best.epoch if self.best else 0

    def line(self, epochs: int, unit: str = "images") -> EpochLine:
        """What is told of the last epoch, of `epochs`. Raises InputError if there is none yet."""
        best = self.best
        if best is None:
            raise InputError("no epoch has ended yet")
        last = self.epochs[-1]
        return EpochLine(
            last.epoch, epochs, last.train_loss, last.train_accuracy, last.val_accuracy, best.val_accuracy, best.epoch,
            last.lr, last.seconds, last.images / max(last.seconds, 1e-9), (epochs - last.epoch) * last.seconds,
            unit,
        )  # fmt: skip

    def column(self, name: str) -> tuple[float, ...]:
        """One value an epoch: a name of COLUMNS."""
        return tuple(getattr(one, name) for one in self.epochs)

    def text(self) -> str:
        """metrics.csv: a row for each epoch; no validation is an empty cell."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns(self.score))
        for one in self.epochs:
            writer.writerow(["" if value != value else value for value in one.as_dict().values()])
        return out.getvalue()

    def plot(self, file: str | os.PathLike[str]) -> None:
        """Write the curves as a PNG."""
        from resight.show.curves import curves_picture
        from resight.show.files import write_atomic

        validated = any(not math.isnan(value) for value in self.column("val_loss"))
        parts = ("train", "val") if validated else ("train",)
        scores = {part: self.column(f"{part}_accuracy") for part in parts}
        picture = curves_picture(
            self.column("epoch"), {part: self.column(f"{part}_loss") for part in parts},
            {part: values for part, values in scores.items() if not all(map(math.isnan, values))} or scores,
            self.column("lr"),
            best=self.best.epoch if self.best and validated else None, score=SCORES[self.score],
        )  # fmt: skip
        write_atomic(file, picture)


def is_better(one: Epoch, other: Epoch) -> bool:
    """Whether `one`, the later, is to be kept instead of `other`.

    >>> first = Epoch(1, 1.0, 0.5, 0.4, 0.9, 1e-3, 1.0, 10)
    >>> is_better(Epoch(2, 1.0, 0.5, 0.3, 0.9, 1e-3, 1.0, 10), first)
    True
    """
    if math.isnan(one.val_accuracy):
        return True
    return (one.val_accuracy, -one.val_loss) > (other.val_accuracy, -other.val_loss)


def make_history(rows: Sequence[Mapping[str, Any]]) -> History:
    """The history of rows with the keys COLUMNS, or those of another score. Raises InputError for something else."""
    score = next((one for one in SCORES if rows and f"val_{one}" in rows[0]), "accuracy")
    kinds = dict(zip(columns(score), _KINDS.values(), strict=True))
    try:
        values = [[kind(row[name]) for name, kind in kinds.items()] for row in rows]
        return History(tuple(Epoch(**dict(zip(_KINDS, some, strict=True)), score=score) for some in values))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected rows with {', '.join(COLUMNS)}: {error}") from error


def read_history(file: str | os.PathLike[str], score: str = "accuracy") -> History:
    """The history in a metrics.csv; score: what its epochs are judged by, a key of SCORES.

    Raises InputError, naming the line, if it is missing or something else.
    """
    rows: list[dict[str, Any]] = []
    kinds = dict(zip(columns(score), _KINDS.values(), strict=True))
    for line, row in read_rows(Path(file), columns(score)):
        if len(rows) >= MOST_EPOCHS:
            raise InputError(f"{file}: more than {MOST_EPOCHS:,} epochs")
        try:
            rows.append({name: kind(row[name] or "nan") for name, kind in kinds.items()})
        except ValueError as error:
            raise InputError(f"{file}, line {line}: {error}") from error
    return make_history(rows)


def _score(one: Epoch) -> str:
    if math.isnan(one.val_accuracy):
        return f"loss {one.train_loss:.3f}"
    return f"validation {SCORES[one.score]} {one.val_accuracy:.3f}"


_KINDS: dict[str, Any] = {one.name: int if one.type == "int" else float for one in fields(Epoch) if one.name in COLUMNS}
