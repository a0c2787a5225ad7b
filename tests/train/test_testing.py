"""Testing a run: the numbers of a plain loop over the images, counts that add up, files, and what cannot be read."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from made_runs import colour_images, make_run
from PIL import Image
from training_samples import clip_folders

from resight.errors import InputError, WorkError
from resight.images import fit, read_image
from resight.train import testing
from resight.train.perturb import perturb

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with 24 images held back for testing."""
    root = tmp_path_factory.mktemp("run")
    return make_run(root / "run", colour_images(root / "data", 16), test=0.5)


def naive_scores(run, path, change=lambda image: image, flip=False):
    """One image through the network, step by step."""
    how = run.record["network"]["rgb"]["preprocessing"]["interpolation"]
    pixels = torch.from_numpy(fit(change(read_image(path)), 64, "squash", how)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        scores = run.network(pixels).softmax(1)
        if flip:
            scores = (scores + run.network(pixels.flip(-1)).softmax(1)) / 2
    return scores[0].numpy()


@pytest.mark.oracle
@pytest.mark.parametrize("flips", [False, True])
def test_scores_are_those_of_a_plain_loop(run, flips):
    report = testing.test_run(run, flips=flips)
    found = report.classification
    assert report.tested == report.total == 24
    for name, truth, scores in zip(found.names, found.truth, found.scores):
        assert name.split("/")[-2] == found.classes[truth]
        np.testing.assert_allclose(scores, naive_scores(run, name, flip=flips), atol=1e-6)
    assert found.accuracy > 0.8  # it is a test of something


@pytest.mark.oracle
def test_perturbed_accuracies_are_those_of_a_plain_loop(run):
    asked = ("rotate=90", "gamma=3", "brightness=0.2", "rotate=90")
    report = testing.test_run(run, perturbations=asked)
    assert list(report.perturbed) == ["rotate=90", "gamma=3", "brightness=0.2"]
    plain = testing.test_run(run)
    np.testing.assert_array_equal(report.classification.scores, plain.classification.scores)
    for text, accuracy in report.perturbed.items():
        name, value = text.split("=")
        hits = [
            naive_scores(run, path, lambda image: perturb(image, name, float(value))).argmax() == truth  # noqa: B023
            for path, truth in zip(plain.classification.names, plain.classification.truth)
        ]
        assert accuracy == pytest.approx(np.mean(hits))
    lines = report.perturbed_lines()
    assert len(lines) == 4
    assert lines[1].endswith(f"{report.perturbed['rotate=90'] - plain.classification.accuracy:+.4f}")


def test_the_same_test_twice_is_the_same(run):
    one, other = testing.test_run(run), testing.test_run(run)
    np.testing.assert_array_equal(one.classification.scores, other.classification.scores)


def test_counts_add_up_with_what_cannot_be_read(run, tmp_path):
    data = colour_images(tmp_path / "new", 4, seed=9)
    (data / "red" / "0.png").write_bytes(b"")
    (data / "red" / "1.png").write_text("not an image")
    (data / "blue" / "cut.jpg").write_bytes((data / "blue" / "0.png").read_bytes()[:60])
    (data / "green").rename(data / "violet")
    report = testing.test_run(run, data, ignore_unknown=True, perturbations=["blur=2"])
    assert (report.tested, len(report.skipped), report.left_out) == (6, 3, {"violet": 4})
    assert report.total == 13 == sum(1 for _ in data.glob("*/*"))
    assert {path.split("/")[-1] for path, _ in report.skipped} == {"0.png", "1.png", "cut.jpg"}
    assert all(reason for _, reason in report.skipped)
    assert report.classification.confusion.support.tolist() == [4, 0, 2]
    content = report.as_dict()
    assert content["counts"] == {"in the part": 13, "tested": 6, "unreadable": 3, "of unknown labels": 4}
    json.dumps(content, allow_nan=False)
    assert "3 unreadable" in str(report)


def test_files(run, tmp_path):
    data = colour_images(tmp_path / "new", 2, seed=9)
    (data / "red" / "0.png").write_bytes(b"")
    report = testing.test_run(run, data, perturbations=["gamma=2"])
    report.save(tmp_path / "out")
    text = (tmp_path / "out" / "results.txt").read_text("utf-8")
    assert "counts: in the part 6; tested 5; unreadable 1; of unknown labels 0" in text
    assert f"data: {data}" in text
    assert f"perturbed: gamma=2 {report.perturbed['gamma=2']:.4f}" in text
    assert "in all 5 images" in text
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["images"] == 5
    assert content["about"]["counts"]["in the part"] == 6
    assert content["about"]["perturbed"] == report.perturbed
    rows = list(csv.reader((tmp_path / "out" / "skipped.csv").open()))
    assert rows[0] == ["path", "reason"]
    assert rows[1][0] == str(data / "red" / "0.png")
    assert len(list(csv.reader((tmp_path / "out" / "predictions.csv").open()))) == 6
    with pytest.raises(InputError, match="is there already"):
        report.save(tmp_path / "out")


def test_one_image(run, tmp_path):
    report = testing.test_run(run, colour_images(tmp_path / "new", 1, classes=("red",), seed=9))
    assert report.total == 1
    report.save(tmp_path / "out")


def test_progress_is_told(run):
    from contextlib import contextmanager

    seen = []

    @contextmanager
    def watch(verb, total, unit):
        yield lambda done, failed: seen.append((verb, total, unit, done, failed))

    testing.test_run(run, perturbations=["blur=1"], progress=watch)
    assert seen[0] == ("testing", 24, "images", 1, 0)
    assert seen[23] == ("testing", 24, "images", 24, 0)
    assert seen[-1] == ("testing blur=1", 24, "images", 24, 0)


def test_doors(run, tmp_path):
    with pytest.raises(InputError, match="unknown perturbation 'rotat', did you mean 'rotate'"):
        testing.test_run(run, perturbations=["rotat=90"])
    data = colour_images(tmp_path / "new", 2, seed=9)
    for path in data.glob("*/*"):
        path.write_bytes(b"x")
    with pytest.raises(WorkError, match=r"none of the 6 images to be tested can be read: .*0\.png: "):
        testing.test_run(run, data)


def test_damaged_weights_are_not_tested(run, tmp_path):
    import shutil

    folder = shutil.copytree(run.folder, tmp_path / "run")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WorkError, match="damaged or was replaced"):
        testing.test_run(type(run).open(folder, "cpu"))
    (folder / "model.safetensors").unlink()
    with pytest.raises((WorkError, InputError), match=r"model\.safetensors"):
        testing.test_run(type(run).open(folder, "cpu"))


