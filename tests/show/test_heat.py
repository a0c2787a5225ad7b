"""Heat maps as pictures: every mode against plain loops, one scale for several, and doors."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import picture

from resight.errors import InputError, WorkError
from resight.explain.heat import Heat
from resight.show.heat import COLORS, MODES, SIGNED_COLORS, HeatStyle, draw_heat, inside, paint, peak


def heat(values, size=(6, 8), box=None):
    values = np.asarray(values, np.float32)
    return Heat(values, 1.0, 0.5, 0, "a", "gradcam", "layer", size, box or (0.0, 0.0, float(size[1]), float(size[0])))


LEVELS = np.array([[0.0, 0.25], [0.5, 1.0]])
GREY = np.full((2, 2, 3), 200, np.uint8)


def test_the_four_modes_of_four_levels():
    assert paint(LEVELS, GREY, "gray").tolist() == [[0, 64], [128, 255]]
    assert paint(LEVELS, GREY, "multiply")[..., 0].tolist() == [[0, 50], [100, 200]]
    table = np.rint(255 * np.array([matplotlib.colormaps["turbo"](n / 255)[:3] for n in (0, 64, 128, 255)]))
    assert paint(LEVELS, GREY, "color").reshape(4, 3).tolist() == table.tolist()
    assert np.abs(paint(LEVELS, GREY, "overlay").reshape(4, 3) - (table / 2 + 100)).max() <= 0.5


def test_signed_levels():
    levels = np.array([[-1.0, 0.0, 1.0]])
    image = np.full((1, 3, 3), 100, np.uint8)
    assert paint(levels, image, "gray", signed=True).tolist() == [[0, 128, 255]]
    assert paint(levels, image, "multiply", signed=True)[0, :, 0].tolist() == [100, 0, 100]
    against, neutral, speaks_for = paint(levels, image, "color", signed=True)[0].astype(int)
    assert against[2] > against[0]  # blue
    assert speaks_for[0] > speaks_for[2]  # red
    assert np.ptp(neutral) < 10


def test_outside_is_black_and_half_in_an_overlay():
    where = np.array([[True, False]])
    image = np.full((1, 2, 3), 200, np.uint8)
    for mode in ("gray", "color", "multiply"):
        assert not paint(np.ones((1, 2)), image, mode, inside=where)[0, 1].any(), mode
        assert paint(np.ones((1, 2)), image, mode, inside=where)[0, 0].any(), mode
    assert paint(np.ones((1, 2)), image, "overlay", inside=where)[0, 1].tolist() == [100, 100, 100]
    # 0 of a signed map is grey: outside is still black.
    assert paint(np.zeros((1, 2)), image, "gray", inside=where, signed=True).tolist() == [[128, 0]]


def naive(values, box, shape, largest):
    """Bilinear between the centres of cells, pixel by pixel."""
    found = np.zeros(shape)
    high, wide = values.shape
    values = np.maximum(values, 0)  # as in the papers: first the positive part, then the image's size
    for row in range(shape[0]):
        for column in range(shape[1]):
            x, y = column + 0.5, row + 0.5
            if not (box[0] <= x <= box[2] and box[1] <= y <= box[3]):
                continue
            u = min(max((x - box[0]) / (box[2] - box[0]) * wide - 0.5, 0), wide - 1)
            v = min(max((y - box[1]) / (box[3] - box[1]) * high - 0.5, 0), high - 1)
            left, top = int(u), int(v)
            right, below = min(left + 1, wide - 1), min(top + 1, high - 1)
            a, b = u - left, v - top
            above = (1 - a) * values[top, left] + a * values[top, right]
            under = (1 - a) * values[below, left] + a * values[below, right]
            found[row, column] = (1 - b) * above + b * under
    return np.rint(255 * np.clip(found * values.size / largest, 0, 1))


@pytest.mark.parametrize("shape", [(6, 8), (12, 16), (3, 4), (13, 17)])
def test_a_picture_of_any_size_against_loops(shape):
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    one = heat(values, (6, 8), (1.0, 0.5, 7.0, 5.5))
    box = [side * scale for side, scale in zip(one.box, [shape[1] / 8, shape[0] / 6] * 2)]
    found = draw_heat(one, picture(0, *shape), "gray")
    assert np.abs(found - naive(values, box, shape, values.max() * values.size)).max() <= 1
    assert draw_heat(one, picture(0, *shape), "overlay").shape == (*shape, 3)


def test_branches_with_other_grids_compare():
    coarse, fine = heat([[4.0]]), heat([[1.0, 1.0], [1.0, 1.0]])  # both add 4 in all, evenly
    assert peak([coarse]) == peak([fine]) == 4.0
    image = picture(0, 6, 8)
    assert (draw_heat(coarse, image, "gray", largest=8.0) == 128).all()
    assert (draw_heat(fine, image, "gray", largest=8.0) == 128).all()


def test_what_speaks_against_is_dark_unless_signed():
    one = heat([[-2.0, -1.0]])
    assert peak([one]) == 0
    assert peak([one], signed=True) == 4.0
    assert not draw_heat(one, picture(0, 6, 8), "gray").any()
    assert not draw_heat(one, picture(0, 6, 8), "multiply").any()
    shown = draw_heat(one, picture(0, 6, 8), "gray", signed=True)
    assert (shown[0, 0], shown[0, -1]) == (0, 64)


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=6), st.sampled_from([0.01, 0.3, 7.0, 1000.0]))
def test_a_picture_depends_on_proportions_only(values, factor):
    image = np.full((6, 8, 3), 90, np.uint8)
    one, more = heat([values]), heat([[factor * value for value in values]])
    first, second = (draw_heat(each, image, "gray").astype(int) for each in (one, more))
    assert np.abs(first - second).max() <= 1
    assert (first.max() > 0) == (max(values) > 0)
    doubled = draw_heat(one, image, "gray", largest=2 * peak([one])).astype(int)
    assert np.abs(first - 2 * doubled).max() <= 2


def test_inside_counts_centres():
    assert inside((0.5, 0.6, 2.4, 2.5), (3, 3)).tolist() == [[False] * 3, [True, True, False], [True, True, False]]


def test_colours_are_known():
    for colors in COLORS:
        assert paint(LEVELS, GREY, "color", colors=colors).shape == (2, 2, 3)
    for colors in SIGNED_COLORS:
        assert paint(LEVELS, GREY, "color", signed=True, colors=colors).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"modes": ("grey",)}, "unknown mode 'grey', did you mean 'gray'"),
        ({"modes": ()}, "no mode to draw in"),
        ({"scale": "classes"}, "unknown scale 'classes', did you mean 'class'"),
        ({"colors": "viridi"}, "did you mean 'viridis'"),
        ({"colors": "turbo", "signed": True}, "unknown colors of a signed map 'turbo'"),
        ({"longest": -1}, "expected longest as pixels"),
    ],
)
def test_doors(style, message):
    with pytest.raises(InputError, match=message):
        HeatStyle(**style)


def test_modes_once_each():
    assert HeatStyle(("gray", "color", "gray")).modes == ("gray", "color")
    assert HeatStyle(MODES).colors == "turbo"
    assert HeatStyle(signed=True).colors == "coolwarm"


def test_wrong_shapes_and_values():
    with pytest.raises(InputError, match="expected levels for each pixel"):
        paint(np.ones((3, 2)), GREY, "gray")
    with pytest.raises(WorkError, match="not finite"):
        draw_heat(heat([[np.nan, 1.0]]), picture(0, 6, 8))
