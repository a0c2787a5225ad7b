"""Labelled examples to train and test on: class folders, folders of parts, or a CSV file, as one checked value."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from resight.errors import ImageError, InputError, unknown
from resight.images.class_folders import BESIDE, PART_NAMES, find_examples
from resight.images.clips import frame_files
from resight.images.contents import LeftOut, absolute, left_out_notes
from resight.images.listing import SUFFIXES, PathLike, list_images
from resight.images.places import is_folder, is_there
from resight.images.rows import read_rows
from resight.images.video import VIDEO_SUFFIXES

PARTS = ("train", "val", "test")
PART_COLUMNS = ("split", "part")


@dataclass(frozen=True, slots=True)
class Example:
    """One image file, folder of frames, or video: its absolute path, its label, its part (one of PARTS, None if the
    data has none), and its group, if any: what must stay together in one part."""

    path: Path
    label: str | None
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Examples:
    """Examples with one label each, in the order of their source.

    classes:   labels, sorted; the class of an example is the place of its label there
    source:    the folder or CSV file they come from, absolute
    sequences: whether each is a folder of frames or a video
    notes:     what was left out or is odd, a clause each

    Raises InputError if a label is not among the classes, a part is not one of PARTS, or a group is in two parts.
    """

    items: tuple[Example, ...]
    classes: tuple[str, ...]
    source: str
    sequences: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = set(self.classes)
        firsts: dict[str, Example] = {}
        for item in self.items:
            if item.label not in known:
                raise InputError(f"{item.path}: its label {item.label!r} is not one of the {len(known)} classes")
            if item.part is not None and item.part not in PARTS:
                raise unknown("part", item.part, PARTS)
            first = item if item.group is None else firsts.setdefault(item.group, item)
            if first.part != item.part:
                raise InputError(
                    f"the group {item.group!r} is in {first.part} ({first.path}) and in {item.part} ({item.path}): "
                    "a group belongs to one part"
                )

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        parts = Counter(item.part for item in self.items)
        told = "".join(f", {parts[part]:,} {part}" for part in PARTS if parts[part])
        return f"{_count(len(self.items), self.sequences)} of {len(self.classes)} classes from {self.source}{told}"

    @property
    def unit(self) -> str:
        """What they are: "images" or "sequences"."""
        return "sequences" if self.sequences else "images"

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over each example's path relative to the source, label, part, group and size in bytes.

        Another order is another digest. Files that changed but kept their size are not noticed.
        """
        digest = hashlib.sha256(b"sequences\n" if self.sequences else b"images\n")
        root = self.source if is_folder(self.source) else os.path.dirname(self.source)
        for item in self.items:
            fields = (_relative(item.path, root), item.label, item.part, item.group, str(_size(item.path)))
            texts = [None if field is None else field.encode("utf-8", "surrogatepass") for field in fields]
            # The length before each text: no text can look like the end of a field.
            digest.update(b"".join(b"-," if text is None else b"%d:%b," % (len(text), text) for text in texts))
        return digest.hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Label -> number of examples, in the order of the classes."""
        found = Counter(item.label for item in self.items)
        return {label: found[label] for label in self.classes}

    def of(self, part: str) -> Examples:
        """The examples of one part, with all the classes; none if the data has no such part.

        Raises InputError if it is not one of PARTS.
        """
        if part not in PARTS:
            raise unknown("part", part, PARTS)
        return replace(self, items=tuple(item for item in self.items if item.part == part))


def read_examples(source: PathLike, *, sequences: bool = False, least: int = 2) -> Examples:
    """The labelled examples of a folder or a CSV file.

    source:    a folder of class folders (the class of an image is the first folder below the root, whatever lies
               between); a folder of only train, val (or valid, validation) and test folders, each with class folders;
               or a CSV file with columns path (relative to the CSV's folder), label, perhaps split (or part) and group
    sequences: each folder below a class folder that holds images itself, and each video, is an example
    least:     the fewest classes that will do
    ->         in the order of the names' bytes, or of the CSV's rows

    What counts as an image and what is passed over is as in `list_images`. Files of a CSV that are not there stay in
    (a note counts them): reading them tells. Labels lose the white space around them.
    Raises InputError if the source holds no example or too few classes, a class folder is empty, folders of parts and
    of classes are mixed, a row lacks a label, or a path has two; WorkError if it cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"expected a folder or a CSV file, got {type(source).__name__}")
    list_images(source, labels="none")  # has the words for what is not there
    path = absolute(Path(os.path.expanduser(source)))
    if is_folder(path):
        left_out: LeftOut = []
        found = [Example(*one) for one in find_examples(path, sequences, left_out)]
        notes = left_out_notes(left_out)
        if not found:
            raise InputError(_no_classes(path, sum(kind == BESIDE for kind, _ in left_out), sequences))
    elif path.suffix.lower() == ".csv":
        found, notes = _read_csv(path, sequences)
    else:
        raise InputError(f"{path}: expected a folder of class folders, or a CSV file with columns path and label")
    items = tuple(item for item in found if _is_text(item.path))
    if len(items) < len(found):
        notes.append(f"left out, as the name is not UTF-8: {len(found) - len(items):,}; rename them")
    labels = Counter(str(item.label) for item in items)
    if len(labels) < least:
        raise InputError(_too_few(path, items, least))
    alone = sorted(label for label, count in labels.items() if count == 1)
    notes += [f"only one {'sequence' if sequences else 'image'} of {_some(alone)}"] if alone else []
    return Examples(items, tuple(sorted(labels)), str(path), sequences, tuple(notes))


