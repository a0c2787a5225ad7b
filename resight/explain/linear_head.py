"""Finds out whether a network's scores are a linear layer on the mean of a map, which class activation maps need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.explain.layers import shown_layer
from resight.explain.subject import Linear
from resight.explain.work import Batch, hear

CLOSE = 1e-4  # of an image's largest value; rounding of half precision is more


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of a layer that may be the head: what it took, (B, K), and gave, (B, C)."""

    name: str
    layer: nn.Linear | nn.Conv2d
    given: Tensor
    gave: Tensor


def find_linear(batch: Batch) -> Linear:
    """The maps (B, K, h, w) of the layer that `find_layers` takes, the head's weight (C, K), and its bias (C,).

    The head is the last linear layer, or 1 x 1 convolution of one place, that gives the scores. That it takes the mean
    of the maps is checked on this batch, to 1e-4 of each image's largest value.

    Raises InputError, saying which of the two there is not.
    """
    subject = batch.subject
    if subject.frames or len(subject.roots) != 1:
        what = "takes sequences" if subject.frames else "has several branches whose heads are not known"
        raise InputError(f"cam needs a linear layer on the mean of one map, {subject.name} {what}: use gradcam")
    with _heads(subject.module) as calls:
        logits, activations, layers, _ = hear(batch, None, leaves=False)
    head = next((one for one in reversed(calls) if _close(one.gave, logits)), None)
    if head is None:
        last = f"its last, {calls[-1].name}, does not" if calls else "it has none"
        raise InputError(
            f"cam needs a linear layer that gives the scores of {subject.name}, and {last}: use gradcam"
        )  # fmt: skip
    ((branch, maps),) = activations.items()
    if not _close(maps.mean((2, 3)), head.given):
        raise InputError(
            f"cam needs a linear layer on the mean of a map, and {head.name} of {subject.name} takes something else "
            f"than the mean over the places of {shown_layer(subject, branch, layers[branch])}: use gradcam"
        )
    weight, bias = head.layer.weight.detach().flatten(1), head.layer.bias
    return {branch: (maps, weight)}, weight.new_zeros(len(weight)) if bias is None else bias.detach()


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether both are (B, n) and the same but for rounding. An image without numbers (nan) is not what decides."""
    if one.shape != other.shape:
        return False
    most = max(CLOSE, *(4 * torch.finfo(each.dtype).eps for each in (one, other)))
    left, right = one.double().nan_to_num(), other.double().nan_to_num()
    return bool(((left - right).abs().amax(1) <= most * right.abs().amax(1)).all())


@contextmanager
def _heads(module: nn.Module) -> Iterator[list[_Call]]:
    """The calls of linear layers during the passes of this thread inside, in the order in which they end."""
    owner, calls = threading.get_ident(), list[_Call]()

    def attach(name: str, layer: nn.Linear | nn.Conv2d) -> Any:
        def hook(_: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
            if threading.get_ident() == owner and given and _is_row(given[0]) and _is_row(gave):
                # Copies: what follows may work in place.
                calls.append(_Call(name, layer, *(one.detach().flatten(1).clone() for one in (given[0], gave))))

        return layer.register_forward_hook(hook)

    handles = [
        attach(name, one) for name, one in module.named_modules()
        if isinstance(one, nn.Linear) or (isinstance(one, nn.Conv2d) and one.kernel_size == (1, 1) and one.groups == 1)
    ]  # fmt: skip
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _is_row(value: Any) -> bool:
    """Whether it is one vector for each image: (B, n) or (B, n, 1, 1)."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    return value.ndim == 2 or (value.ndim == 4 and value.shape[2:] == (1, 1))
