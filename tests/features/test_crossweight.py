"""CroW's two weights by hand."""

import math

import numpy as np
import torch

from resight.features.crossweight import channel_weight, crow, spatial_weight, weighted_sums


def test_spatial_weight_by_hand():
    """Channel sums 3 and 4: shares 0.6 and 0.8, then the root."""
    maps = torch.tensor([[[[1.0, 4.0]], [[2.0, 0.0]]]], dtype=torch.float64)
    np.testing.assert_allclose(spatial_weight(maps), [[[math.sqrt(0.6), math.sqrt(0.8)]]])


def test_channel_weight_by_hand():
    """Shares 1/2, 1, 0: log(1.5 / .5), log(1.5), and 0 for the silent channel."""
    maps = torch.tensor([[[[0.0, 2.0]], [[1.0, 5.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    np.testing.assert_allclose(channel_weight(maps), [[math.log(3), math.log(1.5), 0]])


def test_crow_by_hand():
    maps = torch.tensor([[[[0.0, 4.0]], [[3.0, 0.0]]]], dtype=torch.float64)
    f = np.array([4 * math.sqrt(0.8), 3 * math.sqrt(0.6)]) * math.log(2)
    np.testing.assert_allclose(crow(maps)[0], f / np.linalg.norm(f))


def test_a_single_active_channel_weighs_nothing():
    maps = torch.zeros(1, 3, 2, 2)
    maps[0, 1] = 1
    assert crow(maps).tolist() == [[0.0, 0.0, 0.0]]


def test_weights_of_a_dead_map_are_zero():
    dead = torch.zeros(1, 3, 2, 2)
    assert not spatial_weight(dead).any()
    assert not channel_weight(dead).any()


def test_weighted_sums_equal_einsum():
    random = torch.Generator().manual_seed(0)
    maps, weights = torch.randn(2, 5, 3, 4, generator=random), torch.randn(2, 7, 3, 4, generator=random)
    torch.testing.assert_close(weighted_sums(maps, weights), torch.einsum("bkhw,bnhw->bnk", maps, weights))
