"""Ablation-CAM: channels weighted by how much of the score is lost without them; no gradients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from resight.errors import WorkError
from resight.explain.channels import chosen_channels, single, weighted_maps
from resight.explain.layers import layout_at
from resight.explain.listening import listening
from resight.explain.work import Ask, Batch, Found, ask_all, hear, items_per_pass

BYTES = 64 * 2**20  # of a layer's output with channels taken out: what goes through the rest of a network at a time
AGREE = 1e-3  # of the largest logit: passes of other sizes round differently, a mixed-up batch is far off


def by_ablation(batch: Batch, ask: Ask, layer: str | None = None, *, channels: int = 0) -> Found:
    """Each channel weighted by (y - y_k) / |y|, with y_k the score when it is 0. Desai 2020, eq. 3 without the ReLU.

    channels: how many are tried, those of the highest mean activation, the others weigh nothing; 0: all

    The paper divides by y: below 0 that would turn every channel's sign. Of an image only what is behind the layer runs
    for each channel, where the network allows it; else the whole does. Of a sequence a channel is taken out of all
    frames at once. All classes cost the same passes. The map is in units of the layer.
    """
    with torch.no_grad():
        logits, activations, layers, _ = hear(batch, layer, leaves=False)
        targets = ask_all(logits, ask)
        weights: dict[str, list[Tensor]] = {branch: [] for branch in activations}
        for branch, maps in activations.items():
            for place, own in enumerate(torch.split(maps, batch.counts)):
                tried = chosen_channels(own, channels)
                left = scores_without(batch, place, logits[place], branch, layers, tried, own.nbytes)
                y = logits[place, list(targets[place])][:, None]
                found = maps.new_zeros((len(y), own.shape[1]))
                lost = y - left[:, list(targets[place])].T
                found[:, tried] = (lost / y.abs().where(y != 0, torch.ones_like(y))).to(found)
                weights[branch].append(found)
        return Found(logits, targets, weighted_maps(batch, activations, weights), layers)


def scores_without(
    batch: Batch, place: int, logits: Tensor, branch: str, layers: Mapping[str, str], tried: Tensor, size: int
) -> Tensor:  # fmt: skip
    """Logits of an item without each of some channels of a branch's layer, (n, C).

    logits: (C,) with all channels;  tried: (n,) numbers of channels;  size: of the layer's output, in bytes
    """
    if batch.lengths is None:
        found = by_rest(batch, place, logits, branch, layers, tried, size)
        if found is not None:
            return found
    return by_whole(batch, place, branch, layers, tried)


def by_rest(
    batch: Batch, place: int, logits: Tensor, branch: str, layers: Mapping[str, str], tried: Tensor, size: int
) -> Tensor | None:  # fmt: skip
    """What `scores_without` gives, by running the network behind the layer only; None if it does not allow that.

    The image goes in alone and leaves the layer as many. A network that keeps the size of the batch in mind, or joins
    what it had before the layer with what comes behind, fails or gives the untouched last row other logits.
    """
    one, rows = single(batch, place), []
    for chunk in torch.split(tried, max(1, BYTES // size)):
        swap = partial(_without, batch, branch, layers, chunk, len(chunk) + 1)
        try:
            with listening(_modules(batch, layers), swap=swap):
                found = one.logits()
        except (WorkError, ValueError, IndexError):
            return None
        if len(found) != len(chunk) + 1 or float((found[-1] - logits).abs().max()) > AGREE * float(logits.abs().max()):
            return None
        rows.append(found[:-1])
    return torch.cat(rows)


def by_whole(batch: Batch, place: int, branch: str, layers: Mapping[str, str], tried: Tensor) -> Tensor:
    """What `scores_without` gives, by passes of the whole network."""
    name, rows = layers[branch], []
    # The frames of several sequences come in parts that may hold the end of one and the start of the next.
    step = 1 if batch.lengths is not None else items_per_pass(batch.subject, 1)
    for chunk in torch.split(tried, step):
        many = None if batch.lengths is not None else len(chunk)
        swap = partial(_without, batch, branch, layers, chunk, many)
        with listening({name: batch.subject.module.get_submodule(name)}, swap=swap):
            rows.append(single(batch, place, len(chunk)).logits())
    return torch.cat(rows)


def _modules(batch: Batch, layers: Mapping[str, str]) -> dict[str, torch.nn.Module]:
    return {name: batch.subject.module.get_submodule(name) for name in layers.values()}


def _without(
    batch: Batch, branch: str, layers: Mapping[str, str], tried: Tensor, many: int | None, name: str, output: Tensor
) -> Tensor:  # fmt: skip
    """A layer's output in `many` rows, the i-th without the i-th of `tried`; None: as many as it has, without them all.

    Layers of other branches are only repeated.
    """
    changed = output.clone() if many is None else output.expand(many, *output.shape[1:]).clone()
    if name == layers[branch]:
        maps = layout_at(batch.subject, branch, name, changed).maps(changed)  # a view in every layout
        maps[slice(None) if many is None else torch.arange(len(tried)), tried] = 0
    return changed
