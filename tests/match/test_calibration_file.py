"""Calibrations as files, and finders that use them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from match_samples import placed, textured

import resight
from resight.errors import InputError
from resight.match import Calibration, Finder, mask_finder, match_all, read_calibration
from resight.match.calibration_file import calibration_text
from resight.match.planes import similarity
from resight.match.score import CALIBRATION, NAMES, PLAIN

NUMBERS = st.floats(-1e6, 1e6)
FLAT = Calibration((0.0,) * len(NAMES), 0.4, (0.0,) * len(PLAIN), -0.4, 0.6)


@given(
    st.tuples(*[NUMBERS] * len(NAMES)), NUMBERS, st.tuples(*[NUMBERS] * len(PLAIN)), NUMBERS, st.floats(0, 1)
)  # fmt: skip
def test_what_is_written_is_read(tmp_path_factory, weights, bias, plain_weights, plain_bias, threshold):
    file = tmp_path_factory.mktemp("c") / "c.json"
    one = Calibration(weights, bias, plain_weights, plain_bias, threshold)
    file.write_text(calibration_text(one, {"cases": 3}))
    assert read_calibration(file) == one
    assert json.loads(file.read_text())["made_of"] == {"cases": 3}


def test_the_built_in_one_written_and_read_changes_nothing(tmp_path):
    file = tmp_path / "built-in.json"
    file.write_text(calibration_text(CALIBRATION))
    template = textured(1, 60, 80)
    grounds = [textured(seed, 120, 160) for seed in (2, 3, 4)]
    scenes = [placed(template, grounds[0], similarity(0.8, 0.5, (40, 30), (80, 60))), grounds[1],
              placed(template, grounds[2], similarity(1, 0, (0, 0), (33, 44)))]  # fmt: skip
    for method in ("auto", "sift", "correlate"):
        usual, own = Finder(template, method=method), Finder(template, method=method, calibration=file)
        assert usual.threshold == own.threshold == CALIBRATION.threshold
        for scene in scenes:
            for a, b in zip((usual.find(scene), *usual.find_all(scene)), (own.find(scene), *own.find_all(scene)),
                            strict=True):  # fmt: skip
                assert (a.found, a.score, a.method, dict(a.evidence)) == (b.found, b.score, b.method, dict(b.evidence))
                assert (a.homography is None and b.homography is None) or (a.homography == b.homography).all()


def test_score_and_threshold_are_those_of_the_calibration(tmp_path):
    (tmp_path / "flat.json").write_text(calibration_text(FLAT))
    template, scene = textured(1, 60, 80), textured(2)
    turned = placed(template, scene, similarity(0.8, 0.5, (40, 30), (150, 110)))
    for given_as in (FLAT, tmp_path / "flat.json", str(tmp_path / "flat.json")):
        found = resight.match(template, turned, calibration=given_as)
        assert found.inliers and found.score == pytest.approx(1 / (1 + np.exp(-0.4))) and not found.found
    copy = placed(template, scene, similarity(1, 0, (0, 0), (33, 44)))
    assert resight.match(template, copy, calibration=FLAT).score == pytest.approx(1 / (1 + np.exp(0.4)))
    assert resight.match(template, turned, calibration=FLAT, threshold=0.59).found
    assert match_all(template, turned, calibration=FLAT) == ()
    assert len(match_all(template, turned, calibration=replace(FLAT, threshold=0.2))) >= 1


def test_places_are_ordered_by_the_calibration():
    template, scene = textured(5, 50, 60), textured(6, 160, 200)
    for matrix in (similarity(1, 0, (30, 25), (50, 50)), similarity(1.3, -0.6, (30, 25), (140, 100))):
        scene = placed(template, scene, matrix)
    contrary = Calibration(tuple(-one for one in CALIBRATION.weights), -CALIBRATION.bias,
                           tuple(-one for one in CALIBRATION.plain_weights), -CALIBRATION.plain_bias, 0.0)  # fmt: skip
    usual, turned = (Finder(template, threshold=0.0, calibration=one).find_all(scene, 300) for one in (None, contrary))
    assert 1 < len(usual) < 300 and [one.score for one in turned] == sorted((one.score for one in turned), reverse=True)
    assert [one.score for one in turned] == pytest.approx([1 - one.score for one in usual][::-1])


def test_a_mask_network_has_its_own_score(monkeypatch):
    asked = {}
    monkeypatch.setattr(mask_finder, "MaskFinder", lambda template, model, threshold: asked.update(to=threshold))
    with pytest.raises(InputError, match="the score of mask is its network's"):
        Finder(textured(0), method="mask", model="run", calibration=FLAT)
    assert Finder(textured(0), method="mask", model="run").threshold == asked["to"] == 0.5


def changed(**changes):
    return json.dumps({**json.loads(calibration_text(CALIBRATION)), **changes})


WEIGHTS = list(CALIBRATION.weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got something that is not JSON"),
        ("{" * 100_000, "got something that is not JSON"),
        ("[" * 100_000, "got something that is not JSON"),
        (b"\xff\xfe{}", "got something that is not JSON"),
        ("[1]", "got another file"),
        ('{"format": "other"}', "got another file"),
        (changed(version=2), "expected version 1 of the format, got 2: calibrate again"),
        (changed(version=True), "expected version 1 of the format, got True"),
        (changed(version="1" * 10_000), "got str of length 10,000"),
        (changed(names=list(NAMES)[::-1]), "its names are not the measures of this version"),
        (changed(plain_names=None), "its plain_names are not the measures of this version"),
        (changed(weights=WEIGHTS[1:]), f"expected weights as a list of {len(NAMES)} numbers, got {len(NAMES) - 1}"),
        (changed(weights="12345678"), "expected weights as a list of"),
        (changed(weights=[float("nan"), *WEIGHTS[1:]]), "expected weights as finite numbers up to 1,000,000, got nan"),
        (changed(plain_weights=["1"] * len(PLAIN)), "expected plain_weights as finite numbers"),
        (changed(bias=float("inf")), "expected bias as finite numbers up to 1,000,000, got inf"),
        (changed(bias=True), "expected bias as finite numbers up to 1,000,000, got True"),
        (changed(plain_bias=1.1e6), "expected plain_bias as finite numbers"),
        (changed(bias=10**400), "got a larger one"),
        (changed(threshold=1.5), "expected threshold from 0 to 1, got 1.5"),
        (changed(threshold=None), "expected threshold as finite numbers up to 1,000,000, got None"),
        (" " * (4 * 2**20 + 1), "expected at most 4,194,304 bytes"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / "c.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_calibration(file)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_no_file_and_no_calibration(tmp_path):
    with pytest.raises(InputError, match="expected a file, got none"):
        Finder(textured(0), calibration=tmp_path / "none.json")
    with pytest.raises(InputError, match="expected a file, got a folder"):
        Finder(textured(0), calibration=tmp_path)
    with pytest.raises(InputError, match="or the file of one made by `resight calibrate`, got int"):
        Finder(textured(0), calibration=3)
