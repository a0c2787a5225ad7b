"""`resight svm`: support vector machines on the features of a training run."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from resight.cli.destinations import check_folder
from resight.cli.progress import progress
from resight.show.text import visible


def svm(
    run: Path,
    data: Path | None = None,
    /,
    *,
    out: Path | None = None,
    flips: bool = False,
    ignore_unknown: bool = False,
    allow_leak: bool = False,
    costs: Annotated[str, Parameter(name="--C")] = "6,10,100",
    gamma: str = "0.1,0.5,2,4",
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Fit support vector machines on what the last layer of a run sees, and measure the best of them.

    Linear and RBF; C and gamma are chosen on five stratified folds of the training images, the accuracy is of the test
    images. Of a run on sequences all of it is about these.

    Writes results.txt, results.json, grid.csv, confusion.csv, confusion.png and skipped.csv.

    Parameters
    ----------
    run
        Folder of a training run.
    data
        Class folders in train and test folders, or a CSV with a column split, of any classes; default: what the run
        was trained on. Data without a training part: the run's own training images are fitted on.
    out
        Folder for the results, which must not exist yet; default: RUN/svm, then RUN/svm-2 ...
    flips
        Features are the mean of an image's and its mirror image's.
    ignore_unknown
        Leave out test images of labels that are not among the training images, instead of refusing them.
    allow_leak
        Test images that the run was trained on as well; the results say so.
    costs
        Values of C to choose from, with commas between them; a smaller C follows single training images less.
    gamma
        Values of gamma for RBF, with commas between them.
    seed
        Of the folds.
    device
        auto, cpu, cuda or mps.
    json
        Print the results as JSON.
    """
    from resight.cli.test import CLASSES_SHOWN, print_notes, print_skipped
    from resight.show.folders import check_free
    from resight.train.runs import Run
    from resight.train.svm import svm_run
    from resight.train.svm_grid import parse_values
    from resight.train.testing import free_folder

    grid = {"costs": parse_values("C", costs), "gammas": parse_values("gamma", gamma)}
    if out is not None:
        check_free(out)
    trained = Run.open(run, device)
    check_folder(out or run / "svm")
    report = svm_run(
        trained, data, ignore_unknown=ignore_unknown, allow_leak=allow_leak, flips=flips, seed=seed, **grid,
        progress=progress,
    )  # fmt: skip
    place = out or free_folder(run / "svm")
    report.save(place)
    if json:
        print(json_module.dumps({**report.as_dict(), "folder": str(place)}, indent=1))
        return 0
    print(f"{visible(report.run)} on {visible(report.data)}: {report.width:,} features of {report.trained:,} training "
          f"and {report.confusion.total:,} test {report.unit}")  # fmt: skip
    if report.skipped:
        print_skipped(report.skipped)
    print()
    print(report.text(CLASSES_SHOWN))
    print()
    print_notes(report.notes)
    print(f"wrote {visible(str(place))}: results.txt, results.json, grid.csv, confusion.png and more")
    return 0
