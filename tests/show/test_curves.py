"""Curves of a training: the lines are where the numbers say."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.show import curves
from resight.show.curves import curves_picture


@pytest.fixture
def figures(monkeypatch):
    """The figures that are encoded, to be looked into."""
    seen = []

    def encode(figure, dpi=150):
        seen.append(figure)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return before(figure, dpi)

    before = curves.encode_png
    monkeypatch.setattr(curves, "encode_png", encode)
    return seen


def test_lines_are_the_numbers(figures):
    data = curves_picture(
        [1, 2, 3], {"train": [2, 1, 0.5], "val": [2, 1.5, 1]}, {"train": [0.1, 0.5, 0.9], "val": [0.2, 0.5, 0.6]},
        [0.1, 0.05, 0.0], best=3, title="run",
    )  # fmt: skip
    assert Image.open(io.BytesIO(data)).width == pytest.approx(7.2 * 150, rel=0.05)
    loss, accuracy, rate = figures[0].axes
    for axes, name, values in (
        (loss, "train", [2, 1, 0.5]), (loss, "val", [2, 1.5, 1]),
        (accuracy, "train", [0.1, 0.5, 0.9]), (accuracy, "val", [0.2, 0.5, 0.6]), (rate, "lr", [0.1, 0.05, 0.0]),
    ):  # fmt: skip
        (line,) = (one for one in axes.lines if one.get_label() == name)
        assert line.get_xdata().tolist() == [1, 2, 3]
        np.testing.assert_array_equal(line.get_ydata(), values)
    kept = [one for axes in figures[0].axes for one in axes.lines if one.get_label() == "epoch 3 kept"]
    assert [list(line.get_xdata()) for line in kept] == [[3, 3]] * 3
    assert accuracy.get_ylim()[1] > 1
    assert figures[0].get_suptitle() == "run"


@pytest.mark.parametrize(
    ("rates", "scale"), [([0.01] * 3 + [0.001] * 3 + [1e-4], "log"), (np.geomspace(1, 1e-9, 20), "linear")]
)
def test_a_schedule_of_steps_is_drawn_on_a_logarithmic_axis(figures, rates, scale):
    epochs = range(1, len(rates) + 1)
    curves_picture(epochs, {"train": [1] * len(rates)}, {"val": [1] * len(rates)}, rates)
    assert figures[0].axes[2].get_yscale() == scale


def test_without_validation_and_with_one_epoch(figures):
    curves_picture([1], {"train": [0.3]}, {"train": [math.nan]})
    assert [axes.get_title(loc="left") for axes in figures[0].axes] == ["Loss (train)", "Accuracy (train)"]
    curves_picture([1], {"train": [0.3], "val": [math.nan]}, {"train": [1.0], "val": [1.0]}, [1e-3], best=1)


def test_ticks_are_plain_text(figures):
    curves_picture(range(1, 8), {"train": [1] * 7}, {"train": [1] * 7}, [1e-2] * 4 + [1e-5] * 3)
    texts = [text.get_text() for axes in figures[0].axes for text in axes.get_yticklabels()]
    assert not any("$" in text for text in texts)
    assert "0.01" in texts


@pytest.mark.parametrize(
    ("epochs", "losses", "lr", "message"),
    [
        ([], {}, [], "at least one epoch"),
        ([1, 2], {"train": [1]}, [], "expected 2 values, one an epoch, got 1 for loss of train"),
        ([1, 2], {"train": [1, 2]}, [1], "got 1 for lr"),
    ],
)
def test_door(epochs, losses, lr, message):
    with pytest.raises(InputError, match=message):
        curves_picture(epochs, losses, {}, lr)
