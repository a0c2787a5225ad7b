"""A classifier's scores: against scikit-learn and plain loops; the files that hold them; what is refused."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.classification import Classification
from resight.measure.classification_text import class_lines, results_text


def made(images=60, classes=7, seed=0, names=True):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(images, classes))
    truth = random.integers(0, classes, images)
    logits[np.arange(images), truth] += 1.5
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    paths = tuple(f"{n}.jpg" for n in range(images)) if names else ()
    return Classification(tuple(f"class {n}" for n in range(classes)), truth, scores, paths)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed):
    from sklearn import metrics

    found = made(seed=seed)
    best = found.scores.argmax(1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(found.truth, best))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(found.truth, best, average="macro"))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(found.truth, best))
    assert found.log_loss == pytest.approx(metrics.log_loss(found.truth, found.scores, labels=range(7)), rel=1e-5)
    for k, value in found.top_k.items():
        assert value == pytest.approx(metrics.top_k_accuracy_score(found.truth, found.scores, k=k, labels=range(7)))


def test_top_k_by_a_plain_loop():
    found = made(seed=3)
    for k in (1, 3, 5):
        hits = 0
        for label, row in zip(found.truth.tolist(), found.scores.tolist()):
            hits += label in sorted(range(7), key=lambda c: (-row[c], c))[:k]
        assert found.top_k[k] == hits / 60


@pytest.mark.parametrize(("classes", "ks"), [(2, [1]), (3, [1]), (4, [1, 3]), (5, [1, 3]), (6, [1, 3, 5])])
def test_top_k_of_few_classes(classes, ks):
    assert list(made(classes=classes).top_k) == ks


def test_equal_scores_are_ranked_as_they_are_predicted():
    found = Classification(("a", "b", "c", "d"), np.array([0, 3]), np.full((2, 4), 0.25))
    assert found.predicted.tolist() == [0, 0]
    assert found.ranks.tolist() == [0, 3]
    assert found.top_k == {1: 0.5, 3: 0.5}
    assert found.accuracy == 0.5


def test_calibration_is_of_what_is_predicted():
    found = Classification(("a", "b"), np.array([0, 1]), np.array([[0.8, 0.2], [0.8, 0.2]]))
    assert found.calibration.error == pytest.approx(0.3)
    assert found.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2, rel=1e-6)


@given(st.integers(1, 30), st.integers(2, 8), st.integers(0, 99))
def test_it_hangs_together(images, classes, seed):
    found = made(images, classes, seed)
    assert found.top_k[1] == found.accuracy == (found.ranks == 0).mean()
    values = list(found.top_k.values())
    assert values == sorted(values)
    assert found.confusion.total == images
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_line_and_text():
    found = made(240, 12)
    assert str(found).startswith(f"accuracy {found.accuracy:.4f} [")
    assert "240 images of 12 classes" in str(found)
    assert "\n" not in str(found)
    lines = found.text().splitlines()
    assert len(lines) == 3 + 1 + 1 + 12
    clips = Classification(found.classes, found.truth, found.scores, unit="sequences")
    assert clips.text().splitlines()[4].split()[:3] == ["class", "sequences", "precision"]
    short = found.text(4).splitlines()
    worst = [found.classes[i] for i in np.argsort(found.confusion.f1, kind="stable")[:4]]
    assert [line[:8].strip() for line in short[5:9]] == worst
    assert short[-1] == "... and 8 classes of higher F1"


def test_columns_stand_under_each_other_in_any_script():
    scores = np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1
    found = Classification(("雏菊", "Gänse\u0308", "a\nb"), np.array([0, 1, 2, 2]), scores)
    lines = class_lines(found.confusion)
    wide = [
        sum(2 if c in "雏菊" else 0 if c == "\u0308" else 1 for c in line[: line.rindex(".")]) for line in lines[1:]
    ]
    assert len(set(wide)) == 1
    assert "a\\nb" in lines[3]
    assert "Gäns" in lines[3]  # what it was taken for


def test_counts_of_results_txt_add_up():
    found = made(200, 9)
    text = results_text(found, {"run": "here", "data": ["a", "b"]})
    lines = text.splitlines()
    assert lines[:2] == ["run: here", "data: a; b"]
    table = lines[lines.index(next(line for line in lines if line.startswith("class "))) + 1 :]
    assert sum(int(line[10:17]) for line in table[:9]) == 200
    assert f"in all 200 images, {found.confusion.right} right, {200 - found.confusion.right} wrong" in lines
    matrix = lines[-10:]
    for row, line in enumerate(matrix[1:]):
        *cells, images = line[len("  1 class 0") :].split()
        shares = [0 if cell == "." else float(cell) for cell in cells]
        assert sum(shares) == pytest.approx(100, abs=0.5)
        np.testing.assert_allclose(shares, 100 * found.confusion.shares[row], atol=0.051)
        assert int(images) == found.confusion.support[row]


def test_results_of_many_classes_list_what_is_not_zero():
    found = made(400, 60)
    lines = results_text(found, {}).splitlines()[-60:]
    for row, line in enumerate(lines):
        head, _, cells = line.partition(": ")
        assert head.startswith(f"class {row} ({found.confusion.support[row]} image")
        shares = [] if cells == "-" else [float(cell.split()[0]) for cell in cells.split(", ")]
        assert len(shares) == (found.confusion.counts[row] > 0).sum()
        assert not shares or sum(shares) == pytest.approx(100, abs=2)


def test_files(tmp_path):
    found = made(50, 6)
    found.save(tmp_path / "new" / "results", {"run": "R"})
    folder = tmp_path / "new" / "results"
    names = "confusion.csv confusion.png predictions.csv reliability.png results.json results.txt".split()
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results"]
    content = json.loads((folder / "results.json").read_text())
    assert content["accuracy"] == found.accuracy
    assert content["about"] == {"run": "R"}
    assert sum(one["images"] for one in content["per_class"]) == content["images"] == 50
    counts = list(csv.reader(io.StringIO((folder / "confusion.csv").read_text())))
    np.testing.assert_array_equal(np.array([row[1:] for row in counts[1:]], int), found.confusion.counts)
    assert counts[0][1:] == [row[0] for row in counts[1:]] == list(found.classes)
    rows = list(csv.DictReader(io.StringIO((folder / "predictions.csv").read_text())))
    assert len(rows) == 50
    assert sum(row["label"] == row["predicted"] for row in rows) == found.confusion.right
    for n, row in enumerate(rows):
        assert row["path"] == f"{n}.jpg"
        assert int(row["label_rank"]) == found.ranks[n] + 1
        assert float(row["label_score"]) == pytest.approx(found.scores[n, found.truth[n]], abs=1e-6)
        listed = [float(row["score"]), *(float(row[f"score_{k}"]) for k in range(2, 6))]
        np.testing.assert_allclose(listed, np.sort(found.scores[n])[::-1][:5], atol=1e-6)
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_any_kind_are_saved(tmp_path):
    classes = ("$x^2$", 'a,b\n"c"', "=1+1", "花\udcff")
    found = Classification(classes, np.arange(4), np.eye(4), ("a,b.jpg", "\udcff.jpg", "ü", "\u202eb"))
    found.save(tmp_path / "r", {"data": "\udcff"})
    rows = list(csv.reader(io.StringIO((tmp_path / "r" / "predictions.csv").read_text("utf-8"))))
    assert [row[0] for row in rows[1:]] == ["a,b.jpg", "\\udcff.jpg", "ü", "\u202eb"]
    assert rows[2][1] == 'a,b\n"c"'
    assert "\u202e" not in (tmp_path / "r" / "results.txt").read_text("utf-8")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "r").mkdir()
    made().save(tmp_path / "r")  # an empty folder is free
    before = (tmp_path / "r" / "results.json").read_bytes()
    with pytest.raises(InputError, match="is there already and is not overwritten"):
        made(seed=1).save(tmp_path / "r")
    assert (tmp_path / "r" / "results.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_one_image_and_two_classes(tmp_path):
    found = Classification(("a", "b"), np.array([1]), np.array([[0.4, 0.6]]))
    found.save(tmp_path / "r")
    assert "(1 of 1 image, 2 classes)" in found.text()
    assert found.top_k == {1: 1.0}
    assert np.isnan(found.confusion.recall[0])


GOOD = np.array([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("classes", "truth", "scores", "names", "message"),
    [
        (("a",), [0], np.ones((1, 1)), (), "at least 2 classes"),
        (("a", "b"), [0], np.ones((2, 2)) / 2, (), r"expected scores \(1, 2\), images x classes, got shape \(2, 2\)"),
        (("a", "b"), [0], GOOD * 2, (), "row 0 has the sum 2"),
        (("a", "b"), [0, 0], np.array([[1, 0], [1.5, -0.5]]), (), "row 1"),
        (("a", "b"), [0], np.array([[np.nan, 1]]), (), "row 0 has the sum nan"),
        (("a", "b"), [2], GOOD, (), "truth must be class numbers 0 .. 1"),
        (("a", "b"), [], np.empty((0, 2)), (), "no image was tested"),
        (("a", "a"), [0], GOOD, (), "named twice"),
        (("a", "b"), [0], GOOD, ("x", "y"), "1 names of images, got 2"),
    ],
)
def test_door(classes, truth, scores, names, message):
    with pytest.raises(InputError, match=message):
        Classification(classes, np.array(truth), scores, names)


def test_what_was_given_is_not_kept():
    truth, scores = np.array([0, 1]), np.full((2, 2), 0.5, np.float32)
    found = Classification(("a", "b"), truth, scores)
    truth[:], scores[:] = 1, 0
    assert found.truth.tolist() == [0, 1]
    assert found.scores.sum() == 2
