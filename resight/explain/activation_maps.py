"""Runs the methods that look at one layer: CAM itself, those with gradients, and EigenCAM."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor

from resight.errors import InputError
from resight.explain.gradients import GradientMap
from resight.explain.linear_head import find_linear
from resight.explain.subject import Linear
from resight.explain.work import Ask, Batch, Found, Maps, ask_all, class_columns, hear, stacked


def by_gradients(batch: Batch, ask: Ask, method: GradientMap, layer: str | None = None) -> Found:
    """One forward pass, and for each class a backward pass from its score to the layer and no further.

    Raises InputError if no gradient reaches the layer's places.
    """
    logits, activations, layers, heard = hear(batch, layer, leaves=True)
    targets = ask_all(logits, ask)
    leaves = [leaf for name in layers.values() for leaf in _leaves(batch, heard.calls[name])]
    maps = []
    for column in class_columns(targets):
        score = logits.gather(1, column.to(logits.device)[:, None]).sum()
        if not score.requires_grad:
            raise InputError(_unreached(batch, layers))
        found = torch.autograd.grad(score, leaves, retain_graph=True, allow_unused=True)
        maps.append(Maps(dict(_maps(batch, method, layers, activations, leaves, found))))
    return Found(logits.detach(), targets, tuple(maps), layers)


def _leaves(batch: Batch, calls: list[Tensor]) -> list[Tensor]:
    return calls if batch.lengths is not None else calls[-1:]


def _maps(
    batch: Batch, method: GradientMap, layers: dict[str, str], activations: dict[str, Tensor], leaves: list[Tensor],
    gradients: tuple[Tensor | None, ...],
) -> Any:  # fmt: skip
    each = len(leaves) // len(layers)
    for place, (branch, name) in enumerate(layers.items()):
        own = gradients[place * each : (place + 1) * each]
        if any(one is None for one in own):
            raise InputError(_unreached(batch, layers))
        gradient = stacked(batch, branch, name, {name: [one for one in own if one is not None]})
        # A dead image may have none anywhere; beside a class token it is the layer that was chosen wrongly.
        if batch.subject.prefix_tokens(branch) and not bool(gradient.abs().amax() > 0):
            raise InputError(_unreached(batch, layers))
        yield branch, method(activations[branch].detach(), gradient)


def _unreached(batch: Batch, layers: dict[str, str]) -> str:
    from resight.explain.layers import find_layers, shown_layer

    own = {branch: shown_layer(batch.subject, branch, name) for branch, name in find_layers(batch.subject).items()}
    asked = next(shown_layer(batch.subject, branch, name) for branch, name in layers.items())
    return (
        f"the score of {batch.subject.name} has no gradient at the places of layer {asked} (a network that reads only "
        f"a class token ignores them after its last attention): take layer {next(iter(own.values()))}"
    )


def by_linear_head(batch: Batch, ask: Ask) -> Found:
    """Class activation maps proper: they sum to the logit less its bias. Zhou 2016, eq. 2, over the number of places.

    All classes cost one forward pass. Maps are in the network's precision, but at least float32.
    Raises InputError unless the network's logits are linear in the mean of a map.
    """
    linear = batch.subject.linear
    with torch.no_grad():
        branches, bias = _precise(
            *(find_linear(batch) if linear is None else linear(batch.subject.module, batch.pixels))
        )
        logits = sum((maps.mean((2, 3)) @ weight.T for maps, weight in branches.values()), bias)
        targets = ask_all(logits, ask)
        asked = torch.stack(class_columns(targets), 1)
        every = {
            branch: torch.einsum("bkhw,bmk->mbhw", maps, weight[asked.to(weight.device)]) / maps[0, 0].numel()
            for branch, (maps, weight) in branches.items()
        }
    found = [Maps({branch: maps[place] for branch, maps in every.items()}) for place in range(asked.shape[1])]
    return Found(logits, targets, tuple(found), dict.fromkeys(branches, ""))


def _precise(branches: dict[str, tuple[Tensor, Tensor]], bias: Tensor) -> Linear:
    """All in one precision, the highest that is among them, but at least float32."""
    every = [one for pair in branches.values() for one in pair]
    kind = reduce(torch.promote_types, (one.dtype for one in (*every, bias)), torch.float32)
    return {name: (maps.to(kind), weight.to(kind)) for name, (maps, weight) in branches.items()}, bias.to(kind)


def by_principal_component(batch: Batch, ask: Ask, layer: str | None = None) -> Found:
    """EigenCAM: the places' coordinates along the first principal axis of their channels. Muhammad 2020, eq. 4.

    No class enters. The axis's sign, which is arbitrary, is the one along which activations sum to more than 0.
    """
    with torch.no_grad():
        logits, activations, layers, _ = hear(batch, layer, leaves=False)
    targets = ask_all(logits, ask)
    maps = Maps({branch: first_component(maps) for branch, maps in activations.items()})
    return Found(logits, targets, (maps,) * max(map(len, targets)), layers)


def first_component(activations: Tensor) -> Tensor:
    """(B, K, h, w) -> (B, h, w): the projection on the first right singular vector of (h w, K), its sign as said.

    >>> first_component(torch.tensor([[[[-2.0, 1.0]]]])).round(decimals=3).tolist()
    [[[-2.0, 1.0]]]
    """
    rows = activations.flatten(2).transpose(1, 2)
    left, value, _ = torch.linalg.svd(rows, full_matrices=False)
    # Rows times the axis are the left vector times its value; the axis's sign is free.
    found = left[:, :, 0] * value[:, :1]
    sign = torch.where((rows.sum(2) * found).sum(1, keepdim=True) < 0, -1.0, 1.0).to(found)
    placed: Tensor = (found * sign).view(len(rows), *activations.shape[2:])
    return placed
