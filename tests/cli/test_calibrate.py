"""`resight calibrate` on small photographs, and `resight match` with what it writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from locating_samples import photograph, photographs
from PIL import Image

from resight.cli import run
from resight.match.calibration_file import read_calibration

FEW = ["--cases", "30", "--tiers", "identity,similarity,noise"]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A calibration that ran through, beside its photographs."""
    folder = tmp_path_factory.mktemp("calibrate")
    photographs(folder / "photos", 8)
    assert run(["calibrate", str(folder / "photos"), "--out", str(folder / "b.json"), *FEW, "--json"]) == 0
    return folder


def test_files_and_table(done, capsys):
    assert names(done) == ["b.cases.jsonl", "b.json", "b.png", "photos"]
    before, journal = (done / "b.json").read_bytes(), (done / "b.cases.jsonl").read_bytes()
    assert run(["calibrate", str(done / "photos"), "--out", str(done / "b.json"), *FEW]) == 0
    printed = capsys.readouterr().out
    assert "30 cases of 8 photographs, 30 of them done before" in printed
    assert (done / "b.json").read_bytes() == before and (done / "b.cases.jsonl").read_bytes() == journal
    own = read_calibration(done / "b.json")
    assert f"at 0.500      at {own.threshold:.3f}" in printed
    made = json.loads(before)["made_of"]
    assert made["cases"] == 30 and made["absent"] == 12 and made["seed"] == 0 and made["at_threshold"]["absent"] == 12
    for tier in ("identity", "similarity", "noise"):
        right, count = made["at_half"]["recall"][tier]
        assert f"{tier}, found{count:>{29 - len(tier) - 7}}{right / count:>14.1%}" in printed
    assert "12 absent templates are too few for a share of 2.0%" in printed
    assert printed.splitlines()[-1].endswith(f"resight match TEMPLATE SCENES --calibration {done / 'b.json'}")
    assert Image.open(done / "b.png").format == "PNG"


def test_json_is_the_file(done, capsys):
    assert run(["calibrate", str(done / "photos"), "--out", str(done / "b.json"), *FEW, "--json"]) == 0
    assert capsys.readouterr().out == (done / "b.json").read_text()


def test_other_false_alarms_and_fewer_cases_use_what_is_done(done, tmp_path, capsys):
    for name in ("b.cases.jsonl", "b.json", "b.png"):
        (tmp_path / name).write_bytes((done / name).read_bytes())
    words = ["calibrate", str(done / "photos"), "--out", str(tmp_path / "b.json")]
    assert run([*words, *FEW, "--false-alarms", "0.3"]) == 0
    assert "30 of them done before" in capsys.readouterr().out
    one, other = read_calibration(done / "b.json"), read_calibration(tmp_path / "b.json")
    assert other.weights == one.weights and other.threshold < one.threshold
    assert json.loads((tmp_path / "b.json").read_text())["made_of"]["at_threshold"]["false"] == 3
    assert run([*words, "--cases", "28", *FEW[2:]]) == 0
    assert "28 cases of 8 photographs, 28 of them done before" in capsys.readouterr().out
    assert run([*words, *FEW, "--seed", "1"]) == 2
    assert "was begun with other seed; give another name" in capsys.readouterr().err


def test_it_goes_on_after_it_was_killed_and_interrupted(done, tmp_path):
    out, journal = tmp_path / "b.json", tmp_path / "b.cases.jsonl"
    words = [sys.executable, "-m", "resight", "calibrate", str(done / "photos"), "--out", str(out), *FEW]
    for how, lines in ((signal.SIGKILL, 3), (signal.SIGINT, 8)):
        work = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while work.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") > lines):
            time.sleep(0.02)
        work.send_signal(how)
        _, told = work.communicate()
        assert names(tmp_path) == ["b.cases.jsonl"] and journal.read_bytes().count(b"\n") > lines
    assert work.returncode == 130
    assert told.splitlines()[-1].endswith("what was reported is safe, run the same command again to go on")
    assert run(words[3:]) == 0
    assert out.read_bytes() == (done / "b.json").read_bytes()
    assert journal.read_bytes() == (done / "b.cases.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cases", "0"], "--cases must be at least 1"),
        (["--false-alarms", "2"], "--false-alarms is a share from 0 to below 1, as 0.02, got 2"),
        (["--false-alarms", "nan"], "--false-alarms is a share"),
        (["--tiers", "blurr"], "unknown tier 'blurr', did you mean 'blur'"),
        (["--tiers", "absent"], "expected a tier in which the template is there"),
        (["--out", "{}/b.txt"], "--out is a file NAME.json"),
        (["--out", "{}/photos/b.json"], "where the photographs are: write elsewhere"),
        (["--out", "{}/none/b.json"], "the folder does not exist"),
    ],
)
def test_doors(tmp_path, capsys, words, message):
    data = photographs(tmp_path / "photos", 2)
    options = ["--out", str(tmp_path / "b.json")] if "--out" not in words else []
    assert run(["calibrate", str(data), *options, *(word.replace("{}", str(tmp_path)) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert names(tmp_path) == ["photos"]


@pytest.mark.parametrize("name", ["b.json", "b.png"])
def test_nothing_of_others_is_written_over(tmp_path, capsys, name):
    data = photographs(tmp_path / "photos", 2)
    (tmp_path / name).write_text("mine")
    assert run(["calibrate", str(data), "--out", str(tmp_path / "b.json")]) == 2
    assert f"{name} is there already, without b.cases.jsonl" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine" and names(tmp_path) == sorted([name, "photos"])


def test_too_few_cases_keep_what_is_done(tmp_path, capsys):
    data = photographs(tmp_path / "photos", 3)
    assert run(["calibrate", str(data), "--out", str(tmp_path / "b.json"), "--cases", "3", "--tiers", "blur"]) == 2
    assert "resight: too few cases to calibrate: " in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()
    assert (tmp_path / "b.cases.jsonl").read_bytes().count(b"\n") == 4


def test_matching_with_it(done, tmp_path, capsys):
    own, scene = str(done / "b.json"), tmp_path / "scene.png"
    Image.fromarray(photograph(50)).save(scene)
    words = ["match", str(scene), str(scene), "--template-box", "20,30,80,90", "--json"]
    assert run(words) == 0
    usual = json.loads(capsys.readouterr().out)
    assert usual["calibration"] is None
    assert run([*words, "--calibration", own, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calibration"] == own and found["threshold"] == read_calibration(own).threshold
    assert found["scenes"][0]["found"] and found["scenes"][0]["score"] != usual["scenes"][0]["score"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["calibration"] == own and manifest["threshold"] == found["threshold"]
    assert run([*words, "--calibration", own, "--threshold", "0.125"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 0.125


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "mask", "--model", "run"], "--calibration has no effect beside --method mask"),
    ],
)
def test_matching_for_which_it_is_not(done, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    scene = str(done / "photos" / "0.png")
    assert run(["match", scene, scene, *words, "--calibration", str(done / "b.json")]) == 2
    assert message in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = ("import sys, io, contextlib\nfrom resight.cli import run\nwith contextlib.redirect_stdout(io.StringIO()):\n"
            "    run(['calibrate', '--help'])\n"
            "print([m for m in ('torch', 'cv2', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])")  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
