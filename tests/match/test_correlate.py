import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.correlate import by_correlation, by_pyramid, peaks
from resight.match.planes import project, rectangle, similarity
from resight.match.pyramid import search_pyramid
from resight.match.scene import Scene


@pytest.mark.parametrize("box", [(0, 0, 40, 50), (33, 71, 133, 130), (290, 210, 320, 240), (17, 5, 25, 13)])
def test_a_copy_is_found_to_the_pixel(box):
    scene = textured(0)
    template = Template.read(scene, box=box)
    best = by_correlation(template, Scene(scene))[0]
    assert best.homography.tolist() == [[1, 0, box[0]], [0, 1, box[1]], [0, 0, 1]]
    assert best.agreement.full > 0.999 and best.score > 0.9


def test_a_copy_in_other_light_is_found_as_well():
    scene = textured(1)
    template = Template.read(255 - (scene // 2), box=(60, 50, 160, 130))
    template = Template((255 - template.image) // 2 + 90)
    best = by_correlation(template, Scene(scene))[0]
    assert (best.homography[0, 2], best.homography[1, 2]) == (60, 50)


@pytest.mark.parametrize(("scale", "turn"), [(1.0, 0.0), (0.6, 1.1), (1.7, -2.5)])
def test_the_pyramid_finds_what_is_turned_and_scaled(scale, turn):
    template, matrix = Template(textured(2, 40, 50)), similarity(scale, turn, (25, 20), (160, 120))
    scene = Scene(placed(template.image, textured(3), matrix))
    best = by_pyramid(template, scene)[0]
    own = rectangle(template.size)
    assert np.abs(project(best.homography, own) - project(matrix, own)).max() < 0.1 * 50 * scale


def test_the_pyramid_correlates_within_the_mask():
    """What surrounds the thing is another thing in the scene: with the mask the place is found, without it is not the
    best correlated."""
    image = textured(4, 48, 48)
    rows, columns = np.mgrid[:48, :48]
    mask = (rows - 23.5) ** 2 + (columns - 23.5) ** 2 < 20**2
    scene = textured(5)
    scene[100:148, 200:248][mask] = image[mask]
    image[~mask] = 255
    (best, *_) = search_pyramid(Template(image, mask), Scene(scene), 3)
    assert np.linalg.norm(project(best, [[24, 24]])[0] - (224, 124)) < 6


def test_peaks_keep_apart():
    values = np.zeros((10, 10))
    values[2, 3], values[2, 4], values[8, 8] = 3, 2.9, 1
    assert peaks(values, 2, (2, 2)) == [(3, 2, 3.0), (8, 8, 1.0)]
    values[2, 3] = np.nan
    assert peaks(values, 1, (2, 2)) == [(4, 2, 2.9)]


def test_nothing_is_found_in_a_scene_smaller_than_the_template_or_of_a_flat_one():
    assert by_correlation(Template(textured(6, 60, 60)), Scene(textured(7, 50, 50))) == []
    assert by_correlation(Template(np.full((20, 20, 3), 9, np.uint8)), Scene(textured(7))) == []
    assert search_pyramid(Template(np.full((20, 20, 3), 9, np.uint8)), Scene(textured(7)), 3) == []
