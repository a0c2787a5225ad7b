"""What a run has seen: the parts of its data, and what the runs that it started from were trained on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError
from resight.images.examples import PARTS
from resight.images.places import is_file
from resight.images.rows import read_rows
from resight.train.run_files import MODEL, RECORD, SKIPPED, SPLIT, read_record

if TYPE_CHECKING:
    from resight.train.runs import Run

MOST_STARTS = 100


def trained_parts(run: Run) -> dict[Path, str]:
    """Path -> part of every image of the data that a run was made from, whether it is still there or not.

    Raises InputError if the run's split.csv is missing or something else.
    """
    return _parts(run.folder)


def seen_before(run: Run) -> dict[Path, str]:
    """Path -> "train" or "val" of all that a run has learned from or was validated on, unreadable images left out.

    So did the runs that it started from learn, as far as they are still there; what any of them was trained on is
    "train". Raises InputError if a split.csv is something else.
    """
    found = {path: part for path, part in _seen(run.folder).items() if part != "test"}
    for folder in _starts(run.folder, run.record):
        found |= {path: part for path, part in _seen(folder).items() if part == "train"}
    return found


def _parts(folder: Path) -> dict[Path, str]:
    file = Path(os.path.abspath(folder / SPLIT))
    found: dict[Path, str] = {}
    for line, row in read_rows(file, ["path", "label", "part"]):
        if row["part"] not in PARTS or "\0" in row["path"]:
            raise InputError(f"{file}, line {line}: expected a path and its part, one of {', '.join(PARTS)}")
        found[Path(os.path.abspath(file.parent / row["path"]))] = row["part"]
    return found


def _seen(folder: Path) -> dict[Path, str]:
    """The parts of a run's data without what it could not read."""
    skipped: set[Path] = set()
    if is_file(folder / SKIPPED):
        skipped = {Path(os.path.abspath(row["path"])) for _, row in read_rows(folder / SKIPPED, ["path"])}
    return {path: part for path, part in _parts(folder).items() if path not in skipped}


def _starts(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    """The folders of the runs that a run started from, and that these did, as far as they are there."""
    found: list[Path] = []
    waiting: list[Mapping[str, Any]] = [record]
    while waiting and len(found) < MOST_STARTS:
        for branch in waiting.pop()["network"].values():
            weights = branch.get("weights") if isinstance(branch, dict) else None
            place = Path(str(weights or ""))
            start = place.parent if place.name == MODEL else place
            if start not in (folder, *found) and is_file(start / RECORD) and is_file(start / SPLIT):
                found.append(start)
                waiting.append(read_record(start))
    return found
