"""Matches drawn into scenes: which pixels change and how, the template beside it, the panel of four."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import picture

from resight.errors import InputError
from resight.match.planes import project, similarity
from resight.match.result import Match
from resight.match.template import Template
from resight.show.found import (
    ABSENT,
    CORNER,
    FILL,
    GROUND,
    LINE,
    found_picture,
    overlay,
    panel,
    scaled,
    template_picture,
)

SCENE = picture(1, 200, 300)
TEMPLATE = picture(2, 40, 60)


def made(found=True, scale=1.5, turn=0.3, at=(150, 120), score=0.87, size=(200, 300)):
    return Match(found, score, similarity(scale, turn, (30, 20), at), "sift", size, (40, 60), 12)


def marked(rows, columns, score=0.7):
    outline = np.zeros((200, 300), bool)
    outline[rows, columns] = True
    return Match(True, score, None, "mask", (200, 300), (40, 60), outline=outline)


def changed(drawn):
    return (drawn != SCENE).any(2)


def test_half_green_inside_and_nothing_outside():
    match = made()
    before = SCENE.copy()
    drawn = overlay(SCENE, match)
    assert (before == SCENE).all()
    x, y = (int(value) for value in project(match.homography, [[30, 20]])[0])
    inner = np.s_[y - 5 : y + 5, x - 5 : x + 5]
    expected = np.round(SCENE[inner] * 0.5 + 0.5 * np.array(FILL))
    assert (drawn[inner] == expected).all()
    assert (overlay(SCENE, match, fill=False)[inner] == SCENE[inner]).all()
    # Beyond the outline and its plate nothing changes.
    x1, y1, x2, y2 = (round(value) for value in match.box)
    outside = changed(drawn)
    outside[max(0, y1 - 30) : y2 + 6, max(0, x1 - 6) : x2 + 6] = False
    assert not outside.any()


def test_the_outline_lies_on_the_edges_and_the_dot_on_the_first_corner():
    match = made(turn=-2.0)
    drawn = overlay(SCENE, match, fill=False)
    for a, b in zip(match.corners, np.roll(match.corners, -1, 0), strict=True):
        x, y = ((a + b) / 2).astype(int)
        near = drawn[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
        assert np.abs(near - np.array(LINE)).sum(1).min() < 40
    for number, (x, y) in enumerate(match.corners.astype(int)):
        yellow = (drawn[y, x] == CORNER).all()
        assert yellow == (number == 0)


def test_a_match_without_corners_is_outlined_by_its_mask():
    match = marked(slice(100, 140), slice(50, 120))
    drawn = overlay(SCENE, match)
    assert (drawn[120, 80] == np.round(SCENE[120, 80] * 0.5 + 0.5 * np.array(FILL))).all()
    assert np.abs(drawn[100, 50:120].astype(int) - np.array(LINE)).sum(1).max() < 90
    assert not (drawn == CORNER).all(2).any()


def test_what_is_absent_is_only_said():
    drawn = overlay(SCENE, made(found=False, score=0.02))
    plate = (drawn == ABSENT).all(2)
    rows, columns = np.nonzero(changed(drawn))
    assert plate[0, 0] and rows.max() < 30 and columns.max() < 100
    assert (overlay(SCENE, []) == ABSENT).all(2)[0, 0]


def test_several_and_those_that_reach_beyond_the_scene():
    drawn = overlay(SCENE, [made(at=(0, 0)), made(at=(290, 190), score=0.5)])
    assert (drawn[3, 3] != SCENE[3, 3]).any() and (drawn[195, 295] != SCENE[195, 295]).any()
    far = replace(made(), homography=np.diag([1e7, 1e7, 1.0]))
    assert overlay(SCENE, far).shape == SCENE.shape


def test_a_match_of_another_scene_is_refused():
    with pytest.raises(InputError, match=r"expected matches in a scene of \(H, W\) = \(200, 300\), got \(20, 30\)"):
        overlay(SCENE, made(size=(20, 30)))


def test_scaled():
    match = made()
    half = scaled(match, (100, 150))
    assert half.corners == pytest.approx(match.corners / 2) and half.scene_size == (100, 150)
    assert scaled(match, SCENE.shape) is match
    mask = scaled(marked(slice(100, 140), slice(50, 120)), (100, 150)).mask
    assert mask.shape == (100, 150) and mask[50:70, 25:60].all() and mask.sum() == 20 * 35


def test_the_template_beside_the_scene():
    page = found_picture(SCENE, made(), TEMPLATE)
    gap = page.shape[1] - 300 - 60
    assert page.shape[0] == 200 and gap >= 8
    assert (page[:40, :60] == TEMPLATE).all() and (page[40:, :60] == GROUND).all()
    assert (page[:, 60 + gap :] == overlay(SCENE, made())).all()
    small = found_picture(SCENE, made(), picture(3, 400, 400), side=150)
    assert small.shape == (100, 75 + 8 + 150, 3)  # the scene reduced, the template to half its width


def test_the_panel():
    match = made()
    cells = panel(SCENE, match, TEMPLATE)
    assert cells.shape == (400, 600, 3)
    assert (cells[:200, :300] == SCENE).all()
    middle = cells[:200, 300:]
    assert (middle[80:120, 120:180] == TEMPLATE).all() and middle.sum() == TEMPLATE.sum()
    assert (cells[200:, :300] == match.mask[:, :, None] * 255).all()
    assert (cells[200:, 300:] == overlay(SCENE, match)).all()
    assert not panel(SCENE, made(found=False), TEMPLATE)[200:, :300].any()
    assert panel(SCENE, match, picture(3, 500, 100), cell=150).shape == (200, 300, 3)


def test_what_does_not_belong_to_a_template_is_white():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    shown = template_picture(Template(TEMPLATE, mask))
    assert (shown[mask] == TEMPLATE[mask]).all() and (shown[~mask] == 255).all()
    assert (template_picture(Template(TEMPLATE)) == TEMPLATE).all()
