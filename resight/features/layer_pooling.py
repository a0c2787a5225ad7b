"""From what a layer says, whatever its shape, to one vector per image. Nothing is normalised: a table's reader may."""

from __future__ import annotations

from collections.abc import Callable

import torch

from resight.errors import InputError, unknown

GEM_POWER = 3.0
GEM_FLOOR = 1e-6


def _average(places: torch.Tensor) -> torch.Tensor:
    return places.mean(1)


def _maximum(places: torch.Tensor) -> torch.Tensor:
    return places.amax(1)


def _gem(places: torch.Tensor) -> torch.Tensor:
    return places.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean(1).pow(1 / GEM_POWER)


LAYER_POOLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"avg": _average, "max": _maximum, "gem": _gem}
POOLING_NAMES = (*LAYER_POOLINGS, "flatten", "cls")


def pool_layer(values: torch.Tensor, how: str = "avg", *, prefix: int = 0, channels_last: bool = False) -> torch.Tensor:
    """One vector per image from a layer's values.

    values:        (B, K), (B, K, h, w) or tokens (B, N, K)
    how:           avg, max, gem (p = 3) over places; flatten: all values in their order; cls: the first token
    prefix:        how many tokens at the front (class, registers) stand for no place: avg, max and gem leave them out
    channels_last: maps are (B, h, w, K), as in Swin
    ->             (B, D) float32; a (B, K) input comes back as it is

    Raises InputError for an unknown pooling, cls without a class token, or values of another shape.

    >>> pool_layer(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).tolist()
    [[3.0]]
    """
    if how not in POOLING_NAMES:
        raise unknown("pooling of a layer", how, POOLING_NAMES)
    values = values.float()
    if how == "cls" and (values.ndim != 3 or prefix < 1):
        raise InputError(f"cls takes the class token of a transformer's layer, got values {tuple(values.shape)}"
                         + ("" if values.ndim != 3 else " of a network without one"))  # fmt: skip
    if values.ndim == 2 or how == "flatten":
        return values.flatten(1)
    if how == "cls":
        return values[:, 0]
    if values.ndim == 3:
        places = values[:, prefix:] if values.shape[1] > prefix else values
    elif values.ndim == 4:
        places = values.flatten(1, 2) if channels_last else values.flatten(2).transpose(1, 2)
    else:
        raise InputError(f"expected values of two to four dimensions, (B, K), (B, N, K) or (B, K, h, w), "
                         f"got {tuple(values.shape)}: pool them with flatten")  # fmt: skip
    return LAYER_POOLINGS[how](places)
