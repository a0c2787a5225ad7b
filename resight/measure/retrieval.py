"""Scores of rankings: precision and recall at k in the variants the field uses, and a labelled set against itself.

Two things are called recall@k. `recall_at` is metric learning's: is ANY positive among the first k (Oh Song 2016).
`coverage_at` is information retrieval's: the SHARE of all positives among the first k.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.measure.average_precision import as_ranks, standard_terms, trapezoid_terms


def precision_at(ranks: ArrayLike, k: int, *, positives: int | None = None) -> float:
    """Share of positives among the first k.

    ranks:     (n_found,)   0-based junk-free ranks of the positives, ascending
    positives: if given, the divisor is min(k, positives) instead of k, so that a perfect ranking scores 1
    ->         in [0, 1]

    Raises InputError for ranks out of order, k below 1, or fewer positives than ranks.

    >>> precision_at([0, 2, 7], 5), precision_at([0, 2, 7], 5, positives=4)
    (0.4, 0.5)
    """
    found = as_ranks(ranks)
    divisor = _depth(k)
    if positives is not None:
        divisor = min(k, _all_positives(found.size, positives))
    return float((found < k).sum() / divisor)


def revisited_precision_at(ranks: ArrayLike, k: int) -> float:
    """Precision at min(k, the 1-based rank of the last positive): mP@k of ROxford and RParis.

    ranks: (n_found,)   as in `precision_at`; the full ranking, so that the last positive is among them
    ->     in [0, 1]; 0 if nothing was found

    Radenovic 2018 (Revisiting Oxford and Paris) and its evaluator: a query with fewer than k positives
    is not punished for what follows the last of them.
    Raises InputError for ranks out of order or k below 1.

    >>> revisited_precision_at([0, 2], 10)   # 2 positives within 3
    0.6666666666666666
    """
    found = as_ranks(ranks)
    _depth(k)
    if found.size == 0:
        return 0.0
    depth = min(int(found[-1]) + 1, k)
    return float((found < depth).sum() / depth)


def recall_at(ranks: ArrayLike, k: int) -> float:
    """1 if any positive is among the first k, else 0: recall@k of metric learning and place recognition.

    ranks: (n_found,)   as in `precision_at`
    ->     0.0 or 1.0

    Oh Song 2016. For the share of all positives see `coverage_at`.
    Raises InputError for ranks out of order or k below 1.

    >>> recall_at([3, 8], 4), recall_at([3, 8], 3)
    (1.0, 0.0)
    """
    return float((as_ranks(ranks) < _depth(k)).any())


def coverage_at(ranks: ArrayLike, k: int, positives: int) -> float:
    """Share of all positives among the first k: recall@k of information retrieval.

    ranks:     (n_found,)   as in `precision_at`
    positives: number of all positives, also of those never retrieved
    ->         in [0, 1]

    Raises InputError for ranks out of order, k below 1, or fewer positives than ranks.

    >>> coverage_at([3, 8], 4, positives=5)
    0.2
    """
    found = as_ranks(ranks)
    return float((found < _depth(k)).sum() / _all_positives(found.size, positives))


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """What `evaluate_labels` found. Means are over the queries that have a positive.

    map, map_trapezoid  mean average precision, standard and trapezoid rule
    precision           {k: share of the first k with the query's label}, of N - 1 if that is below k
    recall              {k: share of queries with any positive among the first k}
    queries, skipped    how many images were queries, and how many had no other image with their label
    per_label           {label: mean standard AP of its queries}, without the labels of a single image
    query_index         (Q,)  which row each query is, ascending
    ap, ap_trapezoid    (Q,)  average precision of each query
    """

    map: float
    map_trapezoid: float
    precision: dict[int, float]
    recall: dict[int, float]
    queries: int
    skipped: int
    per_label: dict[str, float]
    query_index: NDArray[np.int64]
    ap: NDArray[np.float64]
    ap_trapezoid: NDArray[np.float64]

    def as_dict(self, per_query: bool = False) -> dict[str, Any]:
        """The scores as JSON knows them: text keys, plain numbers; lists for each query on request."""
        result: dict[str, Any] = {
            "map_standard": self.map,
            "map_trapezoid": self.map_trapezoid,
            "precision": {str(k): value for k, value in self.precision.items()},
            "recall": {str(k): value for k, value in self.recall.items()},
            "queries": self.queries,
            "skipped": self.skipped,
            "per_label": dict(self.per_label),
        }
        if per_query:
            result |= {name: getattr(self, name).tolist() for name in ("query_index", "ap", "ap_trapezoid")}
        return result

    def __repr__(self) -> str:
        at = [f"P@{k} {value:.4f}" for k, value in self.precision.items()]
        at += [f"recall@{k} {value:.4f}" for k, value in self.recall.items()]
        means = ", ".join([f"mAP {self.map_trapezoid:.4f} (standard {self.map:.4f})", *at])
        return f"<RetrievalScores {means}, {self.queries:,} queries, {self.skipped:,} skipped>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RetrievalScores):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]


def evaluate_labels(
    vectors: NDArray[np.floating[Any]], labels: Sequence[str], ks: Iterable[int] = (1, 5, 10), block: int = 256
) -> RetrievalScores:
    """Search a labelled set with each of its own images: leave-one-out over full, exact rankings.

    vectors: (N, D)   L2-normalised; rows of zeros are allowed
    labels:  N labels; an image's positives are the other images with its label
    ks:      depths of precision and recall
    block:   queries at a time: memory grows with block x N, the result does not depend on it

    The query is taken out of its own ranking. Equal scores rank the lower row first. Images whose label no other
    image has are in the database but are not queries.
    Raises InputError if shapes differ, vectors are not normalised, or the labels leave nothing to measure.

    >>> evaluate_labels(np.eye(4)[[0, 0, 1, 1]], ["cat", "cat", "dog", "dog"], ks=[1]).map
    1.0
    """
    vectors, depths = _unit_rows(vectors), sorted({_depth(k) for k in ks})
    names, codes = _label_codes(labels, len(vectors))
    sizes = np.bincount(codes)
    queries = np.flatnonzero(sizes[codes] > 1)
    if block < 1:
        raise InputError(f"block must be at least 1, got {block}")
    parts = [
        _score_block(vectors, codes, queries[start : start + block], depths) for start in range(0, len(queries), block)
    ]
    ap, ap_trapezoid, hits = (np.concatenate(column) for column in zip(*parts))
    totals = np.bincount(codes[queries], weights=ap, minlength=len(names))
    return RetrievalScores(
        map=float(ap.mean()),
        map_trapezoid=float(ap_trapezoid.mean()),
        precision={k: float(hits[:, i].mean() / min(k, len(vectors) - 1)) for i, k in enumerate(depths)},
        recall={k: float((hits[:, i] > 0).mean()) for i, k in enumerate(depths)},
        queries=len(queries),
        skipped=len(vectors) - len(queries),
        per_label={name: float(totals[i] / sizes[i]) for i, name in enumerate(names) if sizes[i] > 1},
        query_index=queries,
        ap=ap,
        ap_trapezoid=ap_trapezoid,
    )


def _score_block(
    vectors: NDArray[np.float32], codes: NDArray[np.int64], queries: NDArray[np.int64], depths: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """For a block of Q queries: AP by both rules (Q,), and positives among the first k (Q, len(depths))."""
    scores = vectors[queries] @ vectors.T
    scores[np.arange(len(queries)), queries] = -np.inf
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
    positive = codes[ranking] == codes[queries][:, None]
    hits = np.stack([positive[:, :k].sum(1) for k in depths], 1) if depths else np.empty((len(queries), 0), np.int64)
    rows, ranks = np.nonzero(positive)
    counts = np.bincount(rows, minlength=len(queries))
    starts = np.cumsum(counts) - counts
    order = np.arange(len(rows)) - starts[rows]
    by_rule = [np.add.reduceat(terms(ranks, order), starts) / counts for terms in (standard_terms, trapezoid_terms)]
    return by_rule[0], by_rule[1], hits


def _depth(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InputError(f"k must be a whole number of at least 1, got {k!r}")
    return int(k)


def _all_positives(found: int, positives: int) -> int:
    if positives < max(1, found):
        raise InputError(f"positives must count all positives, at least 1 and the {found} found, got {positives}")
    return positives


def _unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    array = np.asarray(vectors)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind != "f":
        raise InputError(f"vectors must be floats (N, D), got {array.dtype} of shape {array.shape}")
    rows = np.ascontiguousarray(array, np.float32)
    norms = np.linalg.norm(rows, axis=1)
    off = ~((np.abs(norms - 1) < 1e-2) | (norms == 0))
    if off.any():
        raise InputError(
            f"vectors must be L2-normalised, row {off.argmax()} of {len(rows)} has norm {norms[off][0]:.4g}"
        )
    return rows


def _label_codes(labels: Sequence[str], count: int) -> tuple[list[str], NDArray[np.int64]]:
    if len(labels) != count:
        raise InputError(f"one label per vector is needed, got {len(labels)} labels for {count} vectors")
    names, codes = np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)
    if len(names) == 1:
        raise InputError(f"all {count} images carry one label {str(names[0])!r}: nothing to measure")
    if len(names) == count:
        raise InputError(f"no two of the {count} images share a label: no query has a positive, nothing to measure")
    return [str(name) for name in names], codes.astype(np.int64)
