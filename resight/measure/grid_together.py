"""Several descriptors of the same images in one pass: the network sees an image once, and its maps are pooled by each.

The embedding spaces must differ in nothing but the descriptor and the whitening of its parts. It goes the way of
`Collection.add` with an encoder whose vectors are those of all, one behind the other, and a store that hands each its
own: so it may be interrupted at any time, and takes no more memory than the vectors of one commit.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import accumulate
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from resight.features.encoder import Encoder
from resight.images import list_images
from resight.search import Collection, Item
from resight.search.adding import LOOK_UP, Progress, add
from resight.search.store import Store


def describe_together(collections: Sequence[Collection], sources: Sequence[str], progress: Progress) -> None:
    """Add every image of these sources to all collections, as `Collection.add` does to one.

    Raises what `Collection.add` raises.
    """
    store = _Stores([photos.store for photos in collections], [photos.dim for photos in collections])
    encoder = _Encoders([photos.encoder for photos in collections])
    # Of a store's verbs `add` takes only the two that _Stores has.
    add(cast(Store, store), encoder, list_images(list(sources)), Counter(), progress, empty_ok=True)


def is_behind(photos: Collection, paths: Sequence[str]) -> bool:
    """Whether an image is not in the collection, or in it as another file than is there now."""
    for start in range(0, len(paths), LOOK_UP):
        part = paths[start : start + LOOK_UP]
        known = photos.store.find(part)
        if any(path not in known or (known[path].size, known[path].mtime_ns) != _stat(path) for path in part):
            return True
    return False


def _stat(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0  # as `add` records it
    return found.st_size, found.st_mtime_ns


class _Encoders(Encoder):
    """One network for several encoders: a vector holds theirs, one behind the other."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        super().__init__(**asdict(encoders[0].config))
        self._backbone = encoders[0].backbone
        self.encoders = list(encoders)

    def forward(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """(B, 3, H, W) uint8, all of one shape -> (B, sum of D) float32: what `Encoder.forward` of each gives."""
        looks = self.look_at_scales(pixels, head=any(encoder.descriptor.name == "cam" for encoder in self.encoders))
        array: NDArray[np.float32] = torch.cat([encoder.pool(looks) for encoder in self.encoders], 1).cpu().numpy()
        return array


class _Stores:
    """Several stores as the one that `add` writes to."""

    def __init__(self, stores: Sequence[Store], dims: Sequence[int]) -> None:
        self.stores = list(stores)
        ends = list(accumulate(dims))
        self.parts = [slice(end - dim, end) for end, dim in zip(ends, dims)]

    def find(self, paths: Sequence[str]) -> dict[str, Item]:
        """Those of these paths that all stores know, from the same bytes: whatever one lacks is described for all."""
        first, *others = [store.find(paths) for store in self.stores]
        return {
            path: item
            for path, item in first.items()
            if all(path in other and _same(item, other[path]) for other in others)
        }

    def put(self, items: Sequence[Item]) -> list[int]:
        """Each store gets the items with its own part of their vectors."""
        ids: list[int] = []
        for store, part in zip(self.stores, self.parts):
            ids = store.put([
                item if item.vector is None else replace(item, vector=np.ascontiguousarray(item.vector[part]))
                for item in items
            ])  # fmt: skip
        return ids


def _same(one: Item, other: Item) -> bool:
    return (one.status, one.size, one.mtime_ns, one.sha256) == (other.status, other.size, other.mtime_ns, other.sha256)
