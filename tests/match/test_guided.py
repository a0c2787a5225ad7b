import numpy as np
import pytest

from resight.features.local import LocalFeatures
from resight.match.guided import make_ground, near, polish, refine
from resight.match.planes import project, rectangle, similarity
from resight.match.voting import Candidate

SIZE = (100, 160)


def features(points, descriptors, scales=None, size=SIZE):
    count = len(points)
    return LocalFeatures(points, np.full(count, 2.0) if scales is None else scales, np.zeros(count), descriptors, size)


@pytest.fixture
def own():
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.standard_normal((60, 128)))
    vectors *= rng.random((60, 128)) < 0.2
    return features(rng.uniform((0, 0), (160, 100), (60, 2)), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def moved(own, matrix, noise=0.0):
    rng = np.random.default_rng(1)
    places = project(matrix, own.points) + noise * rng.standard_normal((len(own), 2))
    grown = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    return features(places, own.descriptors, own.scales * grown, (480, 640))


@pytest.mark.parametrize(
    "matrix",
    [
        similarity(1.2, 0.8, (80, 50), (300, 200)),
        similarity(1.0, 0.2, (80, 50), (300, 200)) @ np.array([[1, 0.1, 0], [0, 0.9, 0], [0, 0, 1.0]]),
        similarity(1.0, 0.0, (80, 50), (300, 200)) @ np.array([[1, 0, 0], [0, 1, 0], [4e-4, -3e-4, 1.0]]),
    ],
)
def test_a_rough_pose_is_refined_to_the_exact_one(own, matrix):
    ground = make_ground(moved(own, matrix))
    centre = project(matrix, [[80, 50]])[0]
    scale, turn = np.hypot(*matrix[:2, 0]), np.arctan2(*matrix[1::-1, 0])
    rough = Candidate(float(scale) * 1.05, float(turn) + 0.05, centre + 2, 5.0, np.arange(5))
    found = refine(own, ground, rough)
    assert np.abs(project(found, rectangle(SIZE)) - project(matrix, rectangle(SIZE))).max() < 0.5


def test_two_matches_determine_a_similarity_and_none_nothing(own):
    matrix = similarity(0.8, -1.0, (80, 50), (200, 300))
    two = LocalFeatures(*(getattr(own, name)[:2] for name in ("points", "scales", "angles", "descriptors")), SIZE)
    start = Candidate(0.8, -1.0, np.array([200.0, 300.0]), 1.0, np.arange(2))
    found = refine(two, make_ground(moved(two, matrix)), start)
    assert np.abs(found - matrix).max() < 1e-3
    far = Candidate(0.8, -1.0, np.array([500.0, 100.0]), 1.0, np.arange(2))
    assert refine(two, make_ground(moved(two, matrix)), far) is None


def test_near_takes_the_most_alike_within_the_radius_and_no_other_scale(own):
    matrix = similarity(1.0, 0.0, (0, 0), (100, 100))
    scene = moved(own, matrix)
    shift = np.zeros((60, 2), np.float32)
    shift[0], shift[1] = (30, 0), (2, 0)  # too far; near enough
    scales = scene.scales.copy()
    scales[2] *= 4
    ground = make_ground(features(scene.points + shift, scene.descriptors, scales, (480, 640)))
    pairs = {tuple(pair) for pair in near(own, ground, matrix, 0.05).tolist()}
    assert pairs == {(i, i) for i in range(60)} - {(0, 0), (2, 2)}


def test_from_many_features_a_place_is_polished(own):
    matrix = similarity(1.2, 0.8, (80, 50), (300, 200)) @ np.array([[1, 0.05, 0], [0, 0.95, 0], [2e-4, 0, 1.0]])
    start = similarity(1.0, 0.0, (0, 0), (2.0, -1.5)) @ matrix
    found = polish(own, make_ground(moved(own, matrix)), start)
    assert np.abs(project(found, rectangle(SIZE)) - project(matrix, rectangle(SIZE))).max() < 0.2


def test_where_nothing_agrees_polishing_leaves_a_place_as_it_is(own):
    matrix = similarity(1.0, 0.0, (80, 50), (300, 200))
    away = similarity(1.0, 0.0, (80, 50), (100, 400))
    assert polish(own, make_ground(moved(own, matrix)), away) is away
