"""What lies at a path, also where the system refuses to say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resight.images.places import is_file, is_folder, is_there


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("folder", (True, False, True)),
        ("to folder", (True, False, True)),
        ("file", (False, True, True)),
        ("pipe", (False, False, True)),
        ("none", (False, False, False)),
        ("to nothing", (False, False, False)),
        ("loop", (False, False, False)),
        ("file/below", (False, False, False)),
        ("n" * 300, (False, False, False)),
        ("a\0b", (False, False, False)),
    ],
)
def test_places(tmp_path: Path, name: str, answers: tuple[bool, bool, bool]):
    (tmp_path / "folder").mkdir()
    (tmp_path / "to folder").symlink_to("folder")
    (tmp_path / "to nothing").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / name, str(tmp_path / name)):
        assert (is_folder(path), is_file(path), is_there(path)) == answers
