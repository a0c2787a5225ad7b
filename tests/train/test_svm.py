"""Support vector machines on features: scikit-learn's own grid search finds the same."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from made_runs import colour_images, make_run
from training_samples import clip_folders

from resight.errors import InputError, WorkError
from resight.images import read_image
from resight.train import svm
from resight.train.svm import svm_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with thirty images to fit on and as many to test."""
    root = tmp_path_factory.mktemp("run")
    return make_run(root / "run", colour_images(root / "data", 20), test=0.5, validation=0.0)


@pytest.fixture(scope="module")
def report(run):
    return svm_run(run)


def unit_features(run, part):
    rows = [row for row in csv.DictReader(run.split_file.open()) if row["part"] == part]
    paths = [(run.split_file.parent / row["path"]).resolve() for row in rows]
    found = np.array([features for _, features in run.features([read_image(path) for path in paths])], float)
    return found / np.linalg.norm(found, axis=1, keepdims=True), np.array([row["label"] for row in rows])


@pytest.mark.oracle
def test_the_grid_is_that_of_scikit_learn(run, report):
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    features, labels = unit_features(run, "train")
    grid = [
        {"kernel": ["linear"], "C": [6, 10, 100]},
        {"kernel": ["rbf"], "C": [6, 10, 100], "gamma": [0.1, 0.5, 2, 4]},
    ]
    search = GridSearchCV(SVC(), grid, cv=StratifiedKFold(5, shuffle=True, random_state=0)).fit(features, labels)
    found = search.cv_results_
    expected = {
        (params["kernel"], params["C"], params.get("gamma")): (mean, sd)
        for params, mean, sd in zip(found["params"], found["mean_test_score"], found["std_test_score"])
    }
    assert len(report.rows) == len(expected) == 15
    for row in report.rows:
        assert (row.mean, row.sd) == pytest.approx(expected[row.kernel, row.cost, row.gamma])
    assert report.best.mean == max(row.mean for row in report.rows)
    assert not any(row.mean == report.best.mean for row in report.rows[: report.chosen])
    asked, truth = unit_features(run, "test")
    best = report.best
    machine = SVC(C=best.cost, kernel=best.kernel, gamma=best.gamma or "scale").fit(features, labels)
    assert report.confusion.accuracy == pytest.approx((machine.predict(asked) == truth).mean())
    assert report.confusion.total == len(truth) == 30
    assert (report.trained, report.folds, report.width) == (30, 5, features.shape[1])


def test_test_images_choose_nothing(run, report, tmp_path):
    other = svm_run(run, colour_images(tmp_path / "new", 2, seed=9))
    assert other.rows == report.rows
    assert other.confusion.total == 6


def test_small_classes_take_fewer_folds(run, tmp_path):
    colour_images(tmp_path / "new", 6, part="train", seed=9)
    colour_images(tmp_path / "new", 2, part="test", seed=10)
    for number in range(3, 6):
        (tmp_path / "new" / "train" / "red" / f"{number}.png").unlink()
    found = svm_run(run, tmp_path / "new")
    assert found.folds == 3
    assert "3 folds instead of 5: the smallest class has 3" in found.notes
    for number in range(1, 3):
        (tmp_path / "new" / "train" / "red" / f"{number}.png").unlink()
    assert svm_run(run, tmp_path / "new").folds == 2


@pytest.mark.oracle
def test_another_grid_is_that_of_scikit_learn(run):
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    features, labels = unit_features(run, "train")
    grid = [{"kernel": ["linear"], "C": [0.01, 1]}, {"kernel": ["rbf"], "C": [0.01, 1], "gamma": [0.3]}]
    search = GridSearchCV(SVC(), grid, cv=StratifiedKFold(5, shuffle=True, random_state=0)).fit(features, labels)
    found = svm_run(run, costs=(0.01, 1, 0.01), gammas=[0.3])
    assert [(row.kernel, row.cost, row.gamma) for row in found.rows] == [
        ("linear", 0.01, None), ("linear", 1, None), ("rbf", 0.01, 0.3), ("rbf", 1, 0.3),
    ]  # fmt: skip
    np.testing.assert_allclose([row.mean for row in found.rows], search.cv_results_["mean_test_score"])
    assert len(svm_run(run, costs=[1], gammas=()).rows) == 1


