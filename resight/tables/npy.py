"""Feature tables as one NumPy matrix, with the description in FILE.npy.json and the images in FILE.npy.csv."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.images.lines import read_bytes_of
from resight.tables.atomic import AtomicFiles
from resight.tables.columns import Column, Scalar, Vector
from resight.tables.csv_table import fact_cells, read_facts
from resight.tables.lines import rows_text
from resight.tables.reading import MAX_SIDECAR, TableFile, checked_file, sidecar_of
from resight.tables.schema import MAX_COLUMNS, Schema, vector_array, vectors_of
from resight.tables.writing import BLOCK_BYTES


class NpySink:
    """Writes blocks of the matrix; how many rows there are is put into its header at the end."""

    def __init__(self, files: AtomicFiles, path: Path, schema: Schema) -> None:
        words = [c for c in schema.columns if not isinstance(c, Scalar | Vector)]
        if words or not schema.columns:
            what = f"{words[0]} is none" if words else "there are none"
            raise InputError(f"{path}: .npy holds numbers only, and {what}: take .parquet or .csv")
        self._schema, self._rows, self._crc = schema, 0, 0
        single = all(isinstance(c, Vector) and c.dtype == "float32" for c in schema.columns)
        self._dtype = np.dtype("<f4" if single else "<f8")
        self._facts = files.open(sidecar_of(path, ".csv"), path) if schema.meta else None
        self._missing = "" if len(schema.meta) > 1 else '""'
        if self._facts is not None:
            self._facts.write(",".join(schema.meta).encode() + b"\n")
        self._sidecar = files.open(sidecar_of(path), path)
        self._file = files.open(path)
        self._file.write(self._header())

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema."""
        data = np.ascontiguousarray(_matrix(batch, self._schema), self._dtype).reshape(-1).view(np.uint8).data
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(data)
        self._rows += len(batch)
        if self._facts is not None:
            self._facts.write(rows_text(fact_cells(batch, self._schema.meta, self._missing), len(batch)))

    def finish(self, schema: Schema) -> None:
        """Write the header again, and the description."""
        before, header = self._header(0), self._header()
        if len(before) != len(header):
            raise WorkError(f"the header of a .npy file cannot take {self._rows:,} rows")
        self._file.seek(0)
        self._file.write(header)
        described = schema.as_dict() | {"rows": self._rows, "crc32": self._crc}
        self._sidecar.write(json.dumps(described, allow_nan=False, indent=1).encode() + b"\n")

    def _header(self, rows: int | None = None) -> bytes:
        buffer = io.BytesIO()
        shape = (self._rows if rows is None else rows, len(self._schema.attributes))
        fields = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, fields)
        return buffer.getvalue()


def _matrix(batch: pa.RecordBatch, schema: Schema) -> NDArray[np.floating[Any]]:
    if len(schema.columns) == 1 and isinstance(schema.columns[0], Vector):
        return vectors_of(batch.column(schema.columns[0].name))
    parts = [
        vectors_of(batch.column(c.name)) if isinstance(c, Vector) else batch.column(c.name).to_numpy()[:, None]
        for c in schema.columns
    ]
    return np.concatenate(parts, axis=1)


def open_npy(path: Path) -> TableFile:
    """A matrix (N, D) of numbers, or (N,); with the files beside it that our writer makes, the whole table.

    Another's matrix becomes one vector called as the file. Nothing is unpickled.
    Raises InputError if the file holds something else, or what lies beside it belongs to another.
    """
    matrix = _mapped(path)
    sidecar = sidecar_of(path)
    if not sidecar.is_file():
        column: Column = Scalar(path.stem)
        if matrix.ndim == 2:
            column = Vector(path.stem, matrix.shape[1], "float32" if matrix.dtype.itemsize <= 4 and
                            matrix.dtype.kind == "f" else "float64")  # fmt: skip
        schema = Schema((column,), (), relation=path.stem)
        return TableFile(path, schema, len(matrix), lambda: _stream(path, schema, None))
    text = read_bytes_of(sidecar, MAX_SIDECAR)
    try:
        described = Schema.from_json(text)
        plain = json.loads(text)
        rows, crc = int(plain["rows"]), int(plain["crc32"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{sidecar}: {error}; move it away to read the matrix without it") from error
    if matrix.shape != (rows, len(described.attributes)):
        raise InputError(f"{sidecar} describes a table of shape {(rows, len(described.attributes))}, {path} holds "
                         f"{matrix.shape}: they do not belong together")  # fmt: skip
    return TableFile(path, described, rows, lambda: _stream(path, described, crc))


def _mapped(path: Path) -> NDArray[Any]:
    try:
        matrix: NDArray[Any] = np.load(checked_file(path), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: not readable as a .npy matrix: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "fiub" or matrix.ndim not in (1, 2):
        kind = getattr(matrix, "dtype", type(matrix).__name__)
        raise InputError(f"{path}: expected a matrix (N, D) of numbers, got {kind} of shape "
                         f"{getattr(matrix, 'shape', None)}")  # fmt: skip
    if matrix.ndim == 2 and not 1 <= matrix.shape[1] <= MAX_COLUMNS:
        raise InputError(f"{path}: expected 1 to {MAX_COLUMNS:,} columns, got {matrix.shape[1]:,}")
    return matrix


def _stream(path: Path, schema: Schema, crc: int | None) -> Iterator[pa.RecordBatch]:
    matrix = _mapped(path)
    facts = None
    if schema.meta:
        facts = read_facts(sidecar_of(path, ".csv"), schema.meta)
        if len(facts) != len(matrix):
            raise InputError(f"{sidecar_of(path, '.csv')} has {len(facts):,} rows, {path} {len(matrix):,}: they do not "
                             "belong together")  # fmt: skip
    size, found = max(1, BLOCK_BYTES // max(1, schema.row_bytes)), 0
    for start in range(0, len(matrix), size):
        block = np.array(matrix[start : start + size])
        found = zlib.crc32(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data, found) if crc is not None else 0
        known = replace(schema, columns=()).conform(facts.slice(start, size)).columns if facts is not None else []
        yield pa.RecordBatch.from_arrays(known + _columns(block, schema), schema=schema.arrow)
    if crc is not None and found != crc:
        raise InputError(f"{path} is not the matrix that {sidecar_of(path)} describes: its numbers were changed")


def _columns(block: NDArray[Any], schema: Schema) -> list[pa.Array]:
    flat = block.reshape(len(block), -1)
    arrays, place = [], 0
    for column in schema.columns:
        width = len(column.attributes)
        part = flat[:, place : place + width]
        if isinstance(column, Vector):
            arrays.append(vector_array(part.astype(column.dtype)))
        else:
            arrays.append(pa.array(np.ascontiguousarray(part[:, 0], np.float64)))
        place += width
    return arrays
