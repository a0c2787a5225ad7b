"""Ground truth from a CSV file of pairs: which image is a right answer to which."""

from __future__ import annotations

from pathlib import Path

from resight.errors import InputError, unknown
from resight.images.queries import Box, Query, Setting, Truth, checked_box, checked_name
from resight.images.rows import read_rows

CORNERS = ("x1", "y1", "x2", "y2")
KINDS = ("positive", "junk")
MOST = 5_000_000  # rows


def read_pairs(file: Path) -> Truth:
    """Ground truth from a CSV file: a row says that `positive` is a right answer to `query`.

    Columns query, positive; optional `kind` ("positive", or "junk" for an image that counts neither way; empty means
    positive) and x1, y1, x2, y2, the query's box (on one of its rows, or the same on all). A query is called by its
    image. If it is in the database too, it is taken out of its own ranking. A query with junk only is left out of the
    mean.
    Raises InputError, with the file and line, for an empty cell, an unknown kind, an image that is its own answer or
    both positive and junk, a malformed box, or two different boxes of one query.
    """
    members: dict[str, dict[str, tuple[str, int]]] = {}
    boxes: dict[str, tuple[Box, int]] = {}
    for number, (line, row) in enumerate(read_rows(file, ["query", "positive"])):
        if number >= MOST:
            raise InputError(f"{file}: more than {MOST:,} rows: split the file")
        place = f"{file}, line {line}"
        query, answer, kind = _cells(row, place)
        known, before = members.setdefault(query, {}).setdefault(answer, (kind, line))
        if known != kind:
            raise InputError(f"{place}: {answer!r} is {kind} to {query!r} here, and {known} on line {before}")
        box = _box(row, place)
        if box is not None and boxes.setdefault(query, (box, line))[0] != box:
            raise InputError(f"{place}: the box of {query!r} differs from the one on line {boxes[query][1]}")
    if not any(kind == "positive" for group in members.values() for kind, _ in group.values()):
        raise InputError(f"{file}: expected rows such as query.jpg,match.jpg under query,positive, got no positive")
    queries = tuple(_query(name, group, boxes.get(name), file) for name, group in members.items())
    return Truth(
        "pairs", queries, {"all": Setting(("positive",), ("junk",))}, None, "removed", None, str(file),
        place_of=lambda image: _place(image, members, file.name),
    )  # fmt: skip


def _query(name: str, group: dict[str, tuple[str, int]], box: tuple[Box, int] | None, file: Path) -> Query:
    place = "" if box is None else f"{file}, line {box[1]}"
    return Query(name, name, None if box is None else box[0], _groups(group), place)


def _place(image: str, members: dict[str, dict[str, tuple[str, int]]], file: str) -> str:
    """Where an image is named first; looked for only when somebody asks."""
    lines = [line for _, line in members.get(image, {}).values()]
    lines += [group[image][1] for group in members.values() if image in group]
    return f"{file}, line {min(lines)}" if lines else ""


def _cells(row: dict[str, str], place: str) -> tuple[str, str, str]:
    query, answer = row["query"].strip(), row["positive"].strip()
    kind = row.get("kind", "").strip() or "positive"
    for column, cell in (("query", query), ("positive", answer)):
        if not cell:
            raise InputError(f"{place}: the cell under {column!r} is empty")
        checked_name(cell, place)
    if kind not in KINDS:
        raise unknown(f"kind on line {place.rpartition(' ')[2]} of {place.rpartition(',')[0]}:", kind, KINDS)
    if query == answer:
        raise InputError(f"{place}: {query!r} is given as the answer to itself")
    return query, answer, kind


def _box(row: dict[str, str], place: str) -> Box | None:
    cells = [row.get(corner, "").strip() for corner in CORNERS]
    return checked_box(cells, place) if any(cells) else None


def _groups(group: dict[str, tuple[str, int]]) -> dict[str, frozenset[str]]:
    return {kind: frozenset(name for name, (own, _) in group.items() if own == kind) for kind in KINDS}
