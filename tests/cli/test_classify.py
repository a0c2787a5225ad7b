"""`resight classify`: lines, files, exit codes."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from made_runs import colour_images, make_run
from training_samples import clip_folders

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
    assert "3 rows, 1 of which could not be read\n" in capsys.readouterr().out
    assert resight([*words, "--out", str(tmp_path / "a.csv")]) == 0
    assert "3 rows, 1 of which could not be read, in place of an older file\n" in capsys.readouterr().out
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


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The folder of a run on sequences of blue and red, and a folder of others, two of each."""
    root = tmp_path_factory.mktemp("clips")
    make_run(root / "run", clip_folders(root / "data"), sequences=True, frames=2, size=32, head="tcn")
    return str(root / "run"), clip_folders(root / "new", each=2)


@pytest.fixture
def takes(clips, tmp_path):
    """A copy of those others."""
    return shutil.copytree(clips[1], tmp_path / "takes")


def lines_of(capsys):
    """The last two names of each path that was printed, and what was said beside."""
    captured = capsys.readouterr()
    return ["/".join(line.split("   ")[1].split("/")[-2:]) for line in captured.out.splitlines()], captured.err


def test_sequences(clips, takes, tmp_path, capsys):
    words = ["classify", clips[0]]
    assert resight([*words, str(takes / "red" / "clip-0")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    for place in (takes, takes / "red"):
        assert resight([*words, str(place)]) == 0
        labels = ("blue", "red") if place == takes else ("red",)
        assert lines_of(capsys) == ([f"{label}/clip-{number}" for label in labels for number in range(2)], "")
    (tmp_path / "list.csv").write_text("path,label\ntakes/red/clip-1,red\ntakes/none,red\n")
    assert resight([*words, str(tmp_path / "list.csv")]) == 0
    found, said = lines_of(capsys)
    assert found == ["red/clip-1"]
    assert "takes/none: no such folder or file" in said
    (tmp_path / "bad.mp4").write_text("x")
    assert resight([*words, str(tmp_path / "bad.mp4")]) == 1
    assert "bad.mp4" in capsys.readouterr().err


def test_what_is_no_sequence_is_said(clips, takes, tmp_path, capsys):
    """As in training: takes are sequences, images beside them are left out, and what cannot be read is named."""
    words = ["classify", clips[0]]
    shutil.copy(takes / "red/clip-0/0.png", takes / "red/stray.png")
    (takes / "red/take7").mkdir()
    (takes / "red/take8").symlink_to("/nowhere/take8")
    (takes / "red/clip-1/0.png").write_bytes(b"")
    stray = f"note: images that are in no folder of frames, left out: 1 ('{takes}/red/stray.png')"
    for place, more in ((takes / "red", []), (takes, ["blue/clip-0", "blue/clip-1"])):
        assert resight([*words, str(place)]) == 0
        found, said = lines_of(capsys)
        assert found == [*more, "red/clip-0"]
        assert said.splitlines() == [
            stray,
            f"  -    {takes}/red/clip-1: 0.png: the file is empty",
            f"  -    {takes}/red/take7: the folder holds no images",
            f"  -    {takes}/red/take8: no such folder or file, it is a link to /nowhere/take8",
        ]
    (tmp_path / "empty").mkdir()
    assert resight([*words, str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"no sequences in {tmp_path}/empty")
    (tmp_path / "empty/notes.txt").write_text("x")
    assert resight([*words, str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err.rstrip().endswith("/empty; left out: 1 .txt")
    for name in ("~nobody-here/x", "n" * 300):
        assert resight([*words, name]) == 2
        assert "there is no such file or folder" in capsys.readouterr().err
    assert resight(words) == 2
    assert "nothing to classify: give sequences, folders" in capsys.readouterr().err


def test_mirror_images_of_moving_sequences_are_noted(clips, made, capsys):
    assert resight(["classify", clips[0], str(clips[1]), "--flips"]) == 0
    assert "note: mirror images are averaged, and this run (head tcn) sees motion" in capsys.readouterr().err
    assert resight(["classify", made[0], str(made[1]), "--flips"]) == 0
    assert capsys.readouterr().err == ""


def test_broken_links_are_named(made, tmp_path, capsys):
    folder, images = made
    shutil.copytree(images / "red", tmp_path / "red")
    (tmp_path / "red/gone.png").symlink_to("elsewhere.png")
    (tmp_path / "red/more").symlink_to("elsewhere")
    assert resight(["classify", folder, str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert captured.err.splitlines() == [
        f"note: broken links, left out: 1 ('{tmp_path}/red/more')",
        f"  -    {tmp_path}/red/gone.png: no such file, it is a link to elsewhere.png",
    ]


def test_folds_are_named(made, tmp_path, capsys):
    shutil.copytree(made[0], tmp_path / "folds" / "fold-1")
    assert resight(["classify", str(tmp_path / "folds"), str(made[1])]) == 2
    assert f"such as {tmp_path}/folds/fold-1" in capsys.readouterr().err
