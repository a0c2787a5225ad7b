"""Query expansion: a better query from its first answers, and better database vectors from their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.search.neighbours import Sims, Vectors, as_query, as_vectors

FLOATS = 1 << 22  # numbers of one block of database vectors


def average_expansion(query: Vectors, vectors: Vectors) -> Vectors:
    """The mean of the query and its best answers, length 1.

    query:   (d,)
    vectors: (n, d)   the top n of the first search; n may be 0
    ->       (d,)     L2((q + sum x_i) / (n + 1)); zero if they cancel out

    Average query expansion, Chum 2007, on global vectors: the query counts as much as one answer.
    Raises InputError if shapes do not fit or vectors are not finite and of length 1.

    >>> np.allclose(average_expansion(np.array([1, 0]), np.array([[0, 1]])), np.sqrt(0.5))
    True
    """
    vectors = as_vectors(vectors)
    query = as_query(query, vectors.shape[1])
    return _unit(query + vectors.sum(axis=0, dtype=np.float64))


def alpha_expansion(query: Vectors, vectors: Vectors, sims: Sims, alpha: float = 3.0) -> Vectors:
    """The query plus its best answers, each weighted by how similar it is, length 1.

    query:   (d,)
    vectors: (n, d)   the top n of the first search; n may be 0
    sims:    (n,)     their cosines with the query; below 0 counts as 0
    alpha:   at least 0; 0 weights all alike, as `average_expansion` does
    ->       (d,)     L2(q + sum max(sim_i, 0)^alpha x_i)

    Radenovic 2018.
    Raises InputError if shapes do not fit, alpha is negative, or a number is not finite.

    >>> alpha_expansion(np.array([1, 0]), np.array([[0, 1]]), np.array([0.75]), alpha=1).tolist()
    [0.800000011920929, 0.6000000238418579]
    """
    vectors = as_vectors(vectors)
    query = as_query(query, vectors.shape[1])
    weights = _weights(sims, (len(vectors),), alpha)
    return _unit(query + weights @ vectors)


def discriminative_expansion(query: Vectors, positives: Vectors, negatives: Vectors, C: float = 1.0) -> Vectors:
    """The direction that best separates the query and its best answers from its worst, length 1.

    query:     (d,)     a positive too
    positives: (n, d)   the top n of the first search; n may be 0
    negatives: (m, d)   its bottom m, at least one
    C:         cost of a vector on the wrong side; 1.0 is what the paper's authors use (hinge loss, no class weights,
               up to 200 negatives)
    ->         (d,)     L2 of a linear SVM's weights; the query itself if the SVM finds no direction

    Arandjelovic and Zisserman 2012. LIBSVM, whose bias is free as theirs is, run to convergence, so that the order of
    the vectors does not matter.
    Raises InputError if shapes do not fit, there is no negative, or C is not positive.

    >>> discriminative_expansion(np.array([1, 0]), np.empty((0, 2)), np.array([[-1, 0]])).tolist()
    [1.0, 0.0]
    """
    from sklearn.svm import SVC

    positives, negatives = as_vectors(positives, "positives"), as_vectors(negatives, "negatives")
    query = as_query(query, positives.shape[1])
    if negatives.shape[1] != len(query):
        raise InputError(f"negatives must be (m, {len(query)}) as the positives, got {negatives.shape}")
    if len(negatives) == 0:
        raise InputError("discriminative expansion needs at least one negative: take the bottom of the ranking")
    if not 0 < C < np.inf:
        raise InputError(f"C must be above 0 and finite, got {C}")
    sample = np.concatenate([query[None], positives, negatives]).astype(np.float64)
    matches = np.arange(len(sample)) <= len(positives)
    direction = SVC(kernel="linear", C=C, tol=1e-7).fit(sample, matches).coef_[0]
    return _unit(direction) if np.linalg.norm(direction) > 1e-9 else query


def augment_database(vectors: Vectors, neighbours: NDArray[Any], sims: Sims, alpha: float = 3.0) -> Vectors:
    """Each vector pulled towards its neighbours: database-side augmentation.

    vectors:    (N, d)
    neighbours: (N, k)   rows of vectors, as `nearest_neighbours` gives them
    sims:       (N, k)   their cosines; below 0 counts as 0
    alpha:      at least 0; 0 is the plain mean
    ->          (N, d)   float32, L2(x_i + sum_j max(sim_ij, 0)^alpha x_j); a sum of zero stays zero

    Arandjelovic and Zisserman 2012, with the weights of Radenovic 2018. Memory beyond input and result: about 100 MB.
    Raises InputError if shapes do not fit, ids are not rows, alpha is negative, or a number is not finite.

    >>> np.allclose(augment_database(np.eye(2), np.array([[1], [0]]), np.ones((2, 1))), np.sqrt(0.5))
    True
    """
    vectors, ids = as_vectors(vectors), np.asarray(neighbours)
    total, width = vectors.shape
    if ids.ndim != 2 or len(ids) != total or ids.dtype.kind not in "iu":
        raise InputError(f"neighbours must be whole numbers ({total}, k), got {ids.dtype} of shape {ids.shape}")
    if ids.size and (ids.min() < 0 or ids.max() >= total):
        raise InputError(f"neighbours must be rows from 0 to {total - 1}, got {ids.min()} to {ids.max()}")
    weights = _weights(sims, ids.shape, alpha).astype(np.float32)
    augmented = np.empty_like(vectors)
    step = max(1, FLOATS // width)
    for start in range(0, total, step):
        part = slice(start, start + step)
        mixed = vectors[part].copy()
        for column in range(ids.shape[1]):  # one neighbour at a time: the sum's order is the same in any block
            mixed += weights[part, column, None] * vectors[ids[part, column]]
        augmented[part] = _unit(mixed)
    return augmented


def _weights(sims: Sims, shape: tuple[int, ...], alpha: float) -> NDArray[np.float64]:
    """max(sims, 0)^alpha, checked; 0^0 is 1."""
    found = np.asarray(sims)
    if found.shape != shape or found.dtype.kind not in "fiu":
        raise InputError(f"sims must be numbers of shape {shape}, one per neighbour, got {found.dtype} {found.shape}")
    if not np.isfinite(found).all():
        raise InputError("sims hold NaN or infinity: search again")
    if not 0 <= alpha < np.inf:
        raise InputError(f"alpha must be at least 0 and finite, got {alpha}")
    return np.asarray(np.maximum(found, 0).astype(np.float64) ** alpha)


def _unit(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Rows divided by their length; zero stays zero."""
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True, dtype=np.float64))
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)
