"""CroW: sum pooling weighted across places and across channels (Kalantidis 2016)."""

from __future__ import annotations

import torch

from resight.features.maps import as_maps, unit


def crow(maps: torch.Tensor) -> torch.Tensor:
    """Sum over places weighted by how active the place is, times a weight for how rare the channel is.

    maps: (B, K, H, W)
    ->    (B, K)         L2-normalised

    f_k = C_k * sum_ij S_ij X_kij, with S from `spatial_weight` and C from `channel_weight`. Kalantidis 2016.
    Where only one channel is active, C is log 1 = 0 and the vector is zero: that is the formula, not a fault.
    Raises InputError if maps is not (B, K, H, W) of floats.

    >>> crow(torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]]]])).shape
    torch.Size([1, 2])
    """
    maps = as_maps(maps)
    pooled = weighted_sums(maps, spatial_weight(maps)[:, None])[:, 0]
    return unit(pooled * channel_weight(maps))


def weighted_sums(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum of a map over places under each of several weights, as one matrix product in full precision.

    maps:    (B, K, H, W)
    weights: (B, n, H, W)
    ->       (B, n, K)      sum_ij X_kij w_nij

    >>> weighted_sums(torch.ones(1, 2, 1, 3), torch.tensor([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[6.0, 6.0]]]
    """
    with torch.autocast(maps.device.type, enabled=False):
        return torch.bmm(weights.to(maps.dtype).flatten(2), maps.flatten(2).transpose(1, 2))


def spatial_weight(maps: torch.Tensor) -> torch.Tensor:
    """How active each place is, over all channels.

    maps: (B, K, H, W)
    ->    (B, H, W)      in [0, 1]

    S_ij = (T_ij / ||T||_a)^(1/b) with T_ij = sum_k X_kij and a = b = 2. Kalantidis 2016.
    Written for maps after a ReLU; where a signed map sums below 0, the weight is 0.

    >>> spatial_weight(torch.tensor([[[[16.0, 0.0]]]])).tolist()
    [[[1.0, 0.0]]]
    """
    total = as_maps(maps).sum(1).clamp(min=0)
    share = unit(total.flatten(1)).view_as(total)
    # The root's slope at 0 is infinite; taking it only where the share is above 0 keeps gradients finite.
    active = share > 0
    return torch.where(active, torch.where(active, share, 1.0).sqrt(), 0.0)


def channel_weight(maps: torch.Tensor) -> torch.Tensor:
    """How rarely each channel is active: rare channels count more, as rare words do in text.

    maps: (B, K, H, W)
    ->    (B, K)         at least 0; 0 for a channel that is never active

    C_k = log(sum_h Q_h / Q_k), Q_k the share of places where channel k is not zero, and C_k = 0 where Q_k = 0.
    This is the convention of the authors' code. Kalantidis 2016 writes a small constant into both sums instead, which
    gives a channel without any activation the largest weight, for a sum of zero.

    >>> [round(w, 4) for w in channel_weight(torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]]]]))[0].tolist()]
    [1.0986, 0.4055, 0.0]
    """
    maps = as_maps(maps)
    share = maps.detach().sign().abs_().mean((2, 3))
    total = share.sum(1, keepdim=True)
    active = share > 0
    return torch.where(active, torch.log(total / torch.where(active, share, 1.0)), 0.0)
