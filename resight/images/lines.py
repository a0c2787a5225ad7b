"""Short text files of names, one a line; every complaint names the file and the line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from resight.errors import InputError, WorkError

MAX_BYTES = 64 * 2**20  # a million names of 64 letters
MAX_NAME = 4096


def read_lines(path: Path, limit: int = MAX_BYTES) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, without the white space around them.

    limit: most bytes
    ->     (line number, text)

    Raises InputError if the file is missing, larger than the limit, not UTF-8, or a line is too long or holds a
    control character; WorkError if it cannot be read.
    """
    for number, line in enumerate(_text(path, limit).split("\n"), 1):
        text = line.strip()
        if not text:
            continue
        if len(text) > MAX_NAME:
            raise InputError(f"{path}, line {number}: expected at most {MAX_NAME:,} characters, got {len(text):,}")
        if any(unicodedata.category(char) == "Cc" and char != "\t" for char in text):
            raise InputError(f"{path}, line {number}: holds a control character: expected a name, got {text[:40]!r}")
        yield number, text


def read_bytes_of(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit`; InputError if there is none or it is larger."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: expected a file, got {_kind(path)}")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise InputError(f"{path}: expected at most {limit:,} bytes, the file is larger: is it the right one?")
    return data


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.exists():
        return "a pipe, socket or device"
    return "a link to nothing" if path.is_symlink() else "none"


def _text(path: Path, limit: int) -> str:
    data = read_bytes_of(path, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}: expected a text file of names") from error
