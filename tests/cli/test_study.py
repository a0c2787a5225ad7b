"""`resight train study` on made-up images: the table, its files, and what stops it before anything long begins."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from resight.cli import run


@pytest.fixture
def plan(tmp_path):
    noise = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for label, top in (("dark", 60), ("bright", 255)):
            folder = tmp_path / "sky" / part / label
            folder.mkdir(parents=True)
            for n in range(count):
                Image.fromarray(noise.integers(0, top, (32, 32, 3), np.uint8)).save(folder / f"{n}.png")
    content = {
        "data": "sky", "seeds": [0, 1], "perturb": ["gamma=2"],
        "options": {"backbone": "resnet10t", "weights": "random", "size": 32, "epochs": 1, "batch": 4, "workers": 0},
        "rows": {"rgb": {}, "both": {"input": "fusion"}},
    }  # fmt: skip
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_table_and_its_files(plan, capsys):
    assert run(["train", "study", str(plan), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    out = plan.parent / "mine"
    rows = list(csv.DictReader((out / "mine.csv").open()))
    assert [(row["row"], row["seed"]) for row in rows] == [("rgb", "0"), ("both", "0"), ("rgb", "1"), ("both", "1")]
    assert all(0 <= float(row["gamma=2"]) <= 1 and row["tested"] == "6" for row in rows)
    page = (out / "mine.md").read_text()
    assert page.splitlines()[0] == "| row | seeds | accuracy | vs first | balanced | gamma=2 | ms/image | train |"
    assert "4 of 4  both, seed 1: accuracy" in printed and "mean +- standard deviation" in printed
    assert run(["train", "study", str(plan), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("(as before)") == 4


def test_what_is_wrong_is_told_first(plan, capsys):
    plan.write_text(plan.read_text().replace('"fusion"', '"fushion"'))
    assert run(["train", "study", str(plan)]) == 2
    error = capsys.readouterr().err
    assert "rows.both: unknown input 'fushion', did you mean 'fusion'?" in error and error.count("\n") == 1
    assert not (plan.parent / "mine").exists()
