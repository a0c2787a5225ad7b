import json
from pathlib import Path

import pytest

from resight.errors import InputError, WorkError
from resight.train.asking import Asked, ask, data_of, placed
from resight.train.options import TrainOptions, make_options
from resight.train.run_files import RECORD, read_config, write_record

OWN = TrainOptions(input="fusion", epochs=7, lr=0.2, schedule="step", sift_backbone="resnet18")


def record(**more):
    return {
        "format": "resight-train-1", "state": "training", "options": OWN.as_dict(), "classes": ["a", "b"],
        "data": {"source": "x", "digest": "0", "images": 4}, "split": {"skipped": 0}, "network": {}, "versions": {},
        **more,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run", record())
    return tmp_path / "run"


def test_given_before_file_before_preset(tmp_path):
    (tmp_path / "a.yaml").write_text("preset: deepsky\nepochs: 9\nlr: 0.5\n")
    found = ask(tmp_path / "run", {"lr": 0.1}, config=tmp_path / "a.yaml").options
    assert (found.lr, found.epochs, found.size) == (0.1, 9, 280)
    assert found == make_options("deepsky", epochs=9, lr=0.1)


def test_a_run_that_is_gone_on_with_has_what_is_not_given(run):
    assert ask(run, {}, resume=True) == Asked(OWN)
    assert ask(run, {"epochs": 3}, resume=True).options.epochs == 3  # told as different when it is compared
    assert ask(run, {}, resume=False).options == TrainOptions()
    assert ask(run.parent / "none", {"epochs": 2}, resume=True).options == TrainOptions(epochs=2)
    # A preset stands for the values of the run's own input.
    assert ask(run, {}, preset="deepsky", resume=True).options.epochs == 10


def test_options_of_the_run_may_be_without_effect(run):
    write_record(run, record(options=TrainOptions(head="tcn", decay=0.5).as_dict()))
    assert ask(run, {}, resume=True).options.head == "tcn"
    with pytest.raises(InputError, match="frames has no effect"):
        ask(run, {"frames": 3}, resume=True)


def test_a_file_of_options_may_hold_what_has_no_effect(tmp_path):
    (tmp_path / "options.json").write_text(json.dumps(TrainOptions(decay=0.3).as_dict()))
    assert ask(tmp_path / "run", {}, config=tmp_path / "options.json").options.decay == 0.3


def test_folds_are_those_of_the_first(tmp_path):
    (tmp_path / "fold-1").mkdir()
    write_record(tmp_path / "fold-1", record(fold=1, folds=4))
    assert ask(tmp_path, {}, resume=True) == Asked(OWN, 4)
    assert ask(tmp_path, {}, folds=3, resume=True).folds == 3
    assert ask(tmp_path / "fold-1", {}, resume=True).folds == 0
    write_record(tmp_path / "fold-1", record(fold=1))
    with pytest.raises(InputError, match="does not say how many folds it has: give --folds as well"):
        ask(tmp_path, {}, resume=True)


def test_the_data_of_a_run(run, tmp_path):
    write_record(run, record(data={"source": str(tmp_path), "digest": "0"}))
    assert data_of(run) == str(tmp_path)
    write_record(run, record(data={"source": str(tmp_path / "gone"), "digest": "0"}))
    with pytest.raises(InputError, match=rf"gone, the data of {run}, is not there any more: .* DATA --out {run} "):
        data_of(run)
    (run / RECORD).write_text("{")
    with pytest.raises(WorkError, match="damaged"):
        data_of(run)


def test_files_of_weights_hold_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_text("")
    found = placed(TrainOptions(weights="a.pth", sift_weights="none.pth"))
    assert found.weights == str(tmp_path / "a.pth") and found.sift_weights == "none.pth"
    assert placed(TrainOptions()) == TrainOptions() and Path(found.weights).is_absolute()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train:\n  classify:\n    epochs: 3\n", "'train' is a table: move its values up"),
        ("lr: [0.1, 0.2]\n", "'lr' is a list: move its values up"),
        ("data: x\nrows: {a: {}}\nseeds: [1]\n", "this is a study: resight train study FILE"),
        (json.dumps(record()), "this is the record of a run: options.yaml beside it is one"),
    ],
)
def test_a_file_of_something_else(tmp_path, text, said):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as got:
        read_config(file)
    form = "a file of training options has names and values only, such as `epochs: 20` and `lr: 0.001`"
    assert str(got.value) == f"{file}: {form}; {said}"
