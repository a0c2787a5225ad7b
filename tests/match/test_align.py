import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.align import align
from resight.match.planes import project, rectangle, similarity
from resight.match.verify import grey


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
