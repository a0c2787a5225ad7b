"""`resight train finish` as it is typed."""

import json

import pytest
from training_samples import TINY, class_folders

from resight import cli
from resight.train.classifier import train_classifier

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stopped(tmp_path):
    """The folder of a training that was stopped after epoch 2 of 5."""

    def stop(line):
        if line.epoch == 2:
            raise KeyboardInterrupt

    data = class_folders(tmp_path / "data", each=6)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **TINY, tune="head", epochs=5, test=0.2, report=stop)
    return tmp_path / "run"


def test_the_main_job(stopped, capsys):
    assert cli.run(["test", str(stopped)]) == 2
    err = capsys.readouterr().err
    assert f"`resight train classify --out {stopped} --resume`" in err and f"`resight train finish {stopped}`" in err
    assert cli.run(["train", "finish", str(stopped)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{stopped}: stopped after epoch 2 of 5"
    assert lines[1].startswith("best: validation accuracy ") and "of 2; " in lines[1]
    assert lines[-1] == f"next: resight test {stopped}"
    assert cli.run(["test", str(stopped)]) == 0
    capsys.readouterr()
    assert cli.run(["train", "classify", "--out", str(stopped), "--resume"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{stopped} was stopped after epoch 2 of 5; nothing is trained\n")


def test_json(stopped, capsys):
    assert cli.run(["train", "finish", str(stopped), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] == {"after": 2, "of": 5}


def test_door(tmp_path, capsys):
    assert cli.run(["train", "finish", str(tmp_path)]) == 2
    assert "expected the folder of a training run" in capsys.readouterr().err
