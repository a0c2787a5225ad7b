"""Work that was begun, as a file of lines: the settings, then what is done, from which the same work goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from resight.errors import InputError, WorkError, advice
from resight.show.text import visible

LONGEST_LINE = 64 * 2**20  # bytes; the maps of 1,000 classes, or masks of many methods, take one


class Journal:
    """Lines of JSON, each with the system as soon as it is written: a process may be killed at any moment. A context.

    path:     the file; is made if it is not there, in a folder that is
    form:     the name of the format
    settings: what decides the results; a file that was begun with others is refused
    shown:    what is written, in messages
    damaged:  the error for a file that is something else; begun: how "with other seed" begins

    Lines that are there are given to `take`, up to the first that is not whole or that it refuses; what is behind is
    cut off, to be done again. Raises InputError as said, or if another process writes it; WorkError if the disk
    refuses.
    """

    def __init__(
        self, path: Path, form: str, settings: Mapping[str, Any], *, shown: str, damaged: str, begun: str
    ) -> None:
        self.path = path
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self._form, self._shown, self._damaged, self._begun = form, shown, damaged, begun
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._file: BinaryIO = os.fdopen(os.open(path, flags, 0o666), "r+b")
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._lock()
            end = self._read()
            self._file.seek(end)
            self._file.truncate()
            if not end:
                self._append({"format": form, "settings": self.settings})
        except OSError as error:
            self.close()
            raise self._refused(error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, row: dict[str, Any]) -> bool:
        """Keep what a line says that was there; False if it does not say what it must."""
        raise NotImplementedError

    def write(self, row: Mapping[str, Any]) -> None:
        """One more line, which is with the system when this returns."""
        try:
            self._append(row)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """End writing; the lines stay."""
        self._file.close()

    def remove(self) -> None:
        """End writing and take the file away: all is said elsewhere."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    def _append(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def _read(self) -> int:
        """Take the lines that are whole; returns where they end."""
        first = self._file.readline(LONGEST_LINE)
        if not first.endswith(b"\n"):
            # Killed while the first line was written; anything else that is not empty is somebody's file.
            head = json.dumps({"format": self._form}).encode()[:-1]
            if first[: len(head)] != head[: len(first)]:
                raise InputError(self._damaged)
            return 0
        self._check(parsed(first))
        end = len(first)
        for line in iter(lambda: self._file.readline(LONGEST_LINE), b""):
            if not self.take(parsed(line)):
                break
            end += len(line)
        return end

    def _check(self, header: dict[str, Any]) -> None:
        begun = header.get("settings")
        if header.get("format") != self._form or not isinstance(begun, dict):
            raise InputError(self._damaged)
        names = [name for name in {**self.settings, **begun} if self.settings.get(name) != begun.get(name)]
        if names:
            raise InputError(f"{self._begun} begun with other {visible(', '.join(names))}; give another name, or the "
                             "same command to go on")  # fmt: skip

    def _lock(self) -> None:
        """Let no other process write it. Where the system has no such locks, nothing."""
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{self._shown} is being written by another process: wait for it, or give another "
                             "name") from error  # fmt: skip
        except OSError:
            return  # a file system without locks

    def _refused(self, error: OSError) -> WorkError:
        return WorkError(f"cannot write {visible(str(self.path))}: {advice(error)}")


def parsed(line: bytes) -> dict[str, Any]:
    """A line's object; {} for what is none, as a line that was cut off when the process was killed."""
    try:
        found = json.loads(line) if line.endswith(b"\n") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
