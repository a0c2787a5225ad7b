"""Text files of names: what a line is, and bounded reading."""

import os

import pytest

from resight.errors import InputError
from resight.images.lines import read_bytes_of, read_lines


def test_lines_keep_their_numbers(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbf a \r\n\r\nb\tc\n\xc3\xa9")
    assert list(read_lines(tmp_path / "names.txt")) == [(1, "a"), (3, "b\tc"), (4, "é")]


@pytest.mark.parametrize(("size", "fits"), [(9, True), (10, True), (11, False)])
def test_limit(tmp_path, size, fits):
    (tmp_path / "file").write_bytes(b"x" * size)
    if fits:
        assert read_bytes_of(tmp_path / "file", 10) == b"x" * size
    else:
        with pytest.raises(InputError, match="file: expected at most 10 bytes"):
            read_bytes_of(tmp_path / "file", 10)


def test_what_is_no_file(tmp_path):
    with pytest.raises(InputError, match="expected a file, got a folder"):
        read_bytes_of(tmp_path, 10)
    with pytest.raises(InputError, match="nowhere: expected a file, got none"):
        list(read_lines(tmp_path / "nowhere"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(InputError, match=f"{name}: expected a file, got a pipe, socket or device"):
            read_bytes_of(tmp_path / name, 10)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="link: expected a file, got a link to nothing"):
        read_bytes_of(tmp_path / "link", 10)
