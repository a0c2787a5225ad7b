"""Writing a table as a stream of rows, whatever the format: whole or not at all, in blocks of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import InputError, WorkError, advice
from resight.tables.atomic import AtomicFiles
from resight.tables.schema import Schema

BLOCK_BYTES = 16 * 2**20
MAX_LABELS = 100_000


class Sink(Protocol):
    """One format's way to write: blocks of rows, then the end."""

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema."""

    def finish(self, schema: Schema) -> None:
        """Write what comes at the end; the schema now knows its labels."""


MakeSink = Callable[[AtomicFiles, Path, Schema], Sink]


class TableWriter:
    """A feature table being written; use it as a context.

    with open_writer("features.parquet", schema) as writer:
        writer.write(schema.batch({"path": paths, "gem": vectors}))

    The file appears when the context is left, and nothing if it is left by an error. Rows are gathered to blocks of
    about 16 MB, which is what a writer holds in memory.
    """

    def __init__(self, path: str | os.PathLike[str], schema: Schema, make: MakeSink) -> None:
        self.path = Path(path)
        self.schema = schema
        self.rows = 0
        self._make = make
        self._files = AtomicFiles()
        self._sink: Sink | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._block_rows = max(1, BLOCK_BYTES // max(1, schema.row_bytes))
        self._seen: set[str] = set()

    def __enter__(self) -> TableWriter:
        self._files.__enter__()
        try:
            self._sink = self._make(self._files, self.path, self.schema)
        except BaseException as error:
            self._files.__exit__(type(error), error, error.__traceback__)
            if isinstance(error, OSError):
                raise WorkError(f"cannot write {self.path}: {advice(error)}") from error
            raise
        return self

    def write(self, rows: pa.RecordBatch | pa.Table | Mapping[str, object]) -> None:
        """Add rows: a batch, a table, or arrays by column as `Schema.batch` takes them.

        An empty label counts as none. Raises InputError if the rows do not fit the schema, or a label is not among
        its labels; WorkError if the disk refuses.
        """
        if self._sink is None:
            raise InputError("a table is written inside `with open_writer(...) as writer:`")
        batch = self.schema.batch(rows) if isinstance(rows, Mapping) else self.schema.conform(rows)
        batch = self._labelled(self.schema.conform(batch))
        for start in range(0, len(batch), self._block_rows):
            part = batch.slice(start, self._block_rows)
            self._waiting.append(part)
            self._waiting_rows += len(part)
            if self._waiting_rows >= self._block_rows:
                self._flush()
        self.rows += len(batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._sink is not None:
                self._flush()
                labels = self.schema.labels
                if labels is None and len(self._seen) <= MAX_LABELS:
                    labels = tuple(sorted(self._seen))
                self._guard(lambda sink: sink.finish(replace(self.schema, labels=labels)))
        except BaseException as failure:
            self._files.__exit__(type(failure), failure, failure.__traceback__)
            raise
        finally:
            self._sink = None
        self._files.__exit__(kind, error, trace)

    def _labelled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if "label" not in self.schema.meta:
            return batch
        labels = batch.column("label")
        if pc.any(pc.equal(labels, "")).as_py():
            labels = pc.if_else(pc.equal(labels, ""), None, labels)
            batch = batch.set_column(batch.schema.get_field_index("label"), "label", labels)
        found = set(pc.unique(labels).to_pylist()) - {None}
        if self.schema.labels is not None and not found <= set(self.schema.labels):
            strange = min(found - set(self.schema.labels))
            raise InputError(f"the label {strange!r} is not among the {len(self.schema.labels)} labels of the table")
        if len(self._seen) <= MAX_LABELS:
            self._seen |= found
        return batch

    def _flush(self) -> None:
        if self._waiting:
            block = self._waiting[0]
            if len(self._waiting) > 1:
                block = pa.Table.from_batches(self._waiting).combine_chunks().to_batches()[0]
            self._waiting, self._waiting_rows = [], 0
            self._guard(lambda sink: sink.put(block))

    def _guard(self, act: Callable[[Sink], None]) -> None:
        if self._sink is None:
            raise InputError("a table is written inside `with open_writer(...) as writer:`")
        try:
            act(self._sink)
        except OSError as error:
            raise WorkError(f"cannot write {self.path}: {advice(error)}") from error
