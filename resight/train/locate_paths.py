"""Where the data of a training lies, as a .env file or the environment says where no path is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from resight.errors import InputError
from resight.images.lines import read_lines
from resight.images.places import is_file

DATA, IMAGES = "RESIGHT_LOCATE_DATA", "RESIGHT_LOCATE_IMAGES"
FILE = ".env"
LIMIT = 2**16  # bytes


def named_paths(folder: Path, environment: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
    """The data and the folder of its images: RESIGHT_LOCATE_DATA and RESIGHT_LOCATE_IMAGES; None where not named.

    folder: whose file .env is read; the environment goes before it. Paths in the file are relative to the folder

    Lines are NAME=VALUE, perhaps quoted, perhaps after `export`; others than these two names do not matter.
    Raises InputError, naming the line, if the file cannot be read as that.
    """
    given = os.environ if environment is None else environment
    written = _read(folder / FILE) if is_file(folder / FILE) else {}
    data, images = (given.get(name) or written.get(name) for name in (DATA, IMAGES))
    return data, images


def _read(file: Path) -> dict[str, str]:
    found = {}
    for number, text in read_lines(file, LIMIT):
        if text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals:
            raise InputError(f"{file}, line {number}: expected NAME=VALUE, got {text[:60]!r}")
        plain = value.strip()
        if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'":
            plain = plain[1:-1]
        if name.strip() in (DATA, IMAGES) and plain:
            own = os.path.expanduser(plain)
            found[name.strip()] = own if own == "synthetic" else os.path.normpath(file.parent / own)
    return found
