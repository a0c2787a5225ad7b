"""Which triplets (query, positive, negative) an embedding network learns from, found with its current vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.train.batch_mining import balanced_batches, batch_hard, semi_hard

__all__ = [
    "MINERS",
    "Mined",
    "balanced_batches",
    "batch_hard",
    "mine_hardest",
    "mine_ranked",
    "semi_hard",
    "spread",
    "triplet_losses",
]

Ints = NDArray[np.integer[Any]]
Places = NDArray[np.int64]
Vectors = NDArray[np.floating[Any]]
MINERS = {"ranked": "offline", "hardest": "offline", "batch-hard": "in-batch", "semi-hard": "in-batch"}
RANKED, HARDEST = 41, 42  # what a seed is for, beside those of `resight.train.data`
BLOCK = 10_000_000  # floats in memory beyond the vectors
MOST = 100_000_000  # triplets that may be drawn for an epoch
MOST_PER_PAIR = 10_000


@dataclass(frozen=True, eq=False)
class Mined:
    """What a miner found, hardest first.

    triplets: (T, 3)  int64 places of query, positive, negative; query and positive are two images of one class
    losses:   (T,)    float32, max(0, margin + |q - p|^2 - |q - n|^2), descending
    drawn:    how many triplets were looked at
    nonzero:  how many of those had a loss above 0
    """

    triplets: Places
    losses: NDArray[np.float32]
    drawn: int
    nonzero: int

    @property
    def share(self) -> float:
        """The share of the triplets looked at whose loss was above 0."""
        return self.nonzero / self.drawn if self.drawn else 0.0

    def __repr__(self) -> str:
        return f"<Mined {len(self.triplets):,} of {self.drawn:,} triplets, {self.nonzero:,} with a loss>"


def mine_ranked(
    vectors: Vectors,
    labels: Ints,
    *,
    per_pair: int = 70,
    keep: int = 1600,
    margin: float = 0.1,
    seed: int,
    epoch: int,
    same: Ints | None = None,
) -> Mined:
    """The hardest of the random triplets that are drawn for every ordered pair of classes (a, b).

    vectors:  (N, D)  unit vectors by the current weights
    labels:   (N,)    classes
    per_pair: triplets drawn for a pair (a, b): two different images of a, one of b
    keep:     how many are kept; repeats of a triplet are drawn and counted, but kept once
    same:     (N,)    equal for images with the same content. Of such images of one class the first stands for all, and
                      a triplet with such images in both classes is left out

    The same seed and epoch draw the same triplets. Memory grows with N and `keep` only.
    Raises InputError for less than two classes, no class with two images, numbers that are out of range, and WorkError
    for vectors that are not finite.
    """
    vectors, labels, same = _checked(vectors, labels, same)
    members = _members(labels, same)
    pairs = sum(len(a) > 1 for a in members) * (len(members) - 1)
    if not 1 <= per_pair <= MOST_PER_PAIR or keep < 1:
        raise InputError(f"per_pair must be 1 to {MOST_PER_PAIR:,} and keep at least 1, got {per_pair} and {keep}")
    if pairs * per_pair > MOST:
        raise InputError(
            f"{per_pair} triplets for each of {pairs:,} pairs of classes are more than {MOST:,}: "
            f"take at most {MOST // pairs} a pair, or the miner hardest"
        )
    dice = np.random.default_rng((seed, RANKED, epoch))
    mined, drawn, nonzero = _none(), 0, 0
    for own, places in enumerate(members):
        if len(places) < 2:
            continue
        triplets = _draw(places, members[:own] + members[own + 1 :], per_pair, dice)
        triplets = triplets[~_contradict(triplets, same)]
        losses = triplet_losses(vectors, triplets, margin)
        drawn, nonzero = drawn + len(triplets), nonzero + int((losses > 0).sum())
        if len(mined[0]) == keep:
            hard = losses > mined[1][-1]  # what cannot come in need not be sorted
            triplets, losses = triplets[hard], losses[hard]
        first = np.sort(np.unique(triplets, axis=0, return_index=True)[1])  # repeats lie within one pair of classes
        more = triplets[first], losses[first]
        mined = _hardest_first(np.concatenate([mined[0], more[0]]), np.concatenate([mined[1], more[1]]), keep)
    return Mined(*mined, drawn, nonzero)


def mine_hardest(
    vectors: Vectors,
    labels: Ints,
    *,
    queries: int,
    negatives: int = 5,
    margin: float = 0.1,
    seed: int,
    epoch: int,
    same: Ints | None = None,
) -> Mined:
    """For random pairs (query, positive) the most similar images of other classes, at most one of each class.

    vectors:   (N, D)  unit vectors by the current weights
    labels:    (N,)    classes
    queries:   how many images are queries, each once, with one random positive each; all where there are fewer
    negatives: for each query; fewer where there are fewer other classes
    margin:    for the losses only: it does not change what is found
    same:      (N,)    as for `mine_ranked`; an image with the content of the query or the positive is no negative
    ->         triplets (query, positive, negative k), all of them

    Radenovic, Tolias and Chum 2018 (cirtorch). Time N * queries * D; memory grows with N and queries * negatives.
    Raises InputError and WorkError as `mine_ranked` does.
    """
    vectors, labels, same = _checked(vectors, labels, same)
    if queries < 1 or negatives < 1:
        raise InputError(f"queries and negatives must be at least 1, got {queries} and {negatives}")
    members = _members(labels, same)
    dice = np.random.default_rng((seed, HARDEST, epoch))
    asked = _draw_pairs(members, queries, dice)
    order = np.concatenate(members)
    starts = np.concatenate([[0], np.cumsum([len(places) for places in members])])
    database, found = vectors[order], []
    for start in range(0, len(asked), rows := max(1, BLOCK // len(order))):
        block = asked[start : start + rows]
        scores = vectors[block[:, 0]] @ database.T
        scores[labels[block[:, :1]] == labels[order]] = -np.inf
        if same is not None:
            scores[(same[order] == same[block[:, :1]]) | (same[order] == same[block[:, 1:]])] = -np.inf
        found.append(_best_of_classes(block, scores, order, starts, negatives))
    triplets = np.concatenate(found)
    losses = triplet_losses(vectors, triplets, margin)
    return Mined(*_hardest_first(triplets, losses, len(triplets)), len(triplets), int((losses > 0).sum()))


def triplet_losses(vectors: Vectors, triplets: Places, margin: float) -> NDArray[np.float32]:
    """max(0, margin + |q - p|^2 - |q - n|^2) of each triplet: (N, D), (T, 3) -> (T,); by blocks of rows.

    >>> triplet_losses(np.eye(2), np.array([[0, 0, 1], [0, 1, 0]]), 0.5).tolist()
    [0.0, 2.5]
    """
    losses = np.empty(len(triplets), np.float32)
    for start in range(0, len(triplets), rows := max(1, BLOCK // (4 * vectors.shape[1]))):
        query, positive, negative = (vectors[places] for places in triplets[start : start + rows].T)
        near, far = ((query - other) ** 2 for other in (positive, negative))
        losses[start : start + rows] = np.maximum(0, margin + near.sum(1) - far.sum(1))
    return losses


def spread(vectors: Vectors) -> float:
    """How far the vectors lie apart: the root of the mean squared distance of two of them; 0 when all are one.

    vectors: (N, D), N >= 2
    ->       for unit vectors sqrt(2 (1 - |mean|^2) N / (N - 1)): 1.41 for vectors at right angles

    Taken from the distances to the mean, sum |x - mean|^2 2 / (N - 1), which is the same and exact near 0; O(N D).
    Raises InputError for fewer than two vectors; NaN for vectors that are not finite.

    >>> round(spread(np.eye(5)), 6)
    1.414214
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise InputError(f"a spread needs at least 2 vectors (N, D), got shape {vectors.shape}")
    mean, total = vectors.mean(0, dtype=np.float64), 0.0
    for start in range(0, len(vectors), rows := max(1, BLOCK // (2 * vectors.shape[1]))):
        total += float(((vectors[start : start + rows] - mean) ** 2).sum())
    return float(np.sqrt(2 * total / (len(vectors) - 1)))


def _checked(vectors: Vectors, labels: Ints, same: Ints | None) -> tuple[Vectors, Ints, Ints | None]:
    vectors, labels = np.asarray(vectors), np.asarray(labels)
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"vectors must be floats (N, D), got {vectors.dtype} of shape {vectors.shape}")
    for name, ids in (("labels", labels), ("same", same)):
        if ids is not None and (np.shape(ids) != (len(vectors),) or np.asarray(ids).dtype.kind not in "iu"):
            got = f"{np.asarray(ids).dtype} of shape {np.shape(ids)}"
            raise InputError(f"{name} must be whole numbers ({len(vectors)},), one for each vector, got {got}")
    if not np.isfinite(vectors).all():
        raise WorkError("the network's vectors hold NaN or infinity: lower the learning rate, or check the weights")
    return vectors, labels, None if same is None else np.asarray(same)


def _members(labels: Ints, same: Ints | None) -> list[Places]:
    """The places of each class, ascending; of images with the same content in a class only the first."""
    places = np.arange(len(labels))
    if same is not None:
        places = np.sort(np.unique(np.stack([labels, same]), axis=1, return_index=True)[1])
    order = places[np.argsort(labels[places], kind="stable")]
    members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    if len(members) < 2:
        raise InputError(
            f"triplets need images of at least 2 classes, got {len(np.unique(labels))}: "
            "give a folder with a folder for each class"
        )
    if not any(len(places) > 1 for places in members):
        raise InputError(
            f"triplets need a class with at least 2 different images, the {len(members)} classes have one each: "
            "add images"
        )
    return members


def _none() -> tuple[Places, NDArray[np.float32]]:
    return np.empty((0, 3), np.int64), np.empty(0, np.float32)


def _draw(places: Places, others: list[Places], count: int, dice: np.random.Generator) -> Places:
    """`count` random triplets of one class with each of the others: ((C - 1) * count, 3)."""
    total = count * len(others)
    query = dice.integers(0, len(places), total)
    positive = dice.integers(0, len(places) - 1, total)
    positive += positive >= query
    pool, sizes = np.concatenate(others), np.array([len(other) for other in others])
    negative = np.repeat(np.cumsum(sizes) - sizes, count) + dice.integers(0, np.repeat(sizes, count))
    return np.stack([places[query], places[positive], pool[negative]], 1)


def _draw_pairs(members: list[Places], queries: int, dice: np.random.Generator) -> Places:
    """(query, positive) for random different queries: (M, 2)."""
    sizes = np.array([len(places) for places in members])
    order, starts = np.concatenate(members), np.cumsum(sizes) - sizes
    own = np.repeat(np.arange(len(members)), sizes)
    able = np.flatnonzero(sizes[own] > 1)
    chosen = dice.permutation(able)[:queries]
    size, start = sizes[own[chosen]], starts[own[chosen]]
    positive = dice.integers(0, size - 1)
    positive += positive >= chosen - start
    return np.stack([order[chosen], order[start + positive]], 1)


def _contradict(triplets: Places, same: Ints | None) -> NDArray[np.bool_]:
    """Which triplets have a negative with the content of the query or the positive."""
    if same is None:
        return np.zeros(len(triplets), bool)
    query, positive, negative = same[triplets].T
    return np.asarray((negative == query) | (negative == positive))


def _best_of_classes(asked: Places, scores: NDArray[Any], order: Places, starts: Places, negatives: int) -> Places:
    """Triplets with the best image of each of the best classes: (B, 2), (B, N) with columns by class -> (T, 3)."""
    best = np.maximum.reduceat(scores, starts[:-1], axis=1)
    classes = np.argsort(-best, axis=1, kind="stable")[:, :negatives]
    found = [
        (query, positive, order[starts[c] + scores[row, starts[c] : starts[c + 1]].argmax()])
        for row, (query, positive) in enumerate(asked.tolist())
        for c in classes[row].tolist()
        if best[row, c] > -np.inf
    ]
    return np.array(found, np.int64).reshape(-1, 3)


def _hardest_first(triplets: Places, losses: NDArray[np.float32], keep: int) -> tuple[Places, NDArray[np.float32]]:
    order = np.argsort(-losses, kind="stable")[:keep]
    return triplets[order], losses[order]
