import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.evidence import MANY, better, gather, overlap
from resight.match.fine import template_features
from resight.match.planes import project, rectangle, similarity
from resight.match.scene import Scene

PLACE = similarity(1.1, 0.4, (50, 40), (160, 120))


@pytest.fixture(scope="module")
def template():
    return Template(textured(1, 80, 100))


@pytest.fixture(scope="module")
def scene(template):
    return Scene(placed(template.image, textured(2), PLACE))


def shifted(x, y):
    return similarity(1, 0, (0, 0), (x, y))


@pytest.mark.parametrize(("x", "y", "expected"), [(0, 0, 1.0), (5, 0, 1 / 3), (5, 10, 1 / 7), (20, 0, 0.0)])
def test_the_overlap_of_shifted_rectangles_is_that_of_their_areas(x, y, expected):
    assert overlap(np.eye(3), shifted(x, y), (20, 10)) == pytest.approx(expected, abs=1e-6)


def test_inliers_are_the_features_with_a_counterpart_within_three_pixels(template, scene):
    own, there = template_features(template, 1), scene.features(1)
    found = gather(template, scene, PLACE, "sift", 1)
    count = 0
    for place, vector in zip(project(PLACE, own.points), own.descriptors, strict=True):
        close = np.linalg.norm(there.points - place, axis=1) <= 3
        count += bool((there.descriptors[close] @ vector > 0.72).any())
    assert found.features == len(own)
    assert 0.5 * count <= found.inliers <= count  # a counterpart counts once, as does a point with two angles


def test_a_place_that_is_right_has_everything_for_it_and_a_wrong_one_nothing(template, scene):
    right, wrong = (gather(template, scene, one, "sift", 1) for one in (PLACE, shifted(10, 10)))
    assert right.score > 0.95 and right.agreement.full > 0.9 and right.colour > 0.6
    assert wrong.score < 0.05 and wrong.agreement.full < 0.3


def test_where_features_are_not_looked_at_there_are_none(template, scene):
    found = gather(template, scene, PLACE, "correlate", None)
    assert found.inliers == 0 and found.features is None and found.as_dict()["features"] == 0


def test_alignment_never_makes_a_place_less_convincing(template, scene):
    for x, y in ((0, 0), (2, -1), (4, 3), (60, 0)):
        before = gather(template, scene, shifted(x, y) @ PLACE, "sift", 1)
        after = better(template, scene, before, 1)
        assert after.score >= before.score
    near = better(template, scene, gather(template, scene, shifted(2, -1) @ PLACE, "sift", 1), 1)
    corners = rectangle(template.size)
    assert np.abs(project(near.homography, corners) - project(PLACE, corners)).max() < 1.0


def test_of_a_place_with_many_inliers_what_lies_outside_the_scene_is_not_missed():
    large = Template(textured(3, 160, 200))
    half = Scene(np.ascontiguousarray(placed(large.image, textured(2), shifted(220, 40))))  # the scene ends at 320
    found, own = gather(large, half, shifted(220, 40), "sift", 1), template_features(large, 1)
    assert found.inliers >= MANY and found.agreement.seen == pytest.approx(0.5, abs=0.02)
    assert found.agreement.known == pytest.approx(1.0)
    assert found.features == int((own.points[:, 0] <= 100).sum()) < len(own)


def test_of_a_place_with_few_inliers_all_counts(template):
    half = Scene(np.ascontiguousarray(placed(template.image, textured(2), shifted(270, 100))))
    found, own = gather(template, half, shifted(270, 100), "sift", 1), template_features(template, 1)
    assert 0 < found.inliers < MANY and found.features == len(own)
    assert found.agreement.known < 0.7


def test_a_large_template_is_placed_by_its_features():
    large, place = Template(textured(3, 300, 400)), similarity(1.2, 0.2, (200, 150), (330, 260))
    scene = Scene(placed(large.image, textured(2, 520, 640), place))
    first = gather(large, scene, shifted(1.5, -1) @ place, "sift", 1)
    after = better(large, scene, first, 1)
    corners = rectangle(large.size)
    assert first.inliers >= MANY and after.inliers >= first.inliers
    assert np.abs(project(after.homography, corners) - project(place, corners)).max() < 0.7
