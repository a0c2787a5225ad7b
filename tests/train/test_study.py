"""A study measures every row with every seed once, goes on where it stopped, and shares images out fairly."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import make_run
from PIL import Image
from safetensors.torch import load_file

from resight.errors import InputError, WorkError
from resight.images import Example, Examples
from resight.train.options import TrainOptions
from resight.train.run_folders import reserved
from resight.train.study import run_study
from resight.train.study_config import Study
from resight.train.study_data import share, shortages
from resight.train.study_folder import check_own
from resight.train.study_table import table_lines

SMALL = TrainOptions(backbone="test_resnet", weights="random", size=32, epochs=1, batch=8, workers=0, augment="flip")


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


def test_a_share_that_is_more_than_there_is_is_told():
    examples = made_up({"a": 20, "b": 9, "c": 30}, tests=5)
    study = Study("/d", (("rgb", SMALL),), train_images=16, test_images=6)
    assert list(shortages(study, examples)) == [
        "train_images is 16, but 2 of 3 classes have fewer, all of which are taken: a (15), b (4)",
        "test_images is 6, but 3 of 3 classes have fewer, all of which are taken: a (5), b (5), c (5)",
    ]
    assert list(shortages(replace(study, train_images=4, test_images=0), examples)) == []
    wide = made_up({f"c{n}": 3 for n in range(6)}, tests=1)
    (line,) = shortages(replace(study, train_images=3, test_images=1), wide)
    assert line.endswith("c0 (2), c1 (2), c2 (2), c3 (2) and 2 more")


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
    return Study(str(sky), **{"rows": rows, "seeds": (0, 1), "out": str(sky.parent / "out"), **given})


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

    measured = Path(cells[1].folder) / "study.json"
    weights = Path(cells[1].folder) / "model.safetensors"
    before = weights.stat().st_mtime_ns
    for damage in ("{", measured.read_text().replace('"accuracy": ', '"accuracy": "much", "more": ')):
        measured.write_text(damage)  # tested again, not trained again
        del said[4:]
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


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_options_are_chosen_without_a_look_at_the_test_images(sky):
    study = replace(study_of(sky, seeds=(0,)), test=False)
    for file in (sky / "test").rglob("*.png"):
        file.write_bytes(b"no image, and nobody should notice")
    cells = list(run_study(study, device="cpu"))
    for cell in cells:
        metrics = (Path(cell.folder) / "metrics.csv").read_text().splitlines()
        values = dict(zip(metrics[0].split(","), metrics[1].split(",")))
        assert cell.validation == pytest.approx(float(values["val_accuracy"]))
        assert (cell.accuracy, cell.balanced, cell.macro_f1, cell.perturbed, cell.tested) == (None, None, None, {}, 0)
        assert cell.validated == 2
    assert str(cells[0]) == f"rgb, seed 0: validation accuracy {cells[0].validation:.3f}"
    again = list(run_study(study, device="cpu"))
    assert all(cell.reused for cell in again) and [replace(cell, reused=False) for cell in again] == cells


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_what_was_chosen_is_then_tested_and_not_trained_again(sky):
    study = study_of(sky, seeds=(0,), rows=(("rgb", SMALL),))
    (blind,) = run_study(replace(study, test=False), device="cpu")
    before = (Path(blind.folder) / "model.safetensors").stat().st_mtime_ns
    (tested,) = run_study(study, device="cpu")
    assert tested.folder == blind.folder and tested.accuracy is not None and not tested.reused
    assert (Path(blind.folder) / "model.safetensors").stat().st_mtime_ns == before
    (still,) = run_study(replace(study, test=False), device="cpu")
    assert still.accuracy is None and still.reused  # the test that was made does not show


def test_without_a_test_there_must_be_validation(photos):
    study = replace(study_of(photos), rows=(("rgb", replace(SMALL, validation=0.0)),), test=False)
    with pytest.raises(InputError, match=r"rows.rgb: without a test .* rows are compared by validation"):
        list(run_study(study))


def test_a_row_that_cannot_be_trained_is_told_before_the_first_run(sky):
    for options, said in (
        (replace(SMALL, backbone="resnet81"), "rows.b: unknown backbone 'resnet81', did you mean"),
        (replace(SMALL, weights="gone.pth"), "rows.b: weights file 'gone.pth' does not exist"),
        (replace(SMALL, weights=str(sky)), "rows.b: weights .*sky: expected the folder of a training run"),
    ):
        study = study_of(sky, rows=(("a", SMALL), ("b", options)))
        with pytest.raises(InputError, match=said):
            list(run_study(study))
        assert not Path(study.out).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_rows_that_start_from_a_run(sky, tmp_path):
    """A run as weights: its content decides the cell, and test images that it was trained on are refused."""
    given = {"backbone": "test_resnet", "size": 32}
    start = make_run(tmp_path / "start", sky, seed=1, **given)
    rows = (("warm", replace(SMALL, weights=str(start.folder), lr=1e-9)),)
    study = study_of(sky, seeds=(0,), rows=rows)
    said = []
    (cell,) = run_study(study, device="cpu", tell=said.append)
    assert said == [f"rows.warm starts from {start.folder}, which was trained on 14 of the 16 examples outside the "
                    "test part: validated on them, it scores too high"]  # fmt: skip
    one, other = (load_file(Path(folder) / "model.safetensors") for folder in (start.folder, cell.folder))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one if name.endswith("weight"))
    (same,) = run_study(study, device="cpu")
    assert same.reused
    shutil.rmtree(start.folder)
    make_run(tmp_path / "start", sky, seed=2, **given)  # another run at the same place
    (anew,) = run_study(study, device="cpu")
    assert not anew.reused and anew.folder != cell.folder

    shutil.rmtree(start.folder)
    make_run(tmp_path / "start", sky / "test", **given)
    with pytest.raises(InputError, match=r"rows.warm: weights .*start is of a run that was trained on 6 of the 8 test"):
        list(run_study(study, device="cpu"))


def test_one_process_at_a_time(sky):
    study = study_of(sky)
    with reserved(Path(study.out)), pytest.raises(WorkError, match=r"another process is training in .*out: wait"):
        list(run_study(study, device="cpu"))


def test_a_folder_that_is_somebody_elses(sky, tmp_path):
    study = study_of(sky, out=str(sky))
    with pytest.raises(InputError, match=r"sky is there already and holds no study: choose another --out"):
        list(run_study(study, device="cpu"))
    assert sorted(one.name for one in sky.iterdir()) == ["test", "train"]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    check_own(foreign)
    (foreign / ".DS_Store").touch()
    check_own(foreign)
    for content in ("{", "[]", '{"format": "other"}'):
        (foreign / "study.json").write_text(content)
        with pytest.raises(InputError, match="holds no study"):
            check_own(foreign)
    (foreign / "study.json").write_text('{"format": "resight-study-1"}')
    check_own(foreign)
    with pytest.raises(InputError, match="got a file"):
        check_own(foreign / "study.json")


@pytest.mark.usefixtures("one_thread")
def test_the_folder_says_what_was_asked(sky):
    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(run_study(study_of(sky), device="cpu", announce=stop))
    plan = json.loads((Path(study_of(sky).out) / "study.json").read_text())
    assert plan["format"] == "resight-study-1" and plan["seeds"] == [0, 1] and plan["test"] is True
    assert plan["rows"]["sift"]["input"] == "sift"
