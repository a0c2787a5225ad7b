import numpy as np
import pytest

from resight.features.local import LocalFeatures
from resight.match import voting
from resight.match.planes import project, similarity
from resight.match.voting import candidates, vote

SIZE = (100, 160)


def features(points, scales, angles, size):
    count = len(points)
    descriptors = np.zeros((count, 128), np.float32)
    descriptors[:, 0] = 1
    return LocalFeatures(points, scales, angles, descriptors, size)


def seen(own, scale, turn, centre, size=(480, 640)):
    """The features of the template as a similarity moves them."""
    matrix = similarity(scale, turn, (SIZE[1] / 2, SIZE[0] / 2), centre)
    return features(project(matrix, own.points), own.scales * scale, (own.angles + np.rad2deg(turn)) % 360, size)


@pytest.fixture
def own():
    rng = np.random.default_rng(0)
    return features(rng.uniform((0, 0), (160, 100), (40, 2)), rng.uniform(1, 8, 40), rng.uniform(0, 360, 40), SIZE)


def test_each_match_says_the_whole_pose(own):
    other = seen(own, 1.7, 2.8, (300, 200))
    found = vote(own, other, np.stack([np.arange(40)] * 2, 1), np.ones(40))
    assert np.allclose(2**found.octaves, 1.7, rtol=1e-4)
    assert np.allclose(np.cos(found.turns - 2.8), 1, atol=1e-5)
    assert np.allclose(found.centres, (300, 200), atol=1e-2)


def test_two_places_among_chance_matches_are_the_first_two_candidates(own):
    rng = np.random.default_rng(1)
    first, second = seen(own, 0.6, -2.0, (150, 300)), seen(own, 1.4, 0.5, (450, 150))
    noise = features(
        rng.uniform((0, 0), (640, 480), (60, 2)), rng.uniform(1, 8, 60), rng.uniform(0, 360, 60), (480, 640)
    )
    scene = features(*(np.concatenate([getattr(one, name) for one in (first, second, noise)])
                       for name in ("points", "scales", "angles")), (480, 640))  # fmt: skip
    pairs = np.stack([np.concatenate([np.arange(40)[:30], np.arange(40)[:20], rng.integers(0, 40, 60)]),
                      np.concatenate([np.arange(30), 40 + np.arange(20), 80 + np.arange(60)])], 1)  # fmt: skip
    found = candidates(vote(own, scene, pairs, np.full(110, 0.5)), SIZE, 4)
    assert [round(one.support) for one in found[:2]] >= [14, 9]
    assert np.allclose(found[0].centre, (150, 300), atol=15) and found[0].scale == pytest.approx(0.6, rel=0.1)
    assert np.allclose(found[1].centre, (450, 150), atol=25) and found[1].turn == pytest.approx(0.5, abs=0.15)
    members = np.concatenate([one.members for one in found])
    assert len(members) == len(set(members.tolist()))


def test_angles_agree_across_half_a_turn(own):
    """Turns of 179 and -179 degrees are two degrees apart."""
    one, two = seen(own, 1.0, np.deg2rad(179), (200, 200)), seen(own, 1.0, np.deg2rad(-179), (200, 200))
    scene = features(np.concatenate([one.points[:20], two.points[20:]]), own.scales,
                     np.concatenate([one.angles[:20], two.angles[20:]]), (480, 640))  # fmt: skip
    (best, *_) = candidates(vote(own, scene, np.stack([np.arange(40)] * 2, 1), np.ones(40)), SIZE, 1)
    assert len(best.members) == 40 and abs(abs(best.turn) - np.pi) < 0.05


def test_only_the_weightiest_matches_vote(own, monkeypatch):
    monkeypatch.setattr(voting, "MOST", 5)
    found = vote(own, seen(own, 1, 0, (80, 50)), np.stack([np.arange(40)] * 2, 1), np.arange(40.0))
    assert found.pairs[:, 0].tolist() == [35, 36, 37, 38, 39]


def test_without_matches_there_are_no_candidates(own):
    assert candidates(vote(own, own, np.empty((0, 2), np.int64), np.empty(0)), SIZE, 3) == []
