"""Heat boxes against a flood fill and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.heat_boxes import THRESHOLDS, cells_to_pixels, heat_boxes


def regions(mask):
    """The 4-connected components, each a list of (row, column), in reading order, by flood fill."""
    left, found = {(int(r), int(c)) for r, c in np.argwhere(mask)}, []
    while left:
        todo, cells = [min(left)], []
        left.remove(todo[0])
        while todo:
            row, column = todo.pop()
            cells.append((row, column))
            for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if cell in left:
                    left.remove(cell)
                    todo.append(cell)
        found.append(cells)
    return found


def naive_boxes(heat, thresholds, least):
    boxes = []
    for threshold in thresholds if heat.max() > 0 else ():
        # max() keeps the first of equals.
        cells = max(regions(heat >= threshold * heat.max()), key=lambda c: (len(c), sum(heat[cell] for cell in c)))
        rows, columns = zip(*cells)
        box = [min(columns), min(rows), max(columns) + 1, max(rows) + 1]
        wide, high = box[2] - box[0], box[3] - box[1]
        if wide >= min(least, heat.shape[1]) and high >= min(least, heat.shape[0]) and box not in boxes:
            boxes.append(box)
    return boxes


def two_regions(first=1.0, second=1.0):
    """5 x 5 cells each, a column of zeros between them."""
    heat = np.zeros((5, 11))
    heat[:, :5], heat[:, 6:] = first, second
    return heat


def test_nested_heat_by_hand():
    """0.05 of the maximum in 9 x 9 cells, 0.25 in 7 x 6, 1 in 4 x 4 (too small)."""
    heat = np.zeros((12, 12))
    heat[1:10, 2:11], heat[2:8, 3:10], heat[3:7, 4:8] = 0.05, 0.25, 1.0
    assert heat_boxes(heat).tolist() == [[2, 1, 11, 10], [3, 2, 10, 8]]
    assert heat_boxes(heat, least=4).tolist() == [[2, 1, 11, 10], [3, 2, 10, 8], [4, 3, 8, 7]]
    assert heat_boxes(heat, thresholds=(0.4, 0.2, 0.1), least=4).tolist() == [[4, 3, 8, 7], [3, 2, 10, 8]]
    assert heat_boxes(heat, thresholds=(1.0,), least=5).tolist() == []


def test_regions_that_touch_at_a_corner_are_two():
    heat = np.zeros((11, 11))
    heat[:5, :5], heat[5:, 5:] = 1, 1
    assert heat_boxes(heat).tolist() == [[5, 5, 11, 11]]


def test_of_equal_regions_the_warmer_wins_then_the_first():
    assert heat_boxes(two_regions(0.9, 1.0)).tolist() == [[6, 0, 11, 5]]
    assert heat_boxes(two_regions(1.0, 0.9)).tolist() == [[0, 0, 5, 5]]
    assert heat_boxes(two_regions()).tolist() == [[0, 0, 5, 5]]


def test_a_larger_region_wins_over_a_warmer_one():
    heat = np.zeros((6, 12))
    heat[:, :6], heat[:5, 7:] = 0.5, 1.0
    assert heat_boxes(heat).tolist() == [[0, 0, 6, 6]]


def test_a_small_map_needs_its_whole_extent():
    heat = np.ones((3, 8))
    assert heat_boxes(heat).tolist() == [[0, 0, 8, 3]]
    heat[0] = 0
    assert heat_boxes(heat).tolist() == []
    assert heat_boxes(np.ones((1, 1))).tolist() == [[0, 0, 1, 1]]


def test_no_heat_no_boxes():
    boxes = heat_boxes(np.zeros((7, 7)))
    assert (boxes.shape, boxes.dtype) == ((0, 4), np.int64)


def test_the_heat_is_left_as_it_was():
    heat = np.random.default_rng(0).random((9, 9), np.float32)
    before = heat.copy()
    assert heat_boxes(heat).dtype == np.int64
    assert (heat == before).all()


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9))
def test_equals_the_flood_fill(height, width, seed, least, levels):
    """Whole numbers, so that sums are exact; few levels, so that there are ties; blotches, so that boxes pass."""
    random = np.random.default_rng(seed)
    heat = random.integers(0, levels + 1, (height, width)).astype(np.float64)
    heat = np.maximum(heat, np.roll(heat, 1, 1)) if seed % 2 else heat
    heat[random.random(heat.shape) < 0.2] = 0
    expected = naive_boxes(heat, THRESHOLDS, least)
    found = heat_boxes(heat, least=least)
    assert found.tolist() == expected
    scaled = heat_boxes((8 * heat).astype(np.float32), least=least)  # a power of two: no rounding
    assert scaled.tolist() == expected


@given(st.integers(5, 40), st.integers(5, 40), st.integers(0, 10**6))
def test_boxes_lie_on_the_map_and_differ(height, width, seed):
    heat = np.random.default_rng(seed).random((height, width)) ** 2
    boxes = heat_boxes(heat)
    assert len({tuple(box) for box in boxes.tolist()}) == len(boxes) <= len(THRESHOLDS)
    assert (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 5).all()


@pytest.mark.parametrize(
    ("heat", "message"),
    [
        (np.zeros(4), r"expected heat as numbers \(H, W\), got float64 of shape \(4,\)"),
        (np.zeros((0, 4)), "shape"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([[0.0, -1.0]]), "values from -1 to 0: apply a ReLU"),
        (np.array([[0.0, np.nan]]), "nan"),
        (np.array([[0.0, np.inf]]), "inf"),
    ],
)
def test_refuses_what_is_no_heat(heat, message):
    with pytest.raises(InputError, match=message):
        heat_boxes(heat)


@pytest.mark.parametrize("thresholds", [(), (0.0,), (0.1, 1.5), (float("nan"),)])
def test_refuses_thresholds(thresholds):
    with pytest.raises(InputError, match="thresholds above 0 and at most 1"):
        heat_boxes(np.ones((6, 6)), thresholds)


@pytest.mark.parametrize("least", [0, -1, 2.5, True])
def test_refuses_least(least):
    with pytest.raises(InputError, match="whole number of cells from 1"):
        heat_boxes(np.ones((6, 6)), least=least)


def test_pixels_by_hand():
    boxes = cells_to_pixels(np.array([[0, 0, 7, 7], [2, 3, 4, 4]]), (7, 7), (350, 700))
    assert boxes.dtype == np.float64
    assert boxes.tolist() == [[0, 0, 700, 350], [200, 150, 400, 200]]
    assert cells_to_pixels(np.empty((0, 4), np.int64), (7, 7), (9, 9)).shape == (0, 4)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 5000), st.integers(1, 5000))
def test_the_whole_map_is_the_whole_image(h, w, height, width):
    np.testing.assert_allclose(cells_to_pixels([[0, 0, w, h]], (h, w), (height, width)), [[0, 0, width, height]])


@pytest.mark.parametrize(
    ("boxes", "cells", "pixels", "message"),
    [
        ([1, 2, 3, 4], (7, 7), (9, 9), r"boxes \(n, 4\)"),
        ([[1, 2, 3]], (7, 7), (9, 9), r"boxes \(n, 4\)"),
        ([[1, 2, 3, np.nan]], (7, 7), (9, 9), r"boxes \(n, 4\)"),
        ([[1, 2, 3, 4]], (0, 7), (9, 9), r"cells as \(height, width\)"),
        ([[1, 2, 3, 4]], (7, 7), (9, 9, 3), r"pixels as \(height, width\)"),
    ],
)
def test_refuses_boxes_and_sizes(boxes, cells, pixels, message):
    with pytest.raises(InputError, match=message):
        cells_to_pixels(boxes, cells, pixels)
