"""Queries and what they find, a line each, on one page."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from resight.errors import InputError
from resight.show.picture import Picture
from resight.show.sheet import PAPER, sheet

SIDE = 112  # pixels of a thumbnail
BREAK = 8  # pixels between lines that do not belong together


@dataclass(frozen=True)
class Found:
    """One result: its image, its label, its similarity to the query, and whether it is right."""

    path: str | os.PathLike[str]
    label: str
    similarity: float
    right: bool


@dataclass(frozen=True)
class Line:
    """A query and its nearest images, best first.

    title: what stands above
    group: lines of one group follow each other closely
    """

    title: str
    query: str | os.PathLike[str]
    label: str
    found: tuple[Found, ...]
    group: int = 0


def neighbour_sheet(lines: Sequence[Line], *, side: int = SIDE) -> bytes:
    """A PNG: a line for each query, with a border and a tick or a cross around what is right or wrong.

    side: pixels of a thumbnail

    An image that cannot be read any more is drawn as a card with the reason. Raises InputError if there is no line.
    """
    if not lines:
        raise InputError("expected at least one query to draw, got none")
    from PIL import Image

    columns = 1 + max(len(line.found) for line in lines)
    strips = [sheet(_pictures(line), columns=columns, side=side, title=line.title) for line in lines]
    gaps = [0, *(BREAK * (one.group != other.group) for one, other in pairwise(lines))]
    page = Image.new("RGB", (max(one.width for one in strips), sum(one.height for one in strips) + sum(gaps)), PAPER)
    top = 0
    for strip, gap in zip(strips, gaps, strict=True):
        top += gap
        page.paste(strip, (0, top))
        top += strip.height
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _pictures(line: Line) -> list[Picture]:
    results = [
        Picture(one.path, f"{one.similarity:.3f}", one.label, "right" if one.right else "wrong") for one in line.found
    ]
    return [Picture(line.query, Path(line.query).name, line.label, "query"), *results]
