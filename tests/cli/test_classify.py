"""`resight classify`: lines, files, exit codes."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from made_runs import colour_images, make_run
from PIL import Image

from resight.cli import run as resight
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run, and a folder of images that it knows well."""
    root = tmp_path_factory.mktemp("run")
    make_run(root / "run", colour_images(root / "data", 12))
    return str(root / "run"), colour_images(root / "new", 2, seed=9)


def test_one_line_an_image(made, capsys):
    folder, images = made
    assert resight(["classify", folder, str(images)]) == 0
    lines = capsys.readouterr().out.splitlines()
    paths = sorted(images.glob("*/*"))
    scores = dict(Run.open(folder, "cpu").scores(paths))
    assert lines == [f"{scores[path].max():.3f}  {path.parent.name}   {path}" for path in paths]


def test_several_classes_of_one_image(made, capsys):
    folder, images = made
    path = images / "red" / "0.png"
    assert resight(["classify", folder, str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # there are no five
    assert lines[0].endswith(f"  red   {path}")
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=2e-3)
    assert {line.split()[1] for line in lines} == {"blue", "green", "red"}
    assert resight(["classify", folder, str(images), "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_files(made, tmp_path, capsys):
    folder, images = made
    (tmp_path / "bad.png").write_text("x")
    words = ["classify", folder, str(images / "red"), str(tmp_path / "bad.png")]
    assert resight([*words, "--out", str(tmp_path / "a.csv")]) == 0
    assert "3 rows, 1 of which could not be read" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["predicted"] for row in rows] == ["red", "red", ""]
    assert rows[2]["path"] == str(tmp_path / "bad.png")
    assert rows[2]["error"]
    assert list(rows[0]) == "path predicted score predicted_2 score_2 predicted_3 score_3 error".split()
    assert resight([*words, "-o", str(tmp_path / "a.json"), "--top", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "a.json").read_text())
    assert [len(row.get("classes", ())) for row in printed] == [1, 1, 0]
    assert printed[0]["classes"][0]["class"] == "red"


def test_exit_codes(made, tmp_path, capsys):
    folder, images = made
    (tmp_path / "bad.png").write_text("x")
    good, bad = str(images / "red" / "0.png"), str(tmp_path / "bad.png")
    assert resight(["classify", folder, good, bad]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert bad in captured.err
    assert resight(["classify", folder, good, bad, "--strict"]) == 1
    assert resight(["classify", folder, bad]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to classify: give images, folders or globs"),
        (["EMPTY"], "no images in"),
        (["NOTHING"], "NOTHING"),
        (["GOOD", "--top", "0"], "--top must be at least 1, got 0"),
        (["GOOD", "-o", "a.txt"], "--out takes a .csv or .json file, got 'a.txt'"),
        (["GOOD", "-o", "NOTHING/a.csv"], "the folder does not exist"),
    ],
)
def test_doors(made, tmp_path, capsys, words, message):
    folder, images = made
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "EMPTY" / "note.txt").write_text("x")
    places = {"GOOD": str(images / "red" / "0.png"), "EMPTY": str(tmp_path / "EMPTY")}
    words = [places.get(word, word.replace("NOTHING", str(tmp_path / "NOTHING"))) for word in words]
    assert resight(["classify", folder, *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_names_are_shown_as_they_are(made, tmp_path, capsys):
    folder, images = made
    name = tmp_path / "a\u202eb\nc.png"
    shutil.copy(images / "red" / "0.png", name)
    assert resight(["classify", folder, str(tmp_path), "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "a\\u202eb\\nc.png" in out


def test_sequences(tmp_path, capsys):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(3):
            place = tmp_path / "data" / label / f"clip{clip}"
            place.mkdir(parents=True)
            for frame in range(2):
                Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(place / f"{frame}.png")
    make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=2, size=32)
    words = ["classify", str(tmp_path / "run")]
    assert resight([*words, str(tmp_path / "data" / "a" / "clip0")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert resight([*words, str(tmp_path / "data")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("   ")[1].split("/")[-2:] for line in lines] == [
        [label, f"clip{clip}"] for label in "ab" for clip in range(3)
    ]
    (tmp_path / "bad.mp4").write_text("x")
    assert resight([*words, str(tmp_path / "bad.mp4")]) == 1
    assert "bad.mp4" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert resight([*words, str(tmp_path / "empty")]) == 2
    assert "no sequences in" in capsys.readouterr().err
