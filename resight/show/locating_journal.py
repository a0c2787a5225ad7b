"""What a benchmark of template finders has done so far: a line for each case, from which the same work goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from resight.errors import InputError, WorkError, advice
from resight.measure.locating import Answer, answer_from
from resight.measure.locating_text import FORMAT, finite
from resight.show.text import visible

JOURNAL = "answers.jsonl"
LONGEST_LINE = 64 * 2**20  # bytes; masks of many methods take one


class LocatingJournal:
    """The lines of `answers.jsonl`: the settings, then the answers to each case when it is done. A context.

    folder:   is made if it is not there; with other things in it, and no journal, it is refused
    settings: what decides the answers; a folder that was begun with others is refused

    `answers` has those of the lines that are there and whole; what is behind the first that is not is cut off.
    Raises InputError as said, or if another process writes it; WorkError if the disk refuses.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.path = folder / JOURNAL
        self.answers: list[tuple[Answer, ...]] = []
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self._shown = visible(str(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self.path.is_file() and any(folder.iterdir()):
                raise InputError(f"{self._shown} is there already and no benchmark was begun in it: give another name")
            self._file: BinaryIO = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b"
            )
        except OSError as error:
            raise self._refused(error) from error
        try:
            _lock(self._file, self._shown)
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

    def __enter__(self) -> LocatingJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, answers: Sequence[Answer]) -> None:
        """The answers to one more case, which are with the system when this returns."""
        try:
            self._write({"answers": [finite(asdict(one)) for one in answers]})
        except OSError as error:
            raise self._refused(error) from error
        self.answers.append(tuple(answers))

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def _read(self) -> int:
        """Take the rows that are whole; returns where they end."""
        first = self._file.readline(LONGEST_LINE)
        if not first.endswith(b"\n"):
            return 0  # new, or killed while its first line was written
        self._check(_parsed(first))
        end = len(first)
        for line in iter(lambda: self._file.readline(LONGEST_LINE), b""):
            try:
                found = tuple(answer_from(one) for one in _parsed(line)["answers"])
            except (InputError, KeyError, TypeError):
                break
            self.answers.append(found)
            end += len(line)
        return end

    def _check(self, header: dict[str, Any]) -> None:
        begun = header.get("settings")
        if header.get("format") != FORMAT or not isinstance(begun, dict):
            raise InputError(f"{self._shown}: its {JOURNAL} is damaged or of something else; give another name")
        names = [name for name in {**self._settings, **begun} if self._settings.get(name) != begun.get(name)]
        if names:
            raise InputError(f"{self._shown} was begun with other {visible(', '.join(names))}; give another name, or "
                             "the same command to go on")  # fmt: skip

    def _refused(self, error: OSError) -> WorkError:
        return WorkError(f"cannot write {visible(str(self.path))}: {advice(error)}")


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's object; {} for what is none, as a line that was cut off when the process was killed."""
    try:
        found = json.loads(line) if line.endswith(b"\n") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lock(file: BinaryIO, shown: str) -> None:
    """Let no other process write it. Where the system has no such locks, nothing."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{shown} is being written by another process: wait for it, or give another name") from error
    except OSError:
        return  # a file system without locks
