"""Pairs as pictures, sections and tiles of a contact sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import Ranking
from resight.explain.heat import Heat
from resight.explain.pairs import Pair
from resight.search.ranking import Matches
from resight.show.alike import alike_pictures, alike_section, heat_picture, pair_picture
from resight.show.rankings import ranking_report

GREY = np.full((40, 80, 3), 100, np.uint8)


def heat(values, size=(40, 80), box=None, score=0.5):
    grid = np.array(values, np.float32)
    return Heat(grid, score, float("nan"), -1, "b", "similarity", "", size, box or (0, 0, size[1], size[0]))


def pair(a="a.jpg", b="b.jpg", score=0.75, constants=(0.0, 0.0), matches=None, other=None):
    first, second = heat([[0.5, 0.25]], score=score if other is None else other), heat([[0.75, 0.0]], score=score)
    return Pair(score, (first, second), constants, matches, (a, b))


@pytest.fixture
def ranking(tmp_path):
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(picture(number, 40, 80)).save(paths[-1])
    return Ranking(
        ids=np.arange(2), paths=tuple(paths[1:]), scores=np.array([0.75, 0.5], np.float32), labels=(None, None),
        query=paths[0], image=paths[0],
    )  # fmt: skip


def test_orange_for_blue_against_grey_for_nothing():
    image = np.full((40, 81, 3), 100, np.uint8)
    found = np.asarray(heat_picture(image, heat([[1.0, 0.0, -1.0]], size=(40, 81)))).astype(int)
    assert found.shape == (40, 81, 3)
    np.testing.assert_array_equal(found[20, 40], [100, 100, 100])
    np.testing.assert_array_equal(found[20, 0], np.rint(0.25 * 100 + 0.75 * np.array([255, 128, 0])))
    np.testing.assert_array_equal(found[20, 80], np.rint(0.25 * 100 + 0.75 * np.array([30, 130, 230])))


def test_one_scale_for_several():
    """2 of 4 at full colour 4 is half as strong; a grid twice as fine has half the values for the same."""
    half = np.asarray(heat_picture(GREY, heat([[2.0]]), full=4)).astype(int)
    fine = np.asarray(heat_picture(GREY, heat([[1.0, 1.0]]), full=4)).astype(int)
    np.testing.assert_array_equal(half, fine)
    expected = np.rint(100 * (1 - 0.375) + 0.375 * np.array([255, 128, 0]))
    np.testing.assert_array_equal(half[20, 40], expected)


def test_outside_its_box_the_image_is_grey_and_reduced_images_keep_the_place():
    large = np.full((400, 800, 3), 100, np.uint8)
    own = heat([[1.0]], size=(400, 800), box=(0, 0, 400, 400))
    found = np.asarray(heat_picture(large, own, side=80)).astype(int)
    assert found.shape == (40, 80, 3)
    assert (found[:, 41:] == 100).all()
    assert (found[:, :39, 0] > 150).all()


def test_a_map_of_zeros_and_an_image_that_is_gone():
    assert (np.asarray(heat_picture(GREY, heat([[0.0, 0.0]]))) == 100).all()
    assert heat_picture("none.jpg", heat([[1.0]]), side=64).size == (64, 64)


def test_a_pair_has_both_images(ranking):
    image = pair_picture(pair(ranking.query, ranking.paths[0]), side=80)
    assert image.size[1] == 40
    assert image.size[0] >= 160


def test_the_section_says_what_the_maps_are(ranking):
    section = alike_section(ranking, [pair(ranking.query, ranking.paths[0]), None])
    assert [one.caption for one in section.pictures] == ["0.750"]
    assert "together are the similarity" in section.text
    for word in ("whitening", "expanded", "ordered by", "first"):
        assert word not in section.text
    assert alike_section(ranking, []) is None


def test_the_section_says_whose_files_are_lost(ranking):
    one = alike_section(ranking, [pair(ranking.query, ranking.paths[0]), None])
    assert "The file of result 2 cannot be read" in one.text
    both = alike_section(ranking, [None, None])
    assert both.text.startswith("The files of results 1, 2 cannot be read")
    assert both.pictures == ()
    assert "Where they are alike" in ranking_report([ranking], "", [[None, None]])


def test_the_section_says_what_they_are_not(ranking):
    first = pair(ranking.query, ranking.paths[0], score=0.6, constants=(0.1, -0.2), other=0.4)
    section = alike_section(ranking, [first])
    for word in ("whitening takes away", "was expanded", "not what these results are ordered by", "first 1 of 2"):
        assert word in section.text
    (shown,) = section.pictures
    assert (shown.caption, shown.note) == ("0.600 (in no place: left +0.100, right -0.200)", "1  1.png")
    assert "all together are the similarity" not in section.text
    assert "the part behind the score that lies in no place" in section.text


def test_on_a_page_and_on_a_sheet_no_constant_is_cut(ranking, tmp_path):
    long = str(tmp_path / f"{'n' * 80}.png")
    Image.fromarray(picture(1, 40, 80)).save(long)
    lengthy = replace(ranking, paths=(long, ranking.paths[1]))
    pairs = [pair(ranking.query, long, constants=(0.1, -0.2))]
    assert "0.750 (in no place: left +0.100, right -0.200)<" in ranking_report([lengthy], "", [pairs])
    assert [one.note for one in alike_pictures(lengthy, pairs)][:2] == [
        "to 1: +0.100 in no place",
        "-0.200 in no place",
    ]


def test_lines_come_beside_their_pair(ranking):
    points = np.array([[5.0, 5.0], [50.0, 30.0]])
    first = pair(ranking.query, ranking.paths[0], matches=Matches(points, points))
    second = pair(ranking.query, ranking.paths[1], score=0.5)
    section = alike_section(ranking, [first, second])
    assert [one.caption for one in section.pictures] == ["0.750, colours 100 %", "2 points agree",
                                                         "0.500, colours 100 %"]  # fmt: skip
    tiles = alike_pictures(ranking, [first, second])
    assert [one.caption for one in tiles] == [
        "query", "0.750, colours 100 %", "2 points agree", "query", "0.500, colours 100 %", "2: 0.500",
    ]  # fmt: skip
    outside = pair(ranking.query, ranking.paths[0], matches=Matches(points, points + 1000))
    assert [one.caption for one in alike_pictures(ranking, [outside])] == ["query", "0.750", "1: 0.750"]


def test_a_weak_result_has_colours_of_its_own_and_says_how_weak_they_are(ranking):
    strong = pair(ranking.query, ranking.paths[0])
    small = tuple(replace(one, map=one.map / 10) for one in strong.heats)
    weak = Pair(0.075, small, (0.0, 0.0), None, (ranking.query, ranking.paths[0]))
    section = alike_section(ranking, [strong, weak])
    assert [one.caption for one in section.pictures] == ["0.750, colours 100 %", "0.075, colours 10 %"]
    first, second = (np.asarray(one.image).astype(int) for one in section.pictures)
    np.testing.assert_allclose(first, second, atol=1)  # as bright, although a tenth
    assert "the percentage says how strong its strongest place is beside the strongest of all" in section.text
    tiles = alike_pictures(ranking, [strong, weak])
    assert [one.caption for one in tiles][1::3] == ["0.750, colours 100 %", "0.075, colours 10 %"]
    first, second = (np.asarray(tiles[place].image).astype(int) for place in (0, 3))
    np.testing.assert_allclose(first, second, atol=1)


def test_a_result_alone_or_of_nothing_has_no_percentage(ranking):
    nothing = Pair(0.0, (heat([[0.0]]), heat([[0.0]])), (0.0, 0.0), None, (ranking.query, ranking.paths[0]))
    for pairs in ([pair(ranking.query, ranking.paths[0])], [nothing, nothing]):
        assert all("colours" not in one.caption for one in alike_section(ranking, pairs).pictures)
    assert "own scale" not in alike_section(ranking, [nothing, None]).text


def test_a_result_without_its_file_keeps_its_three_tiles(ranking):
    tiles = alike_pictures(ranking, [None, pair(ranking.query, ranking.paths[1])])
    assert len(tiles) == 6
    assert tiles[0].image is None
    assert tiles[1].image is None


def test_the_page_has_the_pairs_instead_of_the_plain_lines(ranking):
    plain = ranking_report([ranking])
    page = ranking_report([ranking], "", [[pair(ranking.query, path) for path in ranking.paths]])
    assert "Where they are alike" in page
    assert "Where they are alike" not in plain
    assert page.count("<img") == plain.count("<img") + 2
