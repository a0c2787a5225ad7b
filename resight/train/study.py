"""A study: the same data, several kinds of network, several seeds; each run trained, tested and kept.

    OUT/study.json            what was asked
    OUT/data/seed-0.csv       the images of a seed, if the study takes a share of them
    OUT/runs/ROW/seed-0-KEY/  a run, as `train_classifier` leaves it; KEY: of all that decides its training
    .../study.json            what was measured on it: that the cell is finished; validation.json: without a test

Run again, it goes on where it was stopped; what is finished is read back if nothing that decides it has changed, and a
row with other options is trained into another folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_type_hints

from resight.errors import InputError, WorkError
from resight.images.examples import Examples, read_examples
from resight.images.lines import read_bytes_of
from resight.measure.watching import Watch
from resight.tables.atomic import AtomicFiles
from resight.train.options import TrainOptions, resolved
from resight.train.run_folders import NOT_DECIDING, check_outside
from resight.train.study_config import Study
from resight.train.study_data import check_parts, shortages, write_source
from resight.train.study_folder import check_own, own_folder

if TYPE_CHECKING:
    from resight.train.checkpoints import Report
    from resight.train.runs import Run

LIMIT = 2**20  # bytes of a finished cell's measurements


@dataclass(frozen=True)
class Cell:
    """One run of a study, as measured.

    accuracy, balanced, macro_f1   on the test images, shares in 0..1; None: not tested
    validation                     accuracy of the best epoch; None: there was no validation
    perturbed                      {perturbation: accuracy}
    tested, trained, validated     images of each part;  skipped  test images that could not be read
    epochs, parameters, size       trained; of the network; its images' side in pixels
    reused                         finished before
    """

    row: str
    seed: int
    folder: str
    accuracy: float | None
    balanced: float | None
    macro_f1: float | None
    validation: float | None
    perturbed: dict[str, float]
    tested: int
    trained: int
    validated: int
    skipped: int
    epochs: int
    parameters: int
    size: int
    train_seconds: float
    reused: bool = False

    def __str__(self) -> str:
        name = f"{self.row}, seed {self.seed}"
        if self.accuracy is None:
            return f"{name}: validation accuracy {self.validation or 0:.3f}"
        changes = "".join(f", {name} {value:.3f}" for name, value in self.perturbed.items())
        return f"{name}: accuracy {self.accuracy:.3f}{changes}"


@dataclass(frozen=True)
class Failure:
    """One run of a study that failed, and why; the others go on."""

    row: str
    seed: int
    reason: str

    def __str__(self) -> str:
        return f"{self.row}, seed {self.seed}: failed: {self.reason}"


def run_study(
    study: Study, *, device: str = "auto", announce: Callable[[str], None] | None = None,
    tell: Callable[[str], None] | None = None, report: Report | None = None, progress: Watch | None = None,
) -> Iterator[Cell | Failure]:  # fmt: skip
    """The cells of a study, seed by seed and row by row, as they are finished; of a run that fails its Failure.

    announce: is called with "row, seed n" before each run; tell: with what is worth knowing before the first one
    report, progress: as `train_classifier` takes them

    Raises InputError if the data has no test part, a row cannot be trained, or the folder is not its own or lies in
    that of the data; WorkError if another process is at the same study. Run again, what has failed is tried again.
    """
    check_own(Path(study.out))
    check_outside(Path(study.out), study.data)
    examples = read_examples(study.data, sequences=study.sequences)
    check_parts(study, examples)
    starts = {row: _start(row, options, examples) for row, options in study.rows}
    for note in (*examples.notes, *shortages(study, examples), *_taught(study, examples)):
        if tell is not None:
            tell(note)
    with own_folder(study):
        for seed in study.seeds:
            source = write_source(study, examples, seed)
            for row, options in study.rows:
                chosen = replace(options, seed=seed, device=device)
                shares = (study.train_images, study.test_images)
                trained = _key(examples.digest, *shares, _deciding(chosen), *starts[row])
                folder = Path(study.out) / "runs" / row / f"seed-{seed}-{trained[:8]}"
                key = _key(trained, study.perturb)
                known: Cell | Failure | None = _known(study, folder, key)
                if known is None:
                    if announce is not None:
                        announce(f"{row}, seed {seed}")
                    known = _tried(study, row, seed, folder, source, chosen, key, report, progress)
                yield known


def _start(row: str, options: TrainOptions, examples: Examples) -> list[str]:
    """Digests of the files that a row starts from. Raises InputError, naming the row, if it cannot be trained."""
    from resight.train.networks import native_size
    from resight.train.warm_start import start_digests, start_folders, trained_on

    try:
        known = resolved(options, native_size(options))
        found = start_digests(known)
        tested = [item.path for item in examples.items if item.part == "test"]
        for folder in start_folders(known):
            seen = trained_on(folder, tested)
            if seen:
                raise InputError(f"weights {folder} is of a run that was trained on {len(seen):,} of the "
                                 f"{len(tested):,} test images, such as {seen[0]}: that is no test")  # fmt: skip
    except InputError as error:
        raise InputError(f"rows.{row}: {error}") from error
    return found


def _taught(study: Study, examples: Examples) -> Iterator[str]:
    """A line for each row that starts from a run which was trained on images that some seed may validate on."""
    from resight.train.warm_start import start_folders, trained_on

    paths = [item.path for item in examples.items if item.part != "test"]
    for row, options in study.rows:
        for folder in start_folders(options):
            seen = trained_on(folder, paths)
            if seen:
                yield (f"rows.{row} starts from {folder}, which was trained on {len(seen):,} of the {len(paths):,} "
                       "examples outside the test part: validated on them, it scores too high")  # fmt: skip


def _tried(
    study: Study, row: str, seed: int, folder: Path, source: Path, options: TrainOptions, key: str,
    report: Report | None, progress: Watch | None,
) -> Cell | Failure:  # fmt: skip
    """The cell, or why there is none: a night of other rows must not end by it."""
    try:
        return _measure(study, row, seed, folder, source, options, key, report, progress)
    except (InputError, WorkError) as error:
        return Failure(row, seed, str(error))


def _measure(
    study: Study, row: str, seed: int, folder: Path, source: Path, options: TrainOptions, key: str,
    report: Report | None, progress: Watch | None,
) -> Cell:  # fmt: skip
    from resight.train.classifier import train_classifier
    from resight.train.testing import test_run

    made = train_classifier(source, folder, options, resume=folder.exists(), report=report, progress=progress)
    run = cast("Run", made)  # without folds it is one
    best, split = run.record["best"]["val_accuracy"], run.record["split"]
    cell = Cell(
        row, seed, str(folder), None, None, None, None if best is None else float(best), {}, tested=0,
        trained=int(split["train"]), validated=int(split["val"]), skipped=0, epochs=int(run.record["epochs"]),
        parameters=sum(one.numel() for one in run.network.parameters()), size=int(run.options.size or 0),
        train_seconds=float(run.record["seconds"]),
    )  # fmt: skip
    if study.test:
        result = test_run(run, source, part="test", perturbations=study.perturb, progress=progress)
        scores = result.classification
        cell = replace(
            cell, accuracy=float(scores.accuracy), balanced=float(scores.balanced_accuracy),
            macro_f1=float(scores.macro_f1), tested=len(scores.truth), skipped=len(result.skipped),
            perturbed={name: float(value) for name, value in result.perturbed.items()},
        )  # fmt: skip
    with AtomicFiles() as files:
        files.open(_file(study, folder)).write(json.dumps({"key": key, **asdict(cell)}, indent=1).encode())
    return cell


def _file(study: Study, folder: Path) -> Path:
    """Of what was measured: a test that was made before must not show in a study without one."""
    return folder / ("study.json" if study.test else "validation.json")


def _known(study: Study, folder: Path, key: str) -> Cell | None:
    file = _file(study, folder)
    if not file.is_file():
        return None
    try:
        content = json.loads(read_bytes_of(file, LIMIT))
        if content.pop("key") != key:
            return None
        cell = Cell(**content)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged: measured again
    return replace(cell, folder=str(folder), reused=True) if _sound(cell) else None


def _sound(cell: Cell) -> bool:
    kinds = {**get_type_hints(Cell), "perturbed": dict}
    typed = all(isinstance(getattr(cell, name), kind) for name, kind in kinds.items())
    return typed and all(isinstance(value, float) for value in cell.perturbed.values())


def _deciding(options: TrainOptions) -> dict[str, object]:
    """All options but the machine's."""
    return {name: value for name, value in options.as_dict().items() if name not in NOT_DECIDING}


def _key(*said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
