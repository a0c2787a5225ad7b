"""R-MAC's grid and its maxima."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.pooling import mac
from resight.features.regions import region_vectors, rmac, rmac_regions


def naive_regions(height, width, levels):
    """Tolias' rule in floating point, a region at a time."""
    short, long = min(height, width), max(height, width)
    extra = 0
    if short != long:
        overlaps = [(short**2 - short * (long - short) / d) / short**2 for d in range(1, 7)]
        extra = 1 + int(np.argmin([round(abs(overlap - 0.4), 9) for overlap in overlaps]))
    found = []
    for level in range(1, levels + 1):
        side = math.floor(2 * short / (level + 1))
        down = level + (extra if height > width else 0)
        across = level + (extra if width > height else 0)
        for i in range(down):
            for j in range(across):
                top = (height - side) / (down - 1) * i if down > 1 else 0
                left = (width - side) / (across - 1) * j if across > 1 else 0
                if side:
                    found.append((math.floor(top + 1e-9), math.floor(left + 1e-9), side))
    return found


def test_counts():
    assert len(rmac_regions(7, 7)) == 14
    assert len(rmac_regions(45, 64)) == len(rmac_regions(64, 45)) == 20


def test_grid_by_hand():
    """7 x 7: sides 7, 4, 3; starts 0; 0, 3; 0, 2, 4."""
    expected = [(0, 0, 7)]
    expected += [(y, x, 4) for y in (0, 3) for x in (0, 3)]
    expected += [(y, x, 3) for y in (0, 2, 4) for x in (0, 2, 4)]
    assert rmac_regions(7, 7) == expected


def test_small_maps_have_fewer_levels():
    assert rmac_regions(1, 1) == [(0, 0, 1)]
    assert {side for *_, side in rmac_regions(2, 2, levels=9)} == {2, 1}


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_grid_equals_naive_and_fits(height, width, levels):
    regions = rmac_regions(height, width, levels)
    assert regions == naive_regions(height, width, levels)
    assert all(y >= 0 and x >= 0 and y + side <= height and x + side <= width for y, x, side in regions)
    assert max(y + side for y, _, side in regions) == height
    assert max(x + side for _, x, side in regions) == width
    assert sorted((x, y, side) for y, x, side in regions) == sorted(rmac_regions(width, height, levels))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_region_vectors_are_the_maxima_of_the_regions(height, width, levels, include_global, seed):
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    expected = [maps[:, :, y : y + s, x : x + s].amax((2, 3)) for y, x, s in rmac_regions(height, width, levels)]
    if include_global:
        expected.append(maps.amax((2, 3)))
    assert torch.equal(region_vectors(maps, levels, include_global), torch.stack(expected, 1))


def test_one_level_on_a_square_is_mac():
    maps = torch.rand(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rmac(maps, levels=1), mac(maps))


def test_an_empty_region_adds_nothing():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 0, 0] = 3
    assert rmac(maps).tolist() == [[1.0, 0.0]]


def test_door():
    with pytest.raises(InputError, match="7 x 7 and levels=0"):
        rmac(torch.ones(1, 2, 7, 7), levels=0)
    with pytest.raises(InputError, match="0 x 7"):
        rmac_regions(0, 7)


@given(st.integers(1, 20), st.integers(1, 28), st.integers(1, 5), st.booleans())
def test_the_layout_in_memory_does_not_matter(height, width, levels, include_global):
    """Networks here give channels last, which takes another way."""
    maps = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 31 + width))
    last = maps.to(memory_format=torch.channels_last)
    expected = region_vectors(maps, levels, include_global)
    assert torch.equal(region_vectors(last, levels, include_global), expected)
    torch.testing.assert_close(rmac(last, levels, include_global), rmac(maps, levels, include_global))
