"""Support vector machines on a run's penultimate features: linear and RBF, chosen by cross-validation."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.examples import Example, Examples
from resight.measure.confusion import Confusion, confusion
from resight.measure.watching import Watch, unwatched
from resight.train.held_out import learn_and_test

if TYPE_CHECKING:
    from resight.train.runs import Run

COSTS = (6.0, 10.0, 100.0)
GAMMAS = (0.1, 0.5, 2.0, 4.0)
FOLDS = 5
MOST = 20_000  # training images: all pairs of them are compared, 3.2 GB

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class SvmRow:
    """One machine of the grid, and its accuracy on the training images' folds.

    kernel  "linear" or "rbf";  cost: C;  gamma: of exp(-gamma |x - y|^2), None for linear
    mean, sd  of the accuracies of the folds
    """

    kernel: str
    cost: float
    gamma: float | None
    mean: float
    sd: float

    def __str__(self) -> str:
        return f"{self.kernel} C={self.cost:g}" + ("" if self.gamma is None else f" gamma={self.gamma:g}")


@dataclass(frozen=True, eq=False)
class SvmReport:
    """What a grid of support vector machines does with the features of a run.

    rows       the whole grid, in its order;  chosen: the place of the best mean, of equals the first
    confusion  of the chosen one, fitted on all training images, on the test images
    trained, folds, width  training images, folds of the cross-validation, numbers of a feature
    skipped    (path, reason) of images of either part that could not be read
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
            "format": "resight-svm-1", "run": self.run, "data": self.data, "trained": self.trained,
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
            f"{'kernel':<8}{'C':>6}{'gamma':>8}   accuracy in {self.folds} folds of {self.trained:,} training images"
        ]
        for place, row in enumerate(self.rows):
            gamma = "" if row.gamma is None else f"{row.gamma:g}"
            mark = "  <- chosen" if place == self.chosen else ""
            lines.append(f"{row.kernel:<8}{row.cost:>6g}{gamma:>8}   {row.mean:.4f} +- {row.sd:.4f}{mark}")
        return "\n".join([
            *lines, "",
            f"{self.best}: accuracy {known.accuracy:.4f}   95 % interval {low:.4f} to {high:.4f}   "
            f"({known.right:,} of {known.total:,} images)",
            f"balanced accuracy {known.balanced_accuracy:.4f}   macro F1 {known.macro_f1:.4f}", "",
            *class_lines(known, most),
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
    allow_leak: bool = False, flips: bool = False, seed: int = 0, progress: Watch | None = None,
) -> SvmReport:  # fmt: skip
    """Fit support vector machines on the features of training images and measure the best on test images.

    data:  with parts for training and testing, of any classes; None: what the run was trained on. Without a training
           part, the run's own is fitted on
    flips: features are the mean of an image's and its mirror image's
    seed:  of the folds

    Features are scaled to length 1. Grid: linear with C in {6, 10, 100}, RBF with these and gamma in {.1, .5, 2, 4};
    5 stratified folds of the training images choose (whole groups, if there are groups). One against one, as libsvm.
    Raises InputError for data that will not do, or more than 20,000 training images; WorkError if too few images can
    be read.
    """
    train, test = learn_and_test(run, data, ignore_unknown=ignore_unknown, allow_leak=allow_leak)
    if len(train) > MOST:
        raise InputError(
            f"{test.source}: {len(train):,} training images are too many for a support vector machine, which compares "
            f"all pairs: give a CSV with at most {MOST:,}"
        )
    watch = progress or unwatched
    learned, features, skipped = _features(run, train, "training features", flips, watch)
    classes = sorted({str(item.label) for item in learned})
    _check_learned(train, classes)
    tested, asked, more = _features(run, test.items, "test features", flips, watch)
    if not tested:
        raise WorkError(f"{test.source}: none of the {len(test):,} test images can be read: {more[0][0]}: {more[0][1]}")
    labels = _numbers(learned, classes)
    folds, notes = _folds(learned, labels, seed)
    rows = tuple(_grid(features, labels, folds, watch))
    chosen = max(range(len(rows)), key=lambda place: (rows[place].mean, -place))
    best = rows[chosen]
    predicted = _fit_predict(
        kernel(features, features, best.gamma), labels, kernel(asked, features, best.gamma), best.cost
    )
    return SvmReport(
        str(run.folder), test.source, rows, chosen, confusion(_numbers(tested, classes), predicted, classes),
        len(learned), len(folds), features.shape[1], (*skipped, *more), test.left_out, (*test.notes, *notes),
    )  # fmt: skip


def kernel(one: Rows, other: Rows, gamma: float | None) -> Rows:
    """(N, D), (M, D) -> (N, M): x . y, or with gamma exp(-gamma |x - y|^2).

    >>> kernel(np.eye(2), np.eye(2), 0.5).round(4).tolist()
    [[1.0, 0.3679], [0.3679, 1.0]]
    """
    products = one @ other.T
    if gamma is None:
        return np.asarray(products)
    apart = (one * one).sum(1)[:, None] + (other * other).sum(1)[None] - 2 * products
    return np.asarray(np.exp(-gamma * np.maximum(apart, 0)))


def _grid(
    features: Rows, labels: NDArray[np.int64], folds: Sequence[tuple[Any, Any]], watch: Watch
) -> Iterator[SvmRow]:
    done = 0
    with watch("fitting", len(COSTS) * (1 + len(GAMMAS)) * len(folds), "machines") as show:
        for gamma in (None, *GAMMAS):
            pairs = kernel(features, features, gamma)
            for cost in COSTS:
                scores = []
                for fit, check in folds:
                    found = _fit_predict(pairs[np.ix_(fit, fit)], labels[fit], pairs[np.ix_(check, fit)], cost)
                    scores.append(float((found == labels[check]).mean()))
                    done += 1
                    show(done, 0)
                name = "linear" if gamma is None else "rbf"
                yield SvmRow(name, cost, gamma, float(np.mean(scores)), float(np.std(scores)))


def _fit_predict(pairs: Rows, labels: NDArray[np.int64], asked: Rows, cost: float) -> NDArray[np.int64]:
    from sklearn.svm import SVC

    machine = SVC(C=cost, kernel="precomputed", cache_size=500)
    return np.asarray(machine.fit(pairs, labels).predict(asked))


def _folds(items: Sequence[Example], labels: NDArray[np.int64], seed: int) -> tuple[list[tuple[Any, Any]], list[str]]:
    """(places to fit on, places to check) of each fold, and what is odd about them."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    grouped = any(item.group is not None for item in items)
    groups = [item.group or f"\0{place}" for place, item in enumerate(items)]
    units = Counter(label for label, _ in {*zip(labels.tolist(), groups)})
    fewest = min(units.values())
    count = max(2, min(FOLDS, fewest))
    notes = [f"{count} folds instead of {FOLDS}: the smallest class has {fewest}"] if count < FOLDS else []
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with one image, which the note tells
        folds = list(kind(count, shuffle=True, random_state=seed).split(labels, labels, groups if grouped else None))
    usable = [(fit, check) for fit, check in folds if len(check) and len(set(labels[fit].tolist())) > 1]
    if not usable:
        raise InputError(f"{len(items):,} training images in so few groups cannot be cut into folds: add some")
    return usable, notes


def _features(
    run: Run, items: Sequence[Example], verb: str, flips: bool, watch: Watch
) -> tuple[list[Example], Rows, list[tuple[str, str]]]:
    """The items that can be read, their features scaled to length 1 (N, K), and (path, reason) of the others."""
    kept, rows, skipped = [], [], []
    with watch(verb, len(items), "sequences" if run.options.sequences else "images") as show:
        results = run.features((item.path for item in items), flips=flips, progress=show)
        for item, (_, found) in zip(items, results, strict=True):
            if isinstance(found, ImageError):
                skipped.append((str(item.path), found.reason))
            else:
                kept.append(item)
                rows.append(found)
    table = np.array(rows, np.float64).reshape(len(rows), -1)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    return kept, table / np.where(length > 0, length, 1), skipped


def _numbers(items: Sequence[Example], classes: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[str(item.label)] for item in items], np.int64)


def _check_learned(train: Sequence[Example], classes: Sequence[str]) -> None:
    lost = sorted({str(item.label) for item in train} - set(classes))
    if lost or len(classes) < 2:
        raise WorkError(f"no training image of {', '.join(map(repr, lost[:5]))} can be read: bring the files back")


def _table(head: Sequence[str], rows: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
