"""Diffusion: similarity that spreads from the query's nearest images along a graph of the database."""

from __future__ import annotations

from collections.abc import Callable
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
    nearest_neighbours,
)

RESIDUAL = 1e-7  # the solution is good enough once the residual is this share of the right-hand side


@dataclass(frozen=True, eq=False)
class DiffusionGraph:
    """The database's graph of mutual nearest neighbours, on which any query can be diffused.

    matrix: (N, N) scipy.sparse.csr_array of float64, A: symmetric, diagonal 0, at most k per row
    last:   (N,) the k-th nearest of each image, which gives way to a nearer one; -1 where fewer than k are left
    edge:   (N,) float32, its cosine; -infinity where there is none
    width:  d of the vectors it was made from
    k:      neighbours looked at on each side
    gamma:  A_ij = max(cosine, 0)^gamma where i and j are each among the other's k nearest, else 0; no edge
            where the cosine is not above 0

    Iscen, Tolias, Avrithis, Furon and Chum 2017. No query stays in the graph: rankings do not depend on each other.
    """

    matrix: Any
    last: NDArray[np.int32]
    edge: Sims
    width: int
    k: int
    gamma: float = 3.0

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __repr__(self) -> str:
        return f"<DiffusionGraph of {len(self):,} images, {self.matrix.nnz // 2:,} edges, gamma {self.gamma:g}>"

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        k: int = 50,
        gamma: float = 3.0,
        *,
        neighbours: tuple[Ids, Sims] | None = None,
        progress: Progress | None = None,
    ) -> DiffusionGraph:
        """The graph of a database.

        vectors:    (N, d)   float32 rows of length 1, or 0
        k:          neighbours looked at on each side; cut to N - 1
        gamma:      at least 0; 0 weights all edges alike
        neighbours: ids and sims (N, at least k) of `nearest_neighbours`, found here if not given
        progress:   called with (rows done, N) while they are searched

        An image without mutual neighbours has no edges. Memory beyond the neighbours: about 60 * N * k bytes.
        Raises InputError for k < 1, gamma < 0, or arrays that do not fit.

        >>> graph = DiffusionGraph.build(np.float32([[1, 0], [0.6, 0.8], [0, 1]]), k=2)
        >>> len(graph), graph.matrix.nnz
        (3, 4)
        """
        vectors = as_vectors(vectors)
        if k < 1:
            raise InputError(f"diffusion needs k of at least 1 neighbour, got {k}")
        if not 0 <= gamma < np.inf:
            raise InputError(f"gamma must be at least 0 and finite, got {gamma}")
        if neighbours is None:
            neighbours = nearest_neighbours(vectors, k, progress=progress)
        ids, sims = as_neighbours(neighbours, len(vectors), k)
        last, edge = np.full(len(ids), -1, np.int32), np.full(len(ids), -np.inf, np.float32)
        if len(ids) > k:
            last, edge = ids[:, -1].copy(), sims[:, -1].copy()
        return cls(_affinity(ids, sims, gamma), last, edge, vectors.shape[1], k, gamma)

    def scores(
        self,
        query: Vectors,
        ids: NDArray[Any],
        sims: Sims,
        kq: int = 10,
        alpha: float = 0.99,
        iterations: int = 20,
        *,
        transductive: bool = False,
        stop: Callable[[], bool] | None = None,
    ) -> NDArray[np.float32]:
        """How much of the query's similarity reaches each candidate.

        query:      (d,)   checked only: what counts are its cosines, `sims`
        ids:        (T,)   rows of the database, each once: the top T of the first search (1000 in the paper)
        sims:       (T,)   their cosines with the query
        kq:         the query's nearest candidates (equal ones by lower position) are the seeds, unless transductive
        alpha:      above 0 and below 1: how far similarity spreads
        iterations: of conjugate gradient, at most; 0 or more
        transductive: the query is a node of the candidates' graph, see `_joined`, and alone the seed
        stop:       asked before each iteration; once it says True, what is there so far is returned
        ->          (T,)   float32 f, higher is better; 0 where no path from a seed arrives

        Solves (I - alpha S) f = y with S = D^(-1/2) A D^(-1/2) of the candidates alone, and y = max(sim, 0)^gamma on
        the seeds, 0 elsewhere: the paper's linear system, truncated to the candidates and normalised among them. With
        the degrees of the whole graph, images whose neighbours are no candidates would lose their share to nowhere:
        those of the query's own class, where a protocol hides the query. Transductive: the query is in A too, y is 1
        there and 0 elsewhere (Zhou 2004, which the paper starts from).
        Raises InputError if shapes do not fit, ids repeat or are not rows, or a number is out of range.
        """
        as_query(query, self.width)
        ids, sims = _candidates(ids, sims, len(self))
        _check(kq, alpha, iterations)
        if transductive:
            heat = np.append(np.zeros(len(sims)), 1.0)
            return _solve(self._joined(ids, sims), heat, alpha, iterations, stop)[:-1].astype(np.float32)
        seeds = np.lexsort((np.arange(len(sims)), -sims))[:kq]
        heat = np.zeros(len(sims))
        heat[seeds] = _power(sims[seeds], self.gamma)
        return _solve(_normalised(self.matrix[ids][:, ids]), heat, alpha, iterations, stop).astype(np.float32)

    def _joined(self, ids: NDArray[np.intp], sims: Sims) -> Any:
        """(T + 1, T + 1) CSR: the candidates' part of S as it were if the query, last, were one of the images.

        It has edges to those of its k nearest that have it among theirs (of equals the image comes first). In their
        lists it takes the place of the last, whose edge is gone. Images that are not candidates do not know of the
        query.
        """
        from scipy import sparse

        enters = sims > self.edge[ids]
        near = np.lexsort((ids, -sims))[: self.k]
        own = np.zeros(len(ids))
        own[near] = np.where(enters[near], _power(sims[near], self.gamma), 0)
        gives_way = np.full(len(self), -1)
        gives_way[ids[enters]] = self.last[ids[enters]]
        rows = self.matrix[ids]
        places, others = np.repeat(ids, np.diff(rows.indptr)), rows.indices
        rows.data = np.where((gives_way[places] == others) | (gives_way[others] == places), 0, rows.data)
        edges = sparse.csr_array(own[None])
        return _normalised(sparse.block_array([[rows[:, ids], edges.T], [edges, None]], format="csr"))


