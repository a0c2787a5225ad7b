"""Vectors brought into the plane, to be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown

PROJECTIONS = ("auto", "tsne", "pca")
MOST_TSNE = 3_000  # vectors: the time of t-SNE grows faster than their number
LEAST_TSNE = 5
PERPLEXITY = 30.0
EQUAL = 1e-12  # variance below which all vectors are one point


def plane_kind(count: int, asked: str = "auto") -> str:
    """tsne or pca: what so many vectors are brought into the plane by. Raises InputError for an unknown name.

    >>> plane_kind(3000), plane_kind(3001), plane_kind(4, "tsne")
    ('tsne', 'pca', 'pca')
    """
    if asked not in PROJECTIONS:
        raise unknown("projection", asked, PROJECTIONS)
    wanted = asked if asked != "auto" else "tsne" if count <= MOST_TSNE else "pca"
    return wanted if count >= LEAST_TSNE else "pca"


def in_plane(vectors: NDArray[np.floating[Any]], kind: str, seed: int = 0) -> NDArray[np.float64]:
    """A point for each vector.

    vectors: (N, D)
    kind:    pca (the two directions of the largest variance) or tsne (neighbours stay neighbours; distances between
             far groups, and their sizes, mean nothing), van der Maaten 2008
    ->       (N, 2)

    Vectors that are all the same are all at the origin. The same seed gives the same points.
    Raises InputError for an unknown kind, or vectors that are not finite (N, D).
    """
    if kind not in PROJECTIONS[1:]:
        raise unknown("projection", kind, PROJECTIONS[1:])
    rows = np.asarray(vectors, np.float64)
    if rows.ndim != 2 or 0 in rows.shape or not np.isfinite(rows).all():
        raise InputError(f"expected finite vectors (N, D), got shape {rows.shape}")
    centred = rows - rows.mean(0)
    if float((centred**2).mean()) < EQUAL:
        return np.zeros((len(rows), 2))
    if kind == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows), np.float64)
    left, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    # A direction has no sign of its own: the largest coordinate of each is made positive, so that runs agree.
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
    points = (left * lengths * signs)[:, :2]
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
