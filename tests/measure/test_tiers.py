"""Cases: the truth shows the template where it says, and each tier does what its name says."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from locating_samples import photographs

from resight.errors import InputError
from resight.images import fit, list_images, read_image
from resight.match.planes import area, project, rectangle
from resight.measure.locating_overlap import area_mask, share_within
from resight.measure.locating_pool import Pool
from resight.measure.tiers import TIERS, four_points, make_case

GEOMETRY = ("rotation", "scale", "similarity", "perspective", "occlusion")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return Pool.read(photographs(tmp_path_factory.mktemp("photos"), 6, labels=True))


def likeness(case, truth) -> float:
    """Correlation of the template's grey levels with those the scene has at their true places (bilinear by hand)."""
    height, width = case.template.shape[:2]
    x, y = np.meshgrid(np.arange(4, width - 4, 2) + 0.5, np.arange(4, height - 4, 2) + 0.5)
    there = project(truth, np.stack([x.ravel(), y.ravel()], 1)) - 0.5
    seen = ((there >= 0) & (there < np.array(case.scene.shape[1::-1]) - 1)).all(1)
    left, top = np.floor(there[seen]).astype(int).T
    u, v = there[seen].T - (left, top)
    grey = case.scene.astype(float).mean(2)
    values = (grey[top, left] * (1 - u) + grey[top, left + 1] * u) * (1 - v)
    values += (grey[top + 1, left] * (1 - u) + grey[top + 1, left + 1] * u) * v
    asked = case.template.astype(float).mean(2)[y.astype(int), x.astype(int)].ravel()[seen]
    return float(np.corrcoef(values, asked)[0, 1])


def turn_and_scale(truth):
    return math.degrees(math.atan2(truth[1, 0], truth[0, 0])), math.sqrt(np.linalg.det(truth[:2, :2]))


@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier not in ("absent", "occlusion")])
def test_the_template_is_where_the_truth_says(pool, tier):
    least = {"photometric": 0.85, "blur": 0.8, "noise": 0.7, "light": 0.7, "perspective": 0.9}.get(tier, 0.95)
    for number in range(6):
        case = make_case(pool, tier, number)
        for truth in case.truths:
            assert truth[2, 2] == 1
            assert likeness(case, truth) > least, number
            quad = project(truth, rectangle(case.template.shape[:2]))
            assert share_within(quad, case.scene.shape[:2]) >= 0.9 and area(quad) > 0


@pytest.mark.parametrize("tier", TIERS)
def test_a_case_depends_on_seed_tier_and_number_alone(pool, tier):
    one, same = make_case(pool, tier, 3, seed=1), make_case(pool, tier, 3, seed=1)
    for name in ("template", "scene"):
        assert np.array_equal(getattr(one, name), getattr(same, name))
    assert all(np.array_equal(a, b) for a, b in zip(one.truths, same.truths, strict=True))
    other = make_case(pool, tier, 3, seed=2)
    assert one.scene.shape != other.scene.shape or not np.array_equal(one.scene, other.scene)


def test_all_tiers_ask_for_the_same_things(pool):
    for number in range(3):
        cases = [make_case(pool, tier, number) for tier in TIERS]
        assert all(np.array_equal(case.template, cases[0].template) for case in cases)


def test_identity_is_a_pure_crop(pool):
    case = make_case(pool, "identity", 2)
    x, y = (int(value) for value in case.homography[:2, 2])
    height, width = case.template.shape[:2]
    assert np.array_equal(case.homography, [[1, 0, x], [0, 1, y], [0, 0, 1]])
    assert np.array_equal(case.scene[y : y + height, x : x + width], case.template)


def test_what_each_motion_is(pool):
    turns, scales = [], []
    for number in range(12):
        turn, scale = turn_and_scale(make_case(pool, "rotation", number).homography)
        assert scale == pytest.approx(1)
        turns.append(turn)
        turn, scale = turn_and_scale(make_case(pool, "scale", number).homography)
        assert turn == pytest.approx(0) and 0.3 <= scale <= 2
        scales.append(scale)
        turn, scale = turn_and_scale(make_case(pool, "occlusion", number).homography)
        assert abs(turn) <= 20 and 0.75 <= scale <= 1.25
        assert np.abs(make_case(pool, "similarity", number).homography[2, :2]).max() == 0
        assert np.abs(make_case(pool, "perspective", number).homography[2, :2]).max() > 1e-5
    assert min(turns) < -60 and max(turns) > 60 and min(scales) < 0.7 and max(scales) > 1.4


