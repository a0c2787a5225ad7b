"""A training that is stopped, in every way there is, and gone on with."""

import csv
import shutil
from pathlib import Path

import pytest
from training_samples import TINY, class_folders

from resight.errors import InputError
from resight.train.classifier import train_classifier

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {**TINY, "tune": "head", "epochs": 2, "lr": 0.01}
EPOCHS = {**TINY, "epochs": 2, "lr": 0.01, "augment": "flip", "batch": 8}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


def rows(run):
    """metrics.csv but for the times."""
    with (run.folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_killed_after_every_write_and_resumed(data, tmp_path, monkeypatch):
    """Whatever was on the disk when it died, the run ends as if nothing had been."""
    whole = train_classifier(data, tmp_path / "whole", **QUICK, ema=0.9)
    expected = rows(whole), whole.record["model"]["sha256"]
    real, writes = Path.replace, []

    class Killed(BaseException):
        pass

    def dying(at):
        def replace(self, target):
            writes.append(str(target))
            if len(writes) == at:
                raise Killed
            return real(self, target)

        return replace

    at = 0
    while True:
        at += 1
        writes.clear()
        folder = tmp_path / f"killed-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying(at))
            try:
                train_classifier(data, folder, **QUICK, ema=0.9)
            except Killed:
                died = True
            else:
                died = False
        if not died:
            break
        run = train_classifier(data, folder, **QUICK, ema=0.9, resume=True)
        assert (rows(run), run.record["model"]["sha256"]) == expected, writes[-1]
        assert not list(folder.rglob(".resight-*"))
    # options, split, skipped, run.json; best, last, metrics of two epochs; model, metrics, curves, run.json
    assert at - 1 >= 13


def test_resume_checks_that_it_is_the_same_training(data, tmp_path):
    run = train_classifier(data, tmp_path / "run", **QUICK)
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match="holds a finished training, which is not overwritten"):
        train_classifier(data, tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match="begun with other choices: epochs 2, now 3"):
        train_classifier(data, tmp_path / "run", **{**QUICK, "epochs": 3}, resume=True)
    shutil.copy(data / "red" / "0.png", data / "red" / "more.png")
    with pytest.raises(InputError, match=r"the data \(then .*18 images; now .*19"):
        train_classifier(data, tmp_path / "run", **QUICK, resume=True)
    (data / "red" / "more.png").unlink()
    told = []
    again = train_classifier(data, tmp_path / "run", **QUICK, resume=True, tell=told.append)
    assert again.record == run.record and told == [f"{run.folder} has finished before; nothing is trained"]
    assert before == {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}


def test_ctrl_c_between_epochs_then_resume(data, tmp_path):
    whole = train_classifier(data, tmp_path / "whole", **EPOCHS)

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **EPOCHS, report=interrupt)
    told = []
    run = train_classifier(data, tmp_path / "run", **EPOCHS, resume=True, tell=told.append)
    assert "going on after epoch 1 of 2" in told
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]
