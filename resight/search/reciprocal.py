"""k-reciprocal re-ranking: images are near if they have the same neighbours, which have them in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.search.neighbours import (
    Ids,
    Progress,
    Sims,
    Vectors,
    as_neighbours,
    as_query,
    as_vectors,
    cosines,
    nearest_neighbours,
    nearest_to_query,
)

ROWS = 4096  # rows of the overlap of neighbourhoods computed at a time


@dataclass(frozen=True, eq=False)
class ReciprocalIndex:
    """What k-reciprocal re-ranking knows of a database before any query; N x N, sparse.

    vectors:  (N, d)   float32, the caller's own array
    edge:     (N,)     float32, the cosine of each image's k1-th neighbour: a query at least as near would be among them
    halves:   scipy.sparse.csr_array of 0/1: R(i, round(k1 / 2)), each image's mutual near neighbours and itself
    weights:  csr_array of float32, rows sum to 1: exp(-distance) over R*(i, k1), the expanded mutual neighbours
    expanded: csc_array of float32: mean of the weights of each image and its k2 - 1 nearest (an inverted file)
    k1, k2

    Zhong, Zheng, Cao and Li 2017, and their code where it differs: an image is in its own sets, a neighbour's set is
    added if MORE than 2/3 of it are shared, halves are rounded to even. The distance is 1 - cosine, half the squared
    Euclidean distance; the code divides that by its maximum over all images and queries, which is left out here so that
    a result depends on nothing but the query and the database. For the same reason no query is in the sets.
    """

    vectors: Vectors
    edge: Sims
    halves: Any
    weights: Any
    expanded: Any
    k1: int
    k2: int

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"<ReciprocalIndex of {len(self):,} images, k1 {self.k1}, k2 {self.k2}, {self.expanded.nnz:,} weights>"

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        k1: int = 20,
        k2: int = 6,
        *,
        neighbours: tuple[Ids, Sims] | None = None,
        progress: Progress | None = None,
    ) -> ReciprocalIndex:
        """The index of a database.

        vectors:    (N, d)   float32 rows of length 1, or 0; N at least 1. Not copied: leave them as they are
        k1:         neighbours of an image; cut to N - 1
        k2:         1 .. k1: images whose weights are averaged, itself included
        neighbours: ids and sims (N, at least k1) of `nearest_neighbours`, found here if not given
        progress:   called with (rows done, N) while they are searched

        Memory beyond the neighbours: some kB per image at the defaults (measured in benchmarks/after_search.py).
        Raises InputError for k1 < 1, k2 not from 1 to k1, no image, or arrays that do not fit.

        >>> ReciprocalIndex.build(np.eye(4, dtype=np.float32), k1=2, k2=1)
        <ReciprocalIndex of 4 images, k1 2, k2 1, 10 weights>
        """
        vectors = as_vectors(vectors)
        if k1 < 1 or not 1 <= k2 <= k1:
            raise InputError(f"k-reciprocal needs k1 of at least 1 and k2 from 1 to k1, got k1={k1}, k2={k2}")
        if len(vectors) == 0:
            raise InputError("k-reciprocal needs a database of at least 1 image, got none")
        if neighbours is None:
            neighbours = nearest_neighbours(vectors, k1, progress=progress)
        ids, sims = as_neighbours(neighbours, len(vectors), k1)
        halves = _mutual(ids[:, : round(k1 / 2)])
        weights = _weights(vectors, _expand(_mutual(ids), halves))
        edge = sims[:, -1].copy() if sims.shape[1] else np.full(len(vectors), -np.inf, np.float32)
        return cls(vectors, edge, halves, weights, _average(weights, ids[:, : k2 - 1]), k1, k2)

    def distances(self, query: Vectors, ids: NDArray[np.integer[Any]], *, weight: float = 0.3) -> NDArray[np.float32]:
        """How far some images are from a query, by shared neighbours and by cosine; lower is nearer.

        query:  (d,)   length 1, or 0
        ids:    (R,)   rows of the database
        weight: the paper's lambda, 0 .. 1
        ->      (R,)   float32, (1 - weight) * Jaccard distance + weight * (1 - cosine)

        Jaccard: 1 - m / (|q| + 1 - m), m = sum_j min(q_j, g_j). The query's own weights q are made as an image's: its
        k1 neighbours in the database, those that would have it among theirs, their half sets, the mean over k2. All the
        database is looked at, so the result does not depend on the other ids.
        Raises InputError if shapes do not fit, ids are not rows, or weight is out of range.
        """
        query = as_query(query, self.vectors.shape[1])
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= len(self))):
            raise InputError(f"candidates must be whole numbers (R,) from 0 to {len(self) - 1}, got shape {ids.shape}")
        if not 0 <= weight <= 1:
            raise InputError(f"the weight of the original distance must be from 0 to 1, got {weight}")
        columns, own = self._of_query(query)
        rows, values, repeats = _entries(self.expanded, columns)
        shared = np.minimum(values, np.repeat(own, repeats))
        overlap = np.bincount(rows, weights=shared, minlength=len(self))[ids]
        jaccard = 1 - overlap / (own.sum() + 1 - overlap)
        original = 1 - cosines(query[None], self.vectors, np.zeros(len(ids), np.intp), ids).astype(np.float64)
        return np.asarray((1 - weight) * jaccard + weight * original, dtype=np.float32)

    def _of_query(self, query: Vectors) -> tuple[NDArray[Any], NDArray[Any]]:
        """The images that a query's weights are on, ascending, and the weights."""
        near, sims = nearest_to_query(query, self.vectors, self.k1)
        mutual = near[sims >= self.edge[near]]
        theirs, _, sizes = _entries(self.halves, mutual)
        shared = (
            np.add.reduceat(np.isin(theirs, mutual), np.cumsum(sizes) - sizes, dtype=np.int64) if sizes.size else sizes
        )
        members = np.unique(np.concatenate([mutual, theirs[np.repeat(3 * shared > 2 * sizes, sizes)]]))
        own = np.exp(cosines(query[None], self.vectors, np.zeros(len(members), np.intp), members) - np.float64(1))
        others, values, _ = _entries(self.weights, near[: self.k2 - 1])
        everything = np.concatenate([own / (own.sum() or 1), values]) / (1 + len(near[: self.k2 - 1]))
        columns, places = np.unique(np.concatenate([members, others]), return_inverse=True)
        return columns, np.bincount(places, weights=everything, minlength=len(columns))


