"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from resight.errors import WorkError, advice
from resight.show.text import visible


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Writes the file in one step: readers see the old content or the new, never a part.

    A temporary file in the same folder is filled, flushed to the disk and renamed; on failure it is removed. Text is
    written as UTF-8 with its line ends as they are.
    Raises WorkError, in one line, for whatever goes wrong.
    """
    target = Path(path)
    temporary = target.parent / f".resight-{secrets.token_hex(6)}.tmp"
    try:
        content = data.encode("utf-8") if isinstance(data, str) else data
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _write_through(temporary, content)
        temporary.replace(target)
    except (OSError, ValueError) as error:
        raise WorkError(f"cannot write {visible(str(target))}: {_advice(error)}") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _advice(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"the text cannot be encoded as UTF-8 at character {error.start}; pass bytes, or clean the text"
    if isinstance(error, OSError):
        return advice(error)
    return f"{error}; choose another name"
