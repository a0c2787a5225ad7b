"""Whether the image files and boxes that an evaluation needs can be used, before the first search."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resight.errors import ImageError, InputError
from resight.images import read_image
from resight.images.queries import Box, Query
from resight.measure.missing import SHOWN, some_of
from resight.measure.watching import Watch

if TYPE_CHECKING:
    from resight.search import Item

WORKERS = 8
AT_A_TIME = 512  # files between two reports of how far it is


@dataclass(frozen=True)
class Files:
    """What was found of some image files.

    unreadable  {path: why it cannot be read}
    sizes       {path: (width, height)} of those whose pixels were looked at
    """

    unreadable: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]


def look_at_files(paths: Sequence[str], items: Mapping[str, Item], watch: Watch) -> Files:
    """Which of these image files can be read.

    items: what the collection knows of them, by path: of a file that has the size and date of indexing it is enough
           that it opens, any other is decoded
    """
    unreadable: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    with ThreadPoolExecutor(WORKERS) as pool, watch("checking files", len(paths), "images") as progress:
        for start in range(0, len(paths), AT_A_TIME):
            part = paths[start : start + AT_A_TIME]
            for path, found in zip(part, pool.map(lambda path: _look_at(path, items.get(path)), part)):
                if isinstance(found, str):
                    unreadable[path] = found
                elif found is not None:
                    sizes[path] = found
            progress(start + len(part), len(unreadable))
    return Files(unreadable, sizes)


def _look_at(path: str, item: Item | None) -> tuple[int, int] | str | None:
    """Its (width, height), None if it is as it was indexed, or why it cannot be read."""
    place = os.path.expanduser(path)  # a path that came with a vector may begin with ~
    try:
        known = os.stat(place)
        if not stat.S_ISREG(known.st_mode):
            return "not a regular file"
        with open(place, "rb") as file:
            file.read(1)
        if item is not None and (known.st_size, known.st_mtime_ns) == (item.size, item.mtime_ns):
            return None
        height, width = read_image(place).shape[:2]
    except ImageError as error:
        return error.reason
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return width, height


def check_boxes(asked: Sequence[tuple[Query, str, tuple[int, int]]]) -> int:
    """How many boxes reach beyond their images, and so are clipped.

    asked: (query with a box, path of its image, (width, height) of the image)

    Raises InputError, with the place of each in the ground truth, if boxes lie wholly outside.
    """
    outside: list[str] = []
    clipped = 0
    for query, path, (width, height) in asked:
        if query.box is None:
            continue
        fit = box_fit(query.box, (width, height))
        clipped += fit == "clipped"
        if fit == "outside":
            box = ",".join(f"{side:g}" for side in query.box)
            name = os.path.basename(path)
            outside.append(f"{query.place or f'query {query.name}'}: box {box}, {name} is {width} x {height}")
    if outside:
        count = "a query box lies" if len(outside) == 1 else f"{len(outside):,} query boxes lie"
        listed = "; ".join(outside[:SHOWN]) + (f"; and {len(outside) - SHOWN:,} more" if len(outside) > SHOWN else "")
        raise InputError(f"{count} outside the image (x1,y1,x2,y2 in pixels, W x H): {listed}")
    return clipped


def box_fit(box: Box, size: tuple[int, int]) -> str:
    """Whether a box lies "inside" an image of (width, height), reaches beyond it ("clipped"), or is "outside".

    >>> box_fit((0, 0, 5, 5), (5, 5)), box_fit((4, 4, 6, 6), (5, 5)), box_fit((5, 0, 6, 5), (5, 5))
    ('inside', 'clipped', 'outside')
    """
    x1, y1, x2, y2 = box
    width, height = size
    if min(width, math.ceil(x2)) <= max(0, math.floor(x1)) or min(height, math.ceil(y2)) <= max(0, math.floor(y1)):
        return "outside"  # as `crop_box` sees it
    return "inside" if x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height else "clipped"


def unreadable_text(files: Mapping[str, str], why: str) -> str:
    """The sentence for files that cannot be read; why: what needs them."""
    count = "1 image file" if len(files) == 1 else f"{len(files):,} image files"
    listed = some_of([f"{path} ({reason})" for path, reason in files.items()])
    return (
        f"{count} that {why} cannot be read: {listed}: bring them back, or say --allow-missing to go on: a query "
        "without its image counts as AP 0, results that cannot be read go last"
    )
