"""Rows as lines of text: numbers in the shortest form that reads back as the same number, many rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resight.tables.columns import Column, Scalar, Vector
from resight.tables.schema import Numbers, vectors_of

Spell = Callable[[pa.Array], pa.Array]


def number_lines(values: Numbers, missing: str, infinite: bool) -> pa.Array:
    """Each row of numbers, with commas between.

    values:   (n, k)   float32 or float64
    missing:  stands for NaN
    infinite: write inf and -inf, or count them as missing
    ->        (n,)     strings

    >>> number_lines(np.array([[0.1, np.nan]], np.float32), "?", infinite=False).to_pylist()
    ['0.1,?']
    """
    count, width = values.shape
    flat = np.ascontiguousarray(values).reshape(-1)
    text = pc.cast(pa.array(flat), pa.string())
    absent = np.isnan(flat) if infinite else ~np.isfinite(flat)
    if absent.any():
        text = pc.if_else(pa.array(absent), missing, text)
    offsets = np.arange(0, count * width + 1, width, dtype=np.int32) if width else np.zeros(count + 1, np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), text), ",")


def rows_text(cells: Sequence[pa.Array], count: int) -> bytes:
    """The lines of a block, each ended, from what stands side by side in them, each (n,) strings."""
    if not count:
        return b""
    rows = cells[0] if len(cells) == 1 else pc.binary_join_element_wise(*cells, ",")
    whole = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), rows), "\n")
    return bytes(whole[0].as_buffer()) + b"\n"


def feature_cells(
    batch: pa.RecordBatch, columns: Sequence[Column], missing: str, infinite: bool, spell: Spell
) -> list[pa.Array]:
    """The features of a batch as strings (n,): a vector, or neighbouring numbers, in one; text by `spell`."""
    cells: list[pa.Array] = []
    scalars: list[NDArray[np.float64]] = []

    def flush() -> None:
        if scalars:
            cells.append(number_lines(np.column_stack(scalars), missing, infinite))
            scalars.clear()

    for column in columns:
        array: Any = batch.column(column.name)
        if isinstance(column, Scalar):
            scalars.append(array.to_numpy(zero_copy_only=False))
            continue
        flush()
        if isinstance(column, Vector):
            cells.append(number_lines(vectors_of(array), missing, infinite))
        else:
            cells.append(spell(array))
    flush()
    return cells
