import numpy as np
import pytest
from match_samples import textured

from resight.match import Template
from resight.match.fine import LEVELS, LONGEST, MOST, scene_features, template_features
from resight.match.scene import Scene


@pytest.mark.parametrize("level", LEVELS)
def test_a_template_and_a_scene_that_are_the_same_have_the_same_features_within(level):
    image = textured(1, 120, 160)
    own, there = template_features(Template(image), level), scene_features(image, level)
    inner = ((there.points > 20) & (there.points < (140, 100))).all(1)
    gaps = np.linalg.norm(own.points[None] - there.points[inner][:, None], axis=2).min(1)
    assert inner.sum() > 20 and np.quantile(gaps, 0.9) < 0.1


@pytest.mark.parametrize("level", LEVELS)
def test_features_are_as_many_as_allowed_and_within_the_picture(level):
    found = template_features(Template(textured(3, 500, 500)), level)
    assert len(found) <= MOST[level][0] and found.size == (500, 500)
    assert (found.points >= 0).all() and (found.points <= 500).all()


def test_a_large_scene_is_reduced_and_its_features_keep_its_pixels():
    image = np.kron(textured(4, 300, 400), np.ones((4, 4, 1), np.uint8))  # 1,600 wide
    found = scene_features(image, 1)
    assert LONGEST[1] < 1600 and found.points[:, 0].max() > 1400 and found.size == (1200, 1600)


def test_a_scene_finds_its_features_once_for_each_level():
    scene = Scene(textured(5))
    assert scene.features(1) is scene.features(1) and scene.ground(2) is scene.ground(2)
    assert len(scene.features(2)) > len(scene.features(1))
    assert scene.grey.shape == scene.size == (240, 320)


def test_a_template_larger_than_what_scenes_are_reduced_to_is_reduced_as_well():
    image = np.kron(textured(4, 300, 400), np.ones((4, 4, 1), np.uint8))  # 1,600 wide
    own, there = template_features(Template(image), 1), scene_features(image, 1)
    assert own.points[:, 0].max() > 1400 and own.size == (1200, 1600)
    assert abs(np.median(own.scales) / np.median(there.scales) - 1) < 0.3
