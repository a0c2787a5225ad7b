"""The formats of feature tables by suffix, and opening a table to read or to write."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import InputError, unknown
from resight.tables.arff_read import open_arff
from resight.tables.arff_write import ArffSink
from resight.tables.csv_table import CsvSink, open_csv
from resight.tables.gliding_box import GlidingBoxSink, open_gliding_box
from resight.tables.npy import NpySink, open_npy
from resight.tables.parquet import KEY, ParquetSink, open_parquet
from resight.tables.reading import TableFile
from resight.tables.schema import Schema
from resight.tables.writing import MakeSink, TableWriter


@dataclass(frozen=True)
class Format:
    """How the tables of one suffix are opened and written."""

    open: Callable[[Path], TableFile]
    sink: MakeSink


FORMATS: dict[str, Format] = {
    ".parquet": Format(open_parquet, ParquetSink),
    ".csv": Format(open_csv, CsvSink),
    ".arff": Format(open_arff, ArffSink),
    ".npy": Format(open_npy, NpySink),
    ".json": Format(open_gliding_box, GlidingBoxSink),
}


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that a file's suffix, in any case of letters, stands for; InputError if none."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise unknown(f"format of the table {str(path)!r}:", suffix, FORMATS)
    return FORMATS[suffix]


def open_table(path: str | os.PathLike[str]) -> TableFile:
    """A feature table on disk, its format by its suffix: .parquet, .csv, .arff, .npy or .json (gliding box).

    Only what describes the table is read; `batches()` streams the rows, `table()` takes them all.
    Raises InputError if there is no such file, or it is not what its suffix says; WorkError if it cannot be read.
    """
    file = Path(path)
    try:
        return format_of(file).open(file)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error


def open_writer(path: str | os.PathLike[str], schema: Schema) -> TableWriter:
    """A writer of a feature table, its format by the suffix; a context, see TableWriter.

    A file of that name is replaced when the context is left without an error.
    Raises InputError for an unknown suffix; entering the context does, if the format cannot hold the schema.
    """
    return TableWriter(path, schema, format_of(path).sink)


def schema_of(table: pa.Table) -> Schema:
    """The schema of a table in memory that `TableFile.table` gave.

    Raises InputError if the table does not carry its description, or was changed since.
    """
    described = (table.schema.metadata or {}).get(KEY)
    if described is None:
        raise InputError("this table carries no description: pass a Schema with it")
    schema = Schema.from_json(described)
    if list(schema.names) != table.schema.names:
        raise InputError("the table's columns were changed: pass a Schema with it")
    return schema


def write_table(path: str | os.PathLike[str], table: pa.Table, schema: Schema | None = None) -> None:
    """Write a table that is in memory.

    schema: not needed for a table that `TableFile.table` gave; labels that it does not name are taken from the table

    Raises as `open_writer` and `TableWriter.write` do.
    """
    schema = schema_of(table) if schema is None else schema
    if schema.labels is None and "label" in schema.meta:
        found = set(pc.unique(table.column("label")).to_pylist()) - {None, ""}
        schema = replace(schema, labels=tuple(sorted(found)))
    with open_writer(path, schema) as writer:
        writer.write(table)
