"""What lies at a path, told without raising: names from outside may be too long, looped, or forbidden."""

from __future__ import annotations

import os
import stat


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there, links followed."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file is there, links followed: no FIFO, socket or device, which reading may wait for."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether anything is there, links followed."""
    return _mode(path) is not None


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None
