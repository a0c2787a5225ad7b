"""A feature table on disk, open for reading: its schema, and its rows as often as they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import InputError, WorkError
from resight.tables.schema import Schema
from resight.tables.writing import MAX_LABELS

MAX_SIDECAR = 256 * 2**20


@dataclass(frozen=True)
class TableFile:
    """A table on disk.

    schema: its columns, metadata, and labels if the file names them
    rows:   how many there are, where the file says so without being read
    """

    path: Path
    schema: Schema
    rows: int | None
    stream: Callable[[], Iterator[pa.RecordBatch]]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows from the beginning, in batches of bounded size; missing numbers are NaN, missing text is null.

        Raises InputError, with the line where there are lines, if the file turns out not to hold what it should;
        WorkError if it cannot be read.
        """
        try:
            for batch in self.stream():
                yield self.schema.conform(batch)
        except FileNotFoundError as error:
            raise InputError(f"{self.path}: expected a file, got none") from error
        except OSError as error:
            raise WorkError(f"{self.path}: {error.strerror or error}") from error

    def table(self) -> pa.Table:
        """All rows in memory, with the description of the table under b"resight" in the Arrow schema's metadata."""
        described = self.schema.arrow.with_metadata({b"resight": self.schema.as_json().encode()})
        return pa.Table.from_batches(list(self.batches()), self.schema.arrow).replace_schema_metadata(
            described.metadata
        )


def with_labels(file: TableFile) -> TableFile:
    """The table with all its labels known; where the file does not name them, it is read through.

    Raises InputError if there are more than 100,000.
    """
    if file.schema.labels is not None or "label" not in file.schema.meta:
        return file
    found: set[str] = set()
    for batch in file.batches():
        found |= set(pc.unique(batch.column("label")).to_pylist()) - {None, ""}
        if len(found) > MAX_LABELS:
            raise InputError(f"{file.path}: more than {MAX_LABELS:,} different labels: are they file names?")
    return replace(file, schema=replace(file.schema, labels=tuple(sorted(found))))


def checked_file(path: Path) -> Path:
    """The path, if it is a regular file; InputError if there is none."""
    if not path.is_file():
        raise InputError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'none'}")
    return path


def read_sidecar(path: Path) -> Schema | None:
    """The description that lies beside a table as FILE.json; None if there is none."""
    from resight.images.lines import read_bytes_of

    file = sidecar_of(path)
    if not file.is_file():
        return None
    try:
        return Schema.from_json(read_bytes_of(file, MAX_SIDECAR))
    except InputError as error:
        raise InputError(f"{file}: {error}; repair it, or move it away to read {path.name} without it") from error


def sidecar_of(path: Path, suffix: str = ".json") -> Path:
    """Where the description of a table lies."""
    return path.with_name(path.name + suffix)
