"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from resight.errors import InputError, WorkError, advice
from resight.show.files import write_atomic
from resight.show.text import visible


def write_folder(folder: str | os.PathLike[str], files: Mapping[str, bytes | str]) -> None:
    """A new folder with these files; they are written beside it under another name, which is then given up.

    files: {name: content}, names without folders; text is written as UTF-8

    Raises InputError if something is there already (an empty folder may be), WorkError if the disk refuses; then
    nothing is left behind.
    """
    target = Path(os.path.abspath(folder))
    check_free(target)
    temporary = target.parent / f".resight-{secrets.token_hex(6)}.tmp"
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            write_atomic(temporary / name, content)
        temporary.rename(target)
    except OSError as error:
        if target.is_dir() and any(target.iterdir()):  # another process was faster
            raise InputError(_taken(target)) from error
        raise WorkError(f"cannot write {visible(str(target))}: {advice(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(folder: str | os.PathLike[str]) -> None:
    """Nothing if a folder can be made here: nothing is there, or an empty folder. Raises InputError otherwise."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    try:
        taken = not target.is_dir() or target.is_symlink() or any(target.iterdir())
    except OSError as error:
        raise WorkError(f"cannot read {visible(str(target))}: {advice(error)}") from error
    if taken:
        raise InputError(_taken(target))


def _taken(target: Path) -> str:
    return f"{visible(str(target))} is there already and is not overwritten: give another name or remove it"
