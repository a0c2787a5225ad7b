"""Finds files that hold the same bytes, whatever they are called."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from resight.errors import ImageError
from resight.images.clips import frame_files
from resight.images.places import is_folder

_BLOCK = 2**20
_ENDS = 2**12


def identical(paths: Sequence[Path]) -> list[tuple[int, ...]]:
    """Which of these files, or folders of frames, hold the same bytes.

    ->  groups of two and more places in `paths`, each ascending, in the order of their first

    Sizes are compared first, then the files' ends, and only what still agrees is read whole (SHA-256). A folder is
    compared by its images in their natural order, never with a file. What is empty or cannot be read is like nothing.
    """
    groups: list[list[int]] = [list(range(len(paths)))]
    for key in (_sizes, _ends, _content):
        groups = [part for group in groups for part in _told_apart(group, paths, key)]
    return sorted(tuple(group) for group in groups)


def _told_apart(group: list[int], paths: Sequence[Path], key: Callable[[Path], Hashable]) -> Iterable[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for place in group:
        try:
            found.setdefault(key(paths[place]), []).append(place)
        except (OSError, ImageError, ValueError):
            continue
    return [places for places in found.values() if len(places) > 1]


def _files(path: Path) -> list[Path]:
    return frame_files(path) if is_folder(path) else [path]


def _sizes(path: Path) -> Hashable:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return tuple(frame.stat().st_size for frame in frame_files(path))
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        raise OSError("nothing to compare")  # reading a FIFO would wait
    return status.st_size


def _ends(path: Path) -> Hashable:
    digest = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as opened:
            digest.update(opened.read(_ENDS))
            if _seek_end(opened) > _ENDS:
                digest.update(opened.read(_ENDS))
    return digest.digest()


def _seek_end(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ENDS))
    return size


def _content(path: Path) -> Hashable:
    digest = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                digest.update(block)
    return digest.digest()