def _read_csv(path: Path, sequences: bool) -> tuple[list[Example], list[str]]:
    first: dict[Path, tuple[Example, int]] = {}
    part_line: dict[bool, int] = {}
    rows = repeated = 0
    missing: list[Path] = []
    for line, row in read_rows(path, ["path", "label"]):
        where = f"{path}, line {line}"
        item = _row_example(path.parent, row, where)
        rows += 1
        part_line.setdefault(item.part is not None, line)
        if len(part_line) == 2:
            raise InputError(
                f"{where}: a split in some rows only (line {part_line[True]} has one, line {part_line[False]} none): "
                "fill in train, val or test in every row, or in none"
            )
        known, first_line = first.setdefault(item.path, (item, line))
        for name in ("label", "part", "group") if first_line != line else ():
            one, other = getattr(known, name), getattr(item, name)
            if one != other:
                raise InputError(f"{where}: {row['path']!r} has the {name} {other!r}, and {one!r} on line {first_line}")
        if first_line != line:
            repeated += 1
        elif not is_there(item.path):
            missing.append(item.path)
        else:
            _check_kind(item.path, sequences, where)
    if not rows:
        raise InputError(f"{path}: no rows below the header: expected one for each image")
    files = "folders and videos" if sequences else "files"
    if len(missing) == len(first):
        raise InputError(f"{path}: none of its {len(first):,} {files} is there, such as {str(missing[0])!r}: paths are "
                         "relative to the folder of the CSV file")  # fmt: skip
    notes = [f"rows left out as repeated: {repeated:,}"] if repeated else []
    if missing:
        notes.append(f"{files} of the CSV that are not there: {len(missing):,}, such as {str(missing[0])!r}")
    return [item for item, _ in first.values()], notes


def _row_example(folder: Path, row: dict[str, str], where: str) -> Example:
    label = row["label"].strip()
    if not label:
        raise InputError(f"{where}: no label for {row['path']!r}: fill it in or remove the row")
    if "\0" in row["path"]:
        raise InputError(f"{where}: {row['path']!r} is not a file name")
    columns = [name for name in PART_COLUMNS if name in row]
    if len(columns) == 2:
        raise InputError(f"{where}: the columns split and part mean the same: keep one of them")
    part = row[columns[0]].strip().casefold() if columns else ""
    if part and part not in PART_NAMES:
        raise InputError(f"{where}: {unknown(columns[0], part, PARTS)}")
    return Example(absolute(folder / row["path"]), label, PART_NAMES.get(part), row.get("group", "").strip() or None)


def _check_kind(path: Path, sequences: bool, where: str) -> None:
    """A folder or a video is no image, an image no sequence: better said here than once for each file."""
    if not sequences and (is_folder(path) or path.suffix.lower() in VIDEO_SUFFIXES):
        kind = "a folder" if is_folder(path) else "a video"
        raise InputError(f"{where}: expected an image, got {kind}: for folders of frames and videos, ask for sequences")
    if sequences and not is_folder(path) and path.suffix.lower() in SUFFIXES:
        raise InputError(f"{where}: expected a folder of frames or a video, got an image: name its folder, or train "
                         "on single images, without sequences")  # fmt: skip


def _no_classes(root: Path, beside: int, sequences: bool) -> str:
    if beside:
        held = _count(beside, sequences) if not sequences else f"{beside:,} videos"
        return f"{root}: {held} and no class folders in it: put each class in a folder, or list path and label in a CSV"
    return (
        f"{root}: no class folders in it: expected a folder for each class, or a CSV file with columns path and label"
    )


def _too_few(path: Path, items: Iterable[Example], least: int) -> str:
    labels = sorted({str(item.label) for item in items})
    found = f"only {labels[0]!r}" if len(labels) == 1 else f"{len(labels)}"
    below = path / labels[0] if labels else path
    inner = sum(one.is_dir() for one in below.iterdir()) if is_folder(path) and is_folder(below) else 0
    hint = f"; if the folders in it are the classes, give {below}" if inner >= 2 else ""
    return f"{path}: expected at least {least} classes, got {found}{hint}"


def _some(labels: list[str]) -> str:
    shown = ", ".join(map(repr, labels[:5]))
    return f"{shown} and {len(labels) - 5} other classes" if len(labels) > 5 else shown


def _count(count: int, sequences: bool) -> str:
    return f"{count:,} {'sequence' if sequences else 'image'}{'' if count == 1 else 's'}"


def _is_text(path: Path) -> bool:
    """Whether CSV and JSON files can hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _relative(path: Path, root: str) -> str:
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # Another drive.
        return path.as_posix()


def _size(path: Path) -> int:
    """Bytes of the file, or of all frames in the folder; -1 if they cannot be told."""
    try:
        return sum(frame.stat().st_size for frame in frame_files(path)) if is_folder(path) else path.stat().st_size
    except (OSError, ImageError):
        return -1
