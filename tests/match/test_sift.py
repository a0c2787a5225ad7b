import numpy as np
import pytest
from match_samples import placed, textured

from resight.features.local import LocalFeatures
from resight.match import Template
from resight.match.fine import scene_features, template_features
from resight.match.planes import project, rectangle, similarity
from resight.match.scene import Scene
from resight.match.sift import by_features, matches

FAR = 5.0  # pixels by which a corner may miss before alignment to the pixel


def misses(found, matrix, template):
    own = rectangle(template.size)
    return float(np.abs(project(found, own) - project(matrix, own)).max())


@pytest.mark.parametrize(
    "matrix",
    [
        similarity(1.0, 0.0, (0, 0), (60.5, 40.25)),
        similarity(0.7, 2.0, (50, 40), (160, 120)),
        similarity(1.6, -0.8, (50, 40), (160, 120)),
        similarity(1.1, 0.3, (50, 40), (150, 120)) @ np.array([[1, 0.15, 0], [-0.1, 1, 0], [1e-3, 5e-4, 1.0]]),
    ],
)
def test_a_moved_template_is_found_to_a_pixel(matrix):
    template = Template(textured(1, 80, 100))
    found = by_features(template, Scene(placed(template.image, textured(2), matrix)))
    assert misses(found[0].homography, matrix / matrix[2, 2], template) < 1.0
    assert found[0].inliers > 10 and found[0].score > 0.9


def test_of_three_copies_all_are_found():
    template, scene = Template(textured(3, 60, 60)), textured(4, 300, 400)
    truths = [similarity(1.0, 0.4, (30, 30), (70, 70)), similarity(1.2, -2.0, (30, 30), (300, 100)),
              similarity(0.9, 3.0, (30, 30), (180, 230))]  # fmt: skip
    for matrix in truths:
        scene = placed(template.image, scene, matrix)
    found = by_features(template, Scene(scene), most=5)[:3]
    best = [min(misses(one.homography, matrix, template) for one in found) for matrix in truths]
    assert max(best) < FAR


def test_an_absent_template_scores_low():
    assert all(one.score < 0.5 for one in by_features(Template(textured(5, 80, 80)), Scene(textured(6))))


def test_looked_at_finely_a_small_template_has_more_features_and_is_found():
    template, matrix = Template(textured(7, 30, 34)), similarity(1.0, 0.5, (17, 15), (160, 120))
    scene = Scene(placed(template.image, textured(8), matrix))
    assert len(template_features(template, 2)) > 1.5 * len(template_features(template, 1))
    assert misses(by_features(template, scene, level=2)[0].homography, matrix, template) < FAR


def test_fine_features_lie_where_the_others_do():
    image = textured(9)
    one, two = scene_features(image, 1), scene_features(image, 2)
    gaps = np.linalg.norm(one.points[:, None] - two.points[None], axis=2).min(1)
    assert np.median(gaps) < 0.3 and abs(np.median(one.points - two.points[gaps.argmin()])) < 400


def test_features_outside_the_mask_are_left_out():
    mask = np.zeros((80, 100), bool)
    mask[:, 60:] = True
    found = template_features(Template(textured(1, 80, 100), mask), 1)
    assert len(found) and (found.points[:, 0] >= 60).all()


def test_matches_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)

    def made(count):
        vectors = rng.random((count, 128)).astype(np.float32) ** 4
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return LocalFeatures(rng.random((count, 2)) * 50, np.ones(count), np.zeros(count), vectors, (50, 50))

    a, b = made(20), made(30)
    pairs, weights = matches(a, b)
    expected = {}
    for i, vector in enumerate(a.descriptors):
        distances = np.linalg.norm(b.descriptors - vector, axis=1)
        first, second = np.argsort(distances)[:2]
        if distances[first] / distances[second] < 0.92:
            expected[i, first] = 1.2 - distances[first] / distances[second]
    found = {tuple(pair): weight for pair, weight in zip(pairs.tolist(), weights, strict=True)}
    assert found == pytest.approx(expected, abs=1e-4)
    assert {tuple(pair) for pair in pairs.tolist()} <= {tuple(pair) for pair in matches(a, b, both=True)[0].tolist()}


def test_a_flat_template_or_scene_has_no_place():
    flat = np.full((60, 60, 3), 128, np.uint8)
    assert by_features(Template(flat), Scene(textured(1))) == []
    assert by_features(Template(textured(1, 60, 60)), Scene(flat)) == []
