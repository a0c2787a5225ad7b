"""Finds the examples of a folder of class folders, or of a folder of parts that each hold class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

from resight.errors import InputError
from resight.images.contents import (
    BROKEN,
    FOLDER,
    HIDDEN,
    HOLLOW,
    LOOSE,
    NO_SUFFIX,
    LeftOut,
    by_name,
    entries_of,
    find_sequences,
    identity_of,
    images_at,
    kind_of,
)
from resight.images.listing import SUFFIXES
from resight.images.video import VIDEO_SUFFIXES

# Names of folders, and of a CSV's parts, in any case of letters.
PART_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
BESIDE = "(beside the class folders)"

Found: TypeAlias = tuple[Path, str, str | None]


def find_examples(root: Path, sequences: bool, left_out: LeftOut) -> list[Found]:
    """(path, label, part) of every example below an absolute folder, in the order of the names' bytes.

    sequences: an example is a folder that holds images itself, or a video; otherwise an image
    left_out:  gets (kind, path) of what is passed over; kinds are those of `resight.images.contents`, and BESIDE

    Broken links with the name of an example, and folders without frames, are examples: reading them tells.
    Raises InputError if there are no class folders, one holds no example or is there twice, or folders of parts and
    of classes are mixed; WorkError if a folder cannot be read.
    """
    folders = _folders(root, sequences, left_out)
    parts = _parts(root, folders, sequences)
    homes = {identity_of(root): root}
    found: list[Found] = []
    for part, above in parts or [(None, root)]:
        for folder in _folders(above, sequences, left_out) if parts else folders:
            other = homes.setdefault(identity_of(folder), folder)
            if other != folder:
                raise InputError(
                    f"{folder} and {other} are one folder (by a link): a folder holds one class of one part"
                )
            label = _label(folder)
            found += [(path, label, part) for path in _below(folder, sequences, left_out)]
    _check_labels(found, root)
    return found


def sequences_at(place: Path, classes: Collection[str], left_out: LeftOut) -> list[Path]:
    """The sequences that are meant by an absolute folder: itself if it holds frames and no sequence is below it.

    Otherwise those below, images beside them left out, as in a class folder; where all folders have names of classes
    those of each. Order and left_out as of `find_examples`. Raises WorkError if the folder cannot be read.
    """
    aside: LeftOut = []
    inner = _folders(place, True, aside)
    if inner and all(folder.name.strip() in classes for folder in inner) and BESIDE not in dict(aside):
        left_out += [(LOOSE if path.suffix.lower() in SUFFIXES else kind, path) for kind, path in aside]
        return [path for folder in inner for path in sequences_at(folder, (), left_out)]
    aside = []
    full, hollow = find_sequences(place, aside)
    if not full and any(kind == LOOSE for kind, _ in aside):
        left_out += [(HOLLOW, path) for path in hollow]
        return [place]
    left_out += aside
    return by_name([*full, *hollow])


def _folders(root: Path, sequences: bool, left_out: LeftOut) -> list[Path]:
    found = []
    for entry in entries_of(root):
        path, kind = root / entry.name, kind_of(entry)
        suffix = path.suffix.lower()
        if kind == FOLDER:
            found += [path] if suffix != ".resight" else []
        elif kind in (HIDDEN, BROKEN):
            left_out.append((kind, path))
        else:
            wanted = suffix in (VIDEO_SUFFIXES if sequences else SUFFIXES)
            left_out.append((BESIDE if wanted else suffix or NO_SUFFIX, path))
    return found


def _parts(root: Path, folders: list[Path], sequences: bool) -> list[tuple[str | None, Path]]:
    """(part, folder) of each folder if they are parts, nothing if they are classes."""
    named = [folder for folder in folders if folder.name.casefold() in PART_NAMES]
    if len(named) < len(folders):
        # Without folders in it, train is a class beside car and bus.
        deep = [folder for folder in named if _folders(folder, sequences, [])]
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
        if not _folders(folder, sequences, []):
            raise InputError(
                f"{folder}: expected a folder for each class in it, got none: sort its images, or move it away"
            )
    return list(parts.items())


def _below(folder: Path, sequences: bool, left_out: LeftOut) -> list[Path]:
    """The examples of one class folder, of which there must be one."""
    aside: LeftOut = []
    full, hollow = find_sequences(folder, aside) if sequences else (images_at(folder, aside), [])
    if not full:
        raise InputError(_no_example(folder, sequences, Counter(kind for kind, _ in aside), len(hollow)))
    left_out += aside
    return by_name([*full, *hollow])


def _no_example(folder: Path, sequences: bool, counts: Counter[str], hollow: int) -> str:
    wanted = "folder of frames and no video" if sequences else "image"
    counts = counts + Counter({HOLLOW: hollow})
    held = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    why = f"it holds only {held}" if held else "it is empty"
    advice = "put some in, or remove the folder"
    if sequences and counts[LOOSE]:
        advice = "put each sequence's frames in a folder of their own, or train on single images, without sequences"
    elif not sequences and any(counts[suffix] for suffix in VIDEO_SUFFIXES):
        advice = "for videos, ask for sequences"
    return f"{folder}: no {wanted} in this class folder: {why}; {advice}"


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
