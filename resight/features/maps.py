"""What every pooling shares: the check of a feature map at the door, and L2 normalisation that survives zeros."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from resight.errors import InputError


def as_maps(maps: torch.Tensor) -> torch.Tensor:
    """The feature maps as a checked tensor of float32 or wider.

    maps: (B, K, H, W)   any float dtype, any memory layout
    ->    (B, K, H, W)   float16 and bfloat16 become float32, the others are returned as they are

    Raises InputError if the tensor has other than four axes, no channel, no place, or whole numbers in it.

    >>> as_maps(torch.ones(1, 2, 3, 3, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    if not isinstance(maps, torch.Tensor):
        raise InputError(f"feature maps must be a torch tensor (B, K, H, W), got {type(maps).__name__}")
    if maps.ndim != 4 or 0 in maps.shape[1:]:
        raise InputError(f"feature maps must be (B, K, H, W) with K, H, W of at least 1, got shape {tuple(maps.shape)}")
    if not maps.is_floating_point():
        raise InputError(f"feature maps must be floating point, got {maps.dtype}")
    return maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1 along the last axis; a vector of zeros stays zero.

    vectors: (..., D)
    ->       (..., D)   norm 1 or 0

    The largest component is divided out first, so that squares neither overflow nor vanish. It is a constant
    to the gradient, which is exact: the result does not depend on it.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    peak = vectors.detach().abs().amax(-1, keepdim=True)
    return F.normalize(vectors / torch.where(peak > 0, peak, 1.0), dim=-1)
