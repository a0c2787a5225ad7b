"""Folders whole or not at all."""

from __future__ import annotations

import os

import pytest

from resight.errors import InputError, WorkError
from resight.show import folders
from resight.show.folders import check_free, write_folder


def test_a_folder_appears_with_its_parents(tmp_path):
    write_folder(tmp_path / "a" / "b", {"x.txt": "ü", "y.bin": b"\xff"})
    assert (tmp_path / "a" / "b" / "x.txt").read_text("utf-8") == "ü"
    assert (tmp_path / "a" / "b" / "y.bin").read_bytes() == b"\xff"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_what_is_there_stays(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("full", "file", "link"):
        with pytest.raises(InputError, match=f"{name} is there already and is not overwritten"):
            write_folder(tmp_path / name, {"a": "b"})
        with pytest.raises(InputError, match="is there already"):
            check_free(tmp_path / name)
    write_folder(tmp_path / "empty", {"a": "b"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "link"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(path, content):
        if path.name == "second":
            raise WorkError("the disk is full")
        path.write_text(content)

    monkeypatch.setattr(folders, "write_atomic", fail)
    with pytest.raises(WorkError, match="full"):
        write_folder(tmp_path / "r", {"first": "1", "second": "2"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_no_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WorkError, match="no permission"):
        write_folder(tmp_path / "locked" / "r", {"a": "b"})


def test_a_file_among_the_parents(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkError, match="part of the path is a file"):
        write_folder(tmp_path / "file" / "r", {"a": "b"})
