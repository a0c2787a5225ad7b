"""A study: the same data, several kinds of network, several seeds; each run trained, tested and kept.

    OUT/data/seed-0.csv       the images of a seed, if the study takes a share of them
    OUT/runs/ROW/seed-0-KEY/  a run, as `train_classifier` leaves it; KEY: of all that decides its training
    .../study.json            what was measured on it: that the cell is finished

Run again, it goes on where it was stopped; what is finished is read back if nothing that decides it has changed, and a
row with other options is trained into another folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from resight.errors import InputError
from resight.images.examples import Example, Examples, read_examples
from resight.images.lines import read_bytes_of
from resight.measure.watching import Watch
from resight.tables.atomic import AtomicFiles
from resight.train.options import TrainOptions
from resight.train.study_config import Study

if TYPE_CHECKING:
    from resight.train.checkpoints import Report
    from resight.train.runs import Run

LIMIT = 2**20  # bytes of a finished cell's measurements


@dataclass(frozen=True)
class Cell:
    """One run of a study, as measured on the test images.

    accuracy, balanced, macro_f1   shares in 0..1
    perturbed                      {perturbation: accuracy}
    reused                         finished before
    """

    row: str
    seed: int
    folder: str
    accuracy: float
    balanced: float
    macro_f1: float
    validation: float | None
    perturbed: dict[str, float]
    tested: int
    trained: int
    skipped: int
    train_seconds: float
    reused: bool = False

    def __str__(self) -> str:
        changes = "".join(f", {name} {value:.3f}" for name, value in self.perturbed.items())
        return f"{self.row}, seed {self.seed}: accuracy {self.accuracy:.3f}{changes}"


def run_study(
    study: Study, *, device: str = "auto", announce: Callable[[str], None] | None = None, report: Report | None = None,
    progress: Watch | None = None,
) -> Iterator[Cell]:  # fmt: skip
    """The cells of a study, seed by seed and row by row, as they are finished.

    announce: is called with "row, seed n" before each run; report, progress: as `train_classifier` takes them

    Raises InputError if the data has no test part, WorkError if a run fails; those before it are kept.
    """
    examples = read_examples(study.data, sequences=study.sequences)
    if not any(item.part == "test" for item in examples.items):
        raise InputError(
            f"{study.data}: a study needs a test part: folders train and test, or a CSV with a column split"
        )
    for seed in study.seeds:
        source = _source(study, examples, seed)
        for row, options in study.rows:
            chosen = replace(options, seed=seed, device=device)
            trained = _key(examples.digest, study.train_images, study.test_images, _deciding(chosen))
            folder = Path(study.out) / "runs" / row / f"seed-{seed}-{trained[:8]}"
            key = _key(trained, study.perturb)
            known = _known(folder, key)
            if known is None:
                if announce is not None:
                    announce(f"{row}, seed {seed}")
                known = _measure(study, row, seed, folder, source, chosen, key, report, progress)
            yield known


def _measure(
    study: Study, row: str, seed: int, folder: Path, source: Path, options: TrainOptions, key: str,
    report: Report | None, progress: Watch | None,
) -> Cell:  # fmt: skip
    from resight.train.classifier import train_classifier
    from resight.train.testing import test_run

    made = train_classifier(source, folder, options, resume=folder.exists(), report=report, progress=progress)
    run = cast("Run", made)  # without folds it is one
    result = test_run(run, source, part="test", perturbations=study.perturb, progress=progress)
    scores = result.classification
    best = run.record["best"]["val_accuracy"]
    cell = Cell(
        row, seed, str(folder), float(scores.accuracy), float(scores.balanced_accuracy), float(scores.macro_f1),
        None if best is None else float(best), {name: float(value) for name, value in result.perturbed.items()},
        len(scores.truth), int(run.record["split"]["train"]), len(result.skipped), float(run.record["seconds"]),
    )  # fmt: skip
    with AtomicFiles() as files:
        files.open(folder / "study.json").write(json.dumps({"key": key, **asdict(cell)}, indent=1).encode())
    return cell


def _known(folder: Path, key: str) -> Cell | None:
    file = folder / "study.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(read_bytes_of(file, LIMIT))
        if content.pop("key") != key:
            return None
        return replace(Cell(**content), folder=str(folder), reused=True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged: measured again


def _deciding(options: TrainOptions) -> dict[str, object]:
    """All options but the machine's."""
    return {name: value for name, value in options.as_dict().items() if name not in ("device", "devices", "workers")}


def _key(*said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _source(study: Study, examples: Examples, seed: int) -> Path:
    """The data itself, or a CSV of the share of it that this seed takes."""
    if not study.train_images and not study.test_images:
        return Path(study.data)
    chosen = share(examples, study.train_images, study.test_images, seed)
    file = Path(study.out) / "data" / f"seed-{seed}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", "group"])
    here = file.parent.resolve()
    writer.writerows(
        [os.path.relpath(item.path, here), item.label, item.part or "train", item.group or ""] for item in chosen
    )
    data = text.getvalue().encode("utf-8", "surrogateescape")
    if not file.is_file() or file.read_bytes() != data:
        with AtomicFiles() as files:
            files.open(file).write(data)
    return file


def share(examples: Examples, train: int, test: int, seed: int) -> list[Example]:
    """Some examples of each class, in their order.

    train: how many of each class outside the test part, drawn by the seed; test: of the test part, always the same;
           0: all

    A class with fewer gives all that it has.
    """
    found: dict[tuple[bool, str | None], list[Example]] = defaultdict(list)
    for item in examples.items:
        found[item.part == "test", item.label].append(item)
    taken: set[Path] = set()
    for (tested, label), items in found.items():
        count = test if tested else train
        dice = random.Random(f"{0 if tested else seed} {tested} {label}")
        taken.update(item.path for item in (dice.sample(items, min(count, len(items))) if count else items))
    return [item for item in examples.items if item.path in taken]
