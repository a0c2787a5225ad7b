"""`resight test` and `resight svm`: what is printed, what is written where, and exit codes."""

from __future__ import annotations

import json
import shutil

import pytest
from made_runs import colour_images, make_run
from training_samples import clip_folders

from resight.cli import run as resight

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run that has held 12 images back."""
    root = tmp_path_factory.mktemp("run")
    make_run(root / "run", colour_images(root / "data", 12), test=0.34)
    return root / "run"


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the run, to be written into."""
    return shutil.copytree(made, tmp_path / "run")


def test_results_are_printed_and_kept(folder, capsys):
    assert resight(["test", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder} on ")
    assert "part test: 12 images" in out
    assert "accuracy 1.0000   95 % interval" in out
    assert out.rstrip().endswith(
        f"wrote {folder}/test: results.txt, results.json, predictions.csv, confusion.png and more"
    )
    results = json.loads((folder / "test" / "results.json").read_text())
    assert results["images"] == 12


def test_results_are_never_overwritten(folder, capsys, tmp_path):
    for _ in range(3):
        assert resight(["test", str(folder)]) == 0
    assert {path.name for path in folder.glob("test*")} == {"test", "test-2", "test-3"}
    assert resight(["test", str(folder), "--part", "val"]) == 0
    assert (folder / "val").is_dir()
    assert resight(["test", str(folder), "--out", str(tmp_path / "mine" / "deep")]) == 0
    before = (tmp_path / "mine" / "deep" / "results.txt").read_bytes()
    assert resight(["test", str(folder), "--out", str(tmp_path / "mine" / "deep")]) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine" / "deep" / "results.txt").read_bytes() == before


def test_json_is_json(folder, capsys):
    assert resight(["test", str(folder), "--json", "--perturb", "rotate=90", "blur=1", "--flips"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["perturbed"]) == ["rotate=90", "blur=1"]
    assert content["mirror images averaged"] is True
    assert content["folder"] == str(folder / "test")


def test_unreadable_images_and_unknown_labels(folder, tmp_path, capsys):
    data = colour_images(tmp_path / "new", 7, seed=9)
    for number in range(6):
        (data / "red" / f"{number}.png").write_text("x")
    (data / "green").rename(data / "\u202egreen")
    assert resight(["test", str(folder), str(data)]) == 2
    error = capsys.readouterr().err
    assert "never seen in training" in error
    assert "--ignore-unknown" in error
    assert error.count("\n") == 1
    assert "\u202e" not in error
    assert resight(["test", str(folder), str(data), "--ignore-unknown", "--perturb", "gamma=2"]) == 0
    out = capsys.readouterr().out
    assert "6 could not be read and do not count:" in out
    assert "... and 1 more, in skipped.csv" in out
    assert "unchanged" in out
    assert "gamma=2" in out
    assert "note: left out, of labels never seen in training" in out
    assert "\u202e" not in out


def test_svm(folder, capsys):
    assert resight(["svm", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "96 features of 18 training and 12 test images" in out
    assert out.count("<- chosen") == 1
    assert sum(line.startswith(("linear ", "rbf ")) for line in out.splitlines()) == 15 + 1
    assert resight(["svm", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder / "svm-2")


def test_other_values_of_c_and_gamma(folder, capsys):
    words = ["svm", str(folder), "--C", "0.01,1", "--gamma", "0.5"]
    assert resight([*words, "--json"]) == 0
    grid = json.loads(capsys.readouterr().out)["grid"]
    assert [(row["kernel"], row["cost"], row["gamma"]) for row in grid] == [
        ("linear", 0.01, None), ("linear", 1, None), ("rbf", 0.01, 0.5), ("rbf", 1, 0.5),
    ]  # fmt: skip
    for option, value, message in (
        ("--C", "1,x", "--C takes numbers with commas between them, such as 0.1,1,10, got '1,x'"),
        ("--C", "0", "C takes 1 to 50 numbers above 0, got 0"),
        ("--gamma", "", "--gamma takes numbers with commas between them"),
    ):
        assert resight(["svm", str(folder), option, value]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert {path.name for path in folder.glob("svm*")} == {"svm"}


def test_the_grid_of_the_command_is_that_of_the_library():
    import inspect

    from resight.cli.svm import svm
    from resight.train.svm_grid import COSTS, GAMMAS, parse_values

    defaults = {name: one.default for name, one in inspect.signature(svm).parameters.items()}
    assert parse_values("C", defaults["costs"]) == COSTS
    assert parse_values("gamma", defaults["gamma"]) == GAMMAS


def test_sequences_are_called_so(tmp_path, capsys):
    data = clip_folders(tmp_path / "data", each=6)
    make_run(tmp_path / "run", data, sequences=True, frames=2, size=32, test=0.34, validation=0.0)
    assert resight(["test", str(tmp_path / "run")]) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert "part test: 4 sequences in " in head
    assert head.endswith(" sequences/s")
    assert resight(["svm", str(tmp_path / "run"), "--C", "1", "--gamma", "1"]) == 0
    out = capsys.readouterr().out
    assert "features of 8 training and 4 test sequences" in out
    assert "folds of 8 training sequences: mean +- standard deviation" in out
    assert "of 4 sequences)" in out


@pytest.mark.parametrize("command", ["test", "svm"])
def test_folds_are_named(made, tmp_path, capsys, command):
    for number in (1, 2):
        shutil.copytree(made, tmp_path / "folds" / f"fold-{number}")
    assert resight([command, str(tmp_path / "folds")]) == 2
    assert f"such as {tmp_path}/folds/fold-1" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["test", "svm"])
def test_doors(folder, tmp_path, capsys, command):
    for words, code, message in (
        ([str(tmp_path / "nothing")], 2, "expected the folder of a training run"),
        ([str(folder), str(tmp_path / "nothing")], 2, "nothing"),
        ([str(folder), "--device", "tpu"], 2, "tpu"),
        ([str(folder), "--out", str(folder / "run.json" / "x")], 2, "run.json"),
    ):
        assert resight([command, *words]) == code
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("resight: ")
        assert error.count("\n") == 1
    assert not list(folder.glob("test*")) + list(folder.glob("svm*"))


def test_a_damaged_run_is_told_in_one_line(folder, capsys):
    weights = folder / "model.safetensors"
    good = weights.read_bytes()
    for data in (good[:-100], b"", good[:-1] + b"\xff"):
        weights.write_bytes(data)
        assert resight(["test", str(folder)]) == 1
        assert "is damaged or was replaced" in capsys.readouterr().err
    weights.write_bytes(good)
    record = (folder / "run.json").read_text()
    for text, code in (
        (record[:-40], 1), (record.replace("blue", "red"), 1), ("[]", 2), ("{}", 2),
        (record.replace('"finished"', '"training"'), 2),
    ):  # fmt: skip
        (folder / "run.json").write_text(text)
        assert resight(["test", str(folder)]) == code
        assert capsys.readouterr().err.count("\n") == 1
    assert not list(folder.glob("test*"))
