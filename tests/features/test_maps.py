"""The check at the door, and L2 normalisation."""

import pytest
import torch

from resight.errors import InputError
from resight.features.maps import as_maps, unit


def test_as_maps_leaves_wide_floats_alone():
    for dtype in (torch.float32, torch.float64):
        maps = torch.ones(1, 2, 3, 4, dtype=dtype)
        assert as_maps(maps) is maps


def test_as_maps_refuses_arrays():
    with pytest.raises(InputError, match=r"torch tensor .* got list"):
        as_maps([[1.0]])


@pytest.mark.parametrize("factor", [1e-38, 1e-25, 1.0, 1e25, 1e37])
def test_unit_at_any_size(factor):
    vectors = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0], [-3.0, 0.0]]) * factor)
    torch.testing.assert_close(vectors, torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]]))


def test_unit_has_the_gradient_of_x_over_its_norm():
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(unit, x)
    (ours,) = torch.autograd.grad(unit(x)[:, 0].sum(), x)
    (plain,) = torch.autograd.grad((x / x.norm(dim=1, keepdim=True))[:, 0].sum(), x)
    torch.testing.assert_close(ours, plain)
