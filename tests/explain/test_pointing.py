"""The pointing game, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.explain.heat import Heat, place_map
from resight.explain.pointing import Boxes, labelled_classes, pointing, pointing_accuracy


def heat(values, size, box=None):
    high, wide = size
    return Heat(
        np.asarray(values, np.float32), 1.0, 0.5, 0, "a", "gradcam", "x", size, box or (0.0, 0.0, wide, high)
    )  # fmt: skip


def peak(y, x, size=(40, 60)):
    values = np.zeros(size)
    values[y, x] = 1
    return heat(values, size)


def test_inside_near_and_far():
    box = [[10, 10, 20, 20]]
    assert pointing(peak(15, 12), box) == 1
    assert pointing(peak(15, 34), box) == 1  # 14.5 pixels to the right
    assert pointing(peak(15, 35), box) == 0  # 15.5
    assert pointing(peak(15, 35), box, tolerance=16) == 1
    assert pointing(peak(15, 22), box, tolerance=0) == 0


def test_the_distance_to_a_corner_is_straight():
    assert pointing(peak(29, 31), [[10, 10, 20, 20]]) == 1  # 9.5 and 11.5: 14.9
    assert pointing(peak(30, 31), [[10, 10, 20, 20]]) == 0  # 10.5 and 11.5: 15.6


def test_any_box_will_do():
    assert pointing(peak(2, 50), [[0, 30, 5, 40], [45, 0, 60, 10]]) == 1


def test_equal_values_get_the_share_that_boxes_cover():
    assert pointing(heat(np.ones((1, 1)), (40, 60)), [[0, 0, 30, 40]], tolerance=0) == 0.5


def test_places_outside_the_map_are_not_its_highest():
    # The map covers the middle only, and is negative there: 0 outside is no maximum.
    values = np.array([[-3.0, -1.0]])
    found = heat(values, (40, 60), (20.0, 0.0, 40.0, 40.0))
    assert pointing(found, [[30, 0, 40, 40]], tolerance=0) == 1
    assert pointing(found, [[0, 0, 20, 40], [41, 0, 60, 40]], tolerance=0) == 0


@given(st.integers(0, 10_000))
def test_like_naive_loops(seed):
    random = np.random.default_rng(seed)
    size, values = (12, 15), random.integers(0, 3, (3, 4)).astype(float)
    corners = np.sort(random.integers(0, 13, (2, 2, 2)), 1)
    boxes = corners[:, :, ::-1].reshape(2, 4).astype(float)
    spread = place_map(values.astype(np.float32), size, (0, 0, 15, 12))
    top, hits, number = spread.max(), 0, 0
    for y in range(12):
        for x in range(15):
            if spread[y, x] == top:
                number += 1
                far = [
                    np.hypot(max(x1 - x - 0.5, x + 0.5 - x2, 0), max(y1 - y - 0.5, y + 0.5 - y2, 0))
                    for x1, y1, x2, y2 in boxes
                ]
                hits += min(far) <= 2.5
    assert pointing(heat(values, size), boxes, tolerance=2.5) == pytest.approx(hits / number)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([], "boxes"), ([1, 2, 3, 4], "boxes"), ([[1, 2, 3]], "boxes"), ([[0, 0, np.nan, 1]], "boxes"),
        ([[30, 30, 5, 5]], "x, y, width, height"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_an_error(boxes, words):
    with pytest.raises(InputError, match=words):
        pointing(peak(0, 0), boxes)


CLASSES = ("cirrus", "n02123045 tabby", "n02012849 crane", "n03126707 crane", "4")


@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        ("cirrus", {0}), (" Cirrus ", {0}), ("0_cirrus", {0}), ("0", {0}), ("1_cirrus", set()), ("tabby", {1}),
        ("n02123045", {1}), ("crane", {2, 3}), ("4", {4}), ("5", set()), ("-1", set()), ("0_", set()), ("", set()),
        ("9" * 5000, set()), ("\N{SUPERSCRIPT TWO}", set()), ("person", set()),
    ],
)  # fmt: skip
def test_what_a_label_means(label, numbers):
    assert labelled_classes(label, CLASSES) == numbers


def test_only_boxes_of_the_class_count():
    corners = np.array([[0, 0, 5, 5], [10, 10, 20, 20], [1, 1, 2, 2]])
    boxes = Boxes(corners, ("cirrus", "crane", "0"))
    assert boxes.of(0, CLASSES).tolist() == corners[[0, 2]].tolist()
    assert boxes.of(3, CLASSES).tolist() == corners[[1]].tolist()
    assert boxes.of(1, CLASSES).shape == (0, 4)
    assert Boxes(corners).of(1, CLASSES).tolist() == corners.tolist()
    with pytest.raises(InputError, match="a label for each of 3 boxes, got 1"):
        Boxes(corners, ("cirrus",))
    with pytest.raises(InputError, match="x, y, width, height"):
        Boxes(np.array([[5, 5, 1, 1]]))


def test_a_frequent_class_counts_no_more():
    assert pointing_accuracy([1, 1, 1, 0], ["a", "a", "a", "b"]) == 0.5
    with pytest.raises(InputError, match="a label for each hit"):
        pointing_accuracy([1], ["a", "b"])
    with pytest.raises(InputError, match="at least one"):
        pointing_accuracy([], [])
