"""Files that are written as a stream and appear whole, together, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from types import TracebackType

from resight.errors import InputError, WorkError, advice


class AtomicFiles:
    """Temporary files beside their targets, renamed in the order in which they were opened.

    Leaving the context normally flushes them to the disk and renames them; leaving it by an error removes them.
    Raises InputError if a target's folder is missing or the target is a folder; WorkError if the disk refuses.
    """

    def __init__(self) -> None:
        self._open: list[tuple[Path, Path, BufferedWriter]] = []

    def open(self, target: Path, beside: Path | None = None) -> BufferedWriter:
        """A file to write to, which will be the target; `beside`: the file that it belongs to, which errors name."""
        named = beside or target
        if not target.parent.is_dir():
            raise InputError(f"cannot write {named}: the folder {target.parent} does not exist; create it first")
        if target.is_dir():
            raise InputError(f"cannot write {target}: this is a folder; give a file name inside it")
        temporary = target.parent / f".resight-{secrets.token_hex(6)}.tmp"
        with _named(named):
            file = temporary.open("xb")
        self._open.append((target, temporary, file))
        return file

    def __enter__(self) -> AtomicFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            for _, temporary, file in self._open:
                with contextlib.suppress(OSError, ValueError):
                    file.close()
                with contextlib.suppress(OSError):
                    temporary.unlink()
            self._open.clear()

    def _commit(self) -> None:
        for target, _, file in self._open:
            with _named(target):
                file.flush()
                os.fsync(file.fileno())
                file.close()
        for target, temporary, _ in self._open:
            with _named(target):
                temporary.replace(target)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkError(f"cannot write {target}: {advice(error)}") from error
