"""Box counting on a grid, against plain loops and known dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from features.fractal.surfaces import carpet, surface
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.fractal import box_counting, differential_box_counting


@given(st.integers(0, 10**6), st.integers(4, 20), st.integers(4, 20), st.sets(st.integers(1, 4), min_size=2))
def test_box_counting_equals_loops(seed, height, width, sizes):
    mask = np.random.default_rng(seed).random((height, width)) < 0.2
    mask[0, 0] = True
    sizes = sorted(sizes)
    expected = [
        sum(mask[y : y + r, x : x + r].any() for y in range(0, height, r) for x in range(0, width, r)) for r in sizes
    ]
    assert box_counting(mask, sizes=sizes).counts.tolist() == expected


@given(st.integers(0, 10**6), st.integers(9, 20), st.integers(9, 20), st.sampled_from([1, 3]))
def test_differential_box_counting_equals_loops(seed, height, width, channels):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    found = differential_box_counting(image, sizes=(2, 3, 4))
    for r, count in zip((2, 3, 4), found.counts):
        step, total, area = 256 * r / min(height, width), 0, 0
        for y in range(0, height - r + 1, r):
            for x in range(0, width - r + 1, r):
                box = image[y : y + r, x : x + r].reshape(-1, channels).astype(int)
                total += max(math.floor(max(c) / step) - math.floor(min(c) / step) + 1 for c in box.T.tolist())
                area += r * r
        assert count == pytest.approx(total * height * width / area)


def test_known_dimensions():
    found = box_counting(carpet(6), sizes=[3**k for k in range(6)])
    assert abs(found.value - math.log(8) / math.log(3)) < 1e-12 and found.r2 == pytest.approx(1)
    assert abs(box_counting(np.eye(256, dtype=bool)).value - 1) < 1e-12
    assert abs(box_counting(np.ones((128, 128), bool)).value - 2) < 1e-12
    assert abs(differential_box_counting(np.full((65, 90, 3), 9, np.uint8)).value - 2) < 1e-12
    rough = [differential_box_counting(surface(256, h, 0)).value for h in (0.9, 0.7, 0.5, 0.3)]
    assert rough == sorted(rough) and 2 < rough[0] < rough[-1] < 3


def test_default_sizes_and_range():
    found = box_counting(np.ones((70, 40), bool), fit=(2, 8))
    assert found.sizes.tolist() == [1, 2, 4, 8, 16] and found.fit_range == (2, 8)
    assert differential_box_counting(np.zeros((70, 40), np.uint8)).sizes.tolist() == [2, 4, 8]


@pytest.mark.parametrize(
    ("mask", "sizes", "message"),
    [
        (np.ones((9, 9), np.uint8), None, "bool mask .* got uint8"),
        ([[True]], None, "got list"),
        (np.zeros((9, 9), bool), None, "the mask is empty"),
        (np.ones((9, 9), bool), (3,), "two or more, ascending"),
        (np.ones((9, 9), bool), (3, 2), "ascending"),
        (np.ones((9, 9), bool), (0, 2), "from 1 to 9"),
        (np.ones((9, 9), bool), (2, 10), "from 1 to 9"),
        (np.ones((2, 9), bool), None, None),
        (np.ones((1, 9), bool), None, "leaves no two sizes"),
    ],
    ids=range(9),
)
def test_doors(mask, sizes, message):
    if message is None:
        with pytest.raises(InputError, match="leaves no two sizes"):
            differential_box_counting(mask * np.uint8(1))
        return
    with pytest.raises(InputError, match=message):
        box_counting(mask, sizes=sizes)
