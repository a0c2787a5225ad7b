"""K-fold validation: K runs, each validated on another K-th of the data."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from resight.errors import InputError
from resight.images.examples import Examples
from resight.train.classifier import Listener, train_one
from resight.train.groups import grouped
from resight.train.options import TrainOptions
from resight.train.plan import Plan, rank
from resight.train.run_files import RECORD, write_text
from resight.train.runs import Run
from resight.train.splits import split_examples

SUMMARY = "folds.json"


@dataclass(frozen=True, eq=False)
class FoldedRuns:
    """The runs of a K-fold validation.

    folder      where they are, as fold-1, fold-2 ...
    accuracies  of each fold's validation images after its last epoch, so that none is chosen by what it is measured on
    """

    folder: Path
    runs: tuple[Run, ...]
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy of the folds."""
        return statistics.fmean(self.accuracies)

    @property
    def sd(self) -> float:
        """Standard deviation of the folds' accuracies (over K - 1)."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else math.nan

    def __str__(self) -> str:
        return f"{len(self.runs)} folds: validation accuracy {self.mean:.3f} +- {self.sd:.3f}"

    __repr__ = __str__


def train_folds(
    examples: Examples, options: TrainOptions, out: Path, folds: int, *, resume: bool, listener: Listener,
    asked: TrainOptions | None = None,
) -> FoldedRuns:  # fmt: skip
    """Train `folds` runs into out/fold-1 ...; arguments as of `train_classifier`, options filled in;
    asked: before they were, see `Plan`.

    With resume, folds that have finished are not trained again. Raises InputError if a fold cannot be cut, or `out` is
    there already and resume is not asked for.
    """
    if rank(options) == 0 and out.exists() and not resume and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and is not overwritten: choose another --out, or --resume to go on")
    if rank(options) == 0 and (out / RECORD).exists():
        raise InputError(f"{out} holds a single run: choose another --out for folds")
    plans = []
    for number in range(folds):
        split = split_examples(grouped(examples, options), validation=options.validation, test=options.test,
                               seed=options.seed, folds=folds, fold=number)  # fmt: skip
        plans.append(Plan(examples, split, options, out / f"fold-{number + 1}", number + 1, folds, asked))
    runs = tuple(train_one(plan, resume=resume, listener=listener) for plan in plans)
    found = FoldedRuns(out, runs, tuple(float(run.record["last"]["val_accuracy"]) for run in runs))
    if rank(options) == 0:
        chosen = [run.record["best"]["val_accuracy"] for run in runs]
        write_text(out / SUMMARY, json.dumps({
            "format": "resight-folds-1", "folds": folds, "accuracies": found.accuracies, "mean": found.mean,
            "sd": found.sd, "best_epochs": {"accuracies": chosen, "note": "chosen on the same images: a little high"},
        }, indent=1) + "\n")  # fmt: skip
    return found