def _mutual(ids: Ids) -> Any:
    """R(i, k): (N, N) CSR of float32 ones where each is among the other's k neighbours, and on the diagonal."""
    from scipy import sparse  # type: ignore[import-untyped,unused-ignore]

    total, k = ids.shape
    starts = np.arange(total + 1) * k
    near = sparse.csr_array((np.ones(total * k, np.float32), ids.ravel(), starts), shape=(total, total))
    return (near.multiply(near.T) + sparse.eye_array(total, dtype=np.float32)).tocsr()


def _expand(mutual: Any, halves: Any) -> Any:
    """R*(i, k1): the mutual neighbours, and the half sets of those that share more than 2/3 of theirs with it."""
    from scipy import sparse

    sizes = np.diff(halves.indptr)
    parts = []
    for start in range(0, mutual.shape[0], ROWS):
        own = mutual[start : start + ROWS]
        # halves is symmetric, so this counts, for each c in own, how many of c's half set are in own.
        shared = (own @ halves).multiply(own).tocsr()
        shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.float32)
        shared.eliminate_zeros()
        parts.append((own + shared @ halves).tocsr())
    return sparse.vstack(parts, format="csr")


def _weights(vectors: Vectors, sets: Any) -> Any:
    """exp(-(1 - cosine)) on the sets' members, float32, rows divided by their sum."""
    from scipy import sparse

    sizes = np.diff(sets.indptr)
    rows = np.repeat(np.arange(len(vectors)), sizes)
    values = np.exp(cosines(vectors, vectors, rows, sets.indices) - np.float64(1))
    values /= np.repeat(np.add.reduceat(values, sets.indptr[:-1]), sizes)  # no row is empty: each has itself
    return sparse.csr_array((values.astype(np.float32), sets.indices, sets.indptr), shape=sets.shape)


def _average(weights: Any, near: Ids) -> Any:
    """CSC of the mean of each image's weights and those of its near (N, k2 - 1) images."""
    from scipy import sparse

    total, others = near.shape
    columns = np.column_stack([np.arange(total, dtype=np.int32), near]).ravel()
    share = np.full(columns.size, 1 / (others + 1), np.float32)
    mean = sparse.csr_array((share, columns, np.arange(total + 1) * (others + 1)), shape=weights.shape)
    return (mean @ weights).tocsc()


def _entries(matrix: Any, lines: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """The entries of some rows of a CSR (or columns of a CSC), one after the other.

    ->  their places in the other direction, their values, and how many each line has
    """
    starts, ends = matrix.indptr[lines].astype(np.int64), matrix.indptr[lines + 1].astype(np.int64)
    sizes = ends - starts
    places = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
    return matrix.indices[places], matrix.data[places], sizes