def test_sequences(tmp_path):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(4):
            folder = tmp_path / "data" / label / f"clip{clip}"
            folder.mkdir(parents=True)
            for frame in range(2 + clip):
                Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{frame}.png")
    run = make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=4, size=32, test=0.5, validation=0.0)
    report = testing.test_run(run)
    assert report.total == report.tested == 4
    found = report.classification
    for name, scores in zip(found.names, found.scores):
        clip = run.fitting(name)
        with torch.inference_mode():
            alone = run.network(clip[None], torch.tensor([len(clip)])).softmax(1)[0].numpy()
        np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_sequences_and_their_frames_are_told(tmp_path):
    data = clip_folders(tmp_path / "data", each=6)
    run = make_run(tmp_path / "run", data, sequences=True, frames=4, size=32, test=0.5, validation=0.0, head="gru")
    new = clip_folders(tmp_path / "new", each=3)
    for folder in new.glob("*/*"):
        Image.fromarray(np.full((9, 9, 3), len(folder.parent.name), np.uint8)).save(folder / "0.png")
    (new / "red/clip-1/1.png").write_bytes(b"x")
    (new / "red/clip-9").mkdir()
    (new / "blue/clip-2/1.png").unlink()
    (new / "blue/clip-2/1.png").symlink_to("gone.png")
    report = testing.test_run(run, new, flips=True)
    reasons = {"/".join(path.split("/")[-2:]): reason for path, reason in report.skipped}
    assert reasons["red/clip-1"].startswith("1.png: ")
    assert reasons["red/clip-9"] == "the folder holds no images"
    assert reasons["blue/clip-2"] == "1.png: no such file, it is a link to gone.png"
    assert (report.total, report.tested, report.unit) == (7, 4, "sequences")
    assert any("mirror images are averaged, and this run (head gru) sees motion" in note for note in report.notes)
    assert report.as_dict()["unit"] == "sequences"
    report.save(tmp_path / "out")
    text = (tmp_path / "out/results.txt").read_text()
    assert "of 4 sequences, 2 classes)" in text and "in all 4 sequences, " in text
    assert "images" not in text.replace("mirror images", "")
    assert testing.test_run(run, new).notes == report.notes[:-1]
    for path in new.glob("*/*/*"):
        path.unlink()
        path.write_bytes(b"x")
    with pytest.raises(WorkError, match=r"none of the 7 sequences to be tested can be read: .*clip-0: 0\.png: "):
        testing.test_run(run, new)


def test_free_folder(tmp_path):
    assert testing.free_folder(tmp_path / "test") == tmp_path / "test"
    (tmp_path / "test").mkdir()
    (tmp_path / "test-2").symlink_to("nowhere")
    assert testing.free_folder(tmp_path / "test") == tmp_path / "test-3"