@pytest.mark.parametrize("head", ["pool", "gru", "average"])
def test_sequences_are_described_as_the_last_layer_sees_them(tmp_path, head):
    data = clip_folders(tmp_path / "data", each=6)
    made = make_run(tmp_path / "run", data, sequences=True, frames=4, size=32, test=0.34, validation=0.0, head=head)
    last = made.network.head.last
    found = svm_run(made, costs=[1], gammas=[])
    assert found.width == last.in_features
    for item, row in made.features(sorted(data.glob("red/*"))):
        frames = made.fitting(item)
        with torch.inference_mode():
            known = made.network.features(frames[None], torch.tensor([len(frames)]))
            expected = made.network(frames[None], torch.tensor([len(frames)])).log_softmax(1)[0]
        if head == "average":
            np.testing.assert_allclose(row, known[0].mean(0), atol=1e-5)
        else:
            logits = torch.from_numpy(row) @ last.weight.T + last.bias
            np.testing.assert_allclose(logits.log_softmax(0), expected, atol=1e-5)
    assert found.unit == "sequences" and "training sequences: mean +- standard" in found.text()
    assert f"of {found.confusion.total} sequences)" in found.text()
    (next(data.glob("red/clip-0/*"))).write_bytes(b"x")
    again = svm_run(made, costs=[1], gammas=[], allow_leak=True)
    assert [reason.split(": ")[0] for _, reason in again.skipped] == ["0.png"]


def test_other_classes_than_the_runs(run, tmp_path):
    colour_images(tmp_path / "new", 5, part="train", classes=("blue", "red"), seed=9)
    colour_images(tmp_path / "new", 2, part="test", classes=("blue", "red"), seed=10)
    for part in ("train", "test"):
        (tmp_path / "new" / part / "red").rename(tmp_path / "new" / part / "rouge")
    found = svm_run(run, tmp_path / "new")
    assert found.confusion.classes == ("blue", "rouge")
    assert found.confusion.accuracy > 0.7


def test_unreadable_images_are_rows(run, tmp_path):
    colour_images(tmp_path / "new", 6, part="train", seed=9)
    colour_images(tmp_path / "new", 2, part="test", seed=10)
    (tmp_path / "new" / "train" / "red" / "0.png").write_bytes(b"x")
    (tmp_path / "new" / "test" / "red" / "0.png").write_bytes(b"x")
    found = svm_run(run, tmp_path / "new")
    assert (found.trained, found.confusion.total, len(found.skipped)) == (17, 5, 2)
    (tmp_path / "new" / "test" / "red" / "1.png").write_bytes(b"x")
    for path in (tmp_path / "new" / "train" / "red").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(WorkError, match="no training images of 'red' can be read"):
        svm_run(run, tmp_path / "new")


def test_report(report, tmp_path):
    report.save(tmp_path / "out")
    names = "confusion.csv confusion.png grid.csv results.json results.txt skipped.csv".split()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["accuracy"] == report.confusion.accuracy
    assert len(content["grid"]) == 15
    rows = list(csv.DictReader((tmp_path / "out" / "grid.csv").open()))
    assert [float(row["mean"]) for row in rows] == [row.mean for row in report.rows]
    text = (tmp_path / "out" / "results.txt").read_text()
    assert sum(line.endswith("<- chosen") for line in text.splitlines()) == 1
    assert f"{report.best}: accuracy {report.confusion.accuracy:.4f}" in text
    assert str(report).startswith(str(report.best))
    with pytest.raises(InputError, match="is there already"):
        report.save(tmp_path / "out")


def test_doors(run, tmp_path, monkeypatch):
    monkeypatch.setattr(svm, "MOST", 10)
    with pytest.raises(InputError, match=r"30 training images are too many .* at most 10"):
        svm_run(run)
    monkeypatch.undo()
    colour_images(tmp_path / "new", 2, part="train", classes=("red",), seed=9)
    colour_images(tmp_path / "new", 2, part="test", classes=("red",), seed=10)
    with pytest.raises(InputError, match="training images of at least 2 classes, got 1"):
        svm_run(run, tmp_path / "new")
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "split.csv").unlink()
    with pytest.raises(InputError, match=r"split\.csv"):
        svm_run(type(run).open(folder, "cpu"))
