"""The projection that an embedding network starts from, fitted on its pooled features: y = L2((x - mean) @ P)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.features.whitening import Floats, Whitening, learned_whitening, pca_whitening

PROJECTIONS = {
    "whiten": "PCA, every direction divided by its deviation",
    "pca": "PCA, a rotation only",
    "learned": "whitened by what differs within a class, then the directions in which images differ most",
    "centre": "the mean taken away, every direction kept as it is",
    "identity": "nothing: the features as they are",
}
WHOLE = ("centre", "identity")  # no sample is too small for them
EPS = 1e-10  # as of `pca_whitening`: less than this share of the largest variance is no direction
ROUNDING = 1e-20  # less than this share of the squared lengths is none either: float32 cannot hold such differences
ROWS = 4096
SAMPLE = 50_000  # images, and pairs of them, that a learned projection looks at
ROUNDS = 20


def fit_projection(
    vectors: Floats,
    labels: NDArray[np.integer[Any]],
    dim: int,
    how: str,
    *,
    fitted_on: str = "",
    seen: NDArray[np.uint64] | None = None,
) -> Whitening:
    """A projection to `dim` numbers as `how` of `PROJECTIONS` says.

    vectors: (N, D)   pooled features of the training images
    labels:  (N,)     their classes; only "learned" looks at them
    dim:     1 .. `largest_dim(vectors, how)`
    seen:    the images, for the record: see `resight.features.whitening.seen_images`
    ->       mean (D,), projection (D, dim), float32

    whiten:   P = E_dim diag(lambda_dim)^(-1/2) for cov = E diag(lambda) E^T (divided by N - 1); Jegou and Chum 2012
    pca:      P = E_dim
    learned:  `learned_whitening` on pairs of images of one class, drawn and shrunk as for a collection; Radenovic 2018
    centre:   P = the first `dim` columns of the unit matrix
    identity: the same, mean 0

    Of E's columns the largest component is positive, so that two machines agree.
    Raises InputError for an unknown `how`, a `dim` that is too large, no two images of one class, or damaged numbers.

    >>> sample = np.array([[3.0, 0.0], [1.0, 0.0], [2.0, 2.0], [2.0, -2.0]])
    >>> fit_projection(sample, np.zeros(4, int), 1, "pca").projection.tolist()
    [[0.0], [1.0]]
    """
    vectors, labels = _checked(vectors, how), np.asarray(labels)
    if labels.shape != (len(vectors),):
        raise InputError(f"labels must be ({len(vectors)},), one for each vector, got shape {labels.shape}")
    _check_dim(vectors, dim, how)
    if how in WHOLE:
        mean = vectors.mean(0, dtype=np.float64) * (how == "centre")
        return Whitening(mean, np.eye(vectors.shape[1])[:, :dim], fitted_on, len(vectors) * (how == "centre"), seen)
    if how == "learned":
        queries, positives = class_pairs(labels, ROUNDS)
        if not len(queries):
            raise InputError(
                "a learned projection needs two images of one class, no class has two: add images, or take whiten"
            )
        return learned_whitening(
            vectors[queries], vectors[positives], dim, ridge=_shrinkage(vectors, labels), fitted_on=fitted_on, seen=seen
        )
    whitened = pca_whitening(vectors, dim, fitted_on=fitted_on, seen=seen, eps=EPS)
    if how == "whiten":
        return whitened
    scaled = whitened.projection.astype(np.float64)  # columns of E, each divided by a deviation
    return Whitening(whitened.mean, scaled / np.linalg.norm(scaled, axis=0), fitted_on, len(vectors), seen)


def largest_dim(vectors: Floats, how: str) -> int:
    """The largest `dim` that `fit_projection` can give: the rank of the centred vectors, for `WHOLE` their width D.

    vectors: (N, D)
    ->       at most min(D, N - 1); 0 where all vectors are equal

    Raises InputError for an unknown `how` or damaged numbers.

    >>> largest_dim(np.eye(3), "whiten"), largest_dim(np.eye(3), "identity")
    (2, 3)
    """
    vectors = _checked(vectors, how)
    count, width = len(vectors), int(vectors.shape[1])
    if how in WHOLE:
        return width
    mean, scatter = vectors.mean(0, dtype=np.float64), np.zeros((width, width))
    for start in range(0, count, ROWS):
        block = vectors[start : start + ROWS].astype(np.float64) - mean
        scatter += block.T @ block
    values = np.linalg.eigvalsh(scatter)
    noise = ROUNDING * (
        np.trace(scatter) + count * float(mean @ mean)
    )  # the mean of equal vectors is a bit beside them
    return int(np.count_nonzero(values > max(EPS * values[-1], noise)))


def class_pairs(
    labels: NDArray[np.integer[Any]], rounds: int, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of images of one class, as pairs: (M,), (M,), each image paired once in every round with another.

    labels: (N,)   of more than 50,000 as many are drawn
    ->      ordered pairs without repeats, ascending, at most 50,000 of them

    The draws are those of a collection's learned whitening, so that both fit the same.

    >>> [places.tolist() for places in class_pairs(np.array([5, 7, 5]), 1)]
    [[0, 2], [2, 0]]
    """
    draw = np.random.default_rng(seed)
    places = np.arange(len(labels))
    if len(labels) > SAMPLE:
        places = np.sort(draw.choice(len(labels), SAMPLE, replace=False))
    members: dict[int, list[int]] = defaultdict(list)
    for place, label in zip(places.tolist(), np.asarray(labels)[places].tolist()):
        members[label].append(place)
    groups = [np.array(group) for group in members.values() if len(group) > 1]
    pairs: set[tuple[int, int]] = set()
    for _ in range(max(1, min(rounds, SAMPLE // max(1, sum(map(len, groups)))))):
        for group in groups:
            order = draw.permutation(group)
            pairs.update(zip(order.tolist(), np.roll(order, 1).tolist()))
    chosen = np.array(sorted(pairs)[:SAMPLE], np.int64).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]


def _shrinkage(vectors: Floats, labels: NDArray[np.integer[Any]]) -> float:
    """The ridge that is Ledoit and Wolf's (2004) shrinkage of the covariance of what differs within a class.

    From one pair per image: more pairs of the same images look like more evidence than they are.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    queries, positives = class_pairs(labels, 1)
    share = float(ledoit_wolf_shrinkage(vectors[queries].astype(np.float64) - vectors[positives], assume_centered=True))
    return share / max(1 - share, 1e-6)


def _checked(vectors: Floats, how: str) -> Floats:
    if how not in PROJECTIONS:
        raise unknown("projection", how, PROJECTIONS)
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind != "f":
        raise InputError(f"vectors must be floats (N, D), got {vectors.dtype} of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise InputError(f"vectors {vectors.shape} hold NaN or infinity: the network or its input is damaged")
    return vectors


def _check_dim(vectors: Floats, dim: int, how: str) -> None:
    """Raises InputError that names the largest possible dim. Costs an eigenvalue problem where that is the rank."""
    count, width = vectors.shape
    most = largest_dim(vectors, how)
    if 1 <= dim <= most:
        return
    if most == 0:
        raise InputError(
            f"{how} needs images that differ, all {count} have the same features: take other images, or centre"
        )
    why = f"features of {width} numbers" if most == width else f"{count} images, which vary in {most} directions,"
    more = "" if most == width else ", more varied images, or centre"
    raise InputError(f"{how} of {why} allows 1 to {most} dimensions, got {dim}: take a dim of at most {most}{more}")