def _affinity(ids: Ids, sims: Sims, gamma: float) -> Any:
    """(N, N) CSR of float64, max(sim, 0)^gamma of mutual neighbours; symmetric."""
    from scipy import sparse  # type: ignore[import-untyped,unused-ignore]

    total, k = ids.shape
    values = np.maximum(sims, 0).astype(np.float64).ravel()
    starts = np.arange(0, total * k + 1, k) if k else np.zeros(total + 1, np.int64)
    directed = sparse.csr_array((values, ids.ravel(), starts), shape=(total, total))
    directed.sort_indices()
    mutual = directed.minimum(directed.T.tocsr())  # 0, and so dropped, where only one is the other's neighbour
    mutual.data = _power(mutual.data, gamma)
    mutual.eliminate_zeros()
    return mutual


def _normalised(affinity: Any) -> Any:
    """D^(-1/2) A D^(-1/2), D the sums of A's rows; rows without edges stay empty."""
    degree = np.asarray(affinity.sum(axis=1)).ravel()
    scale = np.where(degree > 0, degree, 1) ** -0.5
    affinity.data *= np.repeat(scale, np.diff(affinity.indptr)) * scale[affinity.indices]
    return affinity


def _solve(
    part: Any, heat: NDArray[np.float64], alpha: float, iterations: int, stop: Callable[[], bool] | None
) -> NDArray[np.float64]:
    """(I - alpha part)^(-1) heat by conjugate gradient (Hestenes and Stiefel 1952), from 0."""
    found, rest, step = np.zeros_like(heat), heat.copy(), heat.copy()
    size = rest @ rest
    enough = RESIDUAL**2 * size
    for _ in range(iterations):
        if size <= enough or (stop is not None and stop()):
            break
        image = step - alpha * (part @ step)
        length = size / (step @ image)
        found += length * step
        rest -= length * image
        size, before = rest @ rest, size
        step = rest + size / before * step
    return found


def _power(sims: NDArray[np.floating[Any]], gamma: float) -> NDArray[np.float64]:
    """sim^gamma where sim is above 0, else 0, also for gamma 0."""
    sims = sims.astype(np.float64, copy=False)
    return np.where(sims > 0, np.maximum(sims, 0) ** gamma, 0.0)


def _candidates(ids: NDArray[Any], sims: Sims, total: int) -> tuple[NDArray[np.intp], Sims]:
    ids, sims = np.asarray(ids), np.asarray(sims)
    if ids.ndim != 1 or sims.shape != ids.shape or (ids.size and ids.dtype.kind not in "iu"):
        raise InputError(f"candidates must be ids (T,) and sims (T,), got {ids.dtype} {ids.shape} and {sims.shape}")
    if ids.size and (ids.min() < 0 or ids.max() >= total):
        raise InputError(f"candidates must be rows from 0 to {total - 1}, got {ids.min()} to {ids.max()}")
    if len(np.unique(ids)) < len(ids):
        raise InputError("a candidate is listed twice: a ranking names each image once")
    if not np.isfinite(sims).all():
        raise InputError("the candidates' sims hold NaN or infinity")
    return ids.astype(np.intp), sims


def _check(kq: int, alpha: float, iterations: int) -> None:
    if kq < 1:
        raise InputError(f"kq must be at least 1 seed, got {kq}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha of diffusion must be above 0 and below 1, got {alpha}")
    if iterations < 0:
        raise InputError(f"iterations must be at least 0, got {iterations}")
