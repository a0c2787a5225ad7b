"""The columns of a feature table, and what each is called where a table is flat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import pyarrow as pa

from resight.errors import InputError

META: dict[str, pa.DataType] = {
    "path": pa.string(), "label": pa.string(), "split": pa.string(), "width": pa.int32(), "height": pa.int32(),
    "sha256": pa.string(), "status": pa.string(), "error": pa.string(),
}  # fmt: skip
DTYPES = {"float32": pa.float32(), "float64": pa.float64()}
MAX_DIM = 1_000_000
_NUMBERED = re.compile(r"(.+)_(0|[1-9][0-9]{0,6})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number per row, float64; a missing one is NaN."""

    name: str

    @property
    def arrow(self) -> pa.DataType:
        """Its type in memory and in Parquet."""
        return pa.float64()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Its names in a flat table."""
        return (self.name,)

    def __str__(self) -> str:
        return f"{self.name!r} (number)"


@dataclass(frozen=True, slots=True)
class Vector:
    """`dim` numbers per row, float32 or float64; flat they are name_0 .. name_{dim - 1}."""

    name: str
    dim: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or not 1 <= self.dim <= MAX_DIM:
            raise InputError(f"vector {self.name!r}: expected float32 or float64 and 1 to {MAX_DIM:,} dimensions, got "
                             f"{self.dtype} and {self.dim}")  # fmt: skip

    @property
    def arrow(self) -> pa.DataType:
        """Its type in memory and in Parquet."""
        return pa.list_(DTYPES[self.dtype], self.dim)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Its names in a flat table."""
        return tuple(f"{self.name}_{i}" for i in range(self.dim))

    def __str__(self) -> str:
        return f"{self.name!r} (vector, {self.dim} x {self.dtype})"


@dataclass(frozen=True, slots=True)
class Text:
    """A string per row: no feature, but kept when other people's tables are converted."""

    name: str

    @property
    def arrow(self) -> pa.DataType:
        """Its type in memory and in Parquet."""
        return pa.string()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Its names in a flat table."""
        return (self.name,)

    def __str__(self) -> str:
        return f"{self.name!r} (text)"


@dataclass(frozen=True, slots=True)
class Nominal:
    """One of a few strings per row, as ARFF has them besides the class."""

    name: str
    values: tuple[str, ...]

    @property
    def arrow(self) -> pa.DataType:
        """Its type in memory and in Parquet."""
        return pa.string()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Its names in a flat table."""
        return (self.name,)

    def __str__(self) -> str:
        return f"{self.name!r} (nominal, {len(self.values)} values)"


Column: TypeAlias = Scalar | Vector | Text | Nominal


def column_as_dict(column: Column) -> dict[str, Any]:
    """Plain values for JSON."""
    match column:
        case Vector(name, dim, dtype):
            return {"name": name, "kind": "vector", "dim": dim, "dtype": dtype}
        case Nominal(name, values):
            return {"name": name, "kind": "nominal", "values": list(values)}
        case Text(name):
            return {"name": name, "kind": "text"}
    return {"name": column.name, "kind": "number"}


def column_from_dict(plain: Mapping[str, Any]) -> Column:
    """The column that `column_as_dict` described; InputError for anything else."""
    try:
        match _string(plain["name"]), plain["kind"]:
            case name, "number":
                return Scalar(name)
            case name, "text":
                return Text(name)
            case name, "vector":
                return Vector(name, int(plain["dim"]), str(plain["dtype"]))
            case name, "nominal":
                return Nominal(name, tuple(map(_string, plain["values"])))
            case _, kind:
                raise InputError(f"unknown kind of column {kind!r}")
    except (KeyError, TypeError) as error:
        raise InputError(f"not the description of a column: {error}") from error


def grouped(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with runs of numbers named x_0, x_1, .. joined to float64 vectors, so that nothing is lost.

    >>> grouped([Scalar("x_0"), Scalar("x_1"), Scalar("y_0")])
    (Vector(name='x', dim=2, dtype='float64'), Scalar(name='y_0'))
    """
    found: list[Column] = []
    taken = {column.name for column in columns}

    def stem(column: Column) -> str | None:
        match = _NUMBERED.fullmatch(column.name) if isinstance(column, Scalar) else None
        return match[1] if match else None

    for name, run in groupby(columns, stem):
        members = list(run)
        whole = name is not None and tuple(m.name for m in members) == tuple(f"{name}_{i}" for i in range(len(members)))
        if name is not None and whole and len(members) > 1 and name not in taken:
            found.append(Vector(name, len(members), "float64"))
            taken.add(name)
        else:
            found.extend(members)
    return tuple(found)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r}")
    return value
