"""`resight train study` on made-up images: the table, its files, and what stops it before anything long begins."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from scipy import stats
from training_samples import clip_folders

from resight.cli import run
from resight.images import read_image
from resight.train import Run
from resight.train.perturb import perturb

COMMON = {"backbone": "test_resnet", "weights": "random", "size": 32, "epochs": 1, "batch": 4, "workers": 0}


@pytest.fixture
def plan(tmp_path):
    noise = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for label, top in (("dark", 60), ("bright", 255)):
            folder = tmp_path / "sky" / part / label
            folder.mkdir(parents=True)
            for n in range(count - (label == "dark" and part == "test")):  # unequal classes: accuracy is not balanced
                Image.fromarray(noise.integers(0, top, (32, 32, 3), np.uint8)).save(folder / f"{n}.png")
    return written(tmp_path, seeds=[0, 1, 2], perturb=["gamma=2"], rows={"rgb": {}, "both": {"input": "fusion"}})


def written(folder, **more):
    file = folder / "mine.json"
    file.write_text(json.dumps({"data": "sky", "options": COMMON, **more}))
    return file


def table(page):
    """{row: {column: words}} of a Markdown page."""
    head, _, *body = [
        [word.strip() for word in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"
    ]
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


def measured(folder, data):
    """All that the table says of a run, computed anew from what lies in its folder."""
    made, record = Run.open(folder, "cpu"), json.loads((folder / "run.json").read_text())
    files = sorted((data / "test").rglob("*.png"))
    truth = np.array([made.classes.index(file.parent.name) for file in files])
    plain = np.array([scores.argmax() for _, scores in made.scores(files)])
    changed = [scores.argmax() for _, scores in made.scores([perturb(read_image(one), "gamma", 2.0) for one in files])]
    tensors = {name for name, _ in made.network.named_parameters()}
    metrics = list(csv.DictReader((folder / "metrics.csv").open()))
    return {
        "accuracy": (plain == truth).mean(),
        "balanced": np.mean([(plain[truth == c] == c).mean() for c in (0, 1)]),
        "gamma=2": (np.array(changed) == truth).mean(),
        "val": max(float(row["val_accuracy"]) for row in metrics),
        "params": sum(v.size for name, v in load_file(folder / "model.safetensors").items() if name in tensors),
        "epochs": len(metrics), "seconds": record["seconds"],
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_table_and_its_files(plan, capsys):
    assert run(["train", "study", str(plan), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    out = plan.parent / "mine"
    rows = list(csv.DictReader((out / "mine.csv").open()))
    assert [(row["row"], row["seed"]) for row in rows] == [(row, seed) for seed in "012" for row in ("rgb", "both")]
    assert "6 of 6  both, seed 2: accuracy" in printed and "sd: standard deviation of single runs" in printed
    page = (out / "mine.md").read_text()
    assert page.splitlines()[0] == (
        "| row | seeds | val | accuracy | vs first | 95 % | balanced | gamma=2 | ms/image | params | size | epochs | "
        "train |"
    )
    assert "- Data: sky; each run trained on 10, validated on 2, tested on 5 images." in page
    assert "- Times: one thread of the CPU." in page and "changed so: gamma=2: exponent." in page

    cells = {(row["row"], row["seed"]): measured(Path(row["folder"]), plan.parent / "sky") for row in rows}
    for row in rows:
        own = cells[row["row"], row["seed"]]
        for column, name in {"validation": "val", "parameters": "params", "train_seconds": "seconds"}.items():
            assert float(row[column]) == pytest.approx(own[name], abs=0.05)
        for column in ("accuracy", "balanced", "gamma=2", "epochs"):
            assert float(row[column]) == pytest.approx(own[column])
        assert (row["tested"], row["trained"], row["validated"], row["skipped"]) == ("5", "10", "2", "0")
    for row, words in table(page).items():
        own = {name: np.array([cells[row, seed][name] for seed in "012"]) for name in cells["rgb", "0"]}
        for name in ("val", "accuracy", "balanced", "gamma=2"):
            assert words[name] == f"{100 * own[name].mean():.1f} +- {100 * own[name].std(ddof=1):.1f}"
        assert words["params"] == f"{own['params'][0] / 1e6:.2f}" and words["size"] == "32" and words["epochs"] == "1"
        assert words["train"] == f"{np.median(own['seconds']):.0f} s" and float(words["ms/image"]) > 0
    apart = np.array([cells["both", seed]["accuracy"] - cells["rgb", seed]["accuracy"] for seed in "012"])
    words = table(page)["both"]
    assert words["vs first"] == f"{100 * apart.mean():+.1f} +- {100 * apart.std(ddof=1):.1f}"
    if apart.std():
        theirs = stats.ttest_1samp(100 * apart, 0).confidence_interval(0.95)
        assert words["95 %"] == f"{max(theirs.low, -100):+.1f} to {min(theirs.high, 100):+.1f}"

    assert run(["train", "study", str(plan), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("(as before)") == 6


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_options_chosen_by_validation(plan, capsys):
    file = written(plan.parent, seeds=[0], test=False, train_images=5, rows={"a": {}, "b": {"lr": 0.01}})
    assert run(["train", "study", str(file), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    page = (plan.parent / "mine" / "mine.md").read_text()
    assert page.splitlines()[0] == "| row | seeds | val | vs first | 95 % | ms/image | params | size | epochs | train |"
    assert "No test image was looked at: choose by this table, then set test: true" in page and "tested" not in page
    assert "1 of 2  a, seed 0: validation accuracy" in printed
    assert not list((plan.parent / "mine").rglob("seed-0-*/test*"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_study_of_sequences(tmp_path, capsys):
    clip_folders(tmp_path / "sky" / "train", each=4)
    clip_folders(tmp_path / "sky" / "test", each=2)
    options = {**COMMON, "sequences": True, "frames": 3}
    file = written(tmp_path, seeds=[0], train_images=9, options=options, rows={"pool": {}, "gru": {"head": "gru"}})
    assert run(["train", "study", str(file), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "train_images is 9, but 2 of 2 classes have fewer, all of which are taken: blue (4), red (4)" in printed
    page = (tmp_path / "mine" / "mine.md").read_text()
    assert "ms/sequence" in page and "time of a sequence" in page and "tested on 4 sequences." in page
    assert "at most 9 training sequences a class" in page


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_run_that_fails_does_not_end_the_others(plan, capsys):
    """Of three rows the first can never learn, so that there is nothing to compare with."""
    wild = {"lr": 1000.0, "optimiser": "sgd", "warmup": 0.0, "epochs": 20}
    rows = {"wild": wild, "a": {}, "b": {"lr": 0.01}}
    file = written(plan.parent, seeds=[0, 1], rows=rows)
    assert run(["train", "study", str(file), "--device", "cpu"]) == 1
    told = capsys.readouterr()
    assert "1 of 6  wild, seed 0: failed: " in told.out and "6 of 6  b, seed 1: accuracy" in told.out
    assert told.err.startswith("resight: 2 of 6 runs failed, the first of them wild, seed 0: failed: ")
    page = (plan.parent / "mine" / "mine.md").read_text()
    assert list(table(page)) == ["a", "b"] and {words["vs first"] for words in table(page).values()} == {"-"}
    assert "- Not in the table: wild, seed 1: failed: " in page
    assert len(list(csv.DictReader((plan.parent / "mine" / "mine.csv").open()))) == 4

    assert run(["train", "study", str(written(plan.parent, seeds=[0, 1], rows={"wild": wild}))]) == 1
    written(plan.parent, seeds=[0, 1], rows={"a": {}, "b": {"lr": 0.01}})
    capsys.readouterr()
    assert run(["train", "study", str(file), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("(as before)") == 4


def test_a_study_in_the_folder_of_its_data_is_refused(plan, capsys):
    assert run(["train", "study", str(plan), "--out", str(plan.parent / "sky" / "new")]) == 2
    assert "new lies in the folder of the data" in capsys.readouterr().err


def test_what_is_wrong_is_told_first(plan, capsys):
    plan.write_text(plan.read_text().replace('"fusion"', '"fushion"'))
    assert run(["train", "study", str(plan)]) == 2
    error = capsys.readouterr().err
    assert "rows.both: unknown input 'fushion', did you mean 'fusion'?" in error and error.count("\n") == 1
    assert not (plan.parent / "mine").exists()


def test_a_folder_of_something_else(plan, capsys):
    assert run(["train", "study", str(plan), "--out", str(plan.parent / "sky")]) == 2
    error = capsys.readouterr().err
    assert "sky is there already and holds no study: choose another --out" in error and error.count("\n") == 1
