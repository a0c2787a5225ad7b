"""Reports on explanations: numbers beside direct calls, what is written, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import explain_samples
import numpy as np
import pytest
import torch
from samples import picture

from resight.errors import InputError, WorkError
from resight.explain.explaining import explain
from resight.explain.faithfulness import class_scorer, deletion, drop, insertion, road
from resight.explain.judging import MEASURES
from resight.explain.pointing import Boxes, pointing
from resight.explain.randomisation import randomised
from resight.explain.report import explain_report
from resight.explain.stability import rank_correlation
from resight.measure.resampling import bootstrap_interval

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = explain_samples.SIDE
IMAGES = [picture(seed, SIDE, SIDE) for seed in range(3)]
BOXES = [np.array([[0, 0, 6, 6]]), None, [[2, 2, 12, 12], [0, 0, 1, 1]]]


@pytest.fixture(scope="module")
def subject():
    return explain_samples.subject(classes=("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def report(subject):
    return explain_report(IMAGES, subject, ["gradcam", "hires"], boxes=BOXES, steps=3, layer="1")


def test_every_number_is_that_of_a_direct_call(subject, report):
    assert report.measures == tuple(MEASURES) and report.rows == ("gradcam", "hires", "random", "gaussian", "uniform")
    for place, image in enumerate(IMAGES):
        first = explain(image, subject, "gradcam", layer="1")
        assert report.labels[place] == first.label
        score = class_scorer(subject, first.target)
        for method in ("gradcam", "hires"):
            heat = explain(image, subject, method, first.target, layer="1")
            lost, grown = drop(image, heat.map, score)
            wanted = {
                "deletion": deletion(image, heat.map, score, steps=3).area,
                "insertion": insertion(image, heat.map, score, steps=3).area,
                "drop": lost, "increase": grown, "road": road(image, heat.map, score).gain,
                "pointing": np.nan if BOXES[place] is None else pointing(heat, BOXES[place]),
                "head": rank_correlation(
                    heat.map, explain(image, randomised(subject, 1), method, first.target, layer="1").map
                ),
                "weights": rank_correlation(
                    heat.map, explain(image, randomised(subject), method, first.target, layer="1").map
                ),
            }  # fmt: skip
            for measure, value in wanted.items():
                assert report.each(method, measure)[place] == pytest.approx(value, abs=1e-6, nan_ok=True), measure


def test_baselines_have_no_network_and_the_uniform_one_no_order(report):
    assert np.isnan(report.each("random", "weights")).all() and np.isnan(report.each("gaussian", "head")).all()
    assert np.isfinite(report.each("random", "road")).all()
    assert np.isnan(report.each("uniform", "deletion")).all() and np.isnan(report.each("uniform", "road")).all()
    assert report.each("uniform", "drop").tolist() == [0, 0, 0]
    assert report.mean("uniform", "deletion").count == 0


def test_means_and_intervals(report):
    values = report.each("gradcam", "deletion")
    mean = report.mean("gradcam", "deletion")
    assert mean.value == pytest.approx(values.mean()) and mean.interval == bootstrap_interval(values)
    assert report.mean("gradcam", "pointing").count == 2  # one image has no boxes


def test_only_boxes_of_the_class_explained_count_and_images_without_are_told(subject):
    corners = np.array([[0, 0, 3, 3], [6, 6, 12, 12]])
    boxes = [Boxes(corners, ("b", "c")), Boxes(corners, ("c", "c")), None]
    found = explain_report(IMAGES, subject, targets="b", boxes=boxes, steps=1, layer="1", measures=["pointing"])
    heat = explain(IMAGES[0], subject, "gradcam", "b", layer="1")
    assert found.each("gradcam", "pointing").tolist() == pytest.approx([pointing(heat, corners[:1]), np.nan, np.nan],
                                                                      nan_ok=True)  # fmt: skip
    assert found.unboxed == 2
    assert "\npointing: 2 of 3 images without a box of the class explained, not counted\n" in found.text()
    all_of_b = [Boxes(corners, ("b", "b"))] * 3
    every = explain_report(IMAGES, subject, targets="b", boxes=all_of_b, steps=1, layer="1", measures=["pointing"])
    assert every.unboxed == 0 and "without a box" not in every.text()


def test_a_report_without_boxes_says_nothing_of_them(subject):
    found = explain_report(IMAGES[:1], subject, steps=1, measures=["drop"])
    assert found.unboxed == 0 and "pointing" not in found.text()


def test_one_image_has_no_interval(tmp_path, subject):
    alone = explain_report(IMAGES[:1], subject, steps=2, measures=["deletion", "drop"])
    mean = alone.mean("gradcam", "deletion")
    assert mean.count == 1 and np.isfinite(mean.value) and np.isnan(mean.interval).all()
    line = next(line for line in alone.text().splitlines() if line.startswith("gradcam "))
    assert f"{mean.value:.3f} (-)" in line
    alone.save(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["means"]["gradcam"]["deletion"]["interval"] == [None, None]


def test_the_uniform_map_is_the_image_itself_and_nothing_is_better_than_that(subject, report):
    for measure in ("drop", "increase"):
        assert report.gain("gradcam", "uniform", measure).count == 0
        assert report.gain("gradcam", "random", measure).count == 3
    few = explain_report(IMAGES, subject, steps=1, measures=["drop", "increase"])
    lines = few.text().splitlines()
    assert any(line.startswith("gradcam - random") for line in lines)
    assert not any(line.startswith("gradcam - uniform") for line in lines)
    none = explain_report(IMAGES, subject, steps=1, measures=["drop"], baselines=["uniform"])
    assert "better than a baseline" not in none.text()


@pytest.mark.parametrize(("measure", "sign"), [("deletion", -1), ("insertion", 1), ("drop", -1), ("pointing", 1)])
def test_a_gain_is_paired_and_above_zero_where_a_method_is_better(report, measure, sign):
    pairs = sign * (report.each("gradcam", measure) - report.each("random", measure))
    assert report.gain("gradcam", "random", measure).value == pytest.approx(np.nanmean(pairs))


def test_checks_have_no_gain(report):
    with pytest.raises(InputError, match="a check"):
        report.gain("gradcam", "random", "weights")
    with pytest.raises(InputError, match="unknown method of the report 'gradcamm', did you mean 'gradcam'"):
        report.mean("gradcamm", "deletion")
    with pytest.raises(InputError, match="unknown measure"):
        report.gain("gradcam", "random", "insert")


def test_mean_curves(subject, report):
    curves = []
    for image in IMAGES:
        heat = explain(image, subject, "gradcam", layer="1")
        curves.append(insertion(image, heat.map, class_scorer(subject, heat.target), steps=3).scores)
    assert report.curves["insertion"][0] == pytest.approx(np.mean(curves, 0), abs=1e-6)
    assert np.isnan(report.curves["deletion"][4]).all()


def test_the_same_images_give_the_same_report_in_any_order(subject, report):
    turned = explain_report(IMAGES[::-1], subject, ["gradcam", "hires"], boxes=BOXES[::-1], steps=3, layer="1")
    assert np.allclose(turned.values[:, :, ::-1], report.values, equal_nan=True)


def test_the_model_is_not_changed(subject):
    before = {name: one.clone() for name, one in subject.module.state_dict().items()}
    explain_report(IMAGES[:1], subject, steps=2)
    assert all(torch.equal(one, before[name]) for name, one in subject.module.state_dict().items())


def test_an_image_may_come_twice_with_two_classes(subject):
    twice = explain_report([IMAGES[0], IMAGES[0]], subject, targets=["b", 3], steps=2, measures=["drop"])
    assert twice.labels == ("b", "d") and len(twice) == 2 and twice.items == ("image 1", "image 2")
    assert twice.values.shape == (4, 1, 2) and not twice.curves


def test_files(tmp_path, report):
    folder = tmp_path / "report"
    report.save(folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["curves.png", "images.csv", "report.json", "report.txt", "table.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]  # nothing left beside it
    content = json.loads((folder / "report.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["means"]["gradcam"]["road"]["mean"] == report.mean("gradcam", "road").value
    assert content["means"]["uniform"]["road"] == {"mean": None, "interval": [None, None], "images": 0}
    assert content["without_boxes"] == 1
    assert content["gains"]["hires"]["gaussian"]["insertion"]["images"] == 3
    rows = list(csv.DictReader(io.StringIO((folder / "images.csv").read_text())))
    assert len(rows) == 3 * 5 and rows[0]["method"] == "gradcam" and rows[4]["deletion"] == ""
    assert float(rows[1]["insertion"]) == pytest.approx(report.each("hires", "insertion")[0], abs=1e-6)
    table = list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))
    assert len(table) == 5 * 8 and table[0]["measure"] == "deletion" and table[0]["images"] == "3"
    with pytest.raises(InputError, match="there already"):
        report.save(folder)


def test_the_text_holds_means_and_gains(report):
    lines = report.text().splitlines()
    assert lines[0] == "net: 3 images; mean and 95 % interval over images"
    mean = report.mean("hires", "insertion")
    shown = f"{mean.value:.3f} ({mean.interval[0]:.3f}, {mean.interval[1]:.3f})"
    assert any(line.startswith("hires ") and shown in line for line in lines)
    gain = report.gain("gradcam", "gaussian", "deletion")
    assert any(line.startswith("gradcam - gaussian") and f"{gain.value:+.3f}" in line for line in lines)
    assert any(line.startswith("road: ") and line.endswith("high is good") for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_unreadable_images_are_counted(tmp_path, subject):
    from PIL import Image

    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(IMAGES[0]).save(good)
    bad.write_bytes(b"no picture")
    seen = []
    found = explain_report(
        [bad, str(good)], subject, steps=1, measures=["insertion"], progress=lambda *n: seen.append(n)
    )
    assert seen == [(0, 1), (1, 1)] and found.items == (str(good),) and "bad.png" in found.skipped[0]
    assert "1 image, 1 left out" in found.text()
    with pytest.raises(WorkError, match=r"no image could be read: .*bad\.png"):
        explain_report([bad], subject)


def test_an_image_whose_scores_are_no_numbers_is_named():
    module = explain_samples.bent()
    module[6].bias.data[:] = np.nan
    with pytest.raises(WorkError, match=r"^image 1: .*scores of it are no numbers"):
        explain_report(IMAGES, explain_samples.subject(module), steps=1, measures=["drop"], layer="1")


def test_names_of_files_that_are_no_text_are_written(tmp_path, subject):
    from PIL import Image

    odd = tmp_path / "odd\udcff\n.png"
    Image.fromarray(IMAGES[0]).save(io.BytesIO(), "png")
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, "png")
    odd.write_bytes(buffer.getvalue())
    explain_report([odd], subject, steps=1, measures=["drop"]).save(tmp_path / "out")
    assert "odd" in (tmp_path / "out" / "images.csv").read_text()
    assert not (tmp_path / "out" / "curves.png").exists()


def test_an_interruption_leaves_the_network_as_it_was(subject):
    def stop(done, failed):
        raise KeyboardInterrupt

    before = {name: one.clone() for name, one in subject.module.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        explain_report(IMAGES, subject, steps=1, progress=stop)
    assert all(torch.equal(one, before[name]) for name, one in subject.module.state_dict().items())
    assert all(one.requires_grad and one.grad is None for one in subject.module.parameters())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"methods": ["gradcamm"]}, "did you mean 'gradcam'"),
        ({"methods": "gradcam"}, r"expected a list of methods, got 'gradcam'"),
        ({"methods": []}, "1 to 16 methods, got 0"),
        ({"baselines": ["gausian"]}, "unknown baseline 'gausian', did you mean 'gaussian'"),
        ({"measures": ["insertions"]}, "unknown measure 'insertions', did you mean 'insertion'"),
        ({"measures": []}, "no measure"),
        ({"measures": ["pointing"]}, "needs boxes"),
        ({"targets": [1]}, "a class for each of 3 images, got 1"),
        ({"targets": "bb"}, "unknown class of net 'bb'"),
        ({"targets": 9}, "class 9 is out of range"),
        ({"boxes": [None]}, "boxes for each of 3 images, got 1"),
        ({"boxes": [None, None, [[5, 5, 1, 1]]]}, "x, y, width, height"),
        ({"steps": 0}, "at least 1, got 0"),
        ({"batch": 0}, "at least 1, got 14 and 0"),
        ({"layer": "convv"}, "unknown layer"),
        ({"cells": 99}, "cells must be from 1"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(subject, given, words):
    with pytest.raises(InputError, match=words):
        explain_report(IMAGES, subject, **{"methods": ["gradcam"], **given})


def test_sequences_and_nothing_are_refused(subject):
    with pytest.raises(InputError, match="takes sequences"):
        explain_report(IMAGES, explain_samples.frames_subject())
    with pytest.raises(InputError, match="no images to explain"):
        explain_report([], subject)


def test_options_of_a_method_are_part_of_its_name(subject):
    found = explain_report(IMAGES[:1], subject, ["score:channels=2", "Score: channels=2"], steps=1, measures=["drop"])
    assert found.methods == ("score:channels=2",)


def test_grad_cam_beats_chance_on_photographs(real_images):
    files = sorted(Path(real_images("imagenet-sample")).glob("*.jpg"))[::30]
    found = explain_report(files, measures=["insertion"], baselines=["random"], steps=4)
    assert found.gain("gradcam", "random", "insertion").interval[0] > 0
