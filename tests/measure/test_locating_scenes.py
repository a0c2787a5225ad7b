"""Scenes: warps that hit the pixel they should and do not alias, and changes with known bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from locating_samples import photograph

from resight.match.planes import project, similarity
from resight.measure.locating_scenes import (
    blurred,
    coverable,
    covered,
    filling,
    grained,
    occluded,
    recoloured,
    shaded,
    warp,
)

GREY = np.full((60, 80, 3), 100, np.uint8)


def random(seed=0):
    return np.random.default_rng(seed)


def test_nothing_moved_is_the_photograph_itself():
    photo = photograph(1, 56, 80)
    assert np.array_equal(warp(photo, np.eye(3), np.zeros_like(photo)), photo)


def test_whole_pixels_are_moved_as_they_are():
    photo, backdrop = photograph(1, 56, 80), np.full((60, 80, 3), 7, np.uint8)
    scene = warp(photo, similarity(1, 0, (0, 0), (10, 5)), backdrop)
    assert np.array_equal(scene[5:60, 10:80], photo[:55, :70])
    assert (scene[:5] == 7).all() and (scene[:, :10] == 7).all()


def test_half_a_pixel_is_half_of_each():
    photo = np.full((10, 10, 3), 200, np.uint8)
    scene = warp(photo, similarity(1, 0, (0, 0), (5.5, 0)), np.zeros((10, 20, 3), np.uint8))
    assert scene[5, 5, 0] == 100 and scene[5, 6, 0] == 200 and scene[5, 4, 0] == 0 and scene[5, 15, 0] == 100


@pytest.mark.parametrize(("scale", "turn"), [(1.0, 0.3), (2.0, -1.2), (0.5, 2.0), (0.3, 0.7)])
def test_a_blob_lands_where_the_map_says(scale, turn):
    y, x = np.mgrid[:100, :120] + 0.5
    blob = 255 * np.exp(-((x - 70) ** 2 + (y - 45) ** 2) / (2 * 6**2))
    photo = np.repeat(np.rint(blob).astype(np.uint8)[:, :, None], 3, 2)
    matrix = similarity(scale, turn, (60, 50), (80.3, 75.7))
    scene = warp(photo, matrix, np.zeros((150, 160, 3), np.uint8))[:, :, 0].astype(float)
    v, u = np.mgrid[:150, :160] + 0.5
    centroid = np.array([(u * scene).sum(), (v * scene).sum()]) / scene.sum()
    assert np.abs(centroid - project(matrix, [[70, 45]])[0]).max() < 0.05


def test_fine_stripes_become_grey_instead_of_moire():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    scene = warp(stripes, np.diag([0.25, 0.25, 1.0]), np.zeros((32, 32, 3), np.uint8))
    assert np.abs(scene[4:28, 4:28].astype(int) - 127).max() <= 2


def test_nothing_shows_from_behind_the_horizon():
    photo = np.full((60, 60, 3), 255, np.uint8)
    matrix = np.array([[1.0, 0, 20], [0, 1, 0], [0.03, 0, 1]])  # lines of the photograph meet at x = 33
    scene = warp(photo, matrix, np.zeros((60, 80, 3), np.uint8))
    x = np.arange(80) + 0.5
    there = (x - 20) / (1 - 0.03 * x)  # which column of the photograph a pixel shows
    ahead = 1 - 0.03 * x > 0
    shown = scene[5, :, 0] > 127
    assert not shown[~ahead].any()
    assert np.array_equal(shown[ahead], (there[ahead] > 0) & (there[ahead] < 60))


def test_filling_keeps_the_aspect():
    photo = photograph(2, 56, 80)
    assert filling(photo, (56, 80)).shape == (56, 80, 3) and np.array_equal(filling(photo, (56, 80)), photo)
    assert filling(photo, (100, 33)).shape == (100, 33, 3)
    assert np.array_equal(filling(photo, (40, 80)), photo[8:48])


@pytest.mark.parametrize("change", [recoloured, blurred, grained, shaded])
def test_changes_depend_on_chance_alone_and_change_something(change):
    photo = photograph(3)
    one, same, other = change(photo, random(1)), change(photo, random(1)), change(photo, random(2))
    assert one.shape == photo.shape and one.dtype == np.uint8
    assert np.array_equal(one, same) and not np.array_equal(one, other) and not np.array_equal(one, photo)


def test_noise_has_the_deviation_that_is_asked_for():
    scene = grained(np.full((200, 200, 3), 128, np.uint8), random(), (10, 10))
    assert scene.std() == pytest.approx(math.sqrt(100 + 1 / 12), rel=0.02)
    assert scene.mean() == pytest.approx(128, abs=0.1)


def test_blur_keeps_the_mean_and_lowers_the_contrast():
    for seed in range(6):
        flat = blurred(GREY, random(seed))
        assert (flat == 100).all()
        photo = photograph(4)
        assert blurred(photo, random(seed)).std() < photo.std()


def test_shade_runs_across_the_scene():
    for seed in range(5):
        scene = shaded(np.full((50, 70, 3), 100, np.uint8), random(seed)).astype(float)
        assert 29 <= scene.min() <= 71 and 109 <= scene.max() <= 161


@pytest.mark.parametrize("seed", range(8))
def test_30_to_50_percent_are_covered(seed):
    area = np.zeros((100, 120), bool)
    area[30:80, 20:90] = True
    scene = occluded(np.zeros((100, 120, 3), np.uint8), area, np.full((100, 120, 3), 255, np.uint8), random(seed))
    assert 0.28 <= (scene[area][:, 0] == 255).mean() <= 0.5


def test_what_is_covered_is_gone_and_the_rest_stays():
    photo = photograph(5, 120, 160)
    made = covered(photo, (60, 40, 96, 76), random())
    changed = np.abs(made.astype(int) - photo).sum(2) > 0
    rows, columns = np.nonzero(changed)
    assert rows.min() >= 32 and rows.max() < 84 and columns.min() >= 52 and columns.max() < 104
    inner, before = made[42:74, 62:94].astype(float).ravel(), photo[42:74, 62:94].astype(float).ravel()
    assert np.corrcoef(inner, before)[0, 1] < 0.6


def test_a_thing_without_room_for_another_part_is_inpainted():
    photo = photograph(6, 64, 64)
    box = (10, 14, 46, 40)
    assert coverable(box, (64, 64))
    made = covered(photo, box, random())
    changed = np.abs(made.astype(int) - photo).sum(2) > 0
    assert changed[14:40, 10:46].mean() > 0.95 and not changed[46:].any()


def test_what_fills_the_photograph_cannot_be_covered():
    assert not coverable((4, 4, 60, 60), (64, 64))
    assert coverable((0, 0, 32, 32), (100, 100))
