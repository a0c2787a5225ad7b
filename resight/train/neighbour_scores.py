"""How labelled queries find what carries their label: every query's ranking, scored, with its nearest images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.measure.average_precision import standard_terms, trapezoid_terms

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
CELLS = 1 << 24  # similarities held at a time: memory is bounded, the result does not depend on it
DEPTHS = (1, 5, 10)
NEAREST = 10  # images kept of each ranking


@dataclass(frozen=True, eq=False)
class NeighbourScores:
    """What the rankings of Q queries hold; a query has at least one right image to be found.

    queries         (Q,)      row of each query among the query vectors, ascending
    ap              (Q,)      average precision, standard rule
    ap_trapezoid    (Q,)      average precision, trapezoid rule
    first_right     (Q,)      rank of the first right image, from 0
    hits            {k: (Q,)} right images among the first k
    searched        (Q,)      images that the query was compared with
    nearest         (Q, n)    rows of the database, best first; -1 where it has no more
    similarities    (Q, n)    of these, cosine; NaN where there are no more
    """

    queries: Ints
    ap: NDArray[np.float64]
    ap_trapezoid: NDArray[np.float64]
    first_right: Ints
    hits: Mapping[int, Ints]
    searched: Ints
    nearest: Ints
    similarities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.queries)

    def summary(self, chosen: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """Means over the queries, or over those that are chosen: (Q,) bool. Plain values for JSON.

        map_standard, map_trapezoid: mean average precision by both rules
        recall, hit: {k: share of queries with at least one right image among the first k}; two names of one number
        precision:   {k: mean share of right images among the first k}, of all that were searched if these are fewer

        Raises InputError if no query is chosen.
        """
        rows = np.ones(len(self), bool) if chosen is None else chosen
        if not rows.any():
            raise InputError("no query to take the mean over")
        any_right = {str(k): float((found[rows] > 0).mean()) for k, found in self.hits.items()}
        precision = {k: found[rows] / np.minimum(k, self.searched[rows]) for k, found in self.hits.items()}
        return {
            "queries": int(rows.sum()),
            "map_standard": float(self.ap[rows].mean()),
            "map_trapezoid": float(self.ap_trapezoid[rows].mean()),
            "recall": any_right,
            "hit": dict(any_right),
            "precision": {str(k): float(shares.mean()) for k, shares in precision.items()},
        }


def neighbour_scores(
    queries: Vectors, labels: Sequence[str], database: Vectors, names: Sequence[str],
    left_out: Sequence[Sequence[int]] = (), *, cells: int = CELLS,
) -> NeighbourScores:  # fmt: skip
    """Search a database with each labelled query: full, exact rankings.

    queries:  (M, D)   of length 1;  labels: M of them
    database: (N, D)   of length 1;  names: the labels of the database, N of them
    left_out: M lists of rows of the database that the query is not compared with: itself, copies of it
    ->        of the queries that have a right image (one of their label) to be found, in their order

    Equal similarities rank the lower row first. With the database being the queries and each left out of its own
    ranking, the scores are those of `resight.measure.evaluate_labels`.
    Raises InputError if shapes differ, or no query has a right image.
    """
    if queries.ndim != 2 or database.ndim != 2 or queries.shape[1] != database.shape[1]:
        raise InputError(f"expected queries (M, D) and a database (N, D), got {queries.shape} and {database.shape}")
    if len(labels) != len(queries) or len(names) != len(database):
        raise InputError(f"expected a label for each of {len(queries)} queries and {len(database)} images of the "
                         f"database, got {len(labels)} and {len(names)}")  # fmt: skip
    places = {name: place for place, name in enumerate(sorted({*labels, *names}))}
    own, theirs = (np.array([places[name] for name in column], np.int64) for column in (labels, names))
    out: list[Sequence[int]] = [sorted(set(rows)) for rows in left_out] if left_out else [()] * len(queries)
    sizes = np.bincount(theirs, minlength=len(places))
    right = sizes[own] - np.array([sum(theirs[row] == own[place] for row in rows) for place, rows in enumerate(out)])
    asked = np.flatnonzero(right > 0)
    if not len(asked):
        raise InputError("no query has another image of its label to be found: nothing to measure")
    step = max(1, cells // max(1, len(database)))
    parts = [
        _block(queries, own, database, theirs, out, asked[start : start + step])
        for start in range(0, len(asked), step)
    ]  # fmt: skip
    ap, ap_trapezoid, first, hits, nearest, similar = (np.concatenate(column) for column in zip(*parts, strict=True))
    searched = len(database) - np.array([len(out[row]) for row in asked], np.int64)
    return NeighbourScores(
        asked, ap, ap_trapezoid, first, {k: hits[:, place] for place, k in enumerate(DEPTHS)}, searched, nearest,
        similar,
    )  # fmt: skip


def _block(
    queries: Vectors, own: Ints, database: Vectors, theirs: Ints, out: Sequence[Sequence[int]], asked: Ints
) -> tuple[NDArray[Any], ...]:
    """For some queries: AP by both rules, the rank of the first right one, hits (B, K), nearest and similarities."""
    scores = queries[asked] @ database.T
    for place, row in enumerate(asked):
        scores[place, list(out[row])] = -np.inf
    ranking = np.argsort(-scores, axis=1, kind="stable")  # what is left out stands last
    ordered = np.take_along_axis(scores, ranking, 1)
    there = ordered > -np.inf
    positive = (theirs[ranking] == own[asked][:, None]) & there
    rows, ranks = np.nonzero(positive)
    counts = np.bincount(rows, minlength=len(asked))
    starts = np.cumsum(counts) - counts
    order = np.arange(len(rows)) - starts[rows]
    ap, ap_trapezoid = (np.add.reduceat(terms(ranks, order), starts) / counts
                        for terms in (standard_terms, trapezoid_terms))  # fmt: skip
    hits = np.stack([positive[:, :k].sum(1) for k in DEPTHS], 1)
    nearest = np.where(there, ranking, -1)[:, :NEAREST]
    similar = np.where(there, ordered, np.nan)[:, :NEAREST]
    return ap, ap_trapezoid, ranks[starts], hits, nearest, similar
