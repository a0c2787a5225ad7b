"""Support vector machines on a run's penultimate features: linear and RBF, chosen by cross-validation."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.examples import Example, Examples
from resight.measure.confusion import Confusion, confusion
from resight.measure.watching import Watch, unwatched
from resight.train.held_out import learn_and_test
from resight.train.inputs import mirror_notes, why_not
from resight.train.svm_grid import (
    COSTS,
    GAMMAS,
    Rows,
    SvmRow,
    checked_values,
    cut_folds,
    fit_predict,
    kernel,
    try_grid,
)

if TYPE_CHECKING:
    from resight.train.runs import Run

MOST = 20_000  # training images: all pairs of them are compared, 3.2 GB


@dataclass(frozen=True, eq=False)
class SvmReport:
    """What a grid of support vector machines does with the features of a run.

    rows       the whole grid, in its order;  chosen: the place of the best mean, of equals the first
    confusion  of the chosen one, fitted on all training images, on the test images
    trained, folds, width  training images, folds of the cross-validation, numbers of a feature
    skipped    (path, reason) of images of either part that could not be read
    unit       what is classified: images or sequences
    """

    run: str
    data: str
    rows: tuple[SvmRow, ...]
    chosen: int
    confusion: Confusion
    trained: int
    folds: int
    width: int
    skipped: tuple[tuple[str, str], ...] = ()
    left_out: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()
    unit: str = "images"

    @property
    def best(self) -> SvmRow:
        """The machine that was chosen, on training images alone."""
        return self.rows[self.chosen]

    def __str__(self) -> str:
        low, high = self.confusion.interval
        return (
            f"{self.best}: accuracy {self.confusion.accuracy:.4f} [{low:.4f}, {high:.4f}] on {self.confusion.total:,}"
        )

    def __repr__(self) -> str:
        return f"<SvmReport of {self.run!r}: {self}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": "resight-svm-1", "run": self.run, "data": self.data, "unit": self.unit, "trained": self.trained,
            "folds": self.folds, "features": self.width, "grid": [asdict(row) for row in self.rows],
            "chosen": asdict(self.best), "classes": list(self.confusion.classes), **self.confusion.as_dict(),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "left_out": dict(self.left_out or {}), "notes": list(self.notes),
        }  # fmt: skip

    def text(self, most: int | None = 30) -> str:
        """Lines for a terminal: the grid, the chosen one on the test images, its classes (at most so many)."""
        from resight.measure.classification_text import class_lines

        known = self.confusion
        low, high = known.interval
        lines = [
            f"{'kernel':<8}{'C':>8}{'gamma':>8}   accuracy in {self.folds} folds of {self.trained:,} training "
            f"{self.unit}: mean +- standard deviation"
        ]
        for place, row in enumerate(self.rows):
            gamma = "" if row.gamma is None else f"{row.gamma:g}"
            mark = "  <- chosen" if place == self.chosen else ""
            lines.append(f"{row.kernel:<8}{row.cost:>8g}{gamma:>8}   {row.mean:.4f} +- {row.sd:.4f}{mark}")
        return "\n".join([
            *lines, "",
            f"{self.best}: accuracy {known.accuracy:.4f}   95 % interval {low:.4f} to {high:.4f}   "
            f"({known.right:,} of {known.total:,} {self.unit})",
            f"balanced accuracy {known.balanced_accuracy:.4f}   macro F1 {known.macro_f1:.4f}", "",
            *class_lines(known, most, self.unit),
        ])  # fmt: skip

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write results.json, results.txt, grid.csv, confusion.csv, confusion.png and skipped.csv: all or nothing.

        Raises InputError if there is something in the folder, WorkError if the disk refuses.
        """
        import json

        from resight.measure.classification_text import confusion_csv
        from resight.show.confusion import confusion_picture
        from resight.show.folders import write_folder

        head = f"run: {self.run}\ndata: {self.data}\n\n"
        texts = {
            "results.json": json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n",
            "results.txt": head + self.text(None) + "\n",
            "grid.csv": _table(["kernel", "C", "gamma", "mean", "sd"], (asdict(row).values() for row in self.rows)),
            "confusion.csv": confusion_csv(self.confusion),
            "skipped.csv": _table(["path", "reason"], self.skipped),
        }
        files: dict[str, bytes | str] = {n: text.encode("utf-8", "backslashreplace") for n, text in texts.items()}
        files["confusion.png"] = confusion_picture(self.confusion.counts, self.confusion.classes)
        write_folder(folder, files)


