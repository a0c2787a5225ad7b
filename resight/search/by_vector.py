"""Steps that search again with a better vector, or among better vectors: query expansion and database augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from resight.errors import InputError
from resight.search.after import Clock
from resight.search.database import Database, Progress, Rows, Vectors
from resight.search.expansion import (
    alpha_expansion,
    augment_database,
    average_expansion,
    discriminative_expansion,
)
from resight.search.ranking import Ranking


class Expand:
    """AQE and alpha-QE: the query becomes a mean of itself and its first k results (Chum 2007; Radenovic 2018)."""

    def __init__(self, database: Database, kind: str, *, k: int, alpha: float = 0.0) -> None:
        self.database, self.kind, self.depth, self.alpha = database, kind, k, alpha

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing to do beforehand."""

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Search again with the expanded query."""
        query = query_vector(ranking)
        first = stand_ins(ranking, self.database, self.depth)
        if self.kind == "aqe":
            vector = average_expansion(query, first)
        else:
            vector = alpha_expansion(query, first, first @ query, self.alpha)
        return search_again(ranking, vector, self.database), ""


class Discriminate:
    """DQE: a linear SVM between the first and the last results is the new query (Arandjelovic and Zisserman 2012)."""

    def __init__(self, database: Database, *, positives: int, negatives: int) -> None:
        self.database, self.depth, self.negatives = database, positives, negatives

    def prepare(self, progress: Progress | None = None) -> None:
        """Load the solver and all vectors, whose last ones are each query's negatives."""
        import sklearn.svm  # noqa: F401

        _ = self.database.vectors  # fetched when first asked for, which would count towards the first query's budget

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Search again with the SVM's weight vector."""
        query = query_vector(ranking)
        first = stand_ins(ranking, self.database, self.depth)
        near = ranking.ids[: self.depth]
        everything = self.database.vectors
        order = np.lexsort((-self.database.ids, everything @ query))  # worst first, as the end of a full ranking
        taken = {*near.tolist(), self.database.hidden}
        ids = self.database.ids[order[: self.negatives + len(taken)]].tolist()
        far = [place for place, image in zip(order, ids) if image not in taken][: self.negatives]
        if not far:
            return ranking, "left out: no images are left to be negatives"
        return search_again(ranking, discriminative_expansion(query, first, everything[far]), self.database), ""


class Augmented(Database):
    """A database whose every vector is a mean of itself and its k neighbours, weighted by cosine^alpha: DBA.

    Turcot and Lowe 2009; Gordo 2017. Computed when it is first needed.
    """

    def __init__(self, base: Database, k: int, alpha: float) -> None:
        self.base, self.k, self.alpha = base, k, alpha
        self._near = None
        self._own: Vectors | None = None

    def augment(self, progress: Progress | None = None) -> None:
        """Compute the vectors, unless that is done."""
        if self._own is None:
            near, cosines = self.base.neighbours(self.k, progress)
            self._own = augment_database(self.base.vectors, near, cosines, self.alpha)

    @property
    def ids(self) -> Rows:
        """(N,) ids, ascending."""
        return self.base.ids

    @property
    def hidden(self) -> int | None:  # type: ignore[override]
        """The id that no search finds, as in the images' own database."""
        return self.base.hidden

    @property
    def vectors(self) -> Vectors:
        """(N, d) augmented vectors."""
        self.augment()
        return self._own  # type: ignore[return-value]

    def named(self, ids: Rows) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        """Paths and labels of some images."""
        return self.base.named(ids)


class Augment:
    """DBA: search again among the augmented vectors, which the steps after it use too."""

    depth = 1

    def __init__(self, database: Augmented) -> None:
        self.database = database

    def prepare(self, progress: Progress | None = None) -> None:
        """Augment the database."""
        self.database.augment(progress)

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Search again with the same query."""
        return search_again(ranking, query_vector(ranking), self.database), ""


def query_vector(ranking: Ranking) -> Vectors:
    """The query's descriptor. Raises InputError if the ranking does not come from a search."""
    if ranking.vector is None:
        raise InputError("this step needs the query's descriptor: take a ranking that Collection.search has made")
    return ranking.vector


def stand_ins(ranking: Ranking, database: Database, count: int) -> Vectors:
    """(n, d) vectors of the first `count` results: those of their regions where a step has found one."""
    rows = database.rows(ranking.ids[:count])
    if ranking.regions is not None:
        regions = ranking.regions[:count]
        rows = np.where(np.isnan(regions).any(1, keepdims=True), rows, regions)
    return rows


def search_again(ranking: Ranking, vector: Vectors, database: Database) -> Ranking:
    """The ranking of the same length for another vector of the query.

    Images of which a region was described are compared by it, in a copy: other queries see the images' own vectors.
    What is known of an image (its box, its matches) stays with it.
    """
    length = len(ranking)
    known = np.flatnonzero(~np.isnan(ranking.regions).any(1)) if ranking.regions is not None else np.empty(0, np.intp)
    ids, scores = database.search(vector, length + len(known))
    keep = ids >= 0
    ids, scores = ids[keep], scores[keep]
    if len(known) and ranking.regions is not None:
        own = ranking.ids[known]
        rest = ~np.isin(ids, own)
        ids = np.concatenate([ids[rest], own])
        scores = np.concatenate([scores[rest], ranking.regions[known] @ vector])
    order = np.lexsort((ids, -scores))[:length]
    return moved(ranking, ids[order], scores[order], vector, database)


def moved(ranking: Ranking, ids: Rows, scores: Vectors, vector: Vectors, database: Database) -> Ranking:
    """A ranking of other images, with what the old one knew of those that are in both."""
    order = np.argsort(ranking.ids)
    at = np.minimum(np.searchsorted(ranking.ids, ids, sorter=order), max(len(order) - 1, 0))
    rows = order[at] if len(order) else np.full(len(ids), -1)
    there = ranking.ids[rows] == ids if len(order) else np.zeros(len(ids), np.bool_)
    paths, labels = database.named(ids)
    boxes = regions = matches = None
    if ranking.boxes is not None:
        boxes = np.where(there[:, None], ranking.boxes[rows], np.nan)
    if ranking.regions is not None:
        regions = np.where(there[:, None], ranking.regions[rows], np.float32(np.nan))
    if ranking.matches is not None:
        matches = tuple(ranking.matches[row] if known else None for row, known in zip(rows.tolist(), there.tolist()))
    return replace(
        ranking, ids=ids, paths=paths, scores=np.asarray(scores, np.float32), labels=labels, vector=vector,
        boxes=boxes, matches=matches, regions=regions,
    )  # fmt: skip


def reordered(ranking: Ranking, scores: Vectors, looked_at: int) -> Ranking:
    """The first `looked_at` results sorted by `scores` (looked_at,), equal ones as they were; the rest stays."""
    order = np.argsort(-scores, kind="stable")
    rows = np.concatenate([order, np.arange(looked_at, len(ranking))])
    new = np.concatenate([scores[order], ranking.scores[looked_at:]])
    return replace(ranking.take(rows), scores=np.asarray(new, np.float32))