def test_occlusion_hides_part_of_it(pool):
    """Against the same case seen through a lens that covers nothing: 30-50 % of the area differ."""
    for number in range(4):
        case = make_case(pool, "occlusion", number)
        inside = area_mask(case.homography, case.template.shape[:2], case.scene.shape[:2])
        place = project(np.linalg.inv(case.homography), np.argwhere(inside)[:, ::-1] + 0.5).astype(int)
        height, width = case.template.shape[:2]
        x, y = np.clip(place, 0, (width - 1, height - 1)).T
        differs = np.abs(case.scene[inside].astype(int) - case.template[y, x]).max(1) > 40
        assert 0.15 < differs.mean() < 0.75
        assert likeness(case, case.homography) < 0.95


def test_absent_templates_come_from_elsewhere(pool):
    kinds = {number: make_case(pool, "absent", number) for number in range(6)}
    assert [case.kind for case in kinds.values()] == ["other", "label", "covered"] * 2
    for case in kinds.values():
        assert case.truths == () and case.homography is None
        template, _, scene = case.source.partition(" in ")
        assert (scene == "") == (case.kind == "covered") and template != scene
        if case.kind == "label":
            assert int(template[0]) % 2 == int(scene[0]) % 2  # the folders are even and odd numbers


def test_absent_without_labels(tmp_path):
    own = Pool.read(photographs(tmp_path, 3))
    assert [make_case(own, "absent", number).kind for number in range(4)] == ["other", "covered"] * 2


def test_several_lie_apart(pool):
    for number in range(4):
        case = make_case(pool, "several", number)
        assert len(case.truths) == int(case.kind[0]) and len(case.truths) in (2, 5)
        masks = [area_mask(truth, case.template.shape[:2], case.scene.shape[:2]) for truth in case.truths]
        assert np.sum(masks, 0).max() == 1
        assert min(mask.sum() for mask in masks) >= 20 * 20


def test_annotated_boxes_one_after_the_other(tmp_path):
    photographs(tmp_path / "images", 2)
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 120, "width": 160} for n in (0, 1)],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [10.4, 20.6, 40, 50]}],
    }
    (tmp_path / "i.json").write_text(json.dumps(content))
    content["annotations"].append({"id": 8, "image_id": 0, "category_id": 1, "bbox": [0, 0, 33, 33]})
    (tmp_path / "i.json").write_text(json.dumps(content))
    own = Pool.read(tmp_path / "images", tmp_path / "i.json")
    case = make_case(own, "boxes", [one.annotation for _, one in own.objects].index(7))
    assert (case.source, case.kind) == ("1.png", "cup")
    assert np.array_equal(case.template, case.scene[21:71, 10:50])
    assert case.homography.tolist() == [[1, 0, 10], [0, 1, 21], [0, 0, 1]]
    with pytest.raises(InputError, match="below 2, got 2"):
        make_case(own, "boxes", 2)


def test_four_points_by_hand():
    source, target = rectangle((10, 20)), np.array([[1, 2], [30, 0], [28, 18], [3, 15]], float)
    matrix = four_points(source, target)
    assert np.abs(project(matrix, source) - target).max() < 1e-9 and matrix[2, 2] == 1
    with pytest.raises(InputError, match="no three lie on a line"):
        four_points(np.zeros((4, 2)), target)


def test_doors(pool):
    with pytest.raises(InputError, match="unknown tier 'rotatoin', did you mean 'rotation'"):
        make_case(pool, "rotatoin", 0)
    with pytest.raises(InputError, match="takes annotations"):
        make_case(pool, "boxes", 0)


def test_real_photographs(real_images):
    folder = real_images("corel1k")
    own = Pool.read(folder)
    for tier in ("similarity", "perspective"):
        case = make_case(own, tier, 1)
        assert likeness(case, case.homography) > 0.9
    assert fit(read_image(next(iter(list_images(folder))).path), 640, "longest").shape[2] == 3