def svm_run(
    run: Run, data: str | os.PathLike[str] | Examples | None = None, *, ignore_unknown: bool = False,
    allow_leak: bool = False, flips: bool = False, costs: Sequence[float] = COSTS, gammas: Sequence[float] = GAMMAS,
    seed: int = 0, progress: Watch | None = None,
) -> SvmReport:  # fmt: skip
    """Fit support vector machines on the features of training images and measure the best on test images.

    data:   with parts for training and testing, of any classes; None: what the run was trained on. Without a training
            part, the run's own is fitted on
    flips:  features are the mean of an image's and its mirror image's
    costs:  values of C, each tried with a linear kernel and with an RBF of each gamma, values above 0
    gammas: may be none
    seed:   of the folds

    Features are what the run's last layer sees (`Run.features`), scaled to length 1. 5 stratified folds of the training
    images choose, whole groups if there are groups. One against one, as libsvm.
    Raises InputError for data or values that will not do, or more than 20,000 training images; WorkError if too few
    images can be read.
    """
    costs, gammas = checked_values("C", costs, 1), checked_values("gamma", gammas, 0)
    train, test = learn_and_test(run, data, ignore_unknown=ignore_unknown, allow_leak=allow_leak)
    if len(train) > MOST:
        raise InputError(
            f"{test.source}: {len(train):,} training {run.unit} are too many for a support vector machine, which "
            f"compares all pairs: give a CSV with at most {MOST:,}"
        )
    watch = progress or unwatched
    learned, features, skipped = _features(run, train, "training features", flips, watch)
    classes = sorted({str(item.label) for item in learned})
    _check_learned(train, classes, run.unit)
    tested, asked, more = _features(run, test.items, "test features", flips, watch)
    if not tested:
        raise WorkError(
            f"{test.source}: none of the {len(test):,} test {run.unit} can be read: {more[0][0]}: {more[0][1]}"
        )
    labels = _numbers(learned, classes)
    folds, notes = cut_folds(learned, labels, seed)
    rows = tuple(try_grid(features, labels, folds, costs, gammas, watch))
    chosen = max(range(len(rows)), key=lambda place: (rows[place].mean, -place))
    best = rows[chosen]
    predicted = fit_predict(
        kernel(features, features, best.gamma), labels, kernel(asked, features, best.gamma), best.cost
    )
    return SvmReport(
        str(run.folder), test.source, rows, chosen, confusion(_numbers(tested, classes), predicted, classes),
        len(learned), len(folds), features.shape[1], (*skipped, *more), test.left_out,
        (*test.notes, *notes, *mirror_notes(run.options, flips)), run.unit,
    )  # fmt: skip


def _features(
    run: Run, items: Sequence[Example], verb: str, flips: bool, watch: Watch
) -> tuple[list[Example], Rows, list[tuple[str, str]]]:
    """The items that can be read, their features scaled to length 1 (N, K), and (path, reason) of the others."""
    kept, rows, skipped = [], [], []
    with watch(verb, len(items), run.unit) as show:
        results = run.features((item.path for item in items), flips=flips, progress=show)
        for item, (_, found) in zip(items, results, strict=True):
            if isinstance(found, ImageError):
                skipped.append((str(item.path), why_not(found, item.path)))
            else:
                kept.append(item)
                rows.append(found)
    table = np.array(rows, np.float64).reshape(len(rows), -1)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    return kept, table / np.where(length > 0, length, 1), skipped


def _numbers(items: Sequence[Example], classes: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[str(item.label)] for item in items], np.int64)


def _check_learned(train: Sequence[Example], classes: Sequence[str], unit: str) -> None:
    lost = sorted({str(item.label) for item in train} - set(classes))
    if lost:
        raise WorkError(f"no training {unit} of {', '.join(map(repr, lost[:5]))} can be read: bring the files back")


def _table(head: Sequence[str], rows: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
