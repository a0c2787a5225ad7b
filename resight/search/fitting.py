"""Fits a whitening on the images of a store."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, unknown
from resight.features.whitening import Whitening, learned_whitening, pca_whitening, seen_images
from resight.search.store import Store, Where, sample_items

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
        items = sample_items(store, SAMPLE)
        if len(items) < 3:
            raise InputError(f"whitening needs at least 3 images, {_named(fitted_on)} has {len(items)}")
        sample = np.stack([item.vector for item in items if item.vector is not None])
        most = min(sample.shape[1], len(sample) - 1)
        seen = seen_images(item.sha256 for item in items)
        return pca_whitening(sample, most if dim is None else dim, fitted_on=fitted_on, seen=seen)
    used: list[str] = []
    queries, positives = label_pairs(store, used=used)
    if not len(queries):
        raise InputError(f"learned whitening needs images with the same label, {_named(fitted_on)} has no two of one")
    width = queries.shape[1]
    return learned_whitening(
        queries, positives, width if dim is None else dim, ridge=shrinkage(store), fitted_on=fitted_on,
        seen=seen_images(used),
    )  # fmt: skip


def _named(fitted_on: str) -> str:
    return "this collection" if fitted_on == "itself" else fitted_on


def shrinkage(store: Store) -> float:
    """The ridge of `learned_whitening` that is Ledoit and Wolf's shrinkage of the pairs' covariance.

    From one pair per image: more pairs of the same images look like more evidence than they are.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    queries, positives = label_pairs(store, rounds=1)
    share = float(ledoit_wolf_shrinkage(queries.astype(np.float64) - positives, assume_centered=True))
    return share / max(1 - share, 1e-6)


def label_pairs(
    store: Store, rounds: int = 20, seed: int = 0, used: list[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw vectors of pairs of images that share a label: (m, D), (m, D); each image is paired once in every round.

    used: if given, the SHA-256 of every image in a pair is put here
    """
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
    if used is not None:
        used += [items[row].sha256 for row in np.unique(chosen).tolist()]
    matrix = np.stack(vectors) if vectors else np.empty((0, 1), np.float32)
    return matrix[chosen[:, 0]], matrix[chosen[:, 1]]
