"""Finds the examples of a folder of class folders, or of a folder of parts that each hold class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from resight.errors import InputError, WorkError
from resight.images.listing import SUFFIXES, list_images
from resight.images.places import is_file, is_folder, is_there
from resight.images.video import VIDEO_SUFFIXES

# Names of folders, and of a CSV's parts, in any case of letters.
PART_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
BESIDE = "(beside the class folders)"

Found: TypeAlias = tuple[Path, str, str | None]


def find_examples(root: Path, sequences: bool, left_out: Counter[str]) -> list[Found]:
    """(path, label, part) of every example below an absolute folder, in the order of the names' bytes.

    sequences: an example is a folder that holds images itself, or a video; otherwise an image
    left_out:  is counted up as by `list_images`, and with BESIDE

    Raises InputError if there are no class folders, one holds no example or is there twice, or folders of parts and
    of classes are mixed; WorkError if a folder cannot be read.
    """
    folders = _folders(root, sequences, left_out)
    parts = _parts(root, folders, sequences)
    homes = {_identity(root): root}
    found: list[Found] = []
    for part, above in parts or [(None, root)]:
        for folder in _folders(above, sequences, left_out) if parts else folders:
            other = homes.setdefault(_identity(folder), folder)
            if other != folder:
                raise InputError(
                    f"{folder} and {other} are one folder (by a link): a folder holds one class of one part"
                )
            label = _label(folder)
            found += [(path, label, part) for path in _below(folder, sequences, left_out)]
    _check_labels(found, root)
    return found


def list_sequences(folder: Path, left_out: Counter[str]) -> list[Path]:
    """The sequences below a folder: folders (not itself) that hold images themselves, and videos, by names' bytes.

    Raises WorkError if the folder cannot be read.
    """
    counts: Counter[str] = Counter()
    holders = Counter(one.path.parent for one in list_images(folder, labels="none", ignored=counts))
    loose = holders.pop(folder, 0)
    videos = list(_videos(folder)) if any(counts[suffix] for suffix in VIDEO_SUFFIXES) else []
    for suffix in VIDEO_SUFFIXES:
        counts.pop(suffix, None)
    left_out.update(counts)
    left_out["(image that is in no folder of frames)"] += loose
    return sorted([*holders, *videos], key=lambda path: [os.fsencode(part) for part in path.parts])


def _folders(root: Path, sequences: bool, left_out: Counter[str]) -> list[Path]:
    found = []
    for entry in _entries(root):
        suffix = Path(entry.name).suffix.lower()
        if entry.name.startswith("."):
            left_out["(hidden)"] += 1
        elif is_folder(entry.path):
            found += [root / entry.name] if suffix != ".resight" else []
        elif not is_there(entry.path):
            left_out["(broken link)"] += 1
        else:
            left_out[BESIDE if suffix in (VIDEO_SUFFIXES if sequences else SUFFIXES) else suffix or "(no suffix)"] += 1
    return found


def _parts(root: Path, folders: list[Path], sequences: bool) -> list[tuple[str | None, Path]]:
    """(part, folder) of each folder if they are parts, nothing if they are classes."""
    named = [folder for folder in folders if folder.name.casefold() in PART_NAMES]
    if len(named) < len(folders):
        # Without folders in it, train is a class beside car and bus.
        deep = [folder for folder in named if _folders(folder, sequences, Counter())]
        if deep:
            other = next(folder for folder in folders if folder not in named)
            raise InputError(
                f"{root}: {deep[0].name!r} looks like a part and {other.name!r} like a class: keep only folders of "
                "parts (train, val, test) or only class folders there, or list the images in a CSV file"
            )
        return []
    parts: dict[str | None, Path] = {}
    for folder in named:
        part = PART_NAMES[folder.name.casefold()]
        first = parts.setdefault(part, folder)
        if first != folder:
            raise InputError(f"{root}: {first.name!r} and {folder.name!r} both mean {part}: merge them or rename one")
        if not _folders(folder, sequences, Counter()):
            raise InputError(
                f"{folder}: expected a folder for each class in it, got none: sort its images, or move it away"
            )
    return list(parts.items())


def _below(folder: Path, sequences: bool, left_out: Counter[str]) -> list[Path]:
    """The examples of one class folder, of which there must be one."""
    counts: Counter[str] = Counter()
    if sequences:
        found = list_sequences(folder, counts)
    else:
        found = [one.path for one in list_images(folder, labels="none", ignored=counts)]
    if not found:
        raise InputError(_no_example(folder, sequences, counts))
    left_out.update(counts)
    return found


def _no_example(folder: Path, sequences: bool, counts: Counter[str]) -> str:
    wanted = "folder of frames and no video" if sequences else "image"
    held = ", ".join(f"{count:,} {kind}" for kind, count in sorted((+counts).items()))
    why = f"it holds only {held}" if held else "it is empty"
    advice = "put some in, or remove the folder"
    if sequences and any(kind.startswith("(image") for kind in counts if counts[kind]):
        advice = "put each sequence's frames in a folder of their own, or train on single images, without sequences"
    elif not sequences and any(counts[suffix] for suffix in VIDEO_SUFFIXES):
        advice = "for videos, ask for sequences"
    return f"{folder}: no {wanted} in this class folder: {why}; {advice}"


def _videos(folder: Path) -> Iterator[Path]:
    """Videos below, each folder once, as list_images does with images."""
    stack, seen = [folder], {_identity(folder)}
    while stack:
        above = stack.pop()
        try:
            entries = _entries(above)
        except WorkError:
            continue  # list_images has counted it as unreadable
        for path in (above / entry.name for entry in entries if not entry.name.startswith(".")):
            if path.suffix.lower() in VIDEO_SUFFIXES and is_file(path):
                yield path
            elif is_folder(path) and path.suffix != ".resight" and _identity(path) not in seen:
                seen.add(_identity(path))
                stack.append(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise WorkError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise WorkError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    return status.st_dev, status.st_ino


def _label(folder: Path) -> str:
    """Its name without white space around it, as a CSV's labels are read."""
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{os.fsencode(folder)!r}: the name of a class must be UTF-8: rename the folder") from error
    if not folder.name.strip():
        raise InputError(f"{str(folder)!r}: the name of a class must be more than white space: rename the folder")
    return folder.name.strip()


def _check_labels(found: list[Found], root: Path) -> None:
    """No two class folders whose names differ by white space around them only."""
    depth = len(root.parts) + (1 if any(part for _, _, part in found) else 0)
    names: dict[str, str] = {}
    for path, label, _ in found:
        name = path.parts[depth]
        if names.setdefault(label, name) != name:
            raise InputError(f"{root}: the class folders {names[label]!r} and {name!r} differ by white space only")
