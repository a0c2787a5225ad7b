"""The reliability diagram: bars where the bins say."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from resight.errors import InputError
from resight.show import reliability
from resight.show.reliability import reliability_picture

NAN = float("nan")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are encoded, to be looked into."""
    seen, before = [], reliability.encode_png

    def encode(figure, dpi=150):
        seen.append(figure)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return before(figure, dpi)

    monkeypatch.setattr(reliability, "encode_png", encode)
    return seen


def test_bars_are_the_bins(figures):
    data = reliability_picture(
        [0, 0.25, 0.5, 0.75, 1], [0, 2, 0, 6], [NAN, 0.4, NAN, 0.9], [NAN, 0.5, NAN, 0.8], error=0.1, title="run"
    )
    assert data.startswith(b"\x89PNG")
    upper, lower = figures[0].axes
    accuracy, gap = upper.containers
    assert [(bar.get_x(), bar.get_height()) for bar in accuracy] == [(0.25, 0.5), (0.75, 0.8)]
    # From the accuracy to the confidence, upwards where it is too sure.
    assert [(bar.get_y(), bar.get_height()) for bar in gap] == [(0.5, pytest.approx(-0.1)), (0.8, pytest.approx(0.1))]
    assert [bar.get_height() for bar in lower.containers[0]] == [0, 2, 0, 6]
    means = {line.get_label(): line.get_xdata()[0] for line in lower.lines}
    assert means == pytest.approx({"mean confidence": (0.8 + 5.4) / 8, "accuracy": (1 + 4.8) / 8})
    assert upper.get_title(loc="left") == "run\nECE 0.100"


def test_no_image_at_all():
    assert reliability_picture([0, 1], [0], [NAN], [NAN], error=0.0).startswith(b"\x89PNG")


@pytest.mark.parametrize(("edges", "counts"), [([0, 1], [1, 2]), ([0.5], []), ([0, 0.5, 1], np.array([1]))])
def test_door(edges, counts):
    with pytest.raises(InputError, match=r"expected edges \(B \+ 1,\)"):
        reliability_picture(edges, counts, counts, counts, error=0.0)
