"""Layers pooled by hand, in every layout; nothing is normalised."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.layer_pooling import POOLING_NAMES, pool_layer

MAP = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -8.0]]]])  # (1, 2, 2, 2)


def test_by_hand():
    assert pool_layer(MAP, "avg").tolist() == [[3.0, -2.0]]
    assert pool_layer(MAP, "max").tolist() == [[6.0, 0.0]]
    assert pool_layer(MAP, "gem")[0, 0].item() == pytest.approx(((1 + 8 + 27 + 216) / 4) ** (1 / 3))
    assert pool_layer(MAP, "gem")[0, 1].item() == pytest.approx(1e-6, rel=1e-3)  # negative values count as nothing
    assert pool_layer(MAP, "flatten").tolist() == [[1, 2, 3, 6, 0, 0, 0, -8]]


@given(st.sampled_from(["avg", "max", "gem"]), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_layouts_agree(how, height, width, channels):
    maps = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(height * 7 + width))
    expected = pool_layer(maps, how)
    torch.testing.assert_close(pool_layer(maps.permute(0, 2, 3, 1), how, channels_last=True), expected)
    tokens = maps.flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool_layer(tokens, how), expected)
    with_class = torch.cat([torch.full((2, 1, channels), 99.0), tokens], 1)
    torch.testing.assert_close(pool_layer(with_class, how, prefix=1), expected)
    assert (pool_layer(with_class, "cls", prefix=1) == 99).all()


@pytest.mark.parametrize("how", [name for name in POOLING_NAMES if name != "cls"])
def test_vectors_stay_as_they_are(how):
    values = torch.tensor([[1.0, -2.0, 3.0]])
    assert pool_layer(values, how).tolist() == values.tolist()


def test_doors():
    with pytest.raises(InputError, match=r"unknown pooling of a layer 'average', did you mean"):
        pool_layer(MAP, "average")
    with pytest.raises(InputError, match="class token"):
        pool_layer(MAP, "cls", prefix=1)
    with pytest.raises(InputError, match="of a network without one"):
        pool_layer(torch.zeros(1, 4, 3), "cls")
    with pytest.raises(InputError, match="two to four dimensions"):
        pool_layer(torch.zeros(1, 2, 3, 4, 5))
