"""`resight features`, `layers` and the commands on tables, at the door."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from resight.cli import run

SMALL = ["--backbone", "test_resnet", "--weights", "random", "--size", "64", "--device", "cpu"]


def test_a_table_and_what_is_said(photos, tmp_path, capsys):
    (photos / "a/2.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("x")
    words = ["features", str(photos), "-o", str(tmp_path / "t.parquet"), "--with", "gem,fractal:set=mink-44",
             "--layers", "layer2,fc", *SMALL]  # fmt: skip
    assert run(words) == 0
    out = capsys.readouterr().out
    assert "12 rows x" in out and "11 computed" in out and "1 could not be read" in out and "the file is empty" in out
    assert "left out, not images by name: 1 .txt" in out
    names = pq.read_schema(tmp_path / "t.parquet").names
    assert {"gem:test_resnet", "layer:test_resnet.layer2", "layer:test_resnet.fc", "MinkLAC1"} <= set(names)
    assert run([*words, "--strict"]) == 1
    assert "11 known before" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 11


def test_layers_are_listed(capsys):
    assert run(["layers", "resnet18", "--depth", "1"]) == 0
    out = capsys.readouterr().out
    assert "layer4" in out and "512 x 7 x 7" in out and "layer4.0" not in out
    assert run(["layers", "resnet18", "--match", "layer4.*.conv1", "--size", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in found] == ["layer4.0.conv1", "layer4.1.conv1"]
    assert found[0]["gives"] == [512, 2, 2]


def test_from_a_table_to_others_and_back(photos, tmp_path, capsys):
    here = [str(tmp_path / name) for name in ("a.parquet", "b.csv", "c.arff", "d.parquet", "e.parquet")]
    assert run(["features", str(photos), "-o", here[0], "--with", "gem", *SMALL]) == 0
    assert run(["features", str(photos), "-o", here[1], "--with", "fractal:set=mink-44"]) == 0
    assert run(["convert", here[0], here[2]]) == 0
    assert run(["merge", here[0], here[1], "-o", here[3]]) == 0
    assert run(["concat", here[0], here[0], "-o", here[4]]) == 0
    assert run(["map-folder", str(photos), "-o", str(tmp_path / "m.csv")]) == 0
    assert run(["group-folder", str(photos), "5", "-o", str(tmp_path / "g")]) == 0
    assert pq.read_metadata(here[3]).num_rows == 12 and pq.read_metadata(here[4]).num_rows == 24
    assert (tmp_path / "m.csv").read_text().startswith("path,class\n")
    assert (tmp_path / "c.arff").read_text().rstrip().endswith(("a", "b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["features", "{photos}", "-o", "{tmp}/t.parquet"], "which features?"),
        (["features", "{photos}", "-o", "{tmp}/t.xls", "--with", "gem"], "unknown format"),
        (["features", "{photos}", "-o", "{tmp}/t.parquet", "--with", "gme"], "did you mean 'gem'"),
        (["features", "{tmp}/nowhere", "-o", "{tmp}/t.parquet", "--with", "gem"], "nowhere"),
        (["features", "{photos}", "-o", "{tmp}/t.parquet", "--with", "gem", "--labels", "file"], "unknown labels"),
        (["features", "{photos}", "-o", "{tmp}/t.json", "--with", "fractal:set=mink-44"], "t.json"),
        (["layers", "resnet18", "--match", "nothing*"], "no layer of resnet18 matches"),
        (["layers", "resnet19"], "unknown backbone"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(photos, tmp_path, capsys, words, message):
    before = sorted(tmp_path.rglob("*"))
    assert run([word.format(photos=photos, tmp=tmp_path) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_importing_resight_loads_nothing_heavy():
    code = "import sys, resight; print([m for m in ('torch', 'numba', 'pyarrow', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
