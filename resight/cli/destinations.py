"""Whether results can be written where somebody wants them, found before the work begins."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from resight.errors import InputError, WorkError, advice
from resight.show.text import visible


def check_folder(folder: Path | None) -> None:
    """Nothing if files can be put into this folder, which need not be there yet, or if it is None.

    Raises InputError if something else lies in its place, WorkError if it cannot be written.
    """
    if folder is None:
        return
    nearest = folder
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        what = "a file" if nearest.is_file() else "no folder"
        raise InputError(f"{visible(str(folder))}: expected a folder, or a name that is free, {visible(str(nearest))} "
                         f"is {what}")  # fmt: skip
    _try(nearest, folder)


def check_file(file: Path | None) -> None:
    """Nothing if this file can be written, or if it is None. Raises InputError or WorkError as `check_folder`."""
    if file is None:
        return
    if file.is_dir():
        raise InputError(f"{visible(str(file))}: this is a folder; give a file name inside it")
    if not file.parent.is_dir():
        raise InputError(f"{visible(str(file))}: the folder does not exist; create it first")
    _try(file.parent, file)


def _try(folder: Path, wanted: Path) -> None:
    """Write something that vanishes again: permissions, full and read-only disks are all found so."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        if error.errno == errno.ENOENT:  # the folder is there
            raise WorkError(f"cannot write {visible(str(wanted))}: {visible(str(folder))} takes no files; choose "
                            "another folder") from error  # fmt: skip
        raise WorkError(f"cannot write {visible(str(wanted))}: {advice(error)}") from error
