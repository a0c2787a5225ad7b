"""The power mean over scales."""

import math

import numpy as np
import pytest
import torch

from resight.errors import InputError
from resight.features.multiscale import fuse_scales


def test_by_hand():
    """((.6^2 + 0) / 2)^.5 and ((.8^2 + 1) / 2)^.5, then length 1."""
    vectors = torch.tensor([[[0.6, 0.8]], [[0.0, 1.0]]], dtype=torch.float64)
    expected = np.sqrt([0.18, 0.82])
    np.testing.assert_allclose(fuse_scales(vectors, 2.0)[0], expected / np.linalg.norm(expected))


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0, 60.0])
def test_equals_naive_loop(power):
    vectors = torch.rand(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for b in range(4):
        v = [(sum(float(vectors[s, b, d]) ** power for s in range(3)) / 3) ** (1 / power) for d in range(5)]
        np.testing.assert_allclose(
            fuse_scales(vectors, power)[b], np.array(v) / math.sqrt(sum(x * x for x in v)), atol=1e-12
        )


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_one_scale_changes_nothing_and_zeros_stay(power):
    vectors = torch.tensor([[[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]]])
    torch.testing.assert_close(fuse_scales(vectors, power), vectors[0])


def test_signs_are_kept_at_one_and_cut_elsewhere():
    vectors = torch.tensor([[[-0.6, 0.8]], [[-0.6, 0.8]]])
    torch.testing.assert_close(fuse_scales(vectors, 1.0), torch.tensor([[-0.6, 0.8]]))
    torch.testing.assert_close(fuse_scales(vectors, 3.0), torch.tensor([[0.0, 1.0]]))


def test_large_power_in_float32_does_not_vanish():
    vectors = torch.full((2, 1, 4), 0.01)
    torch.testing.assert_close(fuse_scales(vectors, 100.0), torch.full((1, 4), 0.5))


def test_halves_become_float32():
    assert fuse_scales(torch.ones(2, 1, 3, dtype=torch.bfloat16), 3.0).dtype == torch.float32


@pytest.mark.parametrize(
    ("vectors", "power", "message"),
    [
        (torch.ones(2, 3), 1.0, r"\(S, B, D\) with S >= 1, got torch.float32 \(2, 3\)"),
        (torch.ones(0, 2, 3), 1.0, r"got torch.float32 \(0, 2, 3\)"),
        (torch.ones(1, 2, 3, dtype=torch.long), 1.0, "got torch.int64"),
        (torch.ones(1, 2, 3), 0.0, "power must be above 0 and finite, got 0.0"),
        (torch.ones(1, 2, 3), float("inf"), "got inf"),
    ],
)
def test_door(vectors, power, message):
    with pytest.raises(InputError, match=message):
        fuse_scales(vectors, power)
