"""Which images of a collection the names of a ground truth mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images.truth import Truth
from resight.measure.missing import MissingImages, some_of


@dataclass(frozen=True, eq=False)
class NameIndex:
    """Rows of a collection for the names of a ground truth.

    rows:     {name: row}, of the names that were found
    queries:  (Q,)  row of each query's image, -1 where it is not in the collection
    database: (N,)  bool, the rows that are searched
    missing:  names that should be in the collection and are not, in the order of the ground truth
    """

    rows: dict[str, int]
    queries: NDArray[np.int64]
    database: NDArray[np.bool_]
    missing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        found = int((self.queries >= 0).sum())
        return (
            f"<NameIndex {int(self.database.sum()):,} of {len(self.database):,} images searched, "
            f"{found:,} of {len(self.queries):,} queries among them or beside, {len(self.missing):,} missing>"
        )


def name_index(truth: Truth, paths: Sequence[str], *, allow_missing: bool = False) -> NameIndex:
    """Which rows the names of a ground truth mean.

    paths:         (N,)  the collection's image paths, row by row
    allow_missing: images of the ground truth that are not there count as never found, instead of an error
    ->             a name is a path's trailing components, with or without its suffix: "a", "a.jpg", "x/a" all mean
                   "/data/x/a.jpg"; a path that is the name itself goes before

    A query's own image need not be in the collection, except where it counts.
    Raises InputError if a name means two images, two names mean one, or images are missing.

    >>> from resight.images.truth import truth_from_labels
    >>> name_index(truth_from_labels(["a", "b"], ["x", "x"]), ["/data/b.jpg", "/data/a.jpg"]).rows
    {'a': 1, 'b': 0}
    """
    names = truth.names()
    rows = _find(truth, names, paths)
    _refuse_shared(truth, rows)
    own = {query.image for query in truth.queries}
    needed = own if truth.own == "counts" else set()
    for group in {id(group): group for query in truth.queries for group in query.groups.values()}.values():
        needed = needed | group
    needed |= set(truth.database or ())
    missing = tuple(name for name in names if name in needed and name not in rows)
    if missing and (len(missing) == len(needed) or not allow_missing):
        raise MissingImages(_complaint(truth, missing, len(needed), len(paths)), missing)
    queries = np.array([rows.get(query.image, -1) for query in truth.queries], np.int64)
    return NameIndex(rows, queries, _database(truth, rows, queries, len(paths)), missing)


def _complaint(truth: Truth, missing: tuple[str, ...], needed: int, images: int) -> str:
    such = some_of([placed(truth, name) for name in missing])
    if len(missing) == needed:
        return (
            f"none of the {needed:,} images of the {truth.name} ground truth is among the {images:,} of the collection "
            f"(it names {', '.join(missing[:3])}): is it the right collection?"
        )
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{len(missing):,} of the {needed:,} images of the {truth.name} ground truth {verb} not in the collection: "
        f"{such}: "
        "add them, or say --allow-missing to count them as never found"
    )


def placed(truth: Truth, name: str) -> str:
    """A name of a ground truth, with where it stands there if that is known."""
    place = truth.place_of(name)
    return f"{name} ({place})" if place else name


def _quoted(truth: Truth, name: str) -> str:
    place = truth.place_of(name)
    return f"{name!r} ({place})" if place else repr(name)


def _database(truth: Truth, rows: dict[str, int], queries: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    everything = truth.database is None or truth.distractors
    searched = np.full(count, everything)
    if truth.database is not None:
        searched[[rows[name] for name in truth.database if name in rows]] = True
    if truth.own == "absent":
        searched[queries[queries >= 0]] = False
    return searched


def _find(truth: Truth, names: Sequence[str], paths: Sequence[str]) -> dict[str, int]:
    parts = {name: _parts(name) for name in names}
    wanted = {components[-1] for components in parts.values()}
    exact: dict[str, int] = {}
    candidates: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        exact.setdefault(path, row)
        last = path.replace(os.sep, "/").rpartition("/")[2]
        for key in {last, last.rpartition(".")[0]} & wanted:
            candidates.setdefault(key, []).append(row)
    rows: dict[str, int] = {}
    for name in names:
        if name in exact:
            rows[name] = exact[name]
            continue
        *folders, last = parts[name]
        found = [row for row in candidates.get(last, ()) if not folders or _ends(paths[row], folders)]
        if len(found) > 1:
            raise InputError(
                f"{_quoted(truth, name)} of the ground truth means two images, {paths[found[0]]} and "
                f"{paths[found[1]]}: give the name with its folder, or take one image out of the collection"
            )
        rows.update(dict.fromkeys([name], found[0]) if found else {})
    return rows


def _parts(name: str) -> list[str]:
    parts = [part for part in name.replace(os.sep, "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise InputError(f"expected image names in the ground truth and the collection, without '..', got {name!r}")
    return parts


def _ends(path: str, folders: list[str]) -> bool:
    return _parts(path)[:-1][-len(folders) :] == folders


def _refuse_shared(truth: Truth, rows: dict[str, int]) -> None:
    first: dict[int, str] = {}
    for name, row in rows.items():
        if first.setdefault(row, name) != name:
            one, other = (_quoted(truth, known) for known in (first[row], name))
            raise InputError(f"{one} and {other} of the ground truth mean the same image of the collection")
