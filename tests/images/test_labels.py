"""Labels by folder and by CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from resight.errors import InputError
from resight.images.labels import read_labels


def csv_labels(tmp_path: Path, content: str):
    file = tmp_path / "labels.csv"
    file.write_text(content, encoding="utf-8")
    return read_labels(f"csv:{file}")


def test_folder():
    label = read_labels("folder")
    assert label(Path("photos/cats/tom.jpg")) == "cats"
    assert label(Path("/tom.jpg")) is None


def test_csv_by_path_then_by_name(tmp_path: Path):
    label = csv_labels(tmp_path, f"path,label\na/1.jpg,cat\nb/../b/1.jpg,dog\n{tmp_path}/c/2.jpg,bird\nd/3.jpg,\n")
    assert label(tmp_path / "a/1.jpg") == "cat"
    assert label(tmp_path / "b/1.jpg") == "dog"
    assert label(tmp_path / "x/../c/2.jpg") == "bird"
    assert label(Path("/elsewhere/2.jpg")) == "bird"
    assert label(tmp_path / "d/3.jpg") is None
    assert label(tmp_path / "unknown.jpg") is None


def test_relative_paths_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("path,label\na/1.jpg,cat\n")
    assert read_labels("csv:labels.csv")(Path("a/1.jpg")) == "cat"


def test_ambiguous_name(tmp_path: Path):
    label = csv_labels(tmp_path, "path,label\na/1.jpg,cat\nb/1.jpg,dog\nc/2.jpg,fox\nd/2.jpg,fox\n")
    assert label(Path("/elsewhere/2.jpg")) == "fox"
    with pytest.raises(InputError, match=r"labels\.csv: .*1\.jpg is not listed.*'cat' on line 2, 'dog' on line 3"):
        label(Path("/elsewhere/1.jpg"))


def test_one_path_with_two_labels(tmp_path: Path):
    with pytest.raises(InputError, match=r"labels\.csv, line 3: './a\.jpg' has the label 'dog', and 'cat' on line 2"):
        csv_labels(tmp_path, "path,label\na.jpg,cat\n./a.jpg,dog\n")
    assert csv_labels(tmp_path, "path,label\na.jpg,cat\na.jpg,cat\n")(tmp_path / "a.jpg") == "cat"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("foldr", "unknown labels 'foldr', did you mean 'folder'"),
        ("csv", "unknown labels 'csv'"),
        ("json:x", "unknown labels 'json:x'"),
        ("csv:", "expected a file behind 'csv:'"),
        ("csv:nowhere/none.csv", "expected a CSV file, got none"),
    ],
)
def test_wrong_specs(spec: str, words: str):
    with pytest.raises(InputError, match=words):
        read_labels(spec)


def test_missing_label_column(tmp_path: Path):
    with pytest.raises(InputError, match="line 1: expected a column 'label', got 'path', 'class'"):
        csv_labels(tmp_path, "path,class\na.jpg,cat\n")
