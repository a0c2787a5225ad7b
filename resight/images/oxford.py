"""Ground truth of Oxford Buildings and Paris as their authors published it: a folder of text files."""

from __future__ import annotations

import math
from pathlib import Path

from resight.errors import InputError, WorkError
from resight.images.lines import read_lines
from resight.images.queries import Box, Query, Setting, Truth, checked_box, checked_name

GROUPS = ("good", "ok", "junk")
KINDS = ("query", *GROUPS)
PREFIX = "oxc1_"  # Oxford's query files name an older copy of the images
LIMIT = 2**20  # bytes of one file; the largest published one has 7 KB
MOST = 100_000  # files in the folder


def read_oxford5k(folder: Path) -> Truth:
    """The ground truth of Oxford5k (Philbin 2007): see `read_landmarks`; 55 queries, 5,063 images."""
    return read_landmarks(folder, "oxford5k", 5063)


def read_paris6k(folder: Path) -> Truth:
    """The ground truth of Paris6k (Philbin 2008): see `read_landmarks`; 55 queries.

    6,412 images were published, of which 20 are damaged and usually left out: 6,392.
    """
    return read_landmarks(folder, "paris6k", 6392)


def read_landmarks(folder: Path, name: str, images: int | None = None) -> Truth:
    """Ground truth from files `<landmark>_<i>_{query,good,ok,junk}.txt`.

    The query file holds `name x1 y1 x2 y2`, the others a name a line. Positives are good and ok, junk is taken out of
    the ranking, the query's own image stays in the database and counts.
    Raises InputError, with the file and line, for a malformed line, a missing companion, a name that is both right
    and junk, or a query without a right answer.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of {name}'s ground truth files (..._query.txt), got none")
    stems = _query_stems(folder)
    if not stems:
        raise InputError(f"{folder}: expected files such as all_souls_1_query.txt, got none")
    first: dict[str, str] = {}
    queries = tuple(_read_query(folder, stem, first) for stem in stems)
    setting = Setting(("good", "ok"), ("junk",))
    return Truth(
        name, queries, {"all": setting}, None, "counts", images, str(folder),
        place_of=lambda image: first.get(image, ""),
    )  # fmt: skip


def _query_stems(folder: Path) -> list[str]:
    """Names of the queries, in natural order; every file that belongs to one must have its four companions."""
    found: dict[str, set[str]] = {}
    try:
        for number, file in enumerate(folder.iterdir()):
            if number >= MOST:
                raise InputError(f"{folder}: more than {MOST:,} files: expected a folder with ground truth only")
            stem, _, kind = file.stem.rpartition("_")
            if file.suffix == ".txt" and kind in KINDS and stem:
                found.setdefault(stem, set()).add(kind)
    except OSError as error:
        raise WorkError(f"{folder}: {error.strerror or error}") from error
    for stem, kinds in sorted(found.items()):
        for kind in KINDS:
            if kind not in kinds:
                raise InputError(f"{folder / f'{stem}_{kind}.txt'}: missing, though {stem}_{min(kinds)}.txt is there")
    return sorted(found, key=_natural)


def _natural(stem: str) -> tuple[str, float, str]:
    """oxford_2 before oxford_10."""
    landmark, _, number = stem.rpartition("_")
    return landmark, int(number) if number.isdecimal() and number.isascii() else math.inf, stem


def _read_query(folder: Path, stem: str, first: dict[str, str]) -> Query:
    """A query; `first` gets the place of each name that comes for the first time."""
    image, box, query_place = _read_query_line(folder / f"{stem}_query.txt")
    first.setdefault(image, f"{stem}_query.txt, line {query_place.rpartition(' ')[2]}")
    places: dict[str, tuple[str, Path, int]] = {}
    for group in GROUPS:
        file = folder / f"{stem}_{group}.txt"
        for line, text in read_lines(file, LIMIT):
            if len(text.split()) != 1:
                raise InputError(f"{file}, line {line}: expected one image name without spaces, got {text[:60]!r}")
            checked_name(text, f"{file}, line {line}")
            first.setdefault(text, f"{file.name}, line {line}")
            known, other, before = places.setdefault(text, (group, file, line))
            if known != group:
                raise InputError(
                    f"{file}, line {line}: {text!r} is {group} here, and {known} in {other}, line {before}"
                )
    members = {g: frozenset(name for name, place in places.items() if place[0] == g) for g in GROUPS}
    if not members["good"] | members["ok"]:
        raise InputError(f"{folder / f'{stem}_good.txt'}: empty, and so is {stem}_ok.txt: a query needs a right answer")
    return Query(stem, image, box, members, query_place)


def _read_query_line(file: Path) -> tuple[str, Box, str]:
    lines = list(read_lines(file, LIMIT))
    if len(lines) != 1:
        raise InputError(f"{file}: expected one line 'name x1 y1 x2 y2', got {len(lines)} lines")
    line, text = lines[0]
    words = text.split()
    if len(words) != 5:
        raise InputError(f"{file}, line {line}: expected 'name x1 y1 x2 y2', got {text[:80]!r}")
    place = f"{file}, line {line}"
    return checked_name(words[0].removeprefix(PREFIX), place), checked_box(words[1:], place), place
