"""From a feature map to one vector: the plain poolings, and the table of all of them.

Each takes maps (B, K, H, W) on any device and returns (B, K), every row of length 1, or 0 for a dead map.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from resight.errors import InputError
from resight.features.activation import cam
from resight.features.crossweight import crow
from resight.features.descriptor import Descriptor, parse_descriptor
from resight.features.maps import as_maps, unit
from resight.features.regions import rmac

__all__ = ["POOLINGS", "Descriptor", "cam", "crow", "gem", "mac", "parse_descriptor", "rmac", "spoc"]


def mac(maps: torch.Tensor) -> torch.Tensor:
    """Maximum activation of each channel.

    maps: (B, K, H, W)
    ->    (B, K)         L2-normalised

    f_k = max_ij X_kij. Tolias 2016.
    Raises InputError if maps is not (B, K, H, W) of floats.

    >>> mac(torch.tensor([[[[0.0, 3.0]], [[4.0, 1.0]]]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    return unit(as_maps(maps).amax((2, 3)))


def spoc(maps: torch.Tensor, centre: bool = False) -> torch.Tensor:
    """Sum of each channel over the places, optionally weighted towards the centre.

    maps:   (B, K, H, W)
    centre: weigh place (i, j) by exp(-((i + .5 - H/2)^2 + (j + .5 - W/2)^2) / (2 sigma^2)),
            sigma = min(H, W) / 6, a third of the way from the centre to the nearest border
    ->      (B, K)         L2-normalised

    Babenko 2015. Places are counted at their centres, so that the prior is symmetric.
    Raises InputError if maps is not (B, K, H, W) of floats.

    >>> spoc(torch.tensor([[[[1.0, 2.0]], [[4.0, 0.0]]]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    maps = as_maps(maps)
    if centre:
        maps = maps * centre_prior(maps.shape[2], maps.shape[3]).to(maps)
    return unit(maps.sum((2, 3)))


def centre_prior(height: int, width: int) -> torch.Tensor:
    """The Gaussian weight of each place, highest in the middle.

    -> (height, width)   float64, in (0, 1]

    Babenko 2015; the formula stands in `spoc`.

    >>> centre_prior(1, 1).item()
    1.0
    """
    sigma = min(height, width) / 6
    down = torch.arange(height, dtype=torch.float64) + 0.5 - height / 2
    across = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    return torch.exp(-(down[:, None] ** 2 + across[None, :] ** 2) / (2 * sigma**2))


def gem(maps: torch.Tensor, p: float | torch.Tensor = 3.0, eps: float = 1e-6) -> torch.Tensor:
    """Generalised mean of each channel: the average at p = 1, towards the maximum as p grows.

    maps: (B, K, H, W)
    p:    above 0; a tensor with one element can be learned
    eps:  values below it count as eps
    ->    (B, K)         L2-normalised

    f_k = (mean_ij max(X_kij, eps)^p)^(1/p). Radenovic 2018, eq. 3. Each channel is divided by its maximum before the
    power and multiplied after it, which changes nothing but the range: a large p does not overflow.
    A map without a value above eps gives zeros, not the vector of equal components that eps alone would make.
    Raises InputError if maps is not (B, K, H, W) of floats, or p or eps is not above 0.

    >>> gem(torch.tensor([[[[1.0, 0.0]], [[2.0, 0.0]]]])).tolist()
    [[0.4472135901451111, 0.8944271802902222]]
    """
    maps = as_maps(maps)
    if not isinstance(p, torch.Tensor) and not 0 < p < math.inf:
        raise InputError(f"p of gem must be above 0 and finite, got {p}")
    if not eps > 0:
        raise InputError(f"eps of gem must be above 0, got {eps}")
    clamped = maps.clamp(min=eps)
    peak = clamped.detach().amax((2, 3), keepdim=True)
    mean = (clamped / peak).pow(p).mean((2, 3))
    alive = (peak > eps).any(1).flatten(1)
    return unit(peak.flatten(1) * mean.pow(1 / p) * alive)


POOLINGS: dict[str, Callable[..., torch.Tensor]] = {
    "mac": mac,
    "spoc": spoc,
    "gem": gem,
    "crow": crow,
    "rmac": rmac,
    "cam": cam,
}
