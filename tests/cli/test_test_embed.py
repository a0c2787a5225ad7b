"""`resight test` of a run of `resight train embed`: what is printed, what is written, flags without effect."""

from __future__ import annotations

import json

import pytest
from embed_standins import stand_in
from made_runs import make_run
from training_samples import class_folders

from resight.cli import run as resight

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a run of which run.json says that it is an embedding, and that opens as a stand-in."""
    from resight.train.embed_runs import EmbedRun
    from resight.train.run_files import FORMAT, write_record

    class_folders(tmp_path / "data" / "train", 4)
    class_folders(tmp_path / "data" / "test", 4, ("blue", "red"))
    for name in ("blue", "red"):
        for file in (tmp_path / "data" / "test" / name).iterdir():
            file.write_bytes(file.read_bytes() + b"another")
    run = stand_in(tmp_path / "run", tmp_path / "data")
    write_record(run.folder, {
        "format": FORMAT, "task": "embed", "state": "finished", "versions": {}, "options": {}, "split": {},
        "classes": list(run.classes), "model": {"sha256": "0" * 64}, **run.record,
    })  # fmt: skip
    monkeypatch.setattr(EmbedRun, "open", classmethod(lambda cls, place, device="auto": run))
    return run.folder


def test_results_are_printed_and_kept(folder, capsys):
    assert resight(["test", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder} on ")
    assert "part test: 8 queries, each among the others, in " in out
    assert "all classes (2), 8 queries" in out
    assert "trained - start " in out
    assert "classes: 2 tested, 2 of them trained on, 0 not (by their names)" in out
    assert out.rstrip().endswith(
        f"wrote {folder}/test: results.txt, per_query.csv, per_class.csv, sheet.png, embedding.png and more"
    )
    assert max(len(line) for line in out.splitlines() if line.startswith("  ")) < 120
    assert resight(["test", str(folder)]) == 0
    assert {path.name for path in folder.glob("test*")} == {"test", "test-2"}


def test_json_another_database_and_a_place_of_its_own(folder, capsys, tmp_path):
    out = tmp_path / "mine" / "deep"
    words = ["test", str(folder), "--out", str(out), "--json", "--projection", "pca"]
    assert resight([*words, "--database", str(tmp_path / "data" / "train")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(out)
    assert found["about"]["database"] == str(tmp_path / "data" / "train")
    assert found["about"]["picture"] == "pca"
    assert found["about"]["counts"]["searched"] == 12
    assert any("12 of the 12 images of the database were trained on" in note for note in found["about"]["notes"])
    assert resight(words) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_leaks_are_refused_in_one_line(folder, capsys, tmp_path):
    assert resight(["test", str(folder), str(tmp_path / "data"), "--part", "all"]) == 2
    error = capsys.readouterr().err
    assert "12 of its 20 images were trained on" in error
    assert error.count("\n") == 1
    assert not (folder / "test").exists()
    assert resight(["test", str(folder), str(tmp_path / "data"), "--part", "all", "--allow-leak"]) == 0
    assert "note: 12 of the 20 images were trained on" in capsys.readouterr().out


def test_flags_without_effect(folder, capsys, tmp_path):
    for words, name in ((["--flips"], "flips"), (["--perturb", "gamma=2"], "perturb"),
                        (["--ignore-unknown"], "ignore-unknown")):  # fmt: skip
        assert resight(["test", str(folder), *words]) == 2
        assert f"--{name} has no effect on the test of an embedding" in capsys.readouterr().err
    make_run(tmp_path / "classifier", class_folders(tmp_path / "other", 4), test=0.3)
    for words, name in ((["--database", "same"], "database"), (["--projection", "pca"], "projection")):
        assert resight(["test", str(tmp_path / "classifier"), *words]) == 2
        assert f"--{name} has no effect on the test of a classifier" in capsys.readouterr().err
