import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.align import align
from resight.match.planes import project, rectangle, similarity
from resight.match.verify import agreement, grey


def off(a, b, size):
    return float(np.abs(project(a, rectangle(size)) - project(b, rectangle(size))).max())


@pytest.mark.parametrize(
    "truth",
    [
        similarity(1.0, 0.0, (0, 0), (100.3, 80.6)),
        similarity(0.8, 1.2, (45, 40), (160, 120)),
        similarity(1.4, -0.5, (45, 40), (160, 120)) @ np.array([[1, 0, 0], [0.05, 1, 0], [8e-4, 0, 1.0]]),
    ],
)
def test_a_place_some_pixels_off_is_moved_to_where_it_is(truth):
    template = Template(textured(0, 80, 90))
    scene = grey(placed(template.image, textured(1), truth))
    start = similarity(1.03, 0.04, (0, 0), (2.5, -2)) @ truth
    found = align(template, scene, start)
    assert off(start, truth, template.size) > 3
    assert off(found, truth / truth[2, 2], template.size) < 1.2


def test_where_the_template_is_not_nothing_runs_away():
    template, start = Template(textured(2, 80, 90)), similarity(1.0, 0.0, (0, 0), (100, 80))
    found = align(template, grey(textured(3)), start)
    assert found is None or off(found, start, template.size) < 0.3 * 90


def test_a_tiny_template_is_not_aligned():
    assert align(Template(textured(4, 8, 8)), grey(textured(4)), np.eye(3)) is None


def test_what_lies_in_front_has_no_say():
    template, truth = Template(textured(5, 80, 90)), similarity(1.1, 0.3, (45, 40), (160, 120))
    hidden = template.image.copy()
    hidden[:, :36] = np.roll(template.image, 3, 1)[:, :36]  # two of five columns of blocks, 3 pixels aside
    hidden[:, :18] = textured(6, 80, 18)
    scene = grey(placed(hidden, textured(7), truth))
    start = similarity(1.0, 0.0, (0, 0), (1.0, -0.5)) @ truth
    blocks = agreement(template, scene, truth).blocks
    blocks[:, :2] = 0.0
    plain, masked = align(template, scene, start), align(template, scene, start, blocks)
    assert off(masked, truth, template.size) < 1.0
    assert off(masked, truth, template.size) < off(plain, truth, template.size)


def test_where_few_blocks_agree_all_have_a_say():
    template, truth = Template(textured(0, 80, 90)), similarity(0.8, 1.2, (45, 40), (160, 120))
    scene = grey(placed(template.image, textured(1), truth))
    blocks = np.zeros((5, 5))
    blocks[0, :5] = 0.9
    assert np.array_equal(align(template, scene, truth, blocks), align(template, scene, truth))
