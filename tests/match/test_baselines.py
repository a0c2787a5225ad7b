"""The public baselines: where they must find a thing, by hand, and what they say when there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from samples import picture

from resight.errors import InputError
from resight.match.baselines import BASELINES, has_akaze, match_template, match_template_scales, sift_ransac
from resight.match.result import Match
from resight.match.template import Template

AVAILABLE = [name for name in BASELINES if name != "akaze" or has_akaze()]


def textured(seed: int, height: int = 150, width: int = 200):
    """Blocks of random grey: corners for every detector."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 5, width // 5, 3), np.uint8)
    return np.ascontiguousarray(np.repeat(np.repeat(blocks, 5, 0), 5, 1))


@pytest.mark.parametrize("name", AVAILABLE)
def test_an_exact_crop_is_found_where_it_was_cut(name):
    scene = textured(1, 300, 400)
    template = Template(scene[80:240, 110:330])
    match = BASELINES[name](template)(scene)
    assert match.found and match.method == name and match.scene_size == (300, 400) and match.template_size == (160, 220)
    assert np.abs(match.corners - [[110, 80], [330, 80], [330, 240], [110, 240]]).max() < 0.6
    inside = np.zeros((300, 400), bool)
    inside[80:240, 110:330] = True
    assert (match.mask ^ inside).sum() < 0.02 * inside.sum()


def test_plain_correlation_by_a_naive_loop():
    scene = picture(3, 24, 30)
    noise = np.random.default_rng(0).integers(-20, 21, (9, 7, 3))
    patch = np.clip(scene[8:17, 12:19].astype(int) + noise, 0, 255).astype(np.uint8)
    match = match_template(Template(patch))(scene)
    import cv2

    grey, small = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(float) for one in (scene, patch))
    peaks = {}
    for top in range(24 - 9 + 1):
        for left in range(30 - 7 + 1):
            part = grey[top : top + 9, left : left + 7]
            peaks[left, top] = np.corrcoef(part.ravel(), small.ravel())[0, 1]
    best = max(peaks, key=peaks.get)
    assert tuple(match.corners[0]) == best
    assert match.evidence["peak"] == pytest.approx(peaks[best], abs=1e-4)


def test_scales_reach_half_and_double():
    scene = textured(2, 160, 200)
    for factor in (2, 0.5):
        part = scene[40:100, 60:140]
        template = part[::2, ::2] if factor == 2 else np.repeat(np.repeat(part, 2, 0), 2, 1)
        match = match_template_scales(Template(np.ascontiguousarray(template)))(scene)
        assert match.found
        assert np.abs(match.corners - [[60, 40], [140, 40], [140, 100], [60, 100]]).max() <= 1


@pytest.mark.parametrize("name", AVAILABLE)
def test_nothing_in_a_flat_picture(name):
    template = Template(textured(1)[:60, :60])
    match = BASELINES[name](template)(np.full((90, 90, 3), 128, np.uint8))
    assert isinstance(match, Match) and not match.found and match.score < 0.5
    flat = BASELINES[name](Template(np.full((20, 20, 3), 9, np.uint8)))(textured(1))
    assert flat.found == ("matchtemplate" in name)  # OpenCV's coefficient of a single colour is 1


def test_a_template_larger_than_the_scene_is_absent():
    match = match_template(Template(textured(1)))(textured(1)[:50, :50])
    assert not match.found and match.homography is None and match.score == 0


def test_sift_has_no_sanity_test(monkeypatch):
    """What RANSAC gives is believed, a mirrored picture too, and its mask is what is warped."""
    import cv2

    mirror = np.array([[-1.0, 0, 199], [0, 1, 0], [0, 0, 1]])
    monkeypatch.setattr(cv2, "findHomography", lambda a, b, *_: (mirror, np.ones(len(a), np.uint8)))
    scene = textured(1)
    match = sift_ransac(Template(scene[:, :100].copy()))(scene)
    assert match.found and match.mask[:, 100:].all() and not match.mask[:, :100].any()
    assert match.corners.tolist() == [[200, 0], [100, 0], [100, 150], [200, 150]]


@pytest.mark.skipif(has_akaze(), reason="this OpenCV has AKAZE")
def test_akaze_is_refused_where_there_is_none():
    with pytest.raises(InputError, match="has no AKAZE"):
        BASELINES["akaze"](Template(textured(1)))
