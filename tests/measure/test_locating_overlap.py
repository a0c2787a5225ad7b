"""Overlap and errors: by hand, against masks, and of places that are no quadrilateral."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.match.planes import project, rectangle, similarity
from resight.match.result import Match
from resight.measure.locating_overlap import (
    area_mask,
    clipped,
    corner_error,
    inside_error,
    mask_overlap,
    match_overlap,
    proper,
    quad_overlap,
    share_within,
)

SCENE = (60, 80)


def square(x, y, side):
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)


def found(matrix, outline=None, template=(20, 30)):
    return Match(True, 1.0, matrix, "x", SCENE, template, outline=outline)


def test_by_hand():
    assert quad_overlap(square(0, 0, 10), square(5, 0, 10), SCENE) == pytest.approx(1 / 3)
    assert quad_overlap(square(0, 0, 10), square(0, 0, 10), SCENE) == 1
    assert quad_overlap(square(0, 0, 10), square(10, 0, 10), SCENE) == 0
    assert quad_overlap(square(0, 0, 20), square(5, 5, 10), SCENE) == pytest.approx(0.25)


def test_only_what_lies_in_the_scene_counts():
    assert quad_overlap(square(-10, 0, 20), square(0, 0, 10), SCENE) == pytest.approx(0.5)  # 200 of 400 px are outside
    assert quad_overlap(square(-50, 0, 20), square(-50, 0, 20), SCENE) == 0
    assert share_within(square(-10, 0, 20), SCENE) == pytest.approx(0.5)
    assert share_within(square(-50, 0, 20), SCENE) == 0


def test_mirrored_quads_have_the_same_area():
    assert quad_overlap(square(0, 0, 10)[::-1], square(5, 0, 10), SCENE) == pytest.approx(1 / 3)


maps = st.tuples(st.floats(0.4, 1.8), st.floats(-3.1, 3.1), st.floats(0, 80), st.floats(0, 60))


@given(maps, maps)
def test_against_masks_sixteen_times_as_fine(one, two):
    fine = np.diag([4.0, 4.0, 1.0])
    a, b = (similarity(scale, turn, (15, 10), (x, y)) for scale, turn, x, y in (one, two))
    masks = [area_mask(fine @ matrix, (20, 30), (240, 320)) for matrix in (a, b)]
    exact = quad_overlap(*(project(matrix, rectangle((20, 30))) for matrix in (a, b)), SCENE)
    assert exact == pytest.approx(mask_overlap(*masks), abs=0.03)
    assert match_overlap(found(a), b) == exact
    assert exact == pytest.approx(quad_overlap(*(project(m, rectangle((20, 30))) for m in (b, a)), SCENE))


def test_perspective_against_masks():
    matrix = np.array([[1.2, 0.1, 10], [0.2, 0.9, 8], [0.01, 0.004, 1]])
    truth = np.array([[1.1, 0.2, 12], [0.1, 1.0, 7], [0.008, 0.006, 1]])
    fine = np.diag([8.0, 8.0, 1.0])
    masks = [area_mask(fine @ one, (20, 30), (480, 640)) for one in (matrix, truth)]
    assert match_overlap(found(matrix), truth) == pytest.approx(mask_overlap(*masks), abs=0.005)


def test_clipping_leaves_nothing_of_what_is_outside():
    assert clipped(square(100, 100, 5), rectangle(SCENE)).shape == (0, 2)
    assert len(clipped(square(5, 5, 5), rectangle(SCENE))) == 4


def test_what_is_no_quadrilateral_is_compared_by_its_mask():
    truth = similarity(1, 0, (0, 0), (10, 10))
    mask = np.zeros(SCENE, bool)
    mask[10:30, 10:25] = True  # half of the template's area
    assert match_overlap(found(None, mask), truth) == pytest.approx(0.5)
    assert match_overlap(found(truth, mask), truth) == pytest.approx(0.5)  # an own outline counts
    assert match_overlap(found(None), truth) == 0
    folded = np.array([[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]])  # the horizon crosses the template
    assert not proper(folded, (20, 30))
    assert 0 <= match_overlap(found(folded), truth) < 0.2
    assert mask_overlap(np.zeros(SCENE, bool), np.zeros(SCENE, bool)) == 0


def test_errors_by_hand():
    truth, moved = similarity(1, 0, (0, 0), (10, 10)), similarity(1, 0, (0, 0), (13, 14))
    assert corner_error(found(moved), truth) == pytest.approx(5)
    assert inside_error(found(moved), truth) == pytest.approx(5)
    assert math.isnan(corner_error(found(None), truth)) and math.isnan(inside_error(found(None), truth))
    # Scaled about the left top corner: only the part within the scene counts for the inner points.
    truth, larger = np.diag([4.0, 4.0, 1]), np.diag([4.4, 4.4, 1])
    steps = [(x, y) for x in (np.arange(10) + 0.5) * 12 for y in (np.arange(10) + 0.5) * 8 if x <= 80 and y <= 60]
    assert inside_error(found(larger), truth) == pytest.approx(np.mean([0.1 * math.hypot(*step) for step in steps]))
    assert math.isnan(inside_error(found(truth), similarity(1, 0, (0, 0), (500, 500))))
