"""Boxes around the objects of images, from a CSV list or from COCO's annotations."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import InputError
from resight.explain.pointing import Boxes
from resight.images.coco import Instance, read_instances
from resight.images.places import is_file, is_folder, is_there
from resight.images.rows import read_rows

LIMIT = 128 * 2**20  # bytes of a CSV file
CORNERS = ("x1", "y1", "x2", "y2")
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Box:
    """One box of a file, at the real path of its image; label is None where the file names none."""

    path: str
    corners: Corners
    label: str | None


def read_boxes(file: str | os.PathLike[str], images: Sequence[str | os.PathLike[str]]) -> list[Boxes | None]:
    """The boxes that a file has of each image, None where it has none.

    file:   .csv with the columns path,x1,y1,x2,y2 and maybe label, a row for each box; or .json, COCO's instances,
            whose boxes are x, y, width, height and whose labels are the names of its categories
    images: paths

    Paths in the file are relative to its folder; those of COCO, which by its rule are relative to a folder of images
    that the file does not name, also to the innermost folder that holds all `images`. They belong to an image if they
    lead to the same file, links followed.
    Raises InputError if it is no such file or too large, for what is no box, or if no box is of these images;
    WorkError if it cannot be read.
    """
    place, paths = Path(file), [os.fspath(image) for image in images]
    suffix = place.suffix.lower()
    if suffix not in (".csv", ".json"):
        raise InputError(f"{place}: expected boxes as .csv (path,x1,y1,x2,y2) or .json (COCO)")
    wanted: dict[str, list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        wanted[os.path.realpath(os.path.expanduser(path))].append(number)
    roots = [place.parent]
    if suffix == ".csv":
        boxes = list(_from_csv(place, _Places(roots[0], wanted)))
    else:
        instances = read_instances(place)
        roots += _shared_folder(list(wanted))
        boxes = next(filter(None, (_from_coco(instances, _Places(root, wanted)) for root in roots)), [])
    if not boxes:
        where = " or ".join(dict.fromkeys(os.path.abspath(root) for root in roots))
        raise InputError(f"{place}: no box in it is of the images given; its paths are taken as relative to {where}")
    return _gathered(boxes, wanted, len(paths))


class _Places:
    """Which of the images a path in a file leads to, each path looked up once."""

    def __init__(self, root: Path, wanted: Mapping[str, Any]) -> None:
        self._root, self._wanted = root, wanted
        self._known: dict[str, str] = {}

    def find(self, path: str) -> str:
        """The real path of the image, or "" if it is none of them."""
        if path not in self._known:
            try:
                real = os.path.realpath(self._root / os.path.expanduser(path))
            except ValueError:  # a name that no file can have
                real = ""
            self._known[path] = real if real in self._wanted else ""
        return self._known[path]


def _gathered(boxes: Sequence[_Box], wanted: Mapping[str, Sequence[int]], count: int) -> list[Boxes | None]:
    by_path: dict[str, list[_Box]] = defaultdict(list)
    for one in boxes:
        by_path[one.path].append(one)
    found: list[Boxes | None] = [None] * count
    for path, own in by_path.items():
        labels = tuple(one.label for one in own if one.label is not None)
        made = Boxes(np.array([one.corners for one in own]), labels if len(labels) == len(own) else None)
        for number in wanted[path]:
            found[number] = made
    return found


def _from_csv(file: Path, places: _Places) -> Iterator[_Box]:
    """The boxes of our images; every row is checked."""
    _check_file(file)
    for line, row in read_rows(file, ("path", *CORNERS)):
        where = f"{file}, line {line}"
        corners = _corners([row[name] for name in CORNERS], where)
        label = row.get("label")
        if label is not None and not label.strip():
            raise InputError(f"{where}: the cell under 'label' is empty: name the class, or leave the column out")
        path = places.find(row["path"].strip())
        if path:
            yield _Box(path, corners, label)


def _check_file(file: Path) -> None:
    """Raises InputError for what may be endless, or is too large. What is missing is told when it is opened."""
    if is_there(file) and not is_folder(file) and not is_file(file):
        raise InputError(f"{file}: expected a file, got a pipe, socket or device")
    if is_file(file) and file.stat().st_size > LIMIT:
        raise InputError(f"{file}: expected at most {LIMIT:,} bytes, the file is larger: is it the right one?")


def _corners(cells: Sequence[str], where: str) -> Corners:
    shown = ", ".join(cells)[:80]
    try:
        x1, y1, x2, y2 = (float(cell) for cell in cells)
    except ValueError as error:
        raise InputError(f"{where}: expected a box as four numbers of pixels, got {shown}") from error
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise InputError(f"{where}: expected a box as four numbers of pixels, got {shown}")
    if x1 > x2 or y1 > y2:
        raise InputError(f"{where}: expected a box with x1 <= x2 and y1 <= y2, got {shown}: is it x, y, width, height?")
    return x1, y1, x2, y2


def _from_coco(instances: Sequence[Instance], places: _Places) -> list[_Box]:
    """The boxes of our images; those around several objects of a kind are as good as the others."""
    found = ((places.find(one.image), one) for one in instances)
    return [_Box(path, one.box, one.label) for path, one in found if path]


def _shared_folder(paths: Sequence[str]) -> list[Path]:
    """The innermost folder that holds all of them; none if there is none, as on two drives."""
    try:
        return [Path(os.path.commonpath([os.path.dirname(path) for path in paths]))]
    except ValueError:
        return []
