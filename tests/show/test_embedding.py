"""Embeddings as pictures: a panel each, colours for the largest classes, grey for the others."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.show.embedding import COLOURS, GREY_POINT, embedding_picture


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def near(image, colour, spread=12):
    """How many pixels have about this colour; points are drawn with some transparency over white."""
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return int((np.abs(image - (0.8 * rgb + 0.2 * 255)).max(2) <= spread).sum())


def spread(classes, each, seed=0):
    points = np.random.default_rng(seed).normal(size=(classes * each, 2))
    return points, [f"class {place:02}" for place in range(classes) for _ in range(each)]


def test_a_panel_more_is_wider():
    points, labels = spread(3, 5)
    one, two = (pixels(embedding_picture(panels, labels)) for panels in ({"a": points}, {"a": points, "b": points}))
    assert two.shape[1] > 1.7 * one.shape[1]
    assert abs(two.shape[0] - one.shape[0]) < 60


def test_the_twelve_largest_have_colours_and_the_rest_is_grey():
    points, labels = spread(14, 6)
    twelve = pixels(embedding_picture({"after": points[:72]}, labels[:72]))
    labels[-12:] = [f"small {place}" for place in range(12)]
    more = pixels(embedding_picture({"after": points}, labels))
    for image in (twelve, more):
        assert all(near(image, colour) > 500 for colour in COLOURS)
    assert near(more, GREY_POINT) > near(twelve, GREY_POINT) + 500  # the frame is grey too


def test_the_same_again_and_names_of_any_kind():
    points, labels = spread(2, 3)
    odd = {"class 00": "_$x$ \u202e\n写真", "class 01": "x" * 300}
    names = [odd[label] for label in labels]
    first = embedding_picture({"after": points}, names, title="t" * 300)
    assert first == embedding_picture({"after": points}, names, title="t" * 300)
    assert pixels(first).shape[1] < 1500


@pytest.mark.parametrize(
    ("panels", "labels", "message"),
    [
        ({}, ["a"], "at least one panel"),
        ({"a": np.zeros((0, 2))}, [], "at least one panel"),
        ({"a": np.zeros((2, 2))}, ["a"], r"expected finite points \(1, 2\) for 'a', got shape \(2, 2\)"),
        ({"a": np.full((1, 2), np.nan)}, ["a"], "expected finite points"),
    ],
)
def test_wrong_points(panels, labels, message):
    with pytest.raises(InputError, match=message):
        embedding_picture(panels, labels)
