import numpy as np
from match_samples import placed, textured

from resight.match import Template
from resight.match.closely import look_closely
from resight.match.evidence import gather
from resight.match.planes import project, rectangle, similarity
from resight.match.scene import Scene


def test_a_place_that_is_nearly_right_is_put_right():
    template, matrix = Template(textured(1, 60, 70)), similarity(1.1, 0.7, (35, 30), (160, 120))
    scene = Scene(placed(template.image, textured(2), matrix))
    near = gather(template, scene, similarity(1.2, 0.6, (35, 30), (164, 117)), "sift", 1)
    found = look_closely(template, scene, near, 2)
    own = rectangle(template.size)
    assert np.abs(project(found.homography, own) - project(matrix, own)).max() < 1.5
    assert found.score > near.score and found.inliers > near.inliers and found.method == "sift"


def test_a_place_without_ground_or_features_stays():
    template, scene = Template(textured(1, 60, 70)), Scene(textured(2))
    outside = gather(template, scene, similarity(1, 0, (0, 0), (-500, -500)), "sift", 1)
    assert look_closely(template, scene, outside, 2) is outside
    flat = Scene(np.full((200, 200, 3), 90, np.uint8))
    place = gather(template, flat, similarity(1, 0, (0, 0), (60, 60)), "sift", 1)
    found = look_closely(template, flat, place, 2)
    assert np.allclose(found.homography, place.homography) and found.inliers == 0
