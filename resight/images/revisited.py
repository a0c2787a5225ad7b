"""Ground truth of Revisited Oxford and Paris: a pickle from the internet, read as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.lines import read_bytes_of
from resight.images.plain_pickle import PlainArray, read_plain_pickle
from resight.images.queries import Query, Setting, Truth, checked_box, checked_name, say

LIMIT = 16 * 2**20  # bytes; the published files have less than one megabyte
MOST = 4_000_000  # answers of all queries together
GROUPS = ("easy", "hard", "junk")
SETTINGS = {
    "E": Setting(("easy",), ("junk", "hard")),
    "M": Setting(("easy", "hard"), ("junk",)),
    "H": Setting(("hard",), ("junk", "easy")),
}


def read_roxford5k(file: Path) -> Truth:
    """The ground truth of ROxford5k (Radenovic 2018), gnd_roxford5k.pkl: 70 queries, 4,993 images."""
    return read_revisited(file, "roxford5k", 4993)


def read_rparis6k(file: Path) -> Truth:
    """The ground truth of RParis6k (Radenovic 2018), gnd_rparis6k.pkl: 70 queries, 6,322 images."""
    return read_revisited(file, "rparis6k", 6322)


def read_revisited(file: Path, name: str, images: int | None = None) -> Truth:
    """Ground truth from a pickle with imlist, qimlist and gnd = [{easy, hard, junk, bbx}].

    Settings E: easy against the rest, junk and hard ignored; M: easy and hard, junk ignored; H: hard, junk and easy
    ignored. The queries are not in the database, which is imlist.
    Raises InputError, naming the entry, for a file that is larger than 16 MiB, asks for anything but plain data, or
    is not of that form.
    """
    content = read_plain_pickle(read_bytes_of(file, LIMIT), str(file))
    if not isinstance(content, dict) or not {"imlist", "qimlist", "gnd"} <= set(content):
        found = ", ".join(map(repr, list(content)[:6])) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{file}: expected a dictionary with imlist, qimlist and gnd, got {found[:120] or 'nothing'}")
    database = _names(content["imlist"], f"{file}, imlist")
    images_of_queries = _names(content["qimlist"], f"{file}, qimlist")
    entries = _list(content["gnd"], f"{file}, gnd")
    if len(entries) != len(images_of_queries):
        raise InputError(f"{file}: gnd has {len(entries)} entries for the {len(images_of_queries)} names in qimlist")
    if sum(_length(entry) for entry in entries) > MOST:
        raise InputError(f"{file}, gnd: more than {MOST:,} answers in all: is it the right file?")
    queries = tuple(
        _query(image, entry, database, f"{file}, gnd[{index}]")
        for index, (image, entry) in enumerate(zip(images_of_queries, entries))
    )
    if both := set(database) & set(images_of_queries):
        raise InputError(f"{file}: {min(both)!r} is in qimlist and in imlist: queries are not in the database")
    if not any(query.answers("easy", "hard") for query in queries):
        raise InputError(f"{file}: no query has an easy or hard answer, so nothing to measure")

    def place_of(image: str) -> str:
        named = {"imlist": database, "qimlist": images_of_queries}
        return next((f"{key}[{found.index(image)}]" for key, found in named.items() if image in found), "")

    return Truth(name, queries, dict(SETTINGS), tuple(database), "absent", images, str(file), place_of=place_of)


def _query(image: str, entry: Any, database: list[str], where: str) -> Query:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected a dictionary with easy, hard, junk and bbx, got {type(entry).__name__}")
    places: dict[int, str] = {}
    members: dict[str, frozenset[str]] = {}
    for group in GROUPS:
        if group not in entry:
            raise InputError(
                f"{where}: has no {group!r}; files of the old protocol have 'ok' there: use the gnd_r... file"
            )
        rows = _rows(entry[group], len(database), f"{where}[{group!r}]")
        for row in rows:
            if places.setdefault(row, group) != group:
                raise InputError(f"{where}: image {row} ({database[row]!r}) is both {places[row]} and {group}")
        members[group] = frozenset(database[row] for row in rows)
    if "bbx" not in entry:
        raise InputError(f"{where}: has no 'bbx', the query's box of four numbers x1 y1 x2 y2")
    box = checked_box(_list(entry["bbx"], f"{where}['bbx']"), f"{where}['bbx']")
    return Query(image, image, box, members, f"{where}['bbx']")


def _length(entry: Any) -> int:
    """How many answers an entry of gnd claims: one list may stand in many entries."""
    values = [entry.get(group) for group in GROUPS] if isinstance(entry, dict) else []
    lists = [value.values if isinstance(value, PlainArray) else value for value in values]
    return sum(len(value) for value in lists if isinstance(value, list | tuple))


def _names(value: Any, where: str) -> list[str]:
    names = _list(value, where)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or len(name) > 4096 or "\0" in name:
            raise InputError(f"{where}[{index}]: expected an image name, got {say(name)}")
        checked_name(name, f"{where}[{index}]")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"{where}: {twice!r} comes twice")
    if not names:
        raise InputError(f"{where}: expected image names, got none")
    return names


def _rows(value: Any, count: int, where: str) -> list[int]:
    rows = _list(value, where)
    for index, row in enumerate(rows):
        if isinstance(row, float) and row.is_integer():  # as files converted from Matlab have them
            rows[index] = row = int(row)
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < count:
            raise InputError(f"{where}[{index}]: expected a whole number from 0 to {count - 1}, got {say(row)}")
    return rows


def _list(value: Any, where: str) -> list[Any]:
    """A copy of a list, a tuple or an array's content."""
    if isinstance(value, PlainArray):
        return list(value.values)
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: expected a list, got {type(value).__name__}")
    return list(value)
