"""A study measures every row with every seed once, goes on where it stopped, and shares images out fairly."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.images import Example, Examples
from resight.train.options import TrainOptions
from resight.train.study import run_study, share
from resight.train.study_config import Study
from resight.train.study_table import table_lines

SMALL = TrainOptions(backbone="resnet10t", weights="random", size=32, epochs=1, batch=8, workers=0, augment="flip")


def made_up(counts, tests=0):
    items = [
        Example(Path(f"/d/{label}/{n}.jpg"), label, "test" if n < tests else "train")
        for label, count in counts.items() for n in range(count)
    ]  # fmt: skip
    return Examples(tuple(items), tuple(sorted(counts)), "/d")


def test_a_share_has_the_images_asked_for():
    examples = made_up({"a": 20, "b": 9, "c": 30}, tests=5)
    found = share(examples, 7, 3, seed=1)
    assert Counter((one.label, one.part) for one in found) == {
        ("a", "train"): 7, ("b", "train"): 4, ("c", "train"): 7,
        ("a", "test"): 3, ("b", "test"): 3, ("c", "test"): 3,
    }  # fmt: skip
    assert [one for one in examples.items if one in found] == found  # the order stays


def test_a_share_is_drawn_by_the_seed_and_its_test_images_are_not():
    examples = made_up({"a": 40, "b": 40}, tests=20)
    one, same, other = (share(examples, 10, 10, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert [x for x in one if x.part == "test"] == [x for x in other if x.part == "test"]
    assert share(examples, 0, 0, seed=3) == list(examples.items)


@pytest.fixture
def sky(tmp_path):
    """Dark and bright noise, 8 + 4 images of each."""
    noise = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label, top in (("dark", 60), ("bright", 255)):
            folder = tmp_path / "sky" / part / label
            folder.mkdir(parents=True)
            for n in range(count):
                Image.fromarray(noise.integers(0, top, (32, 32, 3), np.uint8)).save(folder / f"{n}.png")
    return tmp_path / "sky"


def study_of(sky, **given):
    rows = (("rgb", SMALL), ("sift", replace(SMALL, input="sift")))
    return Study(str(sky), rows, **{"seeds": (0, 1), "out": str(sky.parent / "out"), **given})


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_every_row_with_every_seed_once(sky):
    study = study_of(sky, perturb=("gamma=2",), train_images=6)
    said = []
    cells = list(run_study(study, device="cpu", announce=said.append))
    assert [(cell.row, cell.seed) for cell in cells] == [("rgb", 0), ("sift", 0), ("rgb", 1), ("sift", 1)]
    assert said == ["rgb, seed 0", "sift, seed 0", "rgb, seed 1", "sift, seed 1"]
    for cell in cells:
        folder = Path(cell.folder)
        own = json.loads((folder / "run.json").read_text())
        assert own["options"]["seed"] == cell.seed and own["options"]["input"] == cell.row
        assert cell.tested == 8 and cell.trained + own["split"]["val"] == 12
        assert set(cell.perturbed) == {"gamma=2"}
    # the images of a seed are the same for all rows
    splits = [(Path(cell.folder) / "split.csv").read_text() for cell in cells]
    assert splits[0] == splits[1] != splits[2] == splits[3]
    assert [line.row for line in table_lines(cells)] == ["rgb", "sift"]

    again = list(run_study(study, device="cpu", announce=said.append))
    assert [replace(cell, reused=False) for cell in again] == cells and all(cell.reused for cell in again)
    assert len(said) == 4

    (Path(cells[1].folder) / "study.json").write_text("{")  # damaged: tested again, not trained again
    weights = Path(cells[1].folder) / "model.safetensors"
    before = weights.stat().st_mtime_ns
    third = list(run_study(study, device="cpu", announce=said.append))
    assert said[4:] == ["sift, seed 0"] and weights.stat().st_mtime_ns == before
    assert third[1].accuracy == cells[1].accuracy


def test_no_test_part(photos):
    with pytest.raises(InputError, match="a study needs a test part"):
        list(run_study(study_of(photos)))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_other_options_are_another_cell(sky):
    study = study_of(sky, seeds=(0,))
    first = replace(study, rows=study.rows[:1])
    (one,) = run_study(first, device="cpu")
    (two,) = run_study(replace(first, rows=(("rgb", replace(SMALL, lr=0.1)),)), device="cpu")
    (tested,) = run_study(replace(first, perturb=("blur=1",)), device="cpu")
    assert one.folder != two.folder and not two.reused
    assert tested.folder == one.folder and not tested.reused  # tested once more, not trained
    assert json.loads((Path(two.folder) / "run.json").read_text())["options"]["lr"] == 0.1
