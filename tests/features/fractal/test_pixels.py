"""Quantising, channels, and bands of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.errors import InputError
from resight.features.fractal.pixels import SPARE, band, choose_channels, quantise


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_quantise_is_rounding_to_256_steps(values, low, width):
    found = quantise(np.array(values), low, low + width)
    for value, step in zip(values, found):
        exact = min(max((value - low) / ((low + width) - low), 0), 1) * 255
        assert abs(int(step) - exact) <= 0.5 + 1e-6


def test_quantise_16_bit_keeps_257_steps_of_257():
    every = np.arange(65536, dtype=np.uint16)
    assert (quantise(every, 0, 65535) == np.round(every / 257)).all()
    assert quantise(np.array([[-3, 300]]), 0, 255).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("image", "low", "high", "message"),
    [
        (np.zeros(3), 1, 1, "low < high"),
        (np.zeros(3), 0, np.inf, "finite low < high"),
        (np.array([np.nan]), 0, 1, "NaN or infinity"),
        (np.array(["a"]), 0, 1, "takes numbers"),
        (np.array([1j]), 0, 1, "takes numbers"),
    ],
)
def test_quantise_doors(image, low, high, message):
    with pytest.raises(InputError, match=message):
        quantise(image, low, high)


def test_grey_is_pillows():
    image = np.random.default_rng(0).integers(0, 256, (300, 7, 3), np.uint8)
    grey, name = choose_channels(image, "grey")
    assert name == "grey"
    np.testing.assert_array_equal(grey[:, :, 0], np.asarray(Image.fromarray(image).convert("L")))


def test_chosen_channels():
    image = np.arange(40, dtype=np.uint8).reshape(2, 4, 5)
    for channels, kept, name in [
        (None, [0, 1, 2, 3, 4], "all 5"), ("all", [0, 1, 2, 3, 4], "all"), (2, [2], "2"), ((4, 0), [4, 0], "4,0"),
    ]:  # fmt: skip
        found, called = choose_channels(image, channels)
        np.testing.assert_array_equal(found, image[:, :, kept])
        assert called == name
    for channels, message in [
        ("grey", "made of RGB, and this image has 5"),
        ("blue", "made of RGB"),
        ((), "from 0 to 4"),
    ]:
        with pytest.raises(InputError, match=message):
            choose_channels(image, channels)
    for channels, kept in [("red", 0), ("green", 1), ("blue", 2)]:
        np.testing.assert_array_equal(choose_channels(image[:, :, :3], channels)[0], image[:, :, kept : kept + 1])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.data())
def test_a_band_holds_its_rows_and_zeros(height, width, reach, data):
    image = np.random.default_rng(0).integers(1, 256, (height, width, 2), np.uint8)
    start = data.draw(st.integers(0, height - 1))
    stop = data.draw(st.integers(start + 1, height))
    planes, first = band(image, start, stop, reach)
    assert first == max(0, start - reach) and planes.flags.c_contiguous
    assert planes.shape == (2, min(height, stop + reach) - first, width + 2 * reach + SPARE)
    np.testing.assert_array_equal(planes[:, :, reach : reach + width], np.moveaxis(image[first : stop + reach], 2, 0))
    assert not planes[:, :, :reach].any() and not planes[:, :, reach + width :].any()
