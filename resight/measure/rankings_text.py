"""Rankings as text files, one per query with one name per line, as the Oxford evaluator `compute_ap` reads them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from resight.errors import InputError
from resight.images.lines import MAX_NAME, read_lines
from resight.images.listing import SUFFIXES
from resight.images.truth import Truth
from resight.measure.missing import some_of
from resight.measure.names import NameIndex, name_index

LIMIT = 128 * 2**20  # bytes of one file: a million names
LONGEST = 255  # bytes of a file's name, on nearly every file system
BY_PATH = ("labels", "holidays", "ukbench", "copydays", "pairs")  # protocols whose images may be called alike
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


def ranking_names(truth: Truth, index: NameIndex, paths: Sequence[str]) -> dict[str, str]:
    """The name of every image that is searched in files of rankings: {path: name}.

    index: of the paths
    paths: (N,)  the collection's images

    Oxford, Paris and their revisions are evaluated by programmes that read names without folder and suffix. For the
    other protocols (`BY_PATH`) a name is the ground truth's own, or the path below what all have in common: images may
    then be called alike in two folders.
    Raises InputError if two images would have one name, or a name cannot stand on a line.

    >>> from resight.images.truth import truth_from_labels
    >>> from resight.measure.names import name_index
    >>> truth, paths = truth_from_labels(["/d/x/1.jpg", "/d/y/1.jpg"], ["x", "x"]), ["/d/x/1.jpg", "/d/y/1.jpg"]
    >>> ranking_names(truth, name_index(truth, paths), paths)
    {'/d/x/1.jpg': 'x/1.jpg', '/d/y/1.jpg': 'y/1.jpg'}
    """
    by_path = truth.name in BY_PATH
    own = {row: name for name, row in index.rows.items() if by_path and truth.name != "labels"}
    root = _root(paths)
    names: dict[str, str] = {}
    holders: dict[str, str] = {}
    for row in np.flatnonzero(index.database).tolist():
        path = paths[row]
        name = own.get(row) or (_below(path, root) if by_path else _bare(path))
        if not _stands_on_a_line(name) or (not by_path and len(name.split()) != 1):
            raise InputError(f"{path!r} cannot stand in a ranking file: its name is empty or holds what a line cannot "
                             "(line ends, white space at its ends; in the Oxford family any): rename it")  # fmt: skip
        if holders.setdefault(name, path) != path:
            raise InputError(f"rankings as text for {truth.name} name images without folder and suffix, and two are "
                             f"called {name!r}: {holders[name]} and {path}; rename one")  # fmt: skip
        names[path] = name
    return names


def _stands_on_a_line(name: str) -> bool:
    """Whether `read_lines` gives the name back."""
    if not name or name != name.strip() or len(name) > MAX_NAME:
        return False
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _root(paths: Sequence[str]) -> str:
    folders = [os.path.dirname(path) for path in paths]
    try:
        return os.path.commonpath(folders)
    except ValueError:  # relative and absolute ones, or none
        return ""


def _below(path: str, root: str) -> str:
    return (os.path.relpath(path, root) if root else path).replace(os.sep, "/")


def read_rankings(folder: str | os.PathLike[str], truth: Truth) -> tuple[tuple[str, ...], ...]:
    """The rankings in a folder of files, `ranking_file` of each query of the ground truth, in its order.

    ->  names, best first, as they stand in the files; for scoring see `ranked_rows`

    Raises InputError, with the file and line, if a query's file is missing, a line is no single name (in the Oxford
    family: has a space), or a name comes twice; WorkError if a file cannot be read.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder of rankings (QUERY.txt), got none")
    spaced = truth.name in BY_PATH
    return tuple(_read_ranking(Path(folder), query.name, spaced) for query in truth.queries)


def rankings_key(truth: Truth, rankings: Sequence[Sequence[str]]) -> str:
    """16 hex digits that name the rankings of all queries."""
    digest = hashlib.sha256()
    for query, names in zip(truth.queries, rankings):
        digest.update("\n".join((query.name, *names, "\n")).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def index_of_rankings(truth: Truth, names: Sequence[str]) -> NameIndex:
    """Which of the ranked names the names of a ground truth mean, where the rankings are all there is.

    names: (N,)  every name in the rankings, once
    ->     a name of the ground truth is found as among paths (see `name_index`), or without its folder and suffix

    Raises InputError if a ranked name means two of the ground truth, or none of them is found.
    """
    ranked, known = set(names), dict.fromkeys(truth.names())
    bare: dict[str, list[str]] = {}
    for name in known:
        if name not in ranked:
            bare.setdefault(_bare(name), []).append(name)
    paths = []
    for name in names:
        meant = bare.get(name, []) if name not in known else []
        if len(meant) > 1:
            raise InputError(f"{name!r} in the rankings stands for two images of the ground truth: {meant[0]} and "
                             f"{meant[1]}")  # fmt: skip
        paths.append(meant[0] if meant else name)
    return name_index(truth, paths, allow_missing=True)


def ranked_rows(rankings: Sequence[Sequence[str]], index: NameIndex, paths: Sequence[str]) -> list[list[int]]:
    """The rows that the names of rankings mean, for `score_rankings`.

    rankings: (Q,) of names, as from `read_rankings`
    index:    of the paths, for the names of the ground truth
    paths:    (N,)  the collection's images: a name is the ground truth's own, a path, a path below what all have in
              common, or a file name without suffix

    Raises InputError if a name is no image of the collection, or stands for two.
    """
    root = _root(paths)
    rows: dict[str, int] = {}
    for name_of in (str, lambda path: _below(path, root)):
        for row, path in enumerate(paths):
            rows.setdefault(name_of(path), row)
    rows.update(index.rows)
    bare: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        bare.setdefault(_bare(path), []).append(row)
    unknown = sorted({name for names in rankings for name in names if name not in rows and name not in bare})
    if unknown:
        raise InputError(f"{len(unknown):,} names in the rankings are not in the collection: {some_of(unknown, '')}")
    for name in {name for names in rankings for name in names if name not in rows}:
        if len(bare[name]) > 1:
            one, other = (paths[row] for row in bare[name][:2])
            raise InputError(f"{name!r} in the rankings stands for two images, {one} and {other}")
        rows[name] = bare[name][0]
    return [[rows[name] for name in names] for names in rankings]


def _read_ranking(folder: Path, query: str, spaced: bool) -> tuple[str, ...]:
    file = folder / ranking_file(query)  # a query's name comes from the ground truth: it cannot lead out of the folder
    if not file.is_file():
        raise InputError(f"{file}: missing: expected the ranking of query {query!r}, one name per line")
    lines: dict[str, int] = {}
    for line, name in read_lines(file, LIMIT):
        if not spaced and len(name.split()) != 1:
            raise InputError(f"{file}, line {line}: expected one name without spaces, got {name[:60]!r}")
        before = lines.setdefault(name, line)
        if before != line:
            raise InputError(f"{file}, line {line}: {name!r} was ranked on line {before} already")
    return tuple(lines)


def _bare(path: str) -> str:
    name = path.replace(os.sep, "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name
