"""CSV rows and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from resight.errors import InputError
from resight.images.rows import read_rows


def rows(tmp_path: Path, content: bytes, required: tuple[str, ...] = ("path",)) -> list[tuple[int, dict[str, str]]]:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    return list(read_rows(file, required))


def test_rows(tmp_path: Path):
    content = '\ufeffpath, label\r\n"a,b.jpg",cat\r\n\r\nc.jpg\r\nd.jpg,dog,extra\r\n'.encode()
    assert rows(tmp_path, content) == [
        (2, {"path": "a,b.jpg", "label": "cat"}),
        (4, {"path": "c.jpg", "label": ""}),
        (5, {"path": "d.jpg", "label": "dog"}),
    ]
    assert rows(tmp_path, b"path\n") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"list\.csv, line 1: expected a column 'path', got nothing"),
        (
            b"file;label\na;b\n",
            r"line 1: expected a column 'path', got 'file;label'; the first line names the comma-sep",
        ),
        (b"path,label\na.jpg,x\n ,y\n", r"list\.csv, line 3: the cell under 'path' is empty"),
        (b"label,path\nx\n", r"line 2: the cell under 'path' is empty"),
        ("path\nbäh.jpg\n".encode("latin-1"), r"list\.csv: not UTF-8 at byte \d+: save it as CSV UTF-8"),
        ("path\na.jpg\n".encode("utf-16"), r"list\.csv: not UTF-8"),
        (b'path\n"a.jpg\n', r"list\.csv, line 2: not readable as CSV"),
    ],
)
def test_wrong_rows(tmp_path: Path, content: bytes, words: str):
    with pytest.raises(InputError, match=words):
        rows(tmp_path, content)


def test_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match="expected a CSV file, got none"):
        list(read_rows(tmp_path / "none.csv", ["path"]))
    with pytest.raises(InputError, match="expected a CSV file, got none"):
        list(read_rows(tmp_path, ["path"]))
