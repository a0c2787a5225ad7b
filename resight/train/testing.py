"""A run's accuracy on images it has not learned from, also when they are turned, darkened or blurred."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.examples import Examples
from resight.measure.classification import Classification
from resight.measure.proportion import wilson_interval
from resight.measure.watching import Watch, unwatched
from resight.train.held_out import HeldOut, held_out
from resight.train.inputs import mirror_notes, why_not

if TYPE_CHECKING:
    from resight.train.runs import Run

Edit = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class TestReport:
    """What a test of a run found. Images of the part (or sequences) = tested + skipped + left out.

    run, data, part  what was tested on what
    classification   the scores of the images that could be read
    perturbed        {perturbation: accuracy of the same images changed so}
    skipped          (path, reason) of images that could not be read
    left_out         {label: images} of labels that the run does not know
    notes            what a reader of the numbers should know
    flips            whether each image and its mirror image were averaged
    seconds          of the unchanged images, reading included
    unit             what was classified: images or sequences
    """

    run: str
    data: str
    part: str
    classification: Classification
    perturbed: dict[str, float]
    skipped: tuple[tuple[str, str], ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    flips: bool
    seconds: float
    unit: str = "images"

    @property
    def tested(self) -> int:
        """Images that were classified."""
        return len(self.classification)

    @property
    def total(self) -> int:
        """Images of the part."""
        return self.tested + len(self.skipped) + sum(self.left_out.values())

    def __str__(self) -> str:
        missing = f", {len(self.skipped):,} unreadable" if self.skipped else ""
        return f"{self.classification}{missing}"

    def __repr__(self) -> str:
        return f"<TestReport of {self.run!r}: {self}>"

    def about(self) -> dict[str, Any]:
        """All but the scores, as plain values for JSON."""
        return {
            "run": self.run,
            "data": self.data,
            "part": self.part,
            "unit": self.unit,
            "counts": {
                "in the part": self.total, "tested": self.tested, "unreadable": len(self.skipped),
                "of unknown labels": sum(self.left_out.values()),
            },
            "left_out": self.left_out,
            "mirror images averaged": self.flips,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Everything but the single predictions, as plain values for JSON."""
        skipped = [{"path": path, "reason": reason} for path, reason in self.skipped]
        return {**self.about(), "skipped": skipped, **self.classification.as_dict(), "perturbed": self.perturbed}

    def perturbed_lines(self) -> list[str]:
        """A line for each perturbation: accuracy, its interval, and the change."""
        if not self.perturbed:
            return []
        wide = max(len("unchanged"), *map(len, self.perturbed))
        plain = self.classification.accuracy
        lines = [f"{'unchanged':<{wide}}  {_share(plain, self.tested)}"]
        return lines + [
            f"{name:<{wide}}  {_share(accuracy, self.tested)}   {accuracy - plain:+.4f}"
            for name, accuracy in self.perturbed.items()
        ]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write what `Classification.save` writes, and skipped.csv; perturbations are in results.json and results.txt.

        folder: appears whole or not at all; nothing may be there yet
        """
        more: dict[str, bytes | str] = {"skipped.csv": _skipped_csv(self.skipped)}
        about = {**self.about(), "perturbed": self.perturbed}
        if not self.perturbed:
            del about["perturbed"]
        if not self.left_out:
            del about["left_out"]
        self.classification.save(folder, about, more)


def test_run(
    run: Run, data: str | os.PathLike[str] | Examples | None = None, *, part: str = "test",
    ignore_unknown: bool = False, allow_leak: bool = False, flips: bool = False, perturbations: Sequence[str] = (),
    progress: Watch | None = None,
) -> TestReport:  # fmt: skip
    """Classify the images of a part and compare with their labels.

    data, part, ignore_unknown, allow_leak: which images, see `held_out`
    flips:         average the probabilities of each image and its mirror image
    perturbations: changes such as "rotate=90", "gamma=2": for each the accuracy of the images changed so
    progress:      see `resight.measure.watching`

    Images are fitted as in training, and never augmented or balanced.
    Raises InputError as `held_out`, and for an unknown perturbation; WorkError if no image can be read.
    """
    edits = [(name, _edit(name)) for name in dict.fromkeys(perturbations)]
    chosen = held_out(run, data, part=part, ignore_unknown=ignore_unknown, allow_leak=allow_leak)
    watch, unit = progress or unwatched, run.unit
    started = time.perf_counter()
    scored, skipped = _score(run, chosen, flips, None, "testing", watch)
    seconds = time.perf_counter() - started
    if not scored:
        first = f"{skipped[0][0]}: {skipped[0][1]}"
        raise WorkError(f"{chosen.source}: none of the {len(chosen):,} {unit} to be tested can be read: {first}")
    places = {name: place for place, name in enumerate(run.classes)}
    truth = np.array([places[str(chosen.items[row].label)] for row in scored])
    names = tuple(str(chosen.items[row].path) for row in scored)
    result = Classification(run.classes, truth, np.stack(list(scored.values())), names, unit)
    perturbed = {}
    for name, edit in edits:
        changed, _ = _score(run, chosen, flips, edit, f"testing {name}", watch, set(scored))
        if set(changed) != set(scored):
            raise WorkError(f"what could be read cannot be read again under {name}: were the files changed?")
        perturbed[name] = float(np.mean([changed[row].argmax() for row in scored] == truth))
    return TestReport(
        str(run.folder), chosen.source, chosen.part, result, perturbed, tuple(skipped), chosen.left_out,
        (*chosen.notes, *mirror_notes(run.options, flips)), flips, seconds, unit,
    )  # fmt: skip


def _score(
    run: Run, chosen: HeldOut, flips: bool, edit: Edit | None, verb: str, watch: Watch, only: set[int] | None = None
) -> tuple[dict[int, NDArray[np.float32]], list[tuple[str, str]]]:
    """{place: probabilities} of what can be read, and (path, reason) of the rest."""
    rows = [row for row in range(len(chosen)) if only is None or row in only]
    scored: dict[int, NDArray[np.float32]] = {}
    skipped: list[tuple[str, str]] = []
    with watch(verb, len(rows), run.unit) as show:
        results = run.scores((chosen.items[row].path for row in rows), flips=flips, edit=edit, progress=show)
        for row, (path, scores) in zip(rows, results, strict=True):
            if isinstance(scores, ImageError):
                skipped.append((str(path), why_not(scores, path)))
            else:
                scored[row] = scores
    return scored, skipped


def _edit(name: str) -> Edit:
    from resight.train.perturb import parse_perturbation, perturb

    kind, value = parse_perturbation(name)
    return lambda image: perturb(image, kind, value)


def _share(accuracy: float, images: int) -> str:
    low, high = wilson_interval(round(accuracy * images), images)
    return f"{accuracy:.4f}   95 % interval {low:.4f} to {high:.4f}"


def _skipped_csv(skipped: Sequence[tuple[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([("path", "reason"), *skipped])
    return out.getvalue().encode("utf-8", "backslashreplace")


def free_folder(wanted: str | os.PathLike[str]) -> Path:
    """The folder itself if nothing is there, else the first of NAME-2, NAME-3 ... that is free.

    Raises InputError if ten thousand are taken.
    """
    place = Path(wanted)
    for number in range(1, 10_001):
        found = place if number == 1 else place.with_name(f"{place.name}-{number}")
        if not os.path.lexists(found):
            return found
    raise InputError(f"{place} and {place}-2 .. -10000 are all there: remove some")
