"""Testing an embedding: the numbers of a plain loop, pairs, leaks, classes seen and unseen, and what cannot be read."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from embed_standins import projection, stand_in
from PIL import Image
from training_samples import class_folders

from resight.errors import InputError, WorkError
from resight.images.examples import read_examples
from resight.measure import evaluate_labels
from resight.train import embed_testing
from resight.train.class_splits import deal

pytestmark = pytest.mark.usefixtures("one_thread")


def three_to_learn_two_to_test(root, each=6):
    """Parts of whole classes: blue, green, red to train on; cyan and pink to test."""
    class_folders(root / "train", each)
    class_folders(root / "test", each, ("blue", "red"))
    for old, new, shift in (("blue", "cyan", 60), ("red", "pink", 70)):
        folder = (root / "test" / old).rename(root / "test" / new)
        for file in folder.iterdir():
            pixels = np.clip(np.asarray(Image.open(file)).astype(int) + [0, shift, shift // 2], 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return three_to_learn_two_to_test(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    """Of a run that saw neither of the two classes tested."""
    return embed_testing.test_embedder(stand_in(tmp_path_factory.mktemp("run") / "run", data))


@pytest.mark.oracle
def test_scores_are_those_of_each_encoder_alone(report, data, tmp_path):
    run = stand_in(tmp_path / "run", data)
    assert list(report.stages) == ["frozen", "start", "trained"]
    for stage, encoder in zip(report.stages.values(), (run.frozen(), run.started(), run.encoder()), strict=True):
        vectors = np.stack([encoder.encode(name) for name in report.names])
        np.testing.assert_allclose(stage.vectors, vectors, atol=1e-5)
        expected = evaluate_labels(vectors, report.labels)
        row = next(row for row in report.rows if row["encoder"] == stage.name)
        assert row["map_standard"] == pytest.approx(expected.map, abs=1e-6)
        assert row["map_trapezoid"] == pytest.approx(expected.map_trapezoid, abs=1e-6)
        assert row["recall"] == {str(k): pytest.approx(value) for k, value in expected.recall.items()}
        assert row["precision"] == {str(k): pytest.approx(value) for k, value in expected.precision.items()}


def test_differences_are_in_pairs(report):
    to_start, to_frozen = report.differences["all classes"]
    assert (to_start.before, to_frozen.before) == ("start", "frozen")
    gains = report.stages["trained"].scores.ap - report.stages["start"].scores.ap
    assert to_start.mean == pytest.approx(gains.mean())
    assert to_start.low <= to_start.mean <= to_start.high
    assert (to_start.better, to_start.worse) == ((gains > 1e-9).sum(), (gains < -1e-9).sum())
    assert to_start.better + to_start.worse + to_start.equal == 12


def test_classes_seen_and_unseen(report, data, tmp_path):
    assert (report.seen, report.unseen) == (frozenset(), {"cyan", "pink"})
    assert list(report.groups) == ["all classes"]
    mixed = embed_testing.test_embedder(stand_in(tmp_path / "run", data), data, part="all", allow_leak=True)
    assert list(mixed.groups) == ["all classes", "unseen classes", "seen classes"]
    counts = {row["of"]: (row["classes"], row["queries"]) for row in mixed.rows}
    assert counts == {"all classes": (5, 30), "unseen classes": (2, 12), "seen classes": (3, 18)}
    ap = mixed.trained.ap
    own = np.array([mixed.labels[row] in ("cyan", "pink") for row in mixed.trained.queries])
    found = {row["of"]: row["map_standard"] for row in mixed.rows if row["encoder"] == "trained"}
    assert found["unseen classes"] == pytest.approx(ap[own].mean())
    assert found["seen classes"] == pytest.approx(ap[~own].mean())


def test_images_trained_on_are_refused_by_name_and_by_content(data, tmp_path):
    run = stand_in(tmp_path / "run", data)
    with pytest.raises(InputError, match=r"18 of its 30 images were trained on.*--allow-leak"):
        embed_testing.test_embedder(run, data, part="all")
    shutil.copytree(data / "train", tmp_path / "copies")
    (tmp_path / "copies" / "red").rename(tmp_path / "copies" / "other")
    with pytest.raises(InputError, match=r"18 of its 18 images were trained on.*--allow-leak"):
        embed_testing.test_embedder(run, tmp_path / "copies")
    told = embed_testing.test_embedder(run, tmp_path / "copies", allow_leak=True)
    assert any("were trained on" in note for note in told.notes)
    assert told.unseen == {"other"}
    train = embed_testing.test_embedder(run, part="train")
    assert any("this is no test" in note for note in train.notes)
    assert not any("no images of" in note for note in train.notes)


def test_a_split_by_class_is_a_test(data, tmp_path):
    six = tmp_path / "six"
    shutil.copytree(data / "train", six)
    shutil.copytree(data / "test", six, dirs_exist_ok=True)
    deal(read_examples(six), "class", validation=0, test=0.4).write(tmp_path / "split.csv")
    report = embed_testing.test_embedder(stand_in(tmp_path / "run", tmp_path / "split.csv"))
    assert len(report.unseen) == 2
    assert not report.seen
    assert len(report.names) == 12


@pytest.mark.parametrize(("lost", "left"), [("frozen", ["trained"]), ("start", ["frozen", "trained"])])
def test_a_lost_start(data, tmp_path, lost, left, report):
    found = embed_testing.test_embedder(stand_in(tmp_path / "run", data, lost=lost), projection="pca")
    assert list(found.stages) == left
    words = {"frozen": "only the trained encoder is tested: the weights that it started from", "start": "is lost"}
    assert any(words[lost] in note for note in found.notes)
    np.testing.assert_array_equal(found.trained.ap, report.trained.ap)
    found.save(tmp_path / "out")
    with (tmp_path / "out" / "per_class.csv").open() as file:
        assert all((row["change"] == "") == (lost == "frozen") for row in csv.DictReader(file))


def test_another_database(data, tmp_path, report):
    run = stand_in(tmp_path / "run", data)
    base = tmp_path / "base"
    shutil.copytree(data / "test", base)  # the queries themselves under other names, each the best answer to itself
    for name in ("cyan", "pink"):
        for number in range(2):
            (base / name / f"{number}.png").unlink()
    (base / "grey").mkdir()
    Image.new("RGB", (40, 40), "grey").save(base / "grey" / "0.png")
    shutil.copy(data / "train" / "red" / "0.png", base / "grey" / "1.png")
    found = embed_testing.test_embedder(run, database=base)
    assert found.database == str(base)
    assert (len(found.trained), len(found.base_names)) == (12, 10)
    assert any("8 of the queries are in the database too" in note for note in found.notes)
    assert any("1 of the 10 images of the database were trained on" in note for note in found.notes)
    encoder = run.encoder()
    vectors, others = (np.stack([encoder.encode(one) for one in names]) for names in (found.names, found.base_names))
    for place, name in enumerate(found.names):
        own = name.replace(str(data / "test"), str(base))
        order = [row for row in np.argsort(-(vectors[place] @ others.T), kind="stable")
                 if found.base_names[row] != own]  # fmt: skip
        right = [found.base_labels[row] == found.labels[place] for row in order]
        ranks = np.flatnonzero(right)
        assert found.trained.ap[place] == pytest.approx(np.mean([(n + 1) / (r + 1) for n, r in enumerate(ranks)]))
        assert found.trained.first_right[place] == ranks[0]


def test_unreadable_and_lonely_images(data, tmp_path):
    new = tmp_path / "new"
    shutil.copytree(data / "test", new)
    (new / "cyan" / "0.png").write_text("x")
    (new / "alone").mkdir()
    Image.new("RGB", (40, 40), "white").save(new / "alone" / "0.png")
    shutil.copy(new / "pink" / "0.png", new / "pink" / "copy.png")
    found = embed_testing.test_embedder(stand_in(tmp_path / "run", data), new)
    assert [path for path, _ in found.skipped] == [str(new / "cyan" / "0.png")]
    assert (len(found.names), len(found.trained)) == (13, 12)
    assert any(note == "only one image of 'alone': it is in the database, and is no query" for note in found.notes)
    assert any("2 images have a copy of the same content" in note for note in found.notes)
    assert found.about()["counts"]["unreadable"] == 1
    found.save(tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "per_class.csv").open()))
    assert [(row["label"], row["images"], row["queries"]) for row in rows] == [
        ("alone", "1", "0"), ("cyan", "5", "5"), ("pink", "7", "7"),
    ]  # fmt: skip
    assert rows[0]["map_trained"] == ""


def test_what_leaves_nothing_to_measure(data, tmp_path):
    run = stand_in(tmp_path / "run", data)
    one = tmp_path / "one"
    shutil.copytree(data / "test" / "cyan", one / "cyan")
    with pytest.raises(InputError, match="all 6 images carry one label 'cyan'"):
        embed_testing.test_embedder(run, one)
    each = tmp_path / "each"
    for number in range(3):
        (each / str(number)).mkdir(parents=True)
        shutil.copy(data / "test" / "cyan" / f"{number}.png", each / str(number) / "0.png")
    with pytest.raises(InputError, match="no two of the 3 images share a label"):
        embed_testing.test_embedder(run, each)
    with pytest.raises(InputError, match="no image of the database carries a label of the queries"):
        embed_testing.test_embedder(run, database=each)
    for file in one.rglob("*.png"):
        file.write_text("x")
    with pytest.raises(WorkError, match=r"no image of it can be read: .*0.png"):
        embed_testing.test_embedder(run, one)
    with pytest.raises(InputError, match="did you mean 'tsne'"):
        embed_testing.test_embedder(run, projection="tsn")


def test_files(report, tmp_path):
    report.save(tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "results.txt", "results.json", "per_query.csv", "per_class.csv", "neighbours.csv", "skipped.csv", "sheet.png",
        "embedding.png",
    }  # fmt: skip
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["format"] == "resight-embed-test-1"
    assert {"resight", "torch", "timm"} <= content["about"]["versions"].keys()
    assert len(content["about"]["data digest"]) == 64
    assert content["about"]["arguments"]["projection"] == "auto"
    assert [row["encoder"] for row in content["scores"]] == ["frozen", "start", "trained"]
    queries = list(csv.DictReader((tmp_path / "out" / "per_query.csv").open()))
    assert [row["query"] for row in queries] == list(report.names)
    np.testing.assert_allclose([float(row["ap_trained"]) for row in queries], report.trained.ap, atol=1e-6)
    assert [int(row["first_right_start"]) for row in queries] == [
        int(one) + 1 for one in report.stages["start"].scores.first_right
    ]
    near = list(csv.DictReader((tmp_path / "out" / "neighbours.csv").open()))
    assert len(near) == 12 * 10
    assert all(row["path_trained"] != row["query"] for row in near)
    right = sum(row["right_trained"] == "yes" for row in near if row["rank"] == "1")
    assert right == (report.trained.hits[1] > 0).sum()
    text = (tmp_path / "out" / "results.txt").read_text()
    assert "all classes (2), 12 queries" in text
    assert "recall@k (hit@k): share of queries" in text
    assert "classes: 2 tested, 0 of them trained on, 2 not" in text
    with pytest.raises(InputError, match="not overwritten"):
        report.save(tmp_path / "out")


def test_the_projection_of_the_start_is_applied_to_the_frozen_vectors(report):
    frozen, start = (report.stages[name].vectors for name in ("frozen", "start"))
    np.testing.assert_array_equal(start, projection(2).apply(frozen))
