"""Fits a whitening on the images of a store."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.features.whitening import Whitening, learned_whitening, pca_whitening
from resight.search.store import Store, Where, sample_vectors

SAMPLE = 50_000
PAIRS = 50_000
HOW = ("pca", "learned")


def fit_whitening(store: Store, dim: int | None, *, how: str, fitted_on: str) -> Whitening:
    """PCA-whitening, or learned whitening from pairs of images with one label.

    dim: length of the whitened vectors; None: all that the sample supports
    how: "pca", or "learned": images with the same label are the matching pairs (Radenovic 2018), at most 50,000 drawn
         from a fixed seed; their covariance is shrunk by the rule of Ledoit and Wolf 2004, so that few images will do

    Raises InputError for another `how`, too few images for `dim`, or no two images with one label.
    """
    if how not in HOW:
        raise unknown("whitening", how, HOW)
    if how == "pca":
        sample = sample_vectors(store, SAMPLE)
        if len(sample) < 3:
            raise InputError(f"whitening needs at least 3 images, {fitted_on} has {len(sample)}")
        most = min(sample.shape[1], len(sample) - 1)
        return pca_whitening(sample, most if dim is None else dim, fitted_on=fitted_on)
    queries, positives = label_pairs(store)
    if not len(queries):
        raise InputError(f"learned whitening needs images with the same label, {fitted_on} has no two")
    width = queries.shape[1]
    return learned_whitening(
        queries, positives, width if dim is None else dim, ridge=shrinkage(store), fitted_on=fitted_on
    )  # fmt: skip


def shrinkage(store: Store) -> float:
    """The ridge of `learned_whitening` that is Ledoit and Wolf's shrinkage of the pairs' covariance.

    From one pair per image: more pairs of the same images look like more evidence than they are.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    queries, positives = label_pairs(store, rounds=1)
    share = float(ledoit_wolf_shrinkage(queries.astype(np.float64) - positives, assume_centered=True))
    return share / max(1 - share, 1e-6)


def label_pairs(store: Store, rounds: int = 20, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw vectors of pairs of images that share a label: (m, D), (m, D); each image is paired once in every round."""
    labelled = [(item.id, item.label) for item in store.scan(Where(status="ok")) if item.label is not None]
    draw = np.random.default_rng(seed)
    if len(labelled) > SAMPLE:  # of all, not the first: those lie in the first folders
        labelled = [labelled[i] for i in np.sort(draw.choice(len(labelled), SAMPLE, replace=False)).tolist()]
    members: dict[str, list[int]] = defaultdict(list)
    for row, (_, label) in enumerate(labelled):
        members[label].append(row)
    items = store.get([image for image, _ in labelled], vectors=True)
    vectors = [item.vector for item in items if item.vector is not None]
    groups = [np.array(rows) for rows in members.values() if len(rows) > 1]
    pairs: set[tuple[int, int]] = set()
    for _ in range(max(1, min(rounds, PAIRS // max(1, sum(map(len, groups)))))):
        for rows in groups:
            order = draw.permutation(rows)
            pairs.update(zip(order.tolist(), np.roll(order, 1).tolist()))
    chosen = np.array(sorted(pairs)[:PAIRS] or np.empty((0, 2)), np.int64).reshape(-1, 2)
    matrix = np.stack(vectors) if vectors else np.empty((0, 1), np.float32)
    return matrix[chosen[:, 0]], matrix[chosen[:, 1]]
