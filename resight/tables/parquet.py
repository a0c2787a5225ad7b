"""Feature tables as Parquet: zstd, floats as byte streams, the description in the file's metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resight.errors import InputError, WorkError
from resight.tables.atomic import AtomicFiles
from resight.tables.columns import META, Column, Scalar, Text, Vector
from resight.tables.reading import TableFile, checked_file
from resight.tables.schema import MAX_COLUMNS, Schema
from resight.tables.writing import BLOCK_BYTES

KEY = b"resight"
MAX_GROUP = 8 * 2**30  # bytes of a row group when unpacked
CLASS_NAMES = ("label", "class")


class ParquetSink:
    """Writes blocks as row groups."""

    def __init__(self, files: AtomicFiles, path: Path, schema: Schema) -> None:
        numbers = [c for c in schema.columns if isinstance(c, Scalar | Vector)]
        leaves = [f"{c.name}.list.element" if isinstance(c, Vector) else c.name for c in numbers]
        others = [name for name in schema.names if name not in {c.name for c in numbers}]
        self._file = files.open(path)
        self._writer = pq.ParquetWriter(
            self._file,
            schema.arrow.with_metadata({KEY: schema.as_json().encode()}),  # what pq.read_table shows; the end says more
            compression="zstd",
            use_dictionary=others or False,
            use_byte_stream_split=leaves or False,
            write_statistics=others or False,
        )

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema."""
        self._writer.write_batch(batch, row_group_size=max(1, len(batch)))

    def finish(self, schema: Schema) -> None:
        """Write the description and the footer."""
        self._writer.add_key_value_metadata({KEY: schema.as_json().encode()})
        self._writer.close()


def open_parquet(path: Path) -> TableFile:
    """A Parquet table; of other people's, columns of numbers, text and lists of numbers of one length are read.

    Raises InputError if it is no Parquet file, or a column is of a kind that has no place in a feature table.
    """
    checked_file(path)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not readable as Parquet: {_line(error)}") from error
    with file:
        found, arrow = file.metadata, file.schema_arrow
        if found.num_columns > MAX_COLUMNS:
            raise InputError(f"{path}: expected at most {MAX_COLUMNS:,} columns, got {found.num_columns:,}")
        for index in range(found.num_row_groups):
            if found.row_group(index).total_byte_size > MAX_GROUP:
                raise InputError(f"{path}: row group {index} unpacks to more than {MAX_GROUP // 2**30} GB")
        described = (found.metadata or {}).get(KEY)
        rows = found.num_rows
    names = {name: name for name in arrow.names}
    if described is not None:
        try:
            schema = Schema.from_json(described)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if schema.arrow.names != arrow.names or schema.arrow.types != arrow.types:
            schema, names = _foreign(path, arrow)
    else:
        schema, names = _foreign(path, arrow)
    return TableFile(path, schema, rows, lambda: _stream(path, schema, names))


def _stream(path: Path, schema: Schema, names: dict[str, str]) -> Iterator[pa.RecordBatch]:
    size = max(1, min(65_536, BLOCK_BYTES // max(1, schema.row_bytes)))
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=size):
                columns = {names[name]: column for name, column in zip(batch.schema.names, batch.columns)}
                arrays = [_plain(columns[field.name], field.type, field.name) for field in schema.arrow]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema.arrow)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (pa.ArrowException, OSError) as error:
        raise WorkError(f"{path}: damaged or cut off: {_line(error)}") from error


def _plain(array: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    try:
        return array if array.type == kind else array.cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"the column {name!r} does not fit {kind}: {_line(error)}") from error


def _foreign(path: Path, arrow: pa.Schema) -> tuple[Schema, dict[str, str]]:
    """A schema for a file that does not describe itself, and what its columns are called in it."""
    meta: list[str] = []
    columns: list[Column] = []
    names: dict[str, str] = {}
    label = next((name for name in CLASS_NAMES if name in arrow.names), None)
    for field in arrow:
        fact = "label" if field.name == label else field.name
        names[field.name] = fact
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if _is_fact(fact, kind, arrow):
            meta.append(fact)
        else:
            names[field.name] = field.name
            columns.append(_column(path, field.name, kind))
    meta.sort(key=list(META).index)
    return Schema(
        tuple(columns), tuple(meta), relation=path.stem, class_name=label if label == "class" else "class"
    ), names


def _is_fact(name: str, kind: pa.DataType, arrow: pa.Schema) -> bool:
    if name in ("width", "height"):
        return pa.types.is_integer(kind) and "path" in arrow.names
    return name in META and (_is_text(kind) or (name in ("path", "label", "split") and pa.types.is_integer(kind)))


def _column(path: Path, name: str, kind: pa.DataType) -> Column:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return Scalar(name)
    if _is_text(kind):
        return Text(name)
    if pa.types.is_fixed_size_list(kind):
        inner = kind.value_type
        if pa.types.is_float32(inner) or pa.types.is_float16(inner):
            return Vector(name, kind.list_size)
        if pa.types.is_float64(inner) or pa.types.is_integer(inner):
            return Vector(name, kind.list_size, "float64")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        dim, single = _length(path, name), pa.types.is_float32(kind.value_type) or pa.types.is_float16(kind.value_type)
        if dim and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
            return Vector(name, dim, "float32" if single else "float64")
    raise InputError(f"{path}: the column {name!r} holds {kind}: expected numbers, text, or lists of numbers of one "
                     "length")  # fmt: skip


def _length(path: Path, name: str) -> int:
    """The length of the first list in a column; 0 if there is none."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1, columns=[name]):
            return len(batch.column(0)[0].as_py() or ())
    return 0


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
