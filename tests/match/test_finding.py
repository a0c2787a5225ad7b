from dataclasses import replace

import numpy as np
import pytest
from match_samples import placed, textured
from PIL import Image

import resight
from resight.errors import ImageError, InputError
from resight.match import Finder, Match, Template, match_all
from resight.match.evidence import gather
from resight.match.planes import believable, project, rectangle, similarity
from resight.match.scene import Scene


def near(match, matrix, pixels=2.0):
    own = rectangle(match.template_size)
    return np.abs(project(match.homography, own) - project(matrix, own)).max() < pixels


def test_the_package_is_the_function(tmp_path):
    scene = textured(0)
    Image.fromarray(scene).save(tmp_path / "scene.png")
    Image.fromarray(scene[50:130, 60:180]).save(tmp_path / "thing.png")
    found = resight.match(tmp_path / "thing.png", tmp_path / "scene.png")
    assert isinstance(found, Match) and found.found and found.box == (60, 50, 180, 130)
    assert found.method == "correlate" and "correlation" in found.evidence


@pytest.mark.parametrize("method", ["auto", "sift", "correlate"])
def test_every_method_finds_a_turned_template_and_tells_that_another_is_absent(method):
    template, matrix = textured(1, 80, 100), similarity(0.9, 0.7, (50, 40), (160, 120))
    finder = Finder(template, method=method)
    found = finder.find(placed(template, textured(2), matrix))
    assert found.found and near(found, matrix)
    absent = finder.find(textured(3))
    assert not absent.found and absent.score < 0.5


def test_one_template_is_prepared_once_for_many_scenes():
    finder = Finder(Template(textured(4, 60, 80)), method="sift")
    finder.find(textured(5))
    kept = finder.template.kept("features 1", lambda: None)
    finder.find(textured(6))
    assert kept is not None and finder.template.kept("features 1", lambda: None) is kept


def test_all_of_several_are_found_without_doubles():
    template, scene = textured(7, 50, 60), textured(8, 300, 400)
    truths = [similarity(1.0, 0.0, (30, 25), (80, 60)), similarity(1.0, 1.5, (30, 25), (300, 90)),
              similarity(1.3, -0.6, (30, 25), (200, 220))]  # fmt: skip
    for matrix in truths:
        scene = placed(template, scene, matrix)
    found = match_all(template, scene)
    assert len(found) == 3 and all(any(near(one, matrix, 4) for one in found) for matrix in truths)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(match_all(template, scene, most=1)) == 1


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [
        ((0.95, 0.6, 0.4), None, 2),  # there for sure: an even chance is enough for the others
        ((0.85, 0.6, 0.4), None, 1),
        ((0.7, 0.6, 0.4), None, 0),
        ((0.95, 0.6, 0.4), 0.75, 1),
        ((0.95, 0.6, 0.4), 0.3, 3),
    ],
)
def test_what_is_surely_there_counts_as_there_again_from_an_even_chance_on(monkeypatch, scores, threshold, expected):
    template, scene = Template(textured(7, 50, 60)), textured(8)
    place = gather(template, Scene(scene), np.eye(3), "sift", 1)
    monkeypatch.setattr(Finder, "_searched", lambda *_: [replace(place, score=score) for score in scores])
    found = Finder(template, threshold=threshold).find_all(scene)
    assert [one.score for one in found] == list(scores[:expected]) and all(one.found for one in found)


def test_the_threshold_decides_and_nothing_else():
    template, scene = textured(9, 60, 60), textured(10)
    weak = Finder(template).find(scene)
    strict, lax = Finder(template, threshold=1.0), Finder(template, threshold=0.0)
    assert not strict.find(scene).found
    assert lax.find(scene).found == (weak.homography is not None)
    assert lax.find(scene).score == weak.score


@pytest.mark.parametrize("side", [4, 8, 12])
def test_a_tiny_copy_is_found(side):
    scene = textured(11)
    found = resight.match(scene[100 : 100 + side, 200 : 200 + side], scene)
    assert found.box == (200, 100, 200 + side, 100 + side)
    assert found.found or side < 8


def test_flat_large_grey_and_transparent_templates():
    scene = textured(12, 120, 160)
    assert not resight.match(np.full((30, 30, 3), 77, np.uint8), scene).found
    assert not resight.match(scene[:60, :60], np.full((120, 160, 3), 77, np.uint8)).found
    larger = resight.match(textured(12, 240, 320), textured(13, 60, 80))
    assert not larger.found
    grey = resight.match(scene[20:80, 30:110].mean(2).astype(np.uint8), scene)
    assert grey.found and np.allclose(grey.box, (30, 20, 110, 80), atol=1)
    cut = np.dstack([scene[20:80, 30:110], np.full((60, 80), 255, np.uint8)])
    cut[:, :30] = (255, 0, 0, 0)
    seen = Finder(Template.read(cut)).find(scene)
    assert seen.found and np.allclose(seen.box, (30, 20, 110, 80), atol=2)


def test_a_scene_larger_than_its_template_by_far_and_a_template_larger_than_its_copy():
    template, matrix = textured(14, 300, 300), similarity(0.35, 0.2, (150, 150), (160, 120))
    found = resight.match(template, placed(template, textured(15), matrix))
    assert found.found and near(found, matrix, 3)


def test_no_place_is_degenerate_whatever_the_pictures():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene = np.tile(rng.integers(0, 255, (16, 16, 3), np.uint8), (12, 14, 1))  # repeats match everywhere
        for one in match_all(scene[3:50, 5:60], scene, threshold=0.0):
            assert believable(one.homography, one.template_size)


def test_the_same_question_has_the_same_answer():
    template = textured(16, 50, 50)
    scene = placed(template, textured(17), similarity(1.2, 1, (25, 25), (90, 90)))
    one, two = (Finder(template).find(scene) for _ in range(2))
    assert one.score == two.score and (one.homography == two.homography).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "siff"}, "did you mean 'sift'"),
        ({"threshold": 1.5}, "threshold from 0 to 1"),
        ({"method": "mask"}, "train locate"),
        ({"model": "run"}, "method mask"),
    ],
)
def test_wrong_options_are_told_before_a_scene_is_read(options, message):
    with pytest.raises(InputError, match=message):
        Finder(textured(0), **options)


def test_a_scene_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        resight.match(textured(0), tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="whole number from 1"):
        match_all(textured(0, 20, 20), textured(1), most=0)


def test_all_copies_of_a_plain_template_are_found_in_their_own_size():
    rows, columns = np.mgrid[:40, :40]
    bump = 40 + 180 * np.exp(-((rows - 19.5) ** 2 + (columns - 19.5) ** 2) / 120)
    template = np.repeat(bump[:, :, None], 3, 2).astype(np.uint8)
    scene = np.full((240, 360, 3), 40, np.uint8)
    places = [(60, 52), (180, 182), (310, 72)]
    for x, y in places:
        scene[y : y + 40, x : x + 40] = template
    noise = np.random.default_rng(0).normal(0, 2, scene.shape)
    found = match_all(template, np.clip(scene + noise, 0, 255).astype(np.uint8))
    assert sorted(tuple(one.corners[0].round().astype(int)) for one in found) == sorted(places)
    assert all(np.allclose(one.homography[:2, :2], np.eye(2)) for one in found)
