"""Curves of removal: the lines are where the numbers say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.show import removal_curves
from resight.show.removal_curves import removal_picture


@pytest.fixture
def figures(monkeypatch):
    """The figures that are encoded, to be looked into."""
    seen = []
    before = removal_curves.encode_png
    monkeypatch.setattr(removal_curves, "encode_png", lambda figure: seen.append(figure) or before(figure))
    return seen


def test_lines_are_the_numbers_and_the_legend_their_area(figures):
    data = removal_picture(
        [0, 0.5, 1], {"deletion": {"gradcam": [0.8, 0.2, 0], "random": [0.8, 0.6, 0]}, "insertion": {"cam": [0, 1, 1]}},
        plain=["random"], title="net, 3 images",
    )  # fmt: skip
    assert Image.open(io.BytesIO(data)).width > 700
    first, second = figures[0].axes
    assert first.get_title("left") == "Deletion (low is good)"
    assert second.get_title("left") == "Insertion (high is good)"
    assert [line.get_ydata().tolist() for line in first.lines] == [[0.8, 0.2, 0], [0.8, 0.6, 0]]
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["gradcam  0.300", "random  0.500"]
    assert first.lines[1].get_color() == removal_curves.PLAIN and first.lines[0].get_color() != removal_curves.PLAIN
    assert second.lines[0].get_ydata().tolist() == [0, 1, 1]


def test_many_methods_are_told_apart(figures):
    removal_picture([0, 1], {"deletion": {f"method {n}": [1, 0] for n in range(16)}})
    looks = {(line.get_color(), line.get_linestyle()) for line in figures[0].axes[0].lines}
    assert len(looks) == 16


def test_odd_names_are_drawn_as_they_are(figures):
    removal_picture(np.array([0, 1]), {"deletion": {"$x$ _a": np.array([1, 0])}}, title="a\tb")
    assert figures[0].axes[0].get_legend().get_texts()[0].get_text() == "$x$ _a  0.500"


@pytest.mark.parametrize(
    ("curves", "words"), [({}, "at least one curve"), ({"deletion": {}}, "at least one"),
                          ({"deletion": {"a": [1]}}, "expected 2 values, got 1 for a")],
)  # fmt: skip
def test_what_cannot_be_drawn(curves, words):
    with pytest.raises(InputError, match=words):
        removal_picture([0, 1], curves)
