"""`resight test`: what a training run has learned, on images that it has not learned from."""

from __future__ import annotations

import json as json_module
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resight.cli.destinations import check_folder
from resight.cli.progress import duration, progress
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.train.testing import TestReport

SKIPPED_SHOWN = 5
CLASSES_SHOWN = 30


def test(
    run: Path,
    data: Path | None = None,
    /,
    *,
    out: Path | None = None,
    part: Literal["test", "val", "train", "all"] = "test",
    perturb: tuple[str, ...] = (),
    flips: bool = False,
    ignore_unknown: bool = False,
    database: str | None = None,
    projection: Literal["auto", "tsne", "pca"] | None = None,
    allow_leak: bool = False,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Measure a run of `resight train classify` or `resight train embed` on images that it has not learned from.

    A classifier: labelled images or sequences are classified and compared: accuracy, per class, calibration, confusion
    matrix. Writes results.txt, results.json, predictions.csv, confusion.csv and .png, reliability.png, skipped.csv.

    An embedding: each image of the part is searched for among the others: mAP, recall@k (hit@k) and precision@k of the
    trained encoder and of the one that training began with, and what changed, in pairs. Writes results.txt,
    results.json, per_query.csv, per_class.csv, neighbours.csv, sheet.png, embedding.png, skipped.csv.

    Parameters
    ----------
    run
        Folder of a training run.
    data
        Class folders, folders of parts, or a CSV; default: what the run was trained on, of which it takes the part
        that was held back. Data without any parts are tested whole.
    out
        Folder for the results, which must not exist yet; default: RUN/test, then RUN/test-2 ...
    part
        Which part of the data; all takes every image there is.
    perturb
        Of a classifier: changes of the images to test as well, e.g. rotate=90 gamma=2 blur=2; one more accuracy for
        each.
    flips
        Of a classifier: average each image and its mirror image.
    ignore_unknown
        Of a classifier: leave out images of labels that the run has never seen, instead of refusing them.
    database
        Of an embedding: class folders or a CSV to search; default: same, the other images of the part.
    projection
        Of an embedding: how embedding.png brings vectors into the plane: tsne, pca, or auto (tsne up to 3,000 images).
    allow_leak
        Test images that the run was trained on as well; the results say so.
    device
        auto, cpu, cuda or mps.
    json
        Print the results as JSON.
    """
    from resight.models.trained import run_task
    from resight.show.folders import check_free

    embeds = run_task(run)[0] == "embed"
    _check_flags(
        embeds,
        {"perturb": bool(perturb), "flips": flips, "ignore-unknown": ignore_unknown},
        {"database": database is not None, "projection": projection is not None},
    )
    if out is not None:
        check_free(out)
    wanted = out or run / ("test" if part == "all" else part)
    if embeds:
        from resight.cli.neighbours import test_embedding

        return test_embedding(
            run, data, wanted, given=out is not None, part=part, database=database or "same",
            projection=projection or "auto", allow_leak=allow_leak, device=device, json=json,
        )  # fmt: skip
    from resight.train.runs import Run
    from resight.train.testing import free_folder, test_run

    trained = Run.open(run, device)
    check_folder(wanted)
    report = test_run(
        trained, data, part=part, ignore_unknown=ignore_unknown, allow_leak=allow_leak, flips=flips,
        perturbations=perturb, progress=progress,
    )  # fmt: skip
    place = out or free_folder(wanted)
    report.save(place)
    if json:
        print(json_module.dumps({**report.as_dict(), "folder": str(place)}, indent=1))
    else:
        _print(report, place)
    return 0


def _check_flags(embeds: bool, of_classifiers: dict[str, bool], of_embeddings: dict[str, bool]) -> None:
    """Raises InputError for a flag that says nothing about a run of this kind."""
    for name, given in (of_classifiers if embeds else of_embeddings).items():
        if given:
            kind, other = ("an embedding", "a classifier") if embeds else ("a classifier", "an embedding")
            raise InputError(f"--{name} has no effect on the test of {kind}: it is for that of {other}")


def _print(report: TestReport, place: Path) -> None:
    rate = report.tested / max(report.seconds, 1e-9)
    print(f"{visible(report.run)} on {visible(report.data)}, part {report.part}: {report.tested:,} {report.unit} "
          f"in {duration(report.seconds)}, {rate:.0f} {report.unit}/s")  # fmt: skip
    if report.skipped:
        print_skipped(report.skipped)
    print()
    print(report.classification.text(CLASSES_SHOWN))
    if report.perturbed:
        print()
        print("\n".join(map(visible, report.perturbed_lines())))
    print()
    print_notes(report.notes)
    print(f"wrote {visible(str(place))}: results.txt, results.json, predictions.csv, confusion.png and more")


def print_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    """What could not be read: how many, and the first of them."""
    print(f"  {len(skipped):,} could not be read and do not count:")
    for path, reason in skipped[:SKIPPED_SHOWN]:
        print(f"    {visible(path)}: {visible(reason)}")
    if len(skipped) > SKIPPED_SHOWN:
        print(f"    ... and {len(skipped) - SKIPPED_SHOWN:,} more, in skipped.csv")


def print_notes(notes: tuple[str, ...]) -> None:
    """Each note from a line of its own on."""
    for note in notes:
        print(textwrap.fill(visible(note), 110, initial_indent="note: ", subsequent_indent="      ",
                            break_long_words=False, break_on_hyphens=False))  # fmt: skip
