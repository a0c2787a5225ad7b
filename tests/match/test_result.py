import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.match import Match
from resight.match.planes import believable, project, rectangle, similarity


def made(homography, scene=(60, 80), template=(20, 30), **options):
    return Match(True, 0.9, homography, "sift", scene, template, **options)


def test_an_upright_copy_has_its_corners_box_and_mask_to_the_pixel():
    match = made(similarity(1.0, 0.0, (0, 0), (10, 5)))
    assert match.corners.tolist() == [[10, 5], [40, 5], [40, 25], [10, 25]]
    assert match.box == (10, 5, 40, 25)
    expected = np.zeros((60, 80), bool)
    expected[5:25, 10:40] = True
    assert (match.mask == expected).all()


def test_the_box_is_cut_at_the_edges_of_the_scene_and_the_corners_are_not():
    match = made(similarity(1.0, 0.0, (0, 0), (-10, 50)))
    assert match.box == (0, 50, 20, 60) and match.corners.min() == -10
    assert match.mask.sum() == 20 * 10


def test_wholly_outside_there_is_no_box_and_an_empty_mask():
    match = made(similarity(1.0, 0.0, (0, 0), (-100, 0)))
    assert match.box is None and not match.mask.any()


@given(st.floats(0.4, 2), st.floats(-3.1, 3.1), st.floats(-2e-3, 2e-3), st.floats(-2e-3, 2e-3))
def test_the_mask_holds_the_pixels_whose_centres_lie_in_the_quadrilateral(scale, turn, p, q):
    matrix = similarity(scale, turn, (15, 10), (40, 30)) @ np.array([[1, 0, 0], [0, 1, 0], [p, q, 1]])
    if not believable(matrix / matrix[2, 2], (20, 30)):
        return
    match = made(matrix / matrix[2, 2])
    quad = project(matrix, rectangle((20, 30))).astype(np.float32)
    naive = np.zeros((60, 80), bool)
    distance = np.zeros((60, 80))
    for y in range(60):
        for x in range(80):
            distance[y, x] = cv2.pointPolygonTest(quad, (x + 0.5, y + 0.5), True)
            naive[y, x] = distance[y, x] > 0
    clear = np.abs(distance) > 1e-3  # on the edge itself either is right
    assert (match.mask == naive)[clear].all()


def test_absent_it_has_neither_place_nor_mask_and_says_so():
    match = Match(False, 0.02, None, "auto", (60, 80), (20, 30))
    assert match.corners is None and match.box is None and not match.mask.any()
    assert repr(match) == "<Match absent, score 0.02, by auto>"
    assert json.loads(json.dumps(match.as_dict()))["corners"] is None


def test_it_cannot_be_changed_and_shows_itself_in_one_line():
    match = made(np.eye(3), evidence={"inliers": 12.0})
    assert repr(match) == "<Match found at 0,0,30,20, score 0.90, by sift>"
    with pytest.raises(ValueError):
        match.homography[0, 0] = 2
    with pytest.raises(TypeError):
        match.evidence["inliers"] = 3
    assert json.loads(json.dumps(match.as_dict()))["evidence"] == {"inliers": 12.0}


def test_a_homography_that_is_none_is_refused():
    with pytest.raises(InputError, match="finite numbers"):
        made(np.full((3, 3), np.inf))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_mask_is_there_although_the_scenes_origin_lies_beyond_the_horizon(side):
    # Depth 1 - x / 100 in the template, 0 at x = 100: what the scene's origin would come from lies beyond.
    matrix = np.array([[1.0, 0, 200], [0, 1, 150], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1.0]])
    match = Match(True, 1.0, matrix * side, "sift", (300, 400), (40, 60))
    inverse = np.linalg.inv(match.homography)
    assert inverse[2, 2] * side < 0  # the case that it is about
    x, y = np.meshgrid(np.arange(400) + 0.5, np.arange(300) + 0.5)
    u, v, w = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]))
    expected = (u / w >= 0) & (u / w < 60) & (v / w >= 0) & (v / w < 40) & (1 - 0.01 * u / w > 0)
    assert expected.sum() > 500 and np.array_equal(match.mask, expected)


def test_of_a_masked_template_the_mask_is_what_belongs_to_it():
    own = np.zeros((40, 60), bool)
    own[10:30, 20:50] = True
    match = Match(True, 1.0, np.diag([2.0, 2.0, 1.0]), "sift", (100, 150), (40, 60), template_mask=own)
    expected = np.zeros((100, 150), bool)
    expected[20:60, 40:100] = True
    assert np.array_equal(match.mask, expected)
