"""Heat maps: where they lie, that sums stay, and what is said about them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.explain.heat import Heat, add_heats, place_map, regrid


def heat(values, size=(4, 4), box=(0, 0, 4, 4), **more):
    facts = {"score": 2.0, "probability": 0.5, "target": 1, "label": "cat", "method": "gradcam", "layer": "layer4"}
    return Heat(np.asarray(values, np.float32), **{**facts, **more}, size=size, box=box)


def test_total_and_words():
    one = heat([[1, -2], [3, 0.5]])
    assert one.total == 2.5
    assert repr(one) == "<Heat gradcam at layer4 of 'cat', score 2.000, 2 x 2>"
    assert repr(heat([[1]], layer="")) == "<Heat gradcam of 'cat', score 2.000, 1 x 1>"


def test_about_is_json_and_has_no_nan():
    about = json.loads(json.dumps(heat([[1, 2]], probability=float("nan")).about(), allow_nan=False))
    assert about["probability"] is None
    assert (
        about["grid"] == [1, 2] and about["total"] == 3.0 and about["box"] == [0, 0, 4, 4] and about["size"] == [4, 4]
    )


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), (0, 3)])
def test_a_map_has_two_sides(shape):
    with pytest.raises(InputError, match=r"a heat map is \(h, w\)"):
        heat(np.zeros(shape))


def test_spread_is_bilinear_between_centres_and_0_outside_its_box():
    spread = heat([[0, 4]], size=(2, 6), box=(1, 0, 5, 2)).spread()
    assert spread.dtype == np.float32
    assert spread.tolist() == [[0, 0, 1, 3, 4, 0]] * 2


def test_a_box_may_reach_beyond_the_image():
    # Cells are 4 wide, centres at -1 and 3; the image starts at 0.
    assert place_map(np.array([[0.0, 4.0]]), (1, 4), (-3, 0, 5, 1)).tolist() == [[1.5, 2.5, 3.5, 4.0]]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_place_map_is_the_naive_loop(rows, columns, high, wide, seed):
    dice = np.random.default_rng(seed)
    values = dice.normal(size=(rows, columns))
    x1, y1 = dice.uniform(-2, 2, 2)
    x2, y2 = x1 + dice.uniform(1, 9), y1 + dice.uniform(1, 9)
    expected = np.zeros((high, wide))
    for y in range(high):
        for x in range(wide):
            if not (x1 <= x + 0.5 <= x2 and y1 <= y + 0.5 <= y2):
                continue
            v = min(max((y + 0.5 - y1) / (y2 - y1) * rows - 0.5, 0), rows - 1)
            u = min(max((x + 0.5 - x1) / (x2 - x1) * columns - 0.5, 0), columns - 1)
            for i in range(rows):
                for j in range(columns):
                    expected[y, x] += values[i, j] * max(0, 1 - abs(v - i)) * max(0, 1 - abs(u - j))
    assert np.allclose(place_map(values, (high, wide), (x1, y1, x2, y2)), expected, atol=1e-6)


@given(st.tuples(*[st.integers(1, 9)] * 4), st.integers(0, 99))
def test_regrid_keeps_the_sum(sides, seed):
    values = np.random.default_rng(seed).normal(size=sides[:2])
    assert regrid(values, sides[2:]).sum() == pytest.approx(values.sum(), abs=1e-10)
    assert np.allclose(regrid(values, sides[:2]), values)


def test_regrid_shares_by_area():
    # The middle one of three cells lies half in each of two.
    assert np.allclose(regrid(np.array([[1.0, 2.0, 4.0]]), (1, 2)), [[2, 5]])


def test_adding_heats():
    one, two = heat([[4]], layer="a", part="rgb"), heat([[1, 2], [3, 4]], layer="b", part="sift")
    whole = add_heats((one, two))
    assert whole.map.tolist() == [[2, 3], [4, 5]]
    assert whole.total == one.total + two.total
    assert whole.parts == (one, two) and whole.layer == "a, b" and whole.part == ""
    assert add_heats((one,)) is one


def test_a_map_cannot_be_written_to_and_the_array_it_was_made_of_can():
    values = np.ones((2, 2), np.float32)
    one = Heat(values, 1.0, 0.5, 0, "cat", "gradcam", "", (4, 4), (0, 0, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        one.map[0, 0] = 5
    values[0, 0] = 7
    assert one.map.tolist() == [[1, 1], [1, 1]]
    assert not add_heats((one, one)).map.flags.writeable
    assert replace(one, label="dog").map is one.map
