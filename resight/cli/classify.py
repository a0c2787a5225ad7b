"""`resight classify`: what a training run sees in images."""

from __future__ import annotations

import csv
import io
import json as json_module
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight.cli.destinations import check_file
from resight.cli.progress import progress
from resight.errors import ImageError, InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.images.contents import LeftOut
    from resight.train.runs import Run

TOP = 5
SUFFIXES = (".csv", ".json")


def classify(
    run: Path,
    /,
    *images: Path,
    top: int | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    flips: bool = False,
    strict: bool = False,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Print the most probable classes of images or sequences: probability, class, path.

    An image that cannot be read is a line with the reason; the exit code is 1 if none could be read.

    Parameters
    ----------
    run
        Folder of a training run.
    images
        Images, folders, globs or CSV lists (column path). Of a run on sequences: folders of frames, videos, CSV lists
        of these, or folders that hold them, in which images beside the sequences are left out.
    top
        Classes of each image; default: 5 of a single image and in files, 1 of several.
    out
        Write a .csv or .json file instead; an older one is replaced.
    flips
        Average each image and its mirror image.
    strict
        Exit with 1 if any image could not be read.
    device
        auto, cpu, cuda or mps.
    json
        Print as JSON.
    """
    from resight.train.inputs import mirror_notes
    from resight.train.runs import Run

    if top is not None and top < 1:
        raise InputError(f"--top must be at least 1, got {top}")
    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out takes a .csv or .json file, got {str(out)!r}")
    check_file(out)
    trained = Run.open(run, device)
    paths, notes = _paths(trained, images)
    for note in [*notes, *mirror_notes(trained.options, flips)]:
        print(f"note: {visible(note)}", file=sys.stderr)
    kept: list[dict[str, Any]] = []
    written = out is not None or json
    count = min(top or (TOP if written or len(paths) == 1 else 1), len(trained.classes))
    failed = 0
    # Lines are progress enough.
    with progress("classifying", len(paths), trained.unit) if written else nullcontext(None) as show:
        for row in _rows(trained, paths, count, flips, show):
            failed += "error" in row
            if written:
                kept.append(row)
            else:
                _print(row)
    _write(kept, out, json, count)
    return 1 if failed == len(paths) or (strict and failed) else 0


def _paths(run: Run, images: tuple[Path, ...]) -> tuple[list[Path], list[str]]:
    """What is to be classified, and notes on what is not."""
    from resight.images.contents import left_out_notes, missed_notes

    if not images:
        raise InputError(f"nothing to classify: give {run.unit}, folders or globs")
    left_out: LeftOut = []
    find = _sequences if run.options.sequences else _images
    paths = [path for one in images for path in find(run, one, left_out)]
    if not paths:
        why = "".join(f"; {note}" for note in left_out_notes(left_out))
        raise InputError(f"no {run.unit} in {', '.join(map(str, images[:5]))}{why}")
    return paths, missed_notes(left_out)


def _images(run: Run, place: Path, left_out: LeftOut) -> list[Path]:
    """An image, those below a folder, of a glob or of a CSV."""
    from resight.images import list_images
    from resight.images.contents import absolute, images_at
    from resight.images.places import is_folder

    if is_folder(_home(place)):
        return images_at(absolute(_home(place)), left_out)
    ignored: Counter[str] = Counter()
    found = [listing.path for listing in list_images([place], labels="none", ignored=ignored)]
    left_out += [(kind, place) for kind in ignored.elements()]
    return found


def _sequences(run: Run, place: Path, left_out: LeftOut) -> list[Path]:
    """A video, a folder of frames, all of them below a folder, or those of a CSV."""
    from resight.images import list_images
    from resight.images.class_folders import sequences_at
    from resight.images.contents import absolute
    from resight.images.places import is_folder, is_there

    place = _home(place)
    if is_folder(place):
        return sequences_at(absolute(place), run.classes, left_out)
    if not is_there(place):
        raise InputError(f"{place}: there is no such file or folder")
    return [one.path for one in list_images(place, labels="none")] if place.suffix.lower() == ".csv" else [place]


def _home(place: Path) -> Path:
    """Without the sign for a home folder; Path.expanduser raises for an unknown user."""
    return Path(os.path.expanduser(place))


def _rows(run: Run, paths: list[Path], top: int, flips: bool, show: Any) -> Iterator[dict[str, Any]]:
    """{path, classes: [{class, score}]} or {path, error} of each image, in order."""
    from resight.train.inputs import why_not

    for path, found in run.scores(paths, flips=flips, progress=show):
        if isinstance(found, ImageError):
            yield {"path": str(path), "error": why_not(found, path)}
            continue
        best = sorted(range(len(found)), key=lambda place: (-found[place], place))[:top]
        classes = [{"class": run.classes[place], "score": round(float(found[place]), 6)} for place in best]
        yield {"path": str(path), "classes": classes}


def _print(row: dict[str, Any]) -> None:
    path = visible(row["path"])
    if "error" in row:
        print(f"  -    {path}: {visible(row['error'])}", file=sys.stderr, flush=True)
        return
    for rank, one in enumerate(row["classes"]):
        print(f"{one['score']:.3f}  {visible(one['class'])}{'' if rank else f'   {path}'}", flush=not rank)


def _write(rows: list[dict[str, Any]], out: Path | None, json: bool, top: int) -> None:
    from resight.show import write_atomic

    text = json_module.dumps(rows, indent=1) + "\n"
    if out is not None:
        content = text if out.suffix.lower() == ".json" else _table(rows, top)
        replaced = ", in place of an older file" if out.exists() else ""
        write_atomic(out, content.encode("utf-8", "backslashreplace"))
        failed = sum("error" in row for row in rows)
        note = f", {failed:,} of which could not be read" if failed else ""
        print(f"wrote {visible(str(out))}: {len(rows):,} rows{note}{replaced}", file=sys.stderr if json else sys.stdout)
    if json:
        sys.stdout.write(text)


def _table(rows: list[dict[str, Any]], top: int) -> str:
    names = ["predicted", "score", *(f"{kind}_{k}" for k in range(2, top + 1) for kind in ("predicted", "score"))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", *names, "error"])
    for row in rows:
        cells = [cell for one in row.get("classes", ()) for cell in (one["class"], f"{one['score']:.6f}")]
        writer.writerow([row["path"], *(cells or [""] * len(names)), row.get("error", "")])
    return buffer.getvalue()
