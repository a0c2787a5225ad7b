import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.colour import ALIKE, colour_likeness
from resight.match.planes import similarity

PLACE = similarity(1.2, 0.5, (50, 40), (160, 120))


def scene_of(template, change=lambda image: image):
    return placed(change(template.image), textured(2), PLACE)


def test_its_own_colours_are_alike_and_others_are_not():
    template = Template(textured(1, 80, 100))
    own = colour_likeness(template, scene_of(template), PLACE)
    swapped = colour_likeness(template, scene_of(template, lambda image: image[:, :, ::-1].copy()), PLACE)
    assert own > 0.65 and swapped < 0.6 * own


def test_of_two_flat_colours_it_is_the_exponential_of_their_distance():
    cv2 = pytest.importorskip("cv2")
    a, b = np.full((60, 60, 3), (200, 60, 60), np.uint8), np.full((60, 60, 3), (190, 70, 90), np.uint8)
    first, second = (cv2.cvtColor(one.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0, 1:] for one in (a, b))
    expected = np.exp(-np.linalg.norm(first - second) / ALIKE)
    assert colour_likeness(Template(a), b, np.eye(3)) == pytest.approx(expected, abs=1e-4)


def test_what_covers_less_than_half_does_not_count():
    template = Template(textured(1, 80, 100))
    scene = template.image.copy()
    scene[:, :40] = (255, 0, 255)
    assert colour_likeness(template, scene, np.eye(3)) > 0.98


@pytest.mark.parametrize("grey", ["template", "scene"])
def test_a_grey_picture_has_no_colours_to_compare(grey):
    coloured = textured(1, 80, 100)
    plain = np.repeat(coloured.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    template, scene = (plain, coloured) if grey == "template" else (coloured, plain)
    assert colour_likeness(Template(template), scene, np.eye(3)) == 1.0


def test_only_the_mask_counts_and_only_what_is_seen():
    image = textured(1, 80, 100)
    mask = np.zeros((80, 100), bool)
    mask[:, 60:] = True
    scene = image.copy()
    scene[:, :50] = (0, 255, 0)
    assert colour_likeness(Template(image, mask), scene, np.eye(3)) > 0.98
    assert colour_likeness(Template(image), scene, similarity(1, 0, (0, 0), (1000, 1000))) == 1.0
