"""The rows of ARFF files: dense or sparse, a block at a time, fast where a block is plain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from resight.errors import InputError
from resight.tables.arff_head import MAX_LINE, Head, read_head
from resight.tables.columns import Column, Nominal, Scalar, Text, Vector
from resight.tables.reading import TableFile, checked_file
from resight.tables.schema import vector_array
from resight.tables.words import split_words

READ_BYTES = 8 * 2**20
_BLANKS = re.compile(rb"[ \t]*,[ \t]*|[ \t]+")
_EDGES = re.compile(rb"(?m)^[ \t]+|[ \t]+$")
_KEY = re.compile(r"\s*(\d{1,7})\s+")


def open_arff(path: Path) -> TableFile:
    """An ARFF file, ours or another's; the last attribute is the label if it is nominal.

    Raises InputError, with the line, if the header is wrong.
    """
    with checked_file(path).open("rb") as file:
        head = read_head(path, file)
    return TableFile(path, head.schema, None, lambda: _stream(path))


def _stream(path: Path) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file:
        head = read_head(path, file)
        kinds = _kinds(head)
        number = head.lines + 1
        for block in _blocks(path, file, number):
            columns = _fast(block, head.attributes, kinds)
            if columns is None:
                columns = _slow(path, block, number, head.attributes, kinds)
            number += block.count(b"\n")
            if len(columns[0]):
                yield _batch(columns, head)


def _kinds(head: Head) -> list[pa.DataType]:
    kinds: list[pa.DataType] = []
    for column in head.schema.columns:
        kind = column.arrow.value_type if isinstance(column, Vector) else column.arrow
        kinds += [kind] * len(column.attributes)
    return [*kinds, pa.string()] if head.has_class else kinds


def _blocks(path: Path, file: BinaryIO, number: int) -> Iterator[bytes]:
    """The rest of the file in pieces of whole lines, whatever ends a line."""
    rest = b""
    while True:
        data = file.read(READ_BYTES)
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest += data
            if len(rest) > MAX_LINE:
                raise InputError(f"{path}, line {number}: longer than {MAX_LINE // 2**20} MB")
            continue
        whole, rest = (rest + data[:end], data[end:]) if data else (rest, b"")
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if whole:
            yield whole
        number += whole.count(b"\n")
        if not data:
            return


def _fast(block: bytes, attributes: Sequence[Column], kinds: Sequence[pa.DataType]) -> list[pa.Array] | None:
    """The columns of a block with nothing special in it; None if there may be, or if anything is wrong."""
    quotes = b"'" in block
    if any(char in block for char in (b'"', b"{", b"%", b"\\", b"\0")):
        return None
    if quotes and any(isinstance(a, Text) for a in attributes):
        return None
    if not quotes and (b" " in block or b"\t" in block):
        block = _BLANKS.sub(b",", _EDGES.sub(b"", block))
    names = [str(i) for i in range(len(attributes))]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block),
            read_options=pa_csv.ReadOptions(column_names=names, block_size=len(block) + 1),
            parse_options=pa_csv.ParseOptions(quote_char="'" if quotes else False, double_quote=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(zip(names, kinds)), null_values=["?"], strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None  # what is wrong, and on which line, the slow way tells
    columns = [column.combine_chunks() for column in table.columns]
    for column, attribute in zip(columns, attributes):
        if isinstance(attribute, Nominal) and not _known(column, attribute):
            return None
        if isinstance(attribute, Text) and pc.any(pc.equal(column, "")).as_py():
            return None
    return columns


def _known(column: pa.Array, attribute: Nominal) -> bool:
    found = set(pc.unique(column).to_pylist()) - {None}
    return found <= set(attribute.values) and "" not in found


def _slow(
    path: Path, block: bytes, first: int, attributes: Sequence[Column], kinds: Sequence[pa.DataType]
) -> list[pa.Array]:
    """The columns of a block, word by word as Weka takes them."""
    rows: list[Sequence[str | None]] = []
    lines: list[int] = []
    number = first
    nominal = [(i, set(a.values), a.name) for i, a in enumerate(attributes) if isinstance(a, Nominal)]
    try:
        for number, raw in enumerate(block.decode("utf-8").split("\n"), first):
            line = raw.strip(" \t")
            if not line or line.startswith("%"):
                continue
            row = _sparse(line, attributes) if line.startswith("{") else _dense(line, len(attributes))
            for index, values, name in nominal:
                if row[index] is not None and row[index] not in values:
                    raise ValueError(f"{row[index]!r} is not among the values of {name!r}")
            rows.append(row)
            lines.append(number)
    except UnicodeDecodeError as error:
        place = first + block[: error.start].count(b"\n")
        raise InputError(f"{path}, line {place}: not UTF-8: save it as UTF-8") from error
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from error
    transposed = list(zip(*rows)) if rows else [()] * len(attributes)
    return [_column(path, values, kind, a, lines) for values, kind, a in zip(transposed, kinds, attributes)]


def _dense(line: str, width: int) -> Sequence[str | None]:
    row: list[str | None] = []
    for text, quoted, _ in split_words(line):
        if not quoted and text.startswith("{") and len(row) == width:
            raise ValueError("the row has a weight in braces: weights of rows are not read")
        row.append(None if text == "?" and not quoted else text)
    if len(row) != width:
        raise ValueError(f"expected {width:,} values, got {len(row):,}")
    return row


def _sparse(line: str, attributes: Sequence[Column]) -> Sequence[str | None]:
    """A row as {index value, ..}: what is not named is 0, or the first value of a nominal attribute."""
    row: list[str | None] = [a.values[0] if isinstance(a, Nominal) else "0" for a in attributes]
    given = set()
    position, end = 1, line.rfind("}")
    if end < 0:
        raise ValueError("a sparse row begins with { and does not end with }: a value that begins with { needs quotes")
    if line[end + 1 :].strip():
        raise ValueError("something stands behind a sparse row: weights of rows are not read")
    inside = line[:end]
    while inside[position:].strip(" \t,"):
        match = _KEY.match(inside, position)
        if match is None or int(match[1]) >= len(attributes):
            raise ValueError(f"expected an index from 0 to {len(attributes) - 1} and a value, got "
                             f"{inside[position:position + 30]!r}")  # fmt: skip
        text, quoted, position = next(split_words(inside, match.end()), ("", False, -1))
        if position < 0 or int(match[1]) in given:
            raise ValueError(f"the index {match[1]} has no value, or two")
        given.add(int(match[1]))
        row[int(match[1])] = None if text == "?" and not quoted else text
        position += len(inside[position:]) - len(inside[position:].lstrip(" \t,"))
    if any(isinstance(a, Text) and i not in given for i, a in enumerate(attributes)):
        raise ValueError("a sparse row leaves a string out: which one is meant differs between programs")
    return row


def _column(
    path: Path, values: Sequence[str | None], kind: pa.DataType, attribute: Column, lines: Sequence[int]
) -> pa.Array:
    texts = pa.array(values, pa.string())
    if not isinstance(attribute, Scalar):
        return texts
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([_number(path, v, attribute.name, line) for v, line in zip(values, lines)], kind)


def _number(path: Path, text: str | None, name: str, line: int) -> float | None:
    try:
        if text is not None and "_" in text:  # a number to Python, to nobody else
            raise ValueError
        return None if text is None else float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}: expected a number for {name!r}, got {str(text)[:40]!r}") from None


def _batch(columns: Sequence[pa.Array], head: Head) -> pa.RecordBatch:
    arrays: list[pa.Array] = [columns[-1]] if head.has_class else []
    place = 0
    for column in head.schema.columns:
        if isinstance(column, Vector):
            numbers = [c.to_numpy(zero_copy_only=False) for c in columns[place : place + column.dim]]
            arrays.append(vector_array(np.column_stack(numbers)))
            place += column.dim
        else:
            arrays.append(columns[place])
            place += 1
    return pa.RecordBatch.from_arrays(arrays, schema=head.schema.arrow)
