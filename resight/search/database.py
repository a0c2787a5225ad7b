"""What a step after the search may ask of the images: their vectors, a search among them, their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.whitening import Whitening
from resight.search.neighbours import nearest_neighbours
from resight.search.store import Item, Store, Where
from resight.search.vectors import top

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Database:
    """Images by id with their vectors in the search space, held in memory.

    ids      (N,)    ascending
    vectors  (N, d)  length 1 (or 0)
    paths, labels    N each; "" and None if not given
    hidden           the id that no search finds, or None: a query's own image, where a protocol takes it out

    Raises InputError if lengths differ or ids do not ascend.
    """

    hidden: int | None = None

    def __init__(
        self,
        ids: Rows,
        vectors: Vectors,
        paths: Sequence[str] | None = None,
        labels: Sequence[str | None] | None = None,
    ) -> None:
        ids, vectors = np.asarray(ids, np.int64), np.ascontiguousarray(vectors, np.float32)
        if ids.ndim != 1 or vectors.ndim != 2 or len(ids) != len(vectors) or (np.diff(ids) <= 0).any():
            raise InputError(f"a database needs ascending ids (N,) and vectors (N, d), got {ids.shape} {vectors.shape}")
        if any(given is not None and len(given) != len(ids) for given in (paths, labels)):
            raise InputError(f"a database of {len(ids)} images needs as many paths and labels")
        self._ids, self._vectors = ids, vectors
        self._paths = paths
        self._labels = labels
        self._near: tuple[NDArray[np.int32], Vectors] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> Rows:
        """(N,) ids, ascending."""
        return self._ids

    @property
    def vectors(self) -> Vectors:
        """(N, d) vectors in the order of `ids`."""
        return self._vectors

    def places(self, ids: Rows) -> NDArray[np.intp]:
        """The row of each id. Raises InputError for an id that is not here."""
        found = np.searchsorted(self.ids, ids)
        if len(ids) and ((found == len(self.ids)).any() or (self.ids[found] != ids).any()):
            raise InputError("the ranking has images that are not in this database: was the collection changed?")
        return found

    def rows(self, ids: Rows) -> Vectors:
        """(n, d) vectors of some images."""
        return self.vectors[self.places(ids)]

    def named(self, ids: Rows) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        """Paths and labels of some images."""
        places = self.places(ids).tolist()
        paths = tuple(self._paths[i] for i in places) if self._paths is not None else ("",) * len(places)
        labels = tuple(self._labels[i] for i in places) if self._labels is not None else (None,) * len(places)
        return paths, labels

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """The k best: ids and scores, best first, ties by lower id."""
        scores = self.vectors @ vector
        best = top(scores, self.ids, k + (self.hidden is not None))
        return self._shown(self.ids[best], scores[best], k)

    def _shown(self, ids: Rows, scores: Vectors, k: int) -> tuple[Rows, Vectors]:
        keep = ids != self.hidden if self.hidden is not None else np.ones(len(ids), np.bool_)
        return ids[keep][:k], scores[keep][:k]

    def neighbours(self, k: int, progress: Progress | None = None) -> tuple[NDArray[np.int32], Vectors]:
        """The k nearest rows of each row and their cosines, (N, k) each; kept, and found again only for a larger k."""
        k = min(k, len(self) - 1)
        if k < 1:
            return np.empty((len(self), 0), np.int32), np.empty((len(self), 0), np.float32)
        if self._near is None or self._near[0].shape[1] < k:
            self._near = nearest_neighbours(self.vectors, k, progress=progress)
        ids, cosines = self._near
        return ids[:, :k], cosines[:, :k]


class StoredDatabase(Database):
    """The images of a store that match: searched where they are, and fetched as a whole only if a step needs it."""

    def __init__(self, store: Store, whitening: Whitening | None, where: Where) -> None:
        self.store, self.whitening, self.where = store, whitening, where
        self._near = None

    @cached_property
    def _everything(self) -> tuple[Rows, Vectors]:
        items, vectors = stored_vectors(self.store, self.whitening, self.where)
        return np.array([item.id for item in items], np.int64), vectors

    @property
    def ids(self) -> Rows:
        """(N,) ids, ascending."""
        return self._everything[0]

    @property
    def vectors(self) -> Vectors:
        """(N, d) vectors in the order of `ids`."""
        return self._everything[1]

    def rows(self, ids: Rows) -> Vectors:
        """(n, d) vectors of some images."""
        if "_everything" in self.__dict__ or not len(ids):
            return super().rows(ids)
        return _whitened([item.vector for item in self.store.get(ids.tolist(), vectors=True)], self.whitening)

    def named(self, ids: Rows) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        """Paths and labels of some images."""
        items = self.store.get(ids.tolist())
        return tuple(item.path for item in items), tuple(item.label for item in items)

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """The k best: ids and scores, best first, ties by lower id."""
        most = min(k + (self.hidden is not None), max(self.store.count(Where(status="ok")), 1))
        ids, scores = self.store.search(vector[None], most, self.where)
        return self._shown(ids[0], scores[0], k)


def stored_vectors(store: Store, whitening: Whitening | None, where: Where) -> tuple[list[Item], Vectors]:
    """Every good item that matches and its vector in the search space (N, d), in order of id."""
    items, raw = [], []
    for item in store.scan(replace(where, status="ok"), vectors=True):
        items.append(replace(item, vector=None))
        raw.append(item.vector)
    if not raw:
        width = whitening.projection.shape[1] if whitening else int(store.meta("dim") or b"0")
        return [], np.empty((0, width), np.float32)
    return items, _whitened(raw, whitening)


def _whitened(rows: Sequence[Vectors | None], whitening: Whitening | None) -> Vectors:
    matrix = np.stack(rows)  # type: ignore[arg-type]
    return whitening.apply(matrix) if whitening else matrix
