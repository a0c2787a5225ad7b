"""Modes, depth, transparency and orientation against exact values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from resight.errors import ImageError
from resight.images.pixels import TURNS, to_rgb, upright

WHITE = (255, 255, 255)


def test_every_turn_is_pillows():
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for turn in range(1, 9):
        image = Image.fromarray(stored)
        image.getexif()[274] = turn
        expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(upright(stored, turn), expected)
        assert upright(stored, turn).flags.c_contiguous
        assert np.array_equal(to_rgb(image, "x", WHITE), expected)
    assert sorted(TURNS) == list(range(1, 9))


def test_sixteen_bit_grey_is_rounded_not_cut():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.array([round(int(v) / 257) for v in values.ravel()]).reshape(256, 256)
    for image in (
        Image.fromarray(values),
        Image.fromarray(values.astype(np.int32)),
        Image.fromarray(values.astype(">u2")),
    ):
        rgb = to_rgb(image, "x", WHITE)
        assert np.array_equal(rgb, np.repeat(expected[:, :, None], 3, 2))


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_orientation_survives_the_change_of_depth(mode: str):
    image = Image.fromarray(np.array([[0, 65535]], np.uint16 if mode == "I;16" else np.int32))
    assert image.mode == mode
    image.getexif()[274] = 8
    assert to_rgb(image, "x", WHITE)[:, 0, 0].tolist() == [255, 0]


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_integers_beyond_sixteen_bits(value: int):
    with pytest.raises(ImageError, match=rf"x: 32-bit integer image .*{value}.*scale it to 8 or 16 bits first"):
        to_rgb(Image.fromarray(np.array([[5, value]], np.int32)), "x", WHITE)


def test_floats():
    with pytest.raises(ImageError, match=r"32-bit float image \(values 0 to 0.5\): scale it to 8 or 16 bits first"):
        to_rgb(Image.fromarray(np.array([[0, 0.5]], np.float32)), "x", WHITE)


@given(
    st.tuples(*[st.integers(0, 255)] * 4),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_alpha_is_laid_over_the_background(pixel: tuple[int, int, int, int], background: tuple[int, int, int]):
    image = Image.new("RGBA", (1, 1), pixel)
    alpha = pixel[3] / 255
    for c, value in enumerate(to_rgb(image, "x", background)[0, 0].tolist()):
        assert abs(value - (pixel[c] * alpha + background[c] * (1 - alpha))) <= 0.5 + 1e-9 + (
            0.5 if 0 < alpha < 1 else 0
        )


def test_each_transparent_mode():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    palette.info["transparency"] = 1
    assert to_rgb(palette, "x", (1, 2, 3)).tolist() == [[[10, 20, 30], [1, 2, 3]]]
    palette.info["transparency"] = bytes([0, 255])
    assert to_rgb(palette, "x", (1, 2, 3)).tolist() == [[[1, 2, 3], [200, 100, 50]]]

    rgb = Image.new("RGB", (2, 1), (9, 9, 9))
    rgb.putpixel((1, 0), (7, 8, 9))
    rgb.info["transparency"] = (9, 9, 9)
    assert to_rgb(rgb, "x", (1, 2, 3)).tolist() == [[[1, 2, 3], [7, 8, 9]]]

    grey = Image.new("LA", (2, 1), (100, 255))
    grey.putpixel((1, 0), (100, 0))
    assert to_rgb(grey, "x", (1, 2, 3)).tolist() == [[[100] * 3, [1, 2, 3]]]
    assert to_rgb(grey.convert("La"), "x", (1, 2, 3)).tolist() == [[[100] * 3, [1, 2, 3]]]
    assert to_rgb(grey.convert("RGBA").convert("RGBa"), "x", (1, 2, 3)).tolist() == [[[100] * 3, [1, 2, 3]]]

    deep = Image.fromarray(np.array([[257, 514]], np.uint16))
    deep.info["transparency"] = 514
    assert to_rgb(deep, "x", (7, 7, 7)).tolist() == [[[1] * 3, [7] * 3]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX", "PA"])
def test_other_modes_keep_black_and_white(mode: str):
    picture = Image.new("RGB", (2, 1))
    picture.putpixel((1, 0), (255, 255, 255))
    if mode == "LAB":
        # Pillow keeps a and b as signed bytes: neutral is 0.
        image = Image.frombytes("LAB", (2, 1), bytes([0, 0, 0, 255, 0, 0]))
    else:
        image = picture.convert("P").convert(mode) if mode == "PA" else picture.convert(mode)
    assert np.abs(to_rgb(image, "x", WHITE).astype(int) - [[[0] * 3, [255] * 3]]).max() <= 1
