"""Exact nearest neighbours of every vector among the others, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError

Vectors = NDArray[np.float32]
Ids = NDArray[np.int32]
Sims = NDArray[np.float32]
Progress = Callable[[int, int], None]

SCORES = 1 << 26  # scores of one block: 256 MB
ROWS = 1024  # more rows in one product are no faster
STRIPE = 32  # rows selected from at a time, so that masks stay small
GROUP = 64
PAIR_FLOATS = 1 << 18  # numbers gathered at a time when pairs are compared: they stay in cache
SHORTEST = 1e-3  # how far from 1 the length of a unit vector may be


def nearest_neighbours(
    vectors: Vectors, k: int, *, block: int | None = None, progress: Progress | None = None
) -> tuple[Ids, Sims]:
    """Each vector's k nearest others by cosine, exact.

    vectors:  (N, d)   float32 rows of length 1, or 0
    k:        cut to N - 1
    block:    rows compared at a time; as many as make 256 MB of scores (at most 1024) if not given. Memory beyond the
              input and the result is 4 * block * N bytes and some 50 MB (2 kB * N more if most vectors are equal).
    progress: called with (rows done, N) after each block
    ->        ids (N, k) int32, sims (N, k) float32: best first, equal cosines by lower row, a row never its own

    A blocked matrix product finds the candidates, with a margin for its rounding (at most d * 2^-24 per cosine); their
    cosines are then computed pair by pair with `cosines`, so that the result does not depend on the block.
    Raises InputError for k < 1, block < 1, or vectors that are not finite, of length 1 and (N, d).

    >>> nearest_neighbours(np.float32([[1, 0], [0.6, 0.8], [0, 1]]), 1)[0].tolist()
    [[1], [2], [1]]
    """
    vectors = as_vectors(vectors)
    if k < 1:
        raise InputError(f"the number of neighbours must be at least 1, got {k}")
    if block is not None and block < 1:
        raise InputError(f"a block must have at least 1 row, got {block}")
    total = len(vectors)
    k = min(k, max(total - 1, 0))
    ids, sims = np.empty((total, k), np.int32), np.empty((total, k), np.float32)
    if k == 0:
        return ids, sims
    size = min(total, block or max(1, min(ROWS, SCORES // total)))
    scores = np.empty((size, total), np.float32)
    for start in range(0, total, size):
        part = scores[: min(size, total - start)]
        np.matmul(vectors[start : start + len(part)], vectors.T, out=part)
        for first in range(0, len(part), STRIPE):
            rows = slice(start + first, start + min(first + STRIPE, len(part)))
            ids[rows], sims[rows] = _best(vectors, part[first : first + STRIPE], rows.start, k)
        if progress is not None:
            progress(start + len(part), total)
    return ids, sims


def nearest_to_query(query: Vectors, vectors: Vectors, k: int) -> tuple[Ids, Sims]:
    """The k vectors nearest to a query by cosine, exact, as `nearest_neighbours` finds them for the database's own.

    query:   (d,)     length 1, or 0
    vectors: (N, d)   rows of length 1, or 0; not checked again
    k:       1 or more; cut to N
    ->       ids (k,) int32, sims (k,) float32: best first, equal cosines by lower row

    >>> nearest_to_query(np.float32([1, 0]), np.float32([[0, 1], [0.6, 0.8]]), 1)[0].tolist()
    [1]
    """
    k = min(k, len(vectors))
    if query.any():
        scores = vectors @ query
        found = np.flatnonzero(scores >= _edge(scores[None], k, len(query))[0])
    else:
        found = np.arange(k)  # all tie at 0
    sims = cosines(query[None], vectors, np.zeros(len(found), np.intp), found)
    best = np.lexsort((found, -sims))[:k]
    return found[best].astype(np.int32), sims[best]


def cosines(left: Vectors, right: Vectors, rows: NDArray[Any], columns: NDArray[Any]) -> Sims:
    """The cosine of each pair of rows, the same wherever the pair stands and whichever of the two comes first.

    left:    (N, d)   rows of length 1
    right:   (M, d)   rows of length 1
    rows:    (P,)     places in left
    columns: (P,)     places in right
    ->       (P,)     float32, summed in float64

    >>> cosines(np.eye(2, dtype=np.float32), np.float32([[0.6, 0.8]]), np.array([0, 1]), np.array([0, 0])).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    found = np.empty(len(rows), np.float32)
    step = max(1, PAIR_FLOATS // max(left.shape[1], 1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found[part] = np.einsum("pd,pd->p", left[rows[part]], right[columns[part]], dtype=np.float64)
    return found


def as_vectors(vectors: Vectors, name: str = "vectors") -> Vectors:
    """Checked vectors: (N, d) float32, finite, each of length 1 or 0. Raises InputError otherwise.

    >>> as_vectors(np.eye(2)).dtype
    dtype('float32')
    """
    found = np.asarray(vectors)
    if found.ndim != 2 or found.dtype.kind not in "fiu" or found.shape[1] == 0:
        raise InputError(f"{name} must be numbers (N, d), got {found.dtype} of shape {found.shape}")
    found = np.ascontiguousarray(found, np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", found, found))
    if not np.isfinite(lengths).all():
        raise InputError(f"{name} {found.shape} hold NaN or infinity: describe these images again")
    wrong = np.flatnonzero((lengths > 0) & (np.abs(lengths - 1) > SHORTEST))
    if len(wrong):
        raise InputError(f"{name} must have length 1 (or 0), row {wrong[0]} has {lengths[wrong[0]]:.4g}: divide by it")
    return found


def as_query(query: Vectors, width: int) -> Vectors:
    """A checked query: (width,) float32, finite, of length 1 or 0. Raises InputError otherwise.

    >>> as_query(np.array([1, 0]), 2).tolist()
    [1.0, 0.0]
    """
    found = np.asarray(query)
    if found.shape != (width,):
        raise InputError(f"the query must have shape ({width},) as the vectors, got {found.shape}")
    row: Vectors = as_vectors(found[None], "the query")[0]
    return row


def as_neighbours(neighbours: tuple[NDArray[Any], NDArray[Any]], total: int, k: int) -> tuple[Ids, Sims]:
    """The first k columns of what `nearest_neighbours` gave, checked: k is cut to total - 1.

    neighbours: ids (total, >= k), sims alike
    ->          ids (total, k) int32, sims (total, k) float32

    Raises InputError if there are too few columns, or ids that are not rows.

    >>> as_neighbours((np.array([[1], [0]]), np.zeros((2, 1))), 2, 5)[0].tolist()
    [[1], [0]]
    """
    ids, sims = np.asarray(neighbours[0]), np.asarray(neighbours[1])
    k = min(k, max(total - 1, 0))
    if ids.shape != sims.shape or ids.ndim != 2 or len(ids) != total or ids.shape[1] < k:
        raise InputError(f"neighbours must be ids and sims ({total}, {k} or more), got {ids.shape} and {sims.shape}")
    ids, sims = ids[:, :k], sims[:, :k]
    if ids.dtype.kind not in "iu" or (ids.size and (ids.min() < 0 or ids.max() >= total)):
        raise InputError(f"neighbour ids must be whole numbers from 0 to {total - 1}")
    if not np.isfinite(sims).all():
        raise InputError("the neighbours' sims hold NaN or infinity")
    if (ids == np.arange(total)[:, None]).any():
        raise InputError("an image is among its own neighbours: leave it out, as nearest_neighbours does")
    return ids.astype(np.int32, copy=False), sims.astype(np.float32, copy=False)


def _best(vectors: Vectors, scores: Sims, start: int, k: int) -> tuple[Ids, Sims]:
    """The k best of each row of scores (rows, N), whose first row is vector `start`."""
    count, total = scores.shape
    blank = ~vectors[start : start + count].any(axis=1)
    scores[blank, : k + 1], scores[blank, k + 1 :] = 0, -1  # all tie at 0: the first k others need no comparing
    edge = _edge(scores, k + 1, vectors.shape[1])  # the row itself and k others
    rows, columns = np.divmod(np.flatnonzero(scores >= edge[:, None]), total)
    others = rows + start != columns
    rows, columns = rows[others], columns[others]
    sims = cosines(vectors, vectors, rows + start, columns)
    order = np.lexsort((columns, -sims, rows))
    firsts = np.searchsorted(rows, np.arange(count))
    kept = order[firsts[:, None] + np.arange(k)]
    return columns[kept].astype(np.int32), sims[kept]


def _edge(scores: Sims, k: int, width: int) -> Sims:
    """(rows,) what at least k scores of each row (rows, N) reach, k <= N, whatever rounding did to them."""
    count, total = scores.shape
    group = max(1, min(GROUP, total // (8 * k)))
    groups = total // group
    # k groups have a score at or above the k-th best group's, so at least k scores are: cheaper than sorting them all.
    best = scores[:, : group * groups].reshape(count, group, groups).max(axis=1)
    edge: Sims = np.partition(best, groups - k, axis=1)[:, groups - k]
    return edge - np.float32(2 * width * 2.0**-24)
