"""What a folder of explained images holds so far: a line for each image, from which the same work goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from resight.errors import InputError, WorkError, advice
from resight.show.text import visible

JOURNAL = "manifest.jsonl"
FORMAT = "resight-explain-1"
LONGEST_LINE = 64 * 2**20  # bytes; the maps of 1,000 classes take one


class HeatJournal:
    """The lines of `manifest.jsonl`: first the settings, then {"image": ...} or {"skipped": ...}, each when it is done.

    folder:   must be there
    settings: what decides the results; lines of a folder that was begun with the same are kept. None: it is no matter
              with what, nothing goes on

    Of lines that are there those up to the first that is not whole, or whose files are gone, are kept in `rows`; the
    rest is cut off, to be made again. Raises InputError if the folder was begun with other settings, or if another
    process writes it; WorkError if the disk refuses.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None) -> None:
        self.path = folder / JOURNAL
        self.rows: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings or {})))
        try:
            self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)), "r+b")
        except OSError as error:
            raise self._refused(error) from error
        try:
            _lock(self._file, folder)
            end = self._read(folder)
            self._file.seek(end)
            self._file.truncate()
            if not end:
                self._write({"format": FORMAT, "settings": self.settings})
        except OSError as error:
            self._file.close()
            raise self._refused(error) from error
        except BaseException:
            self._file.close()
            raise

    def add(self, row: Mapping[str, Any]) -> None:
        """One more line, which is with the system when this returns: it stays if the process is killed."""
        try:
            self._write(row)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """End writing; the lines stay."""
        self._file.close()

    def remove(self) -> None:
        """End writing and take the file away: all is said elsewhere."""
        self._file.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def _read(self, folder: Path) -> int:
        """Take the rows that are whole; returns where they end."""
        first = self._file.readline(LONGEST_LINE)
        if not first:
            return 0
        self._check(folder, _parsed(first))
        end = len(first)
        for line in iter(lambda: self._file.readline(LONGEST_LINE), b""):
            row = _parsed(line)
            if not _whole(folder, row):
                break
            self.rows.append(row)
            end += len(line)
        return end

    def _check(self, folder: Path, header: dict[str, Any]) -> None:
        begun = header.get("settings")
        taken = f"{visible(str(folder))} is there already and is not overwritten"
        if header.get("format") != FORMAT or not isinstance(begun, dict):
            raise InputError(f"{taken}: its {JOURNAL} is damaged or of something else; give another name or remove it")
        names = [name for name in {**self.settings, **begun} if self.settings.get(name) != begun.get(name)]
        if names:
            raise InputError(f"{taken}: it was begun with other {visible(', '.join(names))}; give another name, or the "
                             "same command to go on")  # fmt: skip

    def _refused(self, error: OSError) -> WorkError:
        return WorkError(f"cannot write {visible(str(self.path))}: {advice(error)}")


def begun(folder: Path) -> bool:
    """Whether explanations were written here and did not come to an end."""
    file = folder / JOURNAL
    return not folder.is_symlink() and file.is_file() and not file.is_symlink()


def _lock(file: BinaryIO, folder: Path) -> None:
    """Let no other process write it. Where the system has no such locks, nothing."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{visible(str(folder))} is being written by another process: wait for it, or give another "
                         "name") from error  # fmt: skip
    except OSError:
        return  # a file system without locks


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's object; {} for what is none, as a line that was cut off when the process was killed."""
    if not line.endswith(b"\n"):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether a line says what it must and the files that it names are there."""
    try:
        if "skipped" in row:
            return all(isinstance(row["skipped"][word], str) for word in ("path", "reason"))
        return isinstance(row["image"]["path"], str) and all(_is_there(folder, name) for name in files_of(row))
    except (KeyError, TypeError, AttributeError, OSError):  # not as it was written; a name that no file can have
        return False


def files_of(row: Mapping[str, Any]) -> Iterator[str]:
    """Names of the maps and pictures of a line, within the folder."""
    for one in row["image"]["maps"] if "image" in row else ():
        for part in (one, *one.get("parts", ())):
            if "map" in part:
                yield part["map"]
                yield from part["pictures"].values()


def _is_there(folder: Path, name: str) -> bool:
    """A name that leads out of the folder is none of its files."""
    place = PurePath(name)
    return not place.is_absolute() and ".." not in place.parts and (folder / place).is_file()
