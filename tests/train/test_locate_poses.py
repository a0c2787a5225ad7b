"""Plane maps of things, against corners by hand and pixels one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import picture

from resight.images import resize
from resight.match.planes import area, project
from resight.train.locate_options import LocateOptions
from resight.train.locate_poses import draw_pose, plane_map, render, to_square, turn

SIZE = (120, 200)
BOX = (40.0, 30.0, 100.0, 70.0)
CORNERS = np.array([[40, 30], [100, 30], [100, 70], [40, 70]], float)
PLAIN = {"scale": 1.0, "perspective": 0.0, "rotate": 0.0}


def pose(seed=0, **given):
    return draw_pose(SIZE, BOX, LocateOptions(**{**PLAIN, **given}), np.random.default_rng(seed))


def test_nothing_asked_is_the_identity():
    assert np.array_equal(pose(), np.eye(3))


def test_a_turn_is_about_the_images_middle():
    found = pose(rotate=1.0, degrees=30)
    np.testing.assert_allclose(project(found, [[100, 60]]), [[100, 60]])
    angle = math.degrees(math.atan2(found[1, 0], found[0, 0]))
    assert 0 < abs(angle) <= 30 and np.linalg.det(found) == pytest.approx(1)
    np.testing.assert_allclose(found, turn(math.radians(angle), (100, 60)), atol=1e-12)
    # clockwise on a screen: right of the middle goes down
    np.testing.assert_allclose(project(turn(math.pi / 2, (100, 60)), [[110, 60]]), [[100, 70]], atol=1e-9)


def test_turned_as_often_and_as_far_as_asked():
    angles = [math.degrees(math.atan2(m[1, 0], m[0, 0])) for m in (pose(n, rotate=0.5) for n in range(400))]
    turned = [one for one in angles if one]
    assert len(turned) / 400 == pytest.approx(0.5, abs=0.08)
    assert max(map(abs, turned)) <= 30 and np.std(turned) == pytest.approx(60 / math.sqrt(12), rel=0.12)


def test_scaled_about_its_middle_evenly_in_the_logarithm():
    scales = []
    for seed in range(1000):
        quad = project(pose(seed, scale=1.6), CORNERS)
        np.testing.assert_allclose(quad.mean(0), [70, 50], atol=1e-6)  # it fits: nothing is shifted
        scales.append(math.log(math.sqrt(area(quad) / area(CORNERS)), 1.6))
    assert max(map(abs, scales)) <= 1 and np.mean(scales) == pytest.approx(0, abs=0.06)
    assert np.std(scales) == pytest.approx(1 / math.sqrt(3), rel=0.1)


def test_corners_move_by_a_share_of_the_sides():
    moved = np.stack([project(pose(seed, perspective=0.2), CORNERS) for seed in range(100)]) - CORNERS
    most = np.abs(moved).max((0, 1))
    assert most[0] <= 0.2 * 60 + 1e-9 and most[1] <= 0.2 * 40 + 1e-9 and (most > (11, 7)).all()


@given(st.integers(0, 10**9), st.integers(1, 150), st.integers(1, 80))
def test_the_thing_stays_in_the_frame(seed, left, top):
    box = (float(left), float(top), float(left + 49), float(top + 39))
    options = LocateOptions(scale=4, perspective=0.3, rotate=1, degrees=180)
    quad = project(draw_pose(SIZE, box, options, np.random.default_rng(seed)), np.array(
        [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]
    ))  # fmt: skip
    assert quad.min() >= -1e-6 and (quad.max(0) <= np.array([200, 120]) + 1e-6).all()
    assert area(quad) > 0  # not mirrored, not folded


@given(st.integers(0, 10**9))
def test_four_points_to_four(seed):
    dice = np.random.default_rng(seed)
    target = CORNERS + dice.uniform(-9, 9, (4, 2))
    np.testing.assert_allclose(project(plane_map(CORNERS, target), CORNERS), target, atol=1e-6)


def test_squashed_and_mirrored():
    found = to_square(SIZE, 64, True) @ np.array([[0, 200, 50], [0, 120, 30], [1, 1, 1]], float)
    np.testing.assert_allclose(found[:2].T, [[64, 0], [0, 64], [48, 16]])


def test_unchanged_it_is_the_resized_image_and_box():
    image = picture(4, *SIZE)
    found = render(image, to_square(SIZE, 64, False), BOX, 64)
    assert np.array_equal(found.image, resize(image, (64, 64), "bilinear")) and found.seen.all()
    x, y = np.meshgrid((np.arange(64) + 0.5) * 200 / 64, (np.arange(64) + 0.5) * 120 / 64)
    assert np.array_equal(found.mask, (x >= 40) & (x < 100) & (y >= 30) & (y < 70))
    mirrored = render(image, to_square(SIZE, 64, True), BOX, 64)
    assert np.array_equal(mirrored.mask, found.mask[:, ::-1])
    assert np.abs(mirrored.image.astype(int) - found.image[:, ::-1]).max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_mask_and_corners_agree_pixel_by_pixel(seed):
    options = {"scale": 2.0, "perspective": 0.2, "rotate": 1.0, "degrees": 90}
    matrix = to_square(SIZE, 72, bool(seed % 2)) @ pose(seed, **options)
    found = render(picture(1, *SIZE), matrix, BOX, 72)
    quad = project(matrix, CORNERS)
    turned = 1 if area(quad) > 0 else -1  # mirrored ones turn the other way
    for row in range(72):
        for column in range(72):
            point = np.array([column + 0.5, row + 0.5])
            sides = [
                turned * ((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]))
                for a, b in zip(quad, np.roll(quad, -1, 0), strict=True)
            ]
            if min(map(abs, sides)) > 1e-6:
                assert found.mask[row, column] == (min(sides) > 0)


def test_pixels_lie_where_the_map_takes_them():
    """A turn by 90 degrees about the middle of a square image is numpy's, pixel for pixel."""
    image = picture(2, 64, 64)
    found = render(image, turn(math.pi / 2, (32, 32)), (10.0, 10.0, 50.0, 40.0), 64)
    assert np.abs(found.image.astype(int) - np.rot90(image, -1)).max() <= 1 and found.seen.all()


def test_made_smaller_it_is_the_mean_of_pixels():
    """Stripes of one pixel become grey, not stripes of another width."""
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 200
    matrix = np.array([[0.25, 0, 4], [0, 0.25, 4], [0, 0, 1]])
    found = render(stripes, matrix, (0.0, 0.0, 96.0, 96.0), 32)
    inner = found.image[6:26, 6:26, 0].astype(int)
    assert np.abs(inner - 100).max() <= 2 and found.seen.sum() == 24 * 24


def test_behind_the_horizon_nothing_is_seen():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0.02, 0, 1]], float)  # x -> x / (1 + x / 50): never beyond 50
    found = render(np.full((64, 64, 3), 9, np.uint8), matrix, (5.0, 5.0, 40.0, 40.0), 64)
    assert found.seen[:, :28].any() and not found.seen[:, 50:].any() and not found.image[:, 50:].any()
    assert not found.mask[:, 50:].any()
