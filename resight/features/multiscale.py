"""One vector from several scales of an image."""

from __future__ import annotations

import math

import torch

from resight.errors import InputError
from resight.features.maps import unit


def fuse_scales(vectors: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    """The power mean of an image's descriptors at several scales.

    vectors: (S, B, D)   one descriptor per scale and image, L2-normalised
    power:   above 0; `Descriptor.power`: p for gem, 1 for the others
    ->       (B, D)      L2-normalised

    v = (mean_s x_s^power)^(1/power). Radenovic 2018, and `extract_ms` of its code.
    At power 1 it is the plain mean and signs are kept; at any other power negative components, which have no such
    root, count as 0 (gem makes none).
    Raises InputError if vectors is not (S, B, D) with a scale in it, or power is not above 0.

    >>> fuse_scales(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])).tolist()
    [[0.7071067690849304, 0.7071067690849304]]
    """
    if vectors.ndim != 3 or len(vectors) == 0 or not vectors.is_floating_point():
        raise InputError(f"vectors must be floats (S, B, D) with S >= 1, got {vectors.dtype} {tuple(vectors.shape)}")
    if not 0 < power < math.inf:
        raise InputError(f"power must be above 0 and finite, got {power}")
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()
    if power == 1:
        return unit(vectors.mean(0))
    vectors = vectors.clamp(min=0)
    peak = vectors.amax(0)
    share = (vectors / torch.where(peak > 0, peak, 1.0)).pow(power).mean(0).pow(1 / power)
    return unit(peak * share)
