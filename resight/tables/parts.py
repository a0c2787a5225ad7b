"""What is done of a table before it is whole: rows in small files beside it, so that work can end at any moment."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from resight.errors import InputError, WorkError, advice
from resight.tables.schema import Schema

OWN = [pa.field("bytes", pa.int64()), pa.field("mtime_ns", pa.int64())]
ROWS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Row:
    """A finished row: where it lies, and which content of its file it belongs to; size -1 if only the hash is known."""

    part: int
    place: int
    size: int
    mtime_ns: int
    sha256: str


class Parts:
    """The folder TABLE.parts/: finished rows in Arrow files, each written whole and renamed. A context.

    key: names everything that the rows depend on; parts with another key are thrown away

    Raises InputError if another process is at work on the same table, WorkError if the disk refuses.
    """

    def __init__(self, table: Path, schema: Schema, key: str) -> None:
        self.folder = table.with_name(f"{table.name}.parts")
        self.schema, self.key = schema, key
        self._arrow = pa.schema([*schema.arrow, *OWN])
        self._open: list[pa.Table] = []
        self._lock: Any = None

    def __enter__(self) -> Parts:
        with _told(self.folder):
            self.folder.mkdir(exist_ok=True)
            self._lock = _locked(self.folder)
            known = self.folder / "key"
            if not known.is_file() or known.read_bytes() != self.key.encode():
                for file in self.folder.glob("*.arrow"):
                    file.unlink()
                _write(known, self.key.encode())
            for file in self.folder.glob("*.tmp"):
                file.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.clear()
        if self._lock is not None:
            self._lock.close()
        with contextlib.suppress(OSError):  # nothing was done: leave nothing
            if {path.name for path in self.folder.iterdir()} <= {"key", "lock"}:
                shutil.rmtree(self.folder)

    def rows(self) -> dict[str, Row]:
        """Path -> its row, of the images that could be read; a damaged file is thrown away: its rows are made again."""
        found: dict[str, Row] = {}
        for file in sorted(self.folder.glob("*.arrow")):
            try:
                rows, good = self._mapped(file)
                found.update((path, row) for path, row in rows.items() if path in good)
            except (pa.ArrowException, OSError, ValueError):
                with contextlib.suppress(OSError):
                    file.unlink()
        return found

    def put(self, batch: pa.RecordBatch, sizes: Sequence[int], mtimes: Sequence[int]) -> dict[str, Row]:
        """Keep finished rows (columns of the schema); they are safe on disk when this returns."""
        arrays = [*batch.columns, pa.array(sizes, pa.int64()), pa.array(mtimes, pa.int64())]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, self._arrow) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._arrow))
        with _told(self.folder):
            number = max((int(f.stem) for f in self.folder.glob("*.arrow") if f.stem.isdecimal()), default=0) + 1
            file = self.folder / f"{number:08d}.arrow"
            _write(file, sink.getvalue())
            return self._mapped(file)[0]

    def gather(self, rows: Sequence[Row]) -> Iterator[pa.Table]:
        """These rows in this order, some at a time, with the columns of the schema."""
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            some = rows[start : start + ROWS_AT_A_TIME]
            pieces, order = [], []
            for part in sorted({row.part for row in some}):
                places = [i for i, row in enumerate(some) if row.part == part]
                pieces.append(self._open[part].take(pa.array([some[i].place for i in places])))
                order += places
            taken = pa.concat_tables(pieces).take(pa.array(np.argsort(order)))
            yield taken.select(self.schema.names)

    def throw_away(self) -> None:
        """The table is whole: nothing here is needed any more."""
        self._open.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _mapped(self, file: Path) -> tuple[dict[str, Row], set[str]]:
        """The rows of a file by path, and the paths of those whose image could be read."""
        table = pa.ipc.open_file(pa.memory_map(os.fspath(file))).read_all()
        if table.schema != self._arrow:
            raise ValueError("made by another version")
        self._open.append(table)
        part = len(self._open) - 1
        names = ("path", "bytes", "mtime_ns", "sha256", "status")
        columns = zip(*(table.column(name).to_pylist() for name in names))
        rows, good = {}, set()
        for place, (path, size, mtime, sha256, status) in enumerate(columns):
            rows[path] = Row(part, place, size, mtime, sha256 or "")
            if status == "ok":
                good.add(path)
        return rows, good


def _write(file: Path, content: Any) -> None:
    temporary = file.with_name(f"{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _locked(folder: Path) -> Any:
    """A file that this process alone has locked; where the system has no such locks, it is only open."""
    lock = (folder / "lock").open("wb")
    try:
        import fcntl
    except ImportError:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InputError(f"{folder.stem} is being made by another process: wait for it, or write elsewhere") from error
    return lock


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {advice(error)}") from error
