"""Methods that try the channels of a layer one by one: which are tried, and the maps that their weights make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from resight.explain.work import Batch, Maps


def chosen_channels(activations: Tensor, most: int) -> Tensor:
    """The channels that are tried, (n,), in their own order.

    activations: (T, K, h, w) of one item
    most:        how many, those of the highest mean; 0: all

    >>> chosen_channels(torch.tensor([2.0, 1.0, 3.0]).view(1, 3, 1, 1), 2).tolist()
    [0, 2]
    """
    count = activations.shape[1]
    if most == 0 or most >= count:
        return torch.arange(count, device=activations.device)
    return activations.mean((0, 2, 3)).topk(most).indices.sort().values


def weighted_maps(
    batch: Batch, activations: Mapping[str, Tensor], weights: Mapping[str, Sequence[Tensor]]
) -> tuple[Maps, ...]:
    """Sums of channels, one map for each class in the longest list; items with fewer repeat their last.

    activations: {branch: (sum of counts, K, h, w)}
    weights:     {branch: for each item (its classes, K)}
    """
    longest = max(len(own) for one in weights.values() for own in one)
    return tuple(
        Maps({
            branch: torch.cat([
                torch.einsum("tkhw,k->thw", own, weight[min(place, len(weight) - 1)])
                for own, weight in zip(torch.split(maps, batch.counts), weights[branch], strict=True)
            ])
            for branch, maps in activations.items()
        })
        for place in range(longest)
    )  # fmt: skip


def single(batch: Batch, place: int, copies: int = 1) -> Batch:
    """One item of a batch, several times over."""
    count = None if batch.lengths is None else batch.counts[place]
    pixels = batch.pixels[place][:count]
    return Batch(
        batch.subject, pixels.expand(copies, *pixels.shape),
        None if count is None else torch.full((copies,), count),
    )  # fmt: skip
