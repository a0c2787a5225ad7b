"""Lines of queries and what they find: borders, widths, and images that are gone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.show.neighbour_sheet import BREAK, Found, Line, neighbour_sheet
from resight.show.picture import MARKS


def page(lines, side=64):
    return np.asarray(Image.open(io.BytesIO(neighbour_sheet(lines, side=side))))


@pytest.fixture
def image(tmp_path):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "a.png")
    return tmp_path / "a.png"


def line(image, rights, group=0):
    return Line("best", image, "cat", tuple(Found(image, "cat", 0.5, right) for right in rights), group)


def count(pixels, mark):
    colour = [int(MARKS[mark][place : place + 2], 16) for place in (1, 3, 5)]
    return int((pixels == colour).all(2).sum())


def test_borders_say_what_is_right(image):
    right, wrong = page([line(image, [True, True])]), page([line(image, [False, False])])
    assert count(right, "right") > 0
    assert count(right, "wrong") == 0
    assert count(wrong, "right") == 0
    both = page([line(image, [True, False])])
    assert count(both, "right") == pytest.approx(count(right, "right") / 2, rel=0.1)
    assert count(both, "query") == count(right, "query") > 0


def test_lines_lie_below_each_other_as_wide_as_the_longest(image):
    one, two = page([line(image, [True] * 3)]), page([line(image, [True] * 3), line(image, [True], 1)])
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] == 2 * one.shape[0] + BREAK
    together = page([line(image, [True] * 3), line(image, [True])])
    assert together.shape[0] == 2 * one.shape[0]
    np.testing.assert_array_equal(two[: one.shape[0]], one)


def test_what_is_gone_is_a_card(image, tmp_path):
    lost = Line("worst", tmp_path / "none.png", "cat", (Found(tmp_path / "gone.png", "cat", 0.1, False),))
    assert count(page([lost]), "query") > 0
    with pytest.raises(InputError, match="at least one query"):
        neighbour_sheet([])
