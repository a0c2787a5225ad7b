"""`resight split`: the table, the file that other commands take, and what is refused."""

from __future__ import annotations

import json

from training_samples import class_folders

from resight.cli import run as resight
from resight.images.examples import read_examples

NAMES = tuple("abcdefghij")


def folders(root, each=3, names=NAMES):
    """Class folders of different images of one colour each."""
    class_folders(root, each, ("blue",))
    for number, name in enumerate(names):
        (root / name).mkdir()
        for one in range(each):
            data = (root / "blue" / f"{one}.png").read_bytes()
            (root / name / f"{one}.png").write_bytes(data + bytes([number, one]))
    for one in range(each):
        (root / "blue" / f"{one}.png").unlink()
    (root / "blue").rmdir()
    return root


def test_the_table_and_the_file(tmp_path, capsys):
    data, out = folders(tmp_path / "data"), tmp_path / "split.csv"
    assert resight(["split", str(data), "--out", str(out), "--by", "class"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:5] == [
        "part   classes   images",
        "train        6       18",
        "val          2        6",
        "test         2        6",
        "all         10       30",
    ]
    assert printed[-1] == f"wrote {out}"
    examples = read_examples(out)
    assert {part: len(examples.of(part)) for part in ("train", "val", "test")} == {"train": 18, "val": 6, "test": 6}
    classes = [{item.label for item in examples.of(part).items} for part in ("train", "val", "test")]
    assert sum(map(len, classes)) == len(set.union(*classes)) == 10


def test_nothing_is_overwritten_unless_told(tmp_path, capsys):
    data, out = folders(tmp_path / "data"), tmp_path / "split.csv"
    words = ["split", str(data), "--out", str(out)]
    assert resight(words) == 0
    before = out.read_bytes()
    assert resight([*words, "--seed", "1"]) == 2
    assert capsys.readouterr().err == (
        f"resight: {out} is there already and is not overwritten: give another name, or --replace\n"
    )
    assert out.read_bytes() == before
    assert resight([*words, "--seed", "1", "--replace"]) == 0
    assert out.read_bytes() != before
    assert resight(["split", str(out), "--out", str(out), "--replace"]) == 2
    assert "this is the list to be split" in capsys.readouterr().err


def test_json(tmp_path, capsys):
    data, out = folders(tmp_path / "data"), tmp_path / "split.csv"
    assert resight(["split", str(data), "--out", str(out), "--by", "class", "--validation", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parts"] == {
        "train": {"classes": 8, "images": 24}, "test": {"classes": 2, "images": 6},
        "all": {"classes": 10, "images": 30},
    }  # fmt: skip
    assert (found["by"], found["seed"], found["file"]) == ("class", 0, str(out))


def test_mistakes_are_one_line_and_write_nothing(tmp_path, capsys):
    data = folders(tmp_path / "data", names=tuple("abc"))
    for words, message in (
        ([str(data), "--out", str(tmp_path / "split.txt")], "ends with .csv"),
        ([str(data), "--out", str(tmp_path / "none" / "split.csv")], "the folder does not exist"),
        ([str(tmp_path / "none"), "--out", str(tmp_path / "split.csv")], "none"),
        ([str(data), "--out", str(tmp_path / "split.csv"), "--by", "class"], "3 classes cannot be dealt out whole"),
        ([str(data), "--out", str(tmp_path / "split.csv"), "--by", "group"], "no groups to keep whole"),
        ([str(data), "--out", str(tmp_path / "split.csv"), "--by", "kind"], "kind"),
        ([str(data), "--out", str(tmp_path / "split.csv"), "--min-images", "9"], "0 remain"),
    ):
        assert resight(["split", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.csv"))
