"""What a run has seen: the parts of its data, and what the runs that it started from were trained on.

A run that starts from others keeps what these were trained on in a file of its own, so that moving, replacing or
removing them changes nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import ImageError, InputError
from resight.images.clips import frame_files
from resight.images.examples import PARTS
from resight.images.identical import identical
from resight.images.listing import SUFFIXES
from resight.images.places import is_file, is_folder
from resight.images.rows import read_rows
from resight.train.run_files import LEARNED, MODEL, RECORD, SKIPPED, SPLIT, read_record

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

    So did the runs that it started from learn; what any of them was trained on is "train". A run keeps that itself;
    of one that is older, those are asked that are still there.
    Raises InputError if a file of the run that says it is missing or something else.
    """
    found = {path: part for path, part in _seen(run.folder).items() if part != "test"}
    for folder, record in [(run.folder, run.record), *_starts(run.folder, run.record)]:
        if folder != run.folder:
            found |= {path: part for path, part in _seen(folder).items() if part == "train"}
        if "learned_before" in record:
            found |= dict.fromkeys(_learned(folder), "train")
    return found


def same_files(tested: Sequence[Path], seen: Collection[Path]) -> list[int]:
    """Places of the tested images or sequences that were seen: themselves, an image in a sequence, or the sequence of
    an image.

    >>> same_files([Path("/a/take"), Path("/b/take"), Path("/c/1.png")], {Path("/a/take/7.png"), Path("/c")})
    [0, 2]
    """
    own = set(seen)
    takes = {path.parent for path in own if is_image(path)}
    return [
        place for place, path in enumerate(tested)
        if path in own or ((path.parent in own) if is_image(path) else (path in takes))
    ]  # fmt: skip


def same_contents(tested: Sequence[Path], seen: Sequence[Path]) -> list[int]:
    """Places of the tested images or sequences that `same_files` gives, or that hold the bytes of one of the seen.

    Of sequences and images, each frame is compared with each image.
    """
    pieces: list[Path] = []
    owners: list[int] = []
    for place, path in enumerate(tested):
        files = _pieces(path, any(map(is_image, seen)))
        pieces += files
        owners += [place] * len(files)
    loose = any(map(is_image, tested))
    theirs = [file for path in seen for file in _pieces(path, loose)]
    found = set(same_files(tested, seen))
    for group in identical([*pieces, *theirs]):
        if group[-1] >= len(pieces):
            found |= {owners[place] for place in group if place < len(pieces)}
    return sorted(found)


def learned_text(paths: Iterable[Path]) -> str:
    """learned_before.csv: the paths of what the runs that a training starts from were trained on."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["path"], *([path] for path in paths)])
    return out.getvalue()


def is_image(path: Path) -> bool:
    """Whether it is one image, by its name; a folder of frames or a video is not."""
    return path.suffix.lower() in SUFFIXES


def _pieces(path: Path, frames: bool) -> list[Path]:
    """What there is to compare of an example: itself, and its frames if they are asked for."""
    found = [path]
    if frames and is_folder(path):
        with contextlib.suppress(ImageError):  # reading it will tell
            found += frame_files(path)
    return found


def _learned(folder: Path) -> list[Path]:
    rows = read_rows(folder / LEARNED, ["path"])
    return [_whole(row["path"], f"{folder / LEARNED}, line {line}") for line, row in rows]


def _whole(text: str, where: str) -> Path:
    if "\0" in text or not Path(text).is_absolute():
        raise InputError(f"{where}: expected a whole path, got {text[:80]!r}")
    return Path(text)


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


def _starts(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The runs that a run started from, and that these did, as far as they are there and none keeps it itself."""
    found: list[Path] = [folder]
    waiting: list[Mapping[str, Any]] = [record]
    while waiting and len(found) <= MOST_STARTS:
        one = waiting.pop()
        if "learned_before" in one:
            continue
        for branch in one["network"].values():
            weights = branch.get("weights") if isinstance(branch, dict) else None
            place = Path(str(weights or ""))
            start = place.parent if place.name == MODEL else place
            if start not in found and is_file(start / RECORD) and is_file(start / SPLIT):
                found.append(start)
                waiting.append(read_record(start, None))
                yield start, waiting[-1]
