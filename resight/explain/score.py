"""Score-CAM: channels weighted by the score of what they let through of the image; no gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from resight.explain.channels import chosen_channels, single, weighted_maps
from resight.explain.work import Ask, Batch, Found, ask_all, hear, items_per_pass


def by_masking(batch: Batch, ask: Ask, layer: str | None = None, *, channels: int = 0) -> Found:
    """Each channel, scaled to 0..1, masks the image; the softmax of the scores weights the channels. Wang 2020, alg. 1.

    channels: how many are tried, those of the highest mean activation; 0: all

    A forward pass for each channel, whatever the number of classes. The score of the empty image, which the paper takes
    off each, drops out of the softmax. A channel that is the same everywhere masks nothing and weighs nothing, as in
    the authors' program. Of a sequence every frame is masked by its own map, at one scale for all frames.
    The weights sum to 1: the map is in units of the layer, not of the score.
    """
    with torch.no_grad():
        logits, activations, layers, _ = hear(batch, layer, leaves=False)
        targets = ask_all(logits, ask)
        weights: dict[str, list[Tensor]] = {branch: [] for branch in activations}
        for branch, maps in activations.items():
            for place, own in enumerate(torch.split(maps, batch.counts)):
                scores, tried = masked_scores(batch, place, own, chosen_channels(own, channels))
                found = maps.new_zeros((len(targets[place]), own.shape[1]))
                found[:, tried] = scores[:, list(targets[place])].T.softmax(1).to(found)
                weights[branch].append(found)
        return Found(logits, targets, weighted_maps(batch, activations, weights), layers)


def masked_scores(batch: Batch, place: int, activations: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of an item behind the mask of each channel, (n, C), and the numbers of the channels that mask, (n,).

    activations: (T, K, h, w) of the item;  tried: (m,) numbers of channels
    """
    flat = activations[:, tried].transpose(0, 1).flatten(1)
    tried = tried[flat.amax(1) > flat.amin(1)]
    frames = len(activations)
    rows = [activations.new_zeros((0, len(batch.subject.classes)))]
    for chunk in torch.split(tried, items_per_pass(batch.subject, frames)):
        masks = stretched(activations[:, chunk].transpose(0, 1).float(), batch.subject.size)
        copies = single(batch, place, len(chunk))
        pixels = masked(copies.pixels, masks.view(len(chunk), *copies.pixels.shape[1:-3], 1, *masks.shape[-2:]),
                        batch.subject.zero)  # fmt: skip
        rows.append(Batch(batch.subject, pixels, copies.lengths).logits())
    return torch.cat(rows), tried


def stretched(maps: Tensor, size: int) -> Tensor:
    """(n, T, h, w) -> (n, T, size, size), bilinear, each of the n from 0 to 1."""
    large = functional.interpolate(maps, (size, size), mode="bilinear", align_corners=False)
    low, high = large.amin((1, 2, 3), keepdim=True), large.amax((1, 2, 3), keepdim=True)
    return (large - low) / (high - low).clamp(min=torch.finfo(large.dtype).tiny)


def masked(pixels: Tensor, masks: Tensor, zero: tuple[float, float, float]) -> Tensor:
    """(..., 3, S, S) uint8 times (..., 1, S, S) in 0..1, measured from the colour that is 0 to the network.

    >>> light = torch.full((3, 1, 1), 200, dtype=torch.uint8)
    >>> masked(light, torch.tensor([[[0.5]]]), (100.0, 0.0, 0.0)).flatten().tolist()
    [150, 100, 100]
    """
    nought = torch.tensor(zero, device=pixels.device).view(3, 1, 1)
    return (nought + (pixels - nought) * masks.to(nought)).round().clamp(0, 255).to(torch.uint8)
