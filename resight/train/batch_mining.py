"""Triplets within a batch, found with the batch's own vectors, and the balanced batches that such miners need."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

BATCHES = 43  # what a seed is for, beside those of `resight.train.mining`
BLOCK = 10_000_000  # floats of one comparison


def batch_hard(embeddings: Tensor, labels: Tensor, same: Tensor | None = None) -> Tensor:
    """For every image of the batch its farthest positive and its nearest negative.

    embeddings: (B, d);  labels: (B,)
    same:       (B,)     equal for images with the same content, which are neither positive nor negative of each other
    ->          (T, 3)   int64 places in the batch, by query; images without a positive or a negative are no queries

    Hermans, Beyer and Leibe 2017, eq. 5. Distances are Euclidean and exact near 0; no gradient flows.
    """
    import torch

    distances, positive, negative = _compare(embeddings, labels, same)
    query = torch.nonzero(positive.any(1) & negative.any(1))[:, 0]
    if not len(query):
        return query.new_empty((0, 3))
    farthest = torch.where(positive, distances, -1)[query].argmax(1)
    nearest = torch.where(negative, distances, torch.inf)[query].argmin(1)
    return torch.stack([query, farthest, nearest], 1)


def semi_hard(embeddings: Tensor, labels: Tensor, margin: float, same: Tensor | None = None) -> Tensor:
    """For every ordered pair of one class the nearest negative beyond the positive, by less than the margin.

    embeddings: (B, d);  labels: (B,)
    margin:     of squared distances, as in `triplet_loss`
    same:       (B,)     as for `batch_hard`
    ->          (T, 3)   int64 places in the batch, by query, then positive

    |q - p|^2 < |q - n|^2 < |q - p|^2 + margin: Schroff, Kalenichenko and Philbin 2015, eq. 4. Where every negative is
    nearer than the positive, the farthest of them, as TensorFlow's triplet_semihard_loss does, or the worst pairs would
    never be learned from. Where the next farther negative lies beyond the margin, the pair is left out: its loss is 0.
    """
    import torch

    distances, positive, negative = _compare(embeddings, labels, same)
    squared, pairs, found = distances**2, torch.nonzero(positive), []
    if not len(pairs):
        return pairs.new_empty((0, 3))
    for query, place in (block.T for block in torch.split(pairs, max(1, BLOCK // len(labels)))):
        near, far, allowed = squared[query, place][:, None], squared[query], negative[query]
        farther = allowed & (far > near)
        outside = torch.where(farther, far, torch.inf)
        inside = torch.where(allowed, far, -1)
        some = farther.any(1)
        chosen = torch.where(some, outside.argmin(1), inside.argmax(1))
        learns = allowed.any(1) & (~some | (outside.amin(1) < near[:, 0] + margin))
        found.append(torch.stack([query, place, chosen], 1)[learns])
    return torch.cat(found)


def balanced_batches(
    labels: NDArray[np.integer[Any]], batch: int, per_class: int, seed: int, epoch: int
) -> list[list[int]]:
    """Batches of batch / per_class classes with per_class images each; every image at least once, about once.

    labels:    (N,)  classes
    batch:     images, a multiple of per_class
    per_class: images of a class in a batch; different ones, repeated only where the class has fewer
    ->         places, random batches in random order; the same for the same seed and epoch

    A class's images are cut into groups of per_class, the last filled up with others of the class, and each batch takes
    groups of the classes that have most left, so that few classes remain at the end. A batch that no longer finds
    enough classes is filled with groups of other classes, drawn again: large classes make small ones repeat.
    Raises InputError if the numbers do not fit.
    """
    labels = np.asarray(labels)
    classes, own = np.unique(labels, return_inverse=True)
    if per_class < 2 or batch < 2 * per_class or batch % per_class:
        raise InputError(
            f"a balanced batch holds at least 2 classes with at least 2 images each, got batch {batch} and {per_class} "
            f"per class: take a batch of {max(2, batch // max(2, per_class)) * max(2, per_class)}"
        )
    wanted = batch // per_class
    if wanted > len(classes):
        most = f"a batch of {len(classes) * per_class}, or " if len(classes) > 1 else ""
        raise InputError(
            f"a batch of {batch} with {per_class} per class needs {wanted} classes, got {len(classes)}: "
            f"take {most}more classes"
        )
    dice = np.random.default_rng((seed, BATCHES, epoch))
    members = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own))[:-1])
    groups = [_groups(places, per_class, dice) for places in members]
    waiting = [(-len(groups[c]), dice.random(), c) for c in range(len(members))]
    heapq.heapify(waiting)
    batches = []
    while waiting:
        taken = [heapq.heappop(waiting)[2] for _ in range(min(wanted, len(waiting)))]
        chosen = [groups[c].pop() for c in taken]
        for c in taken:
            if groups[c]:
                heapq.heappush(waiting, (-len(groups[c]), dice.random(), c))
        if len(taken) < wanted:
            rest = dice.choice(np.setdiff1d(np.arange(len(members)), taken), wanted - len(taken), replace=False)
            chosen += [_groups(members[c], per_class, dice)[0] for c in rest.tolist()]
        batches.append(np.concatenate(chosen).tolist())
    return [batches[place] for place in dice.permutation(len(batches)).tolist()]


def _groups(places: NDArray[np.int64], size: int, dice: np.random.Generator) -> list[NDArray[np.int64]]:
    """A class's images in random groups of `size`, the last filled up with others while there are any."""
    order = dice.permutation(places)
    whole = len(order) // size * size
    groups = list(order[:whole].reshape(-1, size))
    if rest := len(order) - whole:
        others = dice.permutation(order[:whole]) if whole else np.resize(dice.permutation(order), size - rest)
        groups.append(np.concatenate([order[whole:], others[: size - rest]]))
    return groups


def _compare(embeddings: Tensor, labels: Tensor, same: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(B, B) distances, which are positives, which are negatives."""
    import torch

    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise InputError(
            f"expected embeddings (B, d) and labels (B,), got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    vectors = embeddings.detach().float()
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    equal = labels[:, None] == labels
    alike = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if same is not None:
        alike = alike | (same[:, None] == same)
    return distances, equal & ~alike, ~equal & ~alike
