"""Rankings as text files, one per query, as the Oxford evaluator `compute_ap` reads them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from resight.errors import InputError
from resight.images.lines import read_lines
from resight.images.listing import SUFFIXES
from resight.images.truth import Truth
from resight.measure.names import NameIndex

LIMIT = 128 * 2**20  # bytes of one file: a million names
LONGEST = 255  # bytes of a file's name, on nearly every file system
UNSAFE = frozenset('/\\%:*?"<>|')  # on one system or another, and the mark of what is written otherwise


def ranking_file(query: str) -> str:
    """The name of the file that holds a query's ranking: the query's own, with what cannot stand there as %XX.

    Two queries never have the same file, and `query_of` gives the query back. Plain names stay as they are; a leading
    point and control characters count among what cannot stand in a name.
    Raises InputError for an empty name, or one that is too long for a file.

    >>> ranking_file("all_souls_1"), ranking_file("a/b"), ranking_file("../100%")
    ('all_souls_1.txt', 'a%2Fb.txt', '%2E.%2F100%25.txt')
    """
    if not query:
        raise InputError("a query without a name has no file for its ranking: expected a name for each")
    safe = [_escaped(letter) if letter in UNSAFE or not letter.isprintable() else letter for letter in query]
    if query[0] in ". ":
        safe[0] = _escaped(query[0])
    name = "".join(safe) + ".txt"
    length = len(name.encode())
    if length > LONGEST:
        raise InputError(f"query {query[:60]!r}...: its file of rankings would have a name of {length:,} bytes, at "
                         f"most {LONGEST} are possible: give it a shorter name")  # fmt: skip
    return name


def query_of(file: str) -> str:
    """The query whose ranking a file holds: the inverse of `ranking_file`.

    >>> query_of("a%2Fb.txt")
    'a/b'
    """
    return unquote(file.removesuffix(".txt"), errors="surrogatepass")


def _escaped(letter: str) -> str:
    return f"%{ord(letter):02X}" if letter < "\x80" else quote(letter, safe="", errors="surrogatepass")


def rankings_text(names: Sequence[str], order: Iterable[int]) -> str:
    """One ranking as text: a database name without folder and suffix per line, best first.

    names: (N,)   names or paths of the database images
    order: (n,)   rows, best first

    Raises InputError if a row is not one of the names, a name holds a line end or ends up empty, or two end up alike.

    >>> rankings_text(["x/a.jpg", "x/b.jpg"], [1, 0])
    'b\\na\\n'
    """
    lines: dict[str, int] = {}
    for row in order:
        if not 0 <= row < len(names):
            raise InputError(f"expected rows from 0 to {len(names) - 1}, got {row}")
        name = _bare(names[row])
        if lines.setdefault(name, row) != row:
            raise InputError(f"rankings as text name images without folder and suffix, and two are called {name!r}: "
                             f"{names[lines[name]]} and {names[row]}; rename one")  # fmt: skip
    return "".join(f"{name}\n" for name in lines)


def read_rankings(folder: str | os.PathLike[str], truth: Truth) -> tuple[tuple[str, ...], ...]:
    """The rankings in a folder of files, `ranking_file` of each query of the ground truth, in its order.

    ->  names, best first, as they stand in the files; for scoring see `ranked_rows`

    Raises InputError, with the file and line, if a query's file is missing, a line is no single name, or a name comes
    twice; WorkError if a file cannot be read.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder of rankings (QUERY.txt), got none")
    return tuple(_read_ranking(Path(folder), query.name) for query in truth.queries)


def ranked_rows(rankings: Sequence[Sequence[str]], index: NameIndex, paths: Sequence[str]) -> list[list[int]]:
    """The rows that the names of rankings mean, for `score_rankings`.

    rankings: (Q,) of names, as from `read_rankings`
    index:    of the paths, for the names of the ground truth
    paths:    (N,)  the collection's images; every other name is a path's file name without suffix

    Raises InputError if a name is no image of the collection, or stands for two.
    """
    rows: dict[str, int] = {}
    shared: set[str] = set()
    for row, path in enumerate(paths):
        name = _bare(path)
        if rows.setdefault(name, row) != row:
            shared.add(name)
    unknown = sorted({name for names in rankings for name in names if name not in rows and name not in index.rows})
    if unknown:
        raise InputError(
            f"{len(unknown):,} names in the rankings are not in the collection, such as {', '.join(unknown[:3])}"
        )
    found = []
    for names in rankings:
        for name in names:
            if name in shared and name not in index.rows:
                raise InputError(f"{name!r} in the rankings stands for two images, such as {paths[rows[name]]}")
        found.append([index.rows[name] if name in index.rows else rows[name] for name in names])
    return found


def _read_ranking(folder: Path, query: str) -> tuple[str, ...]:
    file = folder / ranking_file(query)  # a query's name comes from the ground truth: it cannot lead out of the folder
    if not file.is_file():
        raise InputError(f"{file}: missing: expected the ranking of query {query!r}, one name per line")
    lines: dict[str, int] = {}
    for line, name in read_lines(file, LIMIT):
        if len(name.split()) != 1:
            raise InputError(f"{file}, line {line}: expected one name without spaces, got {name[:60]!r}")
        before = lines.setdefault(name, line)
        if before != line:
            raise InputError(f"{file}, line {line}: {name!r} was ranked on line {before} already")
    return tuple(lines)


def _bare(path: str) -> str:
    name = path.replace(os.sep, "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    bare = stem if dot and f".{suffix.lower()}" in SUFFIXES else name
    if not bare or len(bare.split()) != 1:
        raise InputError(f"{path!r} cannot stand in a ranking file: its name is empty or holds white space")
    return bare
