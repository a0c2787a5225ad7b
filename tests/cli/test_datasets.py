"""The command `resight datasets`."""

import json

import pytest

from resight.cli.datasets import datasets
from resight.errors import InputError
from resight.measure.datasets import DATASETS


def test_overview_names_every_set(capsys):
    assert datasets() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(DATASETS)]] == list(DATASETS)
    assert "5,063" in lines[0] and "55" in lines[0]


def test_one_set(capsys):
    assert datasets("roxford5k") == 0
    out = capsys.readouterr().out
    assert "gnd_roxford5k.pkl" in out and "licence" in out and max(map(len, out.splitlines())) <= 115
    assert datasets("roxford5k", json=True) == 0
    assert json.loads(capsys.readouterr().out)[0]["queries"] == 70


def test_check_says_what_is_wrong_and_exits_with_1(tmp_path, capsys):
    (tmp_path / "100000.jpg").write_bytes(b"")
    assert datasets("holidays", check=tmp_path) == 1
    out = capsys.readouterr().out
    assert "holidays is NOT complete" in out and "problem  1,490 images too few: expected 1,491" in out
    assert datasets("holidays", check=tmp_path, json=True) == 1
    assert json.loads(capsys.readouterr().out)["complete"] is False


def test_complete_folder_exits_with_0(tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "pairs.csv").write_text("query,positive\na.jpg,b.jpg\n")
    assert datasets("pairs", check=tmp_path) == 0
    assert "pairs is complete" in capsys.readouterr().out


def test_door(tmp_path):
    with pytest.raises(InputError, match="unknown image set 'holiday', did you mean 'holidays'"):
        datasets("holiday")
    with pytest.raises(InputError, match="--check needs the name of an image set"):
        datasets(check=tmp_path)
