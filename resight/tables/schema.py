"""What a feature table holds: facts about the images, features, the labels there are, and where all that came from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resight.errors import InputError
from resight.tables.columns import META, Column, Scalar, Vector, column_as_dict, column_from_dict

Json: TypeAlias = Any
Numbers: TypeAlias = NDArray[np.floating[Any]]
FORMAT = 1  # of the description that files carry
MAX_COLUMNS = 1_000_000


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in their order, and what goes with the table as a whole.

    columns:    the features
    meta:       which facts about the images go before them, of path, label, split, width, height, sha256, status, error
    labels:     all labels there can be, in order; None: not known yet
    relation:   the table's name
    metadata:   plain JSON: versions, parameters, the hash of the weights
    class_name: what the label is called in ARFF

    Raises InputError if two columns have one name, also flat, or the metadata is not plain JSON.

    >>> Schema((Vector("gem", 2), Scalar("MinkLAC1")), meta=("path",)).attributes
    ('gem_0', 'gem_1', 'MinkLAC1')
    """

    columns: tuple[Column, ...]
    meta: tuple[str, ...] = tuple(META)
    labels: tuple[str, ...] | None = None
    relation: str = "features"
    metadata: Mapping[str, Json] = field(default_factory=dict, hash=False)
    class_name: str = "class"

    def __post_init__(self) -> None:
        for name in ("columns", "meta", "labels"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        try:
            plain = json.loads(json.dumps(dict(self.metadata), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the metadata of a table must be plain JSON: {error}") from error
        object.__setattr__(self, "metadata", plain)
        for name in self.meta:
            if name not in META:
                raise InputError(f"expected facts of {', '.join(META)}, got {name!r}")
        total = sum(column.dim if isinstance(column, Vector) else 1 for column in self.columns)
        if total > MAX_COLUMNS:
            raise InputError(f"a table has at most {MAX_COLUMNS:,} columns, this has {total:,}")
        for names in (self.names, self.meta + self.attributes):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise InputError(f"two columns are called {twice[0]!r}: rename one")
        if self.labels is not None and (len(set(self.labels)) < len(self.labels) or "" in self.labels):
            raise InputError("a label is named twice, or is empty: no label is None")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names: facts, then features."""
        return self.meta + tuple(column.name for column in self.columns)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The features' names where a table is flat."""
        return tuple(name for column in self.columns for name in column.attributes)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The types of a batch of rows."""
        facts = [pa.field(name, META[name]) for name in self.meta]
        return pa.schema(facts + [pa.field(column.name, column.arrow) for column in self.columns])

    @cached_property
    def row_bytes(self) -> int:
        """About how much a row takes in memory."""
        sizes = (column.dim * (4 if column.dtype == "float32" else 8) if isinstance(column, Vector) else 8
                 for column in self.columns)  # fmt: skip
        return sum(sizes) + 64 * len(self.meta)

    def batch(self, columns: Mapping[str, object]) -> pa.RecordBatch:
        """A batch of rows, from arrays or lists by column; facts that are not given are missing.

        columns: {name: (n,) or, for a vector, (n, dim)}

        Raises InputError if a feature is missing, a name is not in the schema, or a shape or type does not fit.
        """
        known = set(self.names)
        strange = [name for name in columns if name not in known]
        if strange:
            raise InputError(f"{strange[0]!r} is no column of this table")
        lengths = {len(values): name for name, values in columns.items() if isinstance(values, Sequence | np.ndarray)}
        if len(lengths) != 1:
            raise InputError(f"columns of one length were expected, got {sorted(lengths)}")
        count = next(iter(lengths))
        arrays = [_array(name, META[name], columns.get(name), count) for name in self.meta]
        for column in self.columns:
            if column.name not in columns:
                raise InputError(f"the feature {column} is missing")
            arrays.append(_array(column.name, column.arrow, columns[column.name], count))
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow)

    def conform(self, rows: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
        """The rows with just these columns, order and types; missing numbers of features become NaN.

        Raises InputError if a column is missing, is one too many, or does not fit its type.
        """
        if isinstance(rows, pa.Table):
            rows = rows.combine_chunks().to_batches()[0] if len(rows) else pa.RecordBatch.from_pylist([], rows.schema)
        there = rows.schema.names
        if Counter(there) != Counter(self.names):
            lacking = sorted(set(self.names) - set(there))
            extra = sorted(set(there) - set(self.names))
            raise InputError(f"the rows do not fit the table: lacking {lacking[:3]}, not expected {extra[:3]}")
        arrays = dict(zip(there, rows.columns))  # looking one up by its name goes through all names
        facts = [_cast(arrays[name], META[name], name) for name in self.meta]
        features = [_filled(_cast(arrays[c.name], c.arrow, c.name), c) for c in self.columns]
        return pa.RecordBatch.from_arrays(facts + features, schema=self.arrow)

    def as_dict(self) -> dict[str, Json]:
        """The description that files carry."""
        return {
            "resight_table": FORMAT,
            "relation": self.relation,
            "meta": list(self.meta),
            "columns": [column_as_dict(column) for column in self.columns],
            "labels": None if self.labels is None else list(self.labels),
            "class_name": self.class_name,
            "metadata": self.metadata,
        }

    def as_json(self) -> str:
        """The description as one line of ASCII."""
        return json.dumps(self.as_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """The schema that `as_json` described; InputError for anything else."""
        try:
            plain = json.loads(text)
            if plain["resight_table"] != FORMAT:
                raise InputError(f"written by another version: format {plain['resight_table']!r}, expected {FORMAT}")
            labels = plain["labels"]
            return cls(
                tuple(map(column_from_dict, plain["columns"])),
                tuple(map(str, plain["meta"])),
                None if labels is None else tuple(map(str, labels)),
                str(plain["relation"]),
                dict(plain["metadata"]),
                str(plain["class_name"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"not the description of a table: {' '.join(str(error).split())}") from error

    def first_difference(self, other: Schema) -> str | None:
        """In words, where the features of another table begin to differ; None if they are the same."""
        for number, (own, its) in enumerate(zip(self.columns, other.columns), 1):
            alike = own == its if isinstance(own, Vector) else (own.name, type(own)) == (its.name, type(its))
            if not alike:  # the values of a nominal feature may differ: they can be united
                return f"feature {number} is {own} in one and {its} in the other"
        own_count, its_count = len(self.columns), len(other.columns)
        if own_count != its_count:
            longer = self if own_count > its_count else other
            return f"one has {own_count:,} features and the other {its_count:,}: only one has " \
                   f"{longer.columns[min(own_count, its_count)]}"  # fmt: skip
        return None


def vectors_of(array: pa.Array) -> Numbers:
    """(n, dim) numbers of a vector column, without a copy where that can be."""
    flat = array.values.slice(array.offset * array.type.list_size, len(array) * array.type.list_size)
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(array), array.type.list_size)


def vector_array(values: Numbers) -> pa.FixedSizeListArray:
    """A vector column of (n, dim) numbers."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values.shape[1])


def _array(name: str, kind: pa.DataType, values: object, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    try:
        if pa.types.is_fixed_size_list(kind):
            dtype: Any = np.float32 if kind.value_type == pa.float32() else np.float64
            matrix = np.asarray(values, dtype=dtype)
            if matrix.shape != (count, kind.list_size):
                raise InputError(f"{name!r}: expected shape {(count, kind.list_size)}, got {matrix.shape}")
            return vector_array(matrix)
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputError(f"the column {name!r} does not fit: {error}") from error


def _cast(array: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    try:
        return array if array.type == kind else array.cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"the column {name!r} should be {kind}, got {array.type}: {error}") from error


def _filled(array: pa.Array, column: Column) -> pa.Array:
    """Missing numbers as NaN: a null row of a vector would vanish where readers flatten the column."""
    if isinstance(column, Scalar):
        return array.fill_null(float("nan")) if array.null_count else array
    if not isinstance(column, Vector):
        return array
    inner = array.values.slice(array.offset * column.dim, len(array) * column.dim)
    if not array.null_count and not inner.null_count:
        return array
    numbers = np.array(inner.to_numpy(zero_copy_only=False)).reshape(-1, column.dim)  # nulls inside come as NaN
    numbers[pc.is_null(array).to_numpy(zero_copy_only=False)] = np.nan
    return vector_array(numbers)
