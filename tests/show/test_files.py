import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resight.errors import WorkError
from resight.show import write_atomic


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_bytes_and_text_as_they_are(tmp_path):
    write_atomic(tmp_path / "a.bin", b"\x00\r\n")
    write_atomic(str(tmp_path / "b.txt"), "é\r\n写")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "b.txt").read_bytes() == "é\r\n写".encode()
    assert entries(tmp_path) == ["a.bin", "b.txt"]


def test_replaces_the_old_file_and_keeps_to_the_umask(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old, and longer than the new")
    before = os.umask(0o027)
    try:
        write_atomic(target, "new")
    finally:
        os.umask(before)
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def a_folder(root: Path) -> Path:
    (root / "kept").mkdir()
    return root / "kept"


def a_file_as_folder(root: Path) -> Path:
    (root / "kept").write_text("")
    return root / "kept" / "page.html"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (a_folder, "this is a folder; give a file name inside it"),
        (a_file_as_folder, "part of the path is a file, not a folder"),
        (lambda root: root / "missing" / "page.html", "the folder does not exist; create it first"),
        (lambda root: root / ("x" * 300), "the name is too long"),
        (lambda root: f"{root}/a\0b", "choose another name"),
    ],
)
def test_refusal_is_one_clear_line_and_leaves_nothing(tmp_path, path, message):
    target = path(tmp_path)
    before = entries(tmp_path)
    with pytest.raises(WorkError, match=message) as caught:
        write_atomic(target, "text")
    assert str(caught.value).startswith("cannot write ")
    assert len(str(caught.value).splitlines()) == 1
    assert entries(tmp_path) == before


def test_unencodable_text_leaves_the_old_file(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old")
    with pytest.raises(WorkError, match="cannot be encoded as UTF-8 at character 2"):
        write_atomic(target, "ab\udcff")
    assert target.read_text() == "old"
    assert entries(tmp_path) == ["page.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_file_cut_off_while_writing_leaves_the_old_one(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old")
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from resight.errors import WorkError
from resight.show.files import write_atomic
try:
    write_atomic({str(target)!r}, b"x" * 100_000)
except WorkError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
    assert "larger than the system allows" in done.stdout
    assert target.read_text() == "old"
    assert entries(tmp_path) == ["page.html"]


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "page.html", "text")
    assert entries(tmp_path) == []


def test_full_disk(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match="the disk is full; free some space"):
        write_atomic(tmp_path / "page.html", "text")
    assert entries(tmp_path) == []
