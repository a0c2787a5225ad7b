"""Tables made of tables: another format, columns side by side, rows below each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import InputError
from resight.tables.columns import META, Column, Nominal
from resight.tables.formats import format_of, open_table, open_writer
from resight.tables.reading import TableFile, sidecar_of, with_labels
from resight.tables.schema import Schema

PathLike: TypeAlias = str | os.PathLike[str]
COMPARED = ("path", "label", "sha256", "split")


def convert(source: PathLike, target: PathLike) -> int:
    """Write a table in the format of another suffix; returns how many rows there were.

    ARFF and .json hold fewer facts about the images, .npy no text: see docs/tables.md for what each keeps.
    Raises InputError if the target cannot hold the table, or is the source.
    """
    _refuse_source(target, [source])
    file = with_labels(open_table(source))
    with open_writer(target, file.schema) as writer:
        for batch in file.batches():
            writer.write(batch)
    return writer.rows


def merge(left: PathLike, right: PathLike, target: PathLike) -> int:
    """Write one table with the features of two, side by side; returns how many rows there were.

    The rows must be the same in the same order: paths, labels, sha256 and splits are compared where both have them.
    A row that failed in one has failed. The relation is Merged_a_and_b.
    Raises InputError, with the row, if they differ; if a feature is in both; if nothing but their number could be
    compared, and that differs.
    """
    _refuse_source(target, [left, right])
    first, second = with_labels(open_table(left)), with_labels(open_table(right))
    one, two = first.schema, second.schema
    shared = set(one.attributes) & set(two.attributes)
    if shared:
        raise InputError(f"{left} and {right} both have the feature {min(shared)!r}: rename it in one")
    schema = Schema(
        one.columns + two.columns,
        tuple(name for name in META if name in one.meta + two.meta),
        _united(one.labels, two.labels),
        f"Merged_{one.relation}_and_{two.relation}",
        one.metadata if one.metadata == two.metadata else {"merged": [one.metadata, two.metadata]},
        one.class_name,
    )
    with open_writer(target, schema) as writer:
        for start, a, b in _aligned(first, second):
            writer.write(_side_by_side(a, b, schema, start, f"{left} and {right}"))
    return writer.rows


def concat(sources: Sequence[PathLike], target: PathLike, *, relation: str | None = None) -> int:
    """Write one table with the rows of several, one after another; returns how many rows there were.

    The features must be the same in the same order; facts that one lacks are missing in its rows. The relation is
    Concatenated_a_and_b, unless another is given (as for parts of one table).
    Raises InputError, naming the first difference, if the features differ.
    """
    if len(sources) < 2:
        raise InputError(f"expected two tables or more to put below each other, got {len(sources)}")
    _refuse_source(target, sources)
    files = [with_labels(open_table(source)) for source in sources]
    schema = files[0].schema
    for source, file in zip(sources[1:], files[1:]):
        difference = schema.first_difference(file.schema)
        if difference:
            raise InputError(f"{sources[0]} and {source} do not have the same features: {difference}")
        schema = replace(
            schema,
            columns=tuple(map(_united_values, schema.columns, file.schema.columns)),
            meta=tuple(name for name in META if name in schema.meta + file.schema.meta),
            labels=_united(schema.labels, file.schema.labels),
        )
    told = [file.schema.metadata for file in files]
    metadata = told[0] if all(one == told[0] for one in told) else {"concatenated": told}
    joined = "Concatenated_" + "_and_".join(file.schema.relation for file in files)
    schema = replace(schema, relation=joined if relation is None else relation, metadata=metadata)
    with open_writer(target, schema) as writer:
        for file in files:
            for batch in file.batches():
                absent = [name for name in schema.meta if name not in file.schema.meta]
                writer.write(_with_nulls(batch, absent))
    return writer.rows


def _refuse_source(target: PathLike, sources: Sequence[PathLike]) -> None:
    format_of(target)
    for source in sources:
        used = [Path(source), sidecar_of(Path(source)), sidecar_of(Path(source), ".csv")]
        for file in used:
            if file.exists() and Path(target).exists() and file.samefile(target):
                raise InputError(f"{target} is read from: write to another file")


def _united(one: tuple[str, ...] | None, two: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or two is None:
        return two if one is None else one
    return tuple(dict.fromkeys(one + two))


def _united_values(one: Column, two: Column) -> Column:
    if isinstance(one, Nominal) and isinstance(two, Nominal):
        return Nominal(one.name, tuple(dict.fromkeys(one.values + two.values)))
    return one


def _with_nulls(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    for name in names:
        batch = batch.append_column(pa.field(name, META[name]), pa.nulls(len(batch), META[name]))
    return batch


def _aligned(first: TableFile, second: TableFile) -> Iterator[tuple[int, pa.RecordBatch, pa.RecordBatch]]:
    """Batches of both with the same rows, and the number of the first row, from 1."""
    ours, theirs = first.batches(), second.batches()
    a = b = None
    row = 1
    while True:
        a = next((one for one in ours if len(one)), None) if a is None else a
        b = next((one for one in theirs if len(one)), None) if b is None else b
        if a is None or b is None:
            break
        size = min(len(a), len(b))
        yield row, a.slice(0, size), b.slice(0, size)
        row += size
        a = a.slice(size) if len(a) > size else None
        b = b.slice(size) if len(b) > size else None
    if a is not None or b is not None:
        longer, shorter = (first, second) if b is None else (second, first)
        raise InputError(f"{longer.path} has more rows than {shorter.path}, which has {row - 1:,}: the same rows in "
                         "the same order are needed")  # fmt: skip


def _side_by_side(a: pa.RecordBatch, b: pa.RecordBatch, schema: Schema, start: int, where: str) -> pa.RecordBatch:
    arrays = []
    for name in schema.names:
        own, its = (batch.column(name) if name in batch.schema.names else None for batch in (a, b))
        if own is None or its is None or name not in schema.meta:
            arrays.append(its if own is None else own)
            continue
        if name in COMPARED:
            row = _first_difference(own, its, name == "sha256")
            if row is not None:
                raise InputError(f"row {start + row:,} of {where}: the {name} is {own[row].as_py()!r} in one and "
                                 f"{its[row].as_py()!r} in the other")  # fmt: skip
        if name == "status":  # ok only if both are
            own = pc.if_else(pc.fill_null(pc.equal(own, "ok"), True), pc.coalesce(its, own), own)
        else:
            own = pc.coalesce(own, its)
        arrays.append(own)
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow)


def _first_difference(own: pa.Array, its: pa.Array, may_lack: bool) -> int | None:
    """The first place where two columns differ; a missing value is one like any other, or fits all if it may lack."""
    absent, other = pc.is_null(own), pc.is_null(its)
    excused = pc.or_(absent, other) if may_lack else pc.and_(absent, other)
    same = pc.or_(excused, pc.fill_null(pc.equal(own, its), False)).to_numpy(zero_copy_only=False)
    return None if same.all() else int((~same).argmax())
