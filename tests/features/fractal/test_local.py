"""The map of local dimensions, pixel by pixel against a line through its masses."""

from __future__ import annotations

import numpy as np
import pytest
from features.fractal.brute import boxes
from features.fractal.surfaces import surface

from resight.errors import InputError
from resight.features.fractal import local, local_dimension


@pytest.mark.parametrize(("rule", "distance"), [("hypercube", "chebyshev"), ("glidingbox", "euclidean")])
def test_equals_a_line_through_the_masses_of_each_pixel(rule, distance):
    image = np.random.default_rng(0).integers(0, 20, (17, 21, 3), np.uint8)
    sides = (3, 7, 9)
    masses = np.zeros((3, 17, 21))
    for j, side in enumerate(sides):
        for y, x, counted in boxes(image, side, rule=rule, distance=distance, margin=4):
            masses[j, y, x] = counted.sum()
    expected = np.full((17, 21), np.nan)
    for y in range(4, 13):
        for x in range(4, 17):
            expected[y, x] = np.polyfit(np.log(sides), np.log(masses[:, y, x]), 1)[0]
    found = local_dimension(image, scales=sides, rule=rule, distance=distance)
    assert found.dtype == np.float32 and found.shape == (17, 21)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_does_not_depend_on_bands_and_threads(monkeypatch):
    image = surface(64, 0.5, 0)
    one = local_dimension(image, scales="3:21:2", threads=1)
    np.testing.assert_array_equal(local_dimension(image, scales="3:21:2", threads=3), one)
    monkeypatch.setattr(local, "BAND", 1)
    np.testing.assert_array_equal(local_dimension(image, scales="3:21:2", threads=2), one)
    assert np.isnan(one[:10]).all() and np.isnan(one[:, -10:]).all() and np.isfinite(one[10:-10, 10:-10]).all()


def test_a_level_image_is_two_and_a_line_is_one():
    image = np.zeros((30, 30), np.uint8)
    np.testing.assert_allclose(local_dimension(image, scales="3:9:2")[4:-4, 4:-4], 2, rtol=1e-6)
    image[15] = 255
    found = local_dimension(image, scales="3:9:2")
    np.testing.assert_allclose(found[15, 4:-4], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("scales", "message"),
    [([3], "at least two scales, got 3"), ("3:31:2", "box 31 does not fit into 40 x 30"), ("3:4:1", "scale 4 is even")],
)
def test_doors(scales, message):
    with pytest.raises(InputError, match=message):
        local_dimension(np.zeros((30, 40), np.uint8), scales=scales)
