"""The cases of a calibration that are done so far: a line for each, from which the same work goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from resight.errors import InputError, WorkError, advice
from resight.measure.calibrating_places import Asked, as_row, from_row
from resight.show.text import visible

FORMAT = "resight-calibrating-1"
HEAD = f'{{"format": "{FORMAT}"'.encode()
LONGEST_LINE = 2**20  # bytes


class CalibratingJournal:
    """A file of lines: the settings, then each case when it is done. A context.

    path:     the file; is made if it is not there
    settings: what decides the cases and their places; a file that was begun with others is refused

    `cases` has those of the lines that are there and whole, by (tier, number); what is behind the first that is not is
    cut off. Raises InputError as said, or if another process writes it; WorkError if the disk refuses.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.cases: dict[tuple[str, int], Asked] = {}
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self._shown = visible(str(path))
        try:
            self._file: BinaryIO = os.fdopen(
                os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b"
            )
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._lock()
            end = self._read()
            self._file.seek(end)
            self._file.truncate()
            if not end:
                self._write({"format": FORMAT, "settings": self._settings})
        except OSError as error:
            self._file.close()
            raise self._refused(error) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> CalibratingJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, case: Asked) -> None:
        """One more case, which is with the system when this returns."""
        try:
            self._write(as_row(case))
        except OSError as error:
            raise self._refused(error) from error
        self.cases[case.tier, case.number] = case

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def _read(self) -> int:
        """Take the lines that are whole; returns where they end."""
        first = self._file.readline(LONGEST_LINE)
        if not first.endswith(b"\n"):
            # Killed while the first line was written; anything else that is not empty is somebody's file.
            if first[: len(HEAD)] != HEAD[: len(first)]:
                raise InputError(f"{self._shown} is no journal of a calibration; give --out another name")
            return 0
        self._check(_parsed(first))
        end = len(first)
        for line in iter(lambda: self._file.readline(LONGEST_LINE), b""):
            try:
                found = from_row(_parsed(line))
            except InputError:
                break
            self.cases[found.tier, found.number] = found
            end += len(line)
        return end

    def _check(self, header: dict[str, Any]) -> None:
        begun = header.get("settings")
        if header.get("format") != FORMAT or not isinstance(begun, dict):
            raise InputError(f"{self._shown} is no journal of a calibration; give --out another name")
        names = [name for name in {**self._settings, **begun} if self._settings.get(name) != begun.get(name)]
        if names:
            raise InputError(f"{self._shown} was begun with other {visible(', '.join(names))}; give --out another "
                             "name, or the same command to go on")  # fmt: skip

    def _lock(self) -> None:
        """Let no other process write it. Where the system has no such locks, nothing."""
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{self._shown} is being written by another process: wait for it") from error
        except OSError:
            return  # a file system without locks

    def _refused(self, error: OSError) -> WorkError:
        return WorkError(f"cannot write {self._shown}: {advice(error)}")


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's object; {} for what is none, as a line that was cut off when the process was killed."""
    try:
        found = json.loads(line) if line.endswith(b"\n") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
