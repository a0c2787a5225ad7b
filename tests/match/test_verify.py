import numpy as np
import pytest
from match_samples import placed, textured

from resight.match import Template
from resight.match.planes import similarity
from resight.match.verify import agreement, correlation, face, grey, look


def test_a_copy_agrees_in_every_block():
    scene = textured(0)
    found = agreement(Template(scene[50:150, 80:200]), grey(scene), similarity(1.0, 0.0, (0, 0), (80, 50)))
    assert found.full > 0.99 and found.median > 0.99 and found.share == 1 and found.seen == 1


def test_the_blocks_are_plain_correlations():
    """As numpy computes them of the same pixels, one by one."""
    template, scene = Template(textured(1, 90, 90)), grey(textured(2))
    matrix = similarity(1.3, 0.4, (45, 45), (150, 110))
    found, own = agreement(template, scene, matrix), face(template)
    seen, inside = look(own, scene, matrix)
    for i in range(5):
        for j in range(5):
            part = np.s_[18 * i : 18 * i + 18, 18 * j : 18 * j + 18]
            assert inside[part].all()
            expected = np.corrcoef(own.grey[part].ravel(), seen[part].ravel())[0, 1]
            assert found.blocks[i, j] == pytest.approx(expected, abs=1e-6)


def test_what_is_covered_disagrees_and_the_rest_does_not_notice():
    scene = textured(3)
    template = Template(scene[40:140, 60:160])
    scene[40:140, 60:100] = textured(4)[40:140, 60:100]  # the left 40 %
    blocks = agreement(template, grey(scene), similarity(1.0, 0.0, (0, 0), (60, 40))).blocks
    assert (blocks[:, 3:] > 0.99).all() and (blocks[:, 2] > 0.9).all() and np.abs(blocks[:, :2]).max() < 0.9


def test_what_lies_outside_the_scene_is_not_compared():
    scene = textured(5)
    whole = np.pad(scene, ((0, 0), (50, 0), (0, 0)), mode="edge")
    found = agreement(Template(whole[40:140, :100]), grey(scene), similarity(1.0, 0.0, (0, 0), (-50, 40)))
    assert found.seen == pytest.approx(0.5, abs=0.02)
    assert np.isnan(found.blocks[:, :2]).all() and (found.blocks[:, 3:] > 0.99).all()


def test_masked_pixels_are_not_compared():
    scene = textured(6)
    mask = np.ones((100, 100), bool)
    mask[:, :60] = False
    image = scene[40:140, 60:160].copy()
    image[:, :60] = 255 - image[:, :60]
    matrix = similarity(1.0, 0.0, (0, 0), (60, 40))
    assert agreement(Template(image, mask), grey(scene), matrix).full > 0.99
    assert agreement(Template(image), grey(scene), matrix).full < 0.2


def test_a_larger_copy_is_averaged_before_it_is_compared():
    template = Template(textured(7, 60, 60))
    matrix = similarity(3.0, 0.3, (30, 30), (160, 120))
    scene = placed(template.image, textured(8), matrix)
    assert agreement(template, grey(scene), matrix).full > 0.97


def test_flat_templates_correlate_with_nothing():
    flat = np.full((50, 50), 90, np.float32)
    every = np.ones((50, 50), bool)
    assert np.isnan(correlation(flat, textured(9)[:50, :50, 0].astype(np.float32), every))
    assert correlation(textured(9)[:50, :50, 0].astype(np.float32), flat, every) == 0
    found = agreement(Template(np.full((50, 50, 3), 90, np.uint8)), grey(textured(9)), np.eye(3))
    assert (found.full, found.median, found.share) == (0, 0, 0)


def test_of_a_scene_that_cuts_the_template_the_blocks_outside_are_not_missed():
    template, scene = Template(textured(6, 100, 100)), textured(7, 100, 120)
    scene[:, 60:] = template.image[:, :60]
    place = similarity(1.0, 0.0, (0, 0), (60, 0))
    missed, cut = (agreement(template, grey(scene), place, cut=one) for one in (False, True))
    assert missed.known == pytest.approx(0.6) and cut.known == 1
    corner = agreement(template, grey(scene), similarity(1.0, 0.0, (0, 0), (100, 80)), cut=True)
    assert corner.known < 0.5  # of a corner alone not much is concluded
