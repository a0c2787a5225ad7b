"""Folders of images: listed as a table of path and class, or dealt out to folders of n."""

from __future__ import annotations

import csv
import io
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from resight.errors import InputError, WorkError, advice, unknown
from resight.images import list_images
from resight.tables.atomic import AtomicFiles

PathLike = str | os.PathLike[str]


def map_folder(folder: PathLike, target: PathLike, *, column: str = "class") -> int:
    """Write a CSV of the images in class folders: path and class; returns how many there were.

    column: what the class is called: "class", or "label", which commands that take a CSV of images read

    A path is relative to the CSV's folder where the image lies below it, else absolute; an image that lies in no
    subfolder has an empty class.
    Raises InputError if there are no images, or a name cannot be written as UTF-8.
    """
    if column not in ("class", "label"):
        raise unknown("column", column, ["class", "label"])
    _folder(folder)
    home = Path(os.path.abspath(target)).parent
    buffer, count = io.StringIO(), 0
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["path", column])
    for listing in list_images(folder):
        if not _is_utf8(listing.path):
            raise InputError(f"the file name {os.fsencode(listing.path)!r} is not UTF-8, which a CSV is: rename it")
        path = listing.path.relative_to(home) if listing.path.is_relative_to(home) else listing.path
        rows.writerow([path.as_posix(), listing.label or ""])
        count += 1
    if not count:
        raise InputError(f"{folder}: no images in it: nothing was written")
    with AtomicFiles() as files:
        files.open(Path(target)).write(buffer.getvalue().encode())
    return count


def _is_utf8(path: Path) -> bool:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def group_folder(folder: PathLike, size: int, target: PathLike, *, how: str = "copy") -> int:
    """Deal the images of a folder out to folders of `size`, 1, 2, .. in a new folder; returns how many groups.

    size: images per group; the last has what is left
    how:  "copy"; "hardlink", which takes no space, but a program that changes the one changes the other; "symlink"

    The order is that of `list_images`. Subfolders stay, so that labels do: cats/tom.jpg becomes 1/cats/tom.jpg.
    Nothing is overwritten or moved; the target appears whole or not at all.
    Raises InputError if the target is there already, or lies inside the folder; WorkError if the disk refuses.
    """
    source, home = _folder(folder), Path(os.path.abspath(target))
    if how not in PUT:
        raise unknown("way to group", how, PUT)
    if size < 1:
        raise InputError(f"expected groups of 1 image or more, got {size}")
    if os.path.lexists(home):
        raise InputError(f"{target} is there already: nothing is overwritten, give a new folder")
    if not home.parent.is_dir():
        raise InputError(f"the folder {home.parent} does not exist; create it first")
    if home.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} lies inside {folder}: give a folder beside it")
    paths = [listing.path for listing in list_images(folder)]
    if not paths:
        raise InputError(f"{folder}: no images in it: nothing was made")
    groups = -(-len(paths) // size)
    digits = len(str(groups))
    building = home.parent / f".resight-{secrets.token_hex(6)}.tmp"
    try:
        building.mkdir()
        for number, path in enumerate(paths):
            place = building / f"{number // size + 1:0{digits}}" / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            PUT[how](path, place)
        building.rename(home)
    except OSError as error:
        raise WorkError(f"cannot make {target}: {advice(error)}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return groups


def _copy(source: Path, place: Path) -> None:
    with source.open("rb") as old, place.open("xb") as new:
        shutil.copyfileobj(old, new)
    shutil.copystat(source, place)


def _hardlink(source: Path, place: Path) -> None:
    os.link(source.resolve(), place)


def _symlink(source: Path, place: Path) -> None:
    place.symlink_to(source)


PUT: dict[str, Callable[[Path, Path], None]] = {"copy": _copy, "hardlink": _hardlink, "symlink": _symlink}


def _folder(folder: PathLike) -> Path:
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder, got {'a file' if Path(folder).exists() else 'none'}")
    return Path(os.path.abspath(folder))
