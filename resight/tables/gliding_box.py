"""The Go gliding-box programme's JSON: mass probabilities per box size, percolation per box size, or both."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.errors import InputError
from resight.tables.atomic import AtomicFiles
from resight.tables.columns import Column, Scalar, Vector
from resight.tables.json_array import read_objects
from resight.tables.reading import TableFile, checked_file
from resight.tables.schema import Schema, vectors_of

LARGEST_BOX = 999
BATCH = 64
PROBABILITY = "probability_"
# In the programme's files and ours: p counts clusters, g is the largest one's share of the box, h the share of boxes
# that percolate.
CURVES = {"Minkp": "average_cluster_count", "Minkg": "average_biggest_cluster_area", "Minkh": "percolation"}


class GlidingBoxSink:
    """Writes one object per image: the columns probability_L, and Minkp.., Minkg.., Minkh.. if the table has them."""

    def __init__(self, files: AtomicFiles, path: Path, schema: Schema) -> None:
        self._sizes = {c.name: _size(c) for c in schema.columns if _size(c)}
        present = {c.name for c in schema.columns}
        self._curves = {L: names for L, names in _curve_names(schema).items() if present.issuperset(names)}
        if "path" not in schema.meta or not (self._sizes or self._curves):
            raise InputError(f"{path}: .json is the gliding-box format: it holds paths, and probabilities by box size "
                             "(vectors probability_3, ..) or percolation (Minkp1.., Minkg1.., Minkh1..); take .parquet "
                             "or .csv for other features")  # fmt: skip
        self._path, self._first = path, True
        self._file = files.open(path)
        self._file.write(b"[")

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema; box sizes without numbers are left out."""
        vectors = {name: vectors_of(batch.column(name)) for name in self._sizes}
        curves = {L: [batch.column(n).to_numpy() for n in names] for L, names in self._curves.items()}
        for row, path in enumerate(batch.column("path").to_pylist()):
            if path is None:
                raise InputError(f"{self._path}: an image without a path cannot be written as .json")
            folder, name = posixpath.split(path)
            image: dict[str, Any] = {"name": name, "folder": folder}
            if self._sizes:
                rows = ((values[row].tolist(), self._sizes[key]) for key, values in vectors.items())
                image["result_kernels"] = [
                    {"probabilities": values, "kernel_size": size} for values, size in rows if _finite(values)
                ]
            if self._curves:
                values_of = ((size, [float(v[row]) for v in values]) for size, values in curves.items())
                image["percolation_results"] = [
                    {**dict(zip(CURVES.values(), values)), "kernel_size": size}
                    for size, values in values_of if _finite(values)
                ]  # fmt: skip
            text = json.dumps(image, ensure_ascii=False, allow_nan=False)
            self._file.write((("\n" if self._first else ",\n") + text).encode())
            self._first = False

    def finish(self, schema: Schema) -> None:
        """Close the list."""
        self._file.write(b"\n]\n")


def open_gliding_box(path: Path) -> TableFile:
    """A file of the Go programme: path (folder/name), label (the folder's own name), and what it measured.

    Probabilities become float64 vectors probability_L of L^2 numbers, percolation the columns Minkp1.., Minkg1..,
    Minkh1.. in the order of the box sizes, which are in the metadata under "scales". A box size that an image lacks
    is NaN. The file is read through once for its box sizes.
    Raises InputError, with the image's number, if it is not such a file.
    """
    masses: set[int] = set()
    scales: set[int] = set()
    labels: set[str] = set()
    count = 0
    for image in _images(checked_file(path)):
        masses.update(image.masses)
        scales.update(image.curves)
        labels.add(_label(image.folder))
        count += 1
    columns: list[Column] = [Vector(f"{PROBABILITY}{size}", size * size, "float64") for size in sorted(masses)]
    columns += [Scalar(f"{stem}{i}") for stem in CURVES for i in range(1, len(scales) + 1)]
    schema = Schema(
        tuple(columns), ("path", "label"), tuple(sorted(labels - {""})), path.stem,
        {"scales": sorted(scales or masses)},
    )  # fmt: skip
    return TableFile(path, schema, count, lambda: _stream(path, schema, sorted(masses), sorted(scales)))


class _Image:
    """One object of the file, checked."""

    def __init__(self, plain: object) -> None:
        if not isinstance(plain, Mapping) or not all(isinstance(plain.get(k), str) for k in ("name", "folder")):
            raise ValueError("expected an object with name and folder")
        self.folder: str = plain["folder"]
        self.path = posixpath.join(self.folder, plain["name"])
        self.masses = {
            _box(one): _numbers(one["probabilities"], _box(one) ** 2) for one in _list(plain, "result_kernels")
        }
        self.curves = {_box(one): _numbers([one[key] for key in CURVES.values()], 3)
                       for one in _list(plain, "percolation_results")}  # fmt: skip
        if "result_kernels" not in plain and "percolation_results" not in plain:
            raise ValueError("expected result_kernels or percolation_results")


def _images(path: Path) -> Iterator[_Image]:
    for number, plain in enumerate(read_objects(path), 1):
        try:
            yield _Image(plain)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise InputError(f"{path}: image {number}: not the gliding-box format: {reason}") from error


def _stream(path: Path, schema: Schema, masses: Sequence[int], scales: Sequence[int]) -> Iterator[pa.RecordBatch]:
    waiting: list[_Image] = []
    for image in _images(path):
        waiting.append(image)
        if len(waiting) == BATCH:
            yield _batch(waiting, schema, masses, scales)
            waiting = []
    if waiting:
        yield _batch(waiting, schema, masses, scales)


def _batch(images: Sequence[_Image], schema: Schema, masses: Sequence[int], scales: Sequence[int]) -> pa.RecordBatch:
    columns: dict[str, object] = {
        "path": [image.path for image in images], "label": [_label(image.folder) or None for image in images],
    }  # fmt: skip
    for size in masses:
        absent = [math.nan] * size**2
        columns[f"{PROBABILITY}{size}"] = np.array([image.masses.get(size, absent) for image in images])
    for place, stem in enumerate(CURVES):
        for number, size in enumerate(scales, 1):
            columns[f"{stem}{number}"] = [image.curves.get(size, [math.nan] * 3)[place] for image in images]
    return schema.batch(columns)


def _curve_names(schema: Schema) -> dict[int, list[str]]:
    """The three percolation columns of each box size: by the metadata's scales, or 3, 5, 7, .."""
    count = sum(column.name.startswith("Minkp") for column in schema.columns)
    scales = schema.metadata.get("scales")
    if not isinstance(scales, list) or not all(isinstance(s, int) for s in scales) or len(scales) < count:
        scales = [2 * number + 1 for number in range(1, count + 1)]
    return {size: [f"{stem}{number}" for stem in CURVES] for number, size in enumerate(scales[:count], 1)}


def _size(column: Column) -> int:
    """The box size of a column of probabilities; 0 for any other."""
    if isinstance(column, Vector) and column.name.startswith(PROBABILITY):
        size = math.isqrt(column.dim)
        return size if column.name == f"{PROBABILITY}{size}" and size * size == column.dim else 0
    return 0


def _list(plain: Mapping[str, Any], key: str) -> list[Any]:
    found = plain.get(key) or []
    if not isinstance(found, list):
        raise ValueError(f"{key} should be a list")
    sizes = [one["kernel_size"] for one in found]
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"a kernel_size comes twice in {key}")
    return found


def _box(plain: Mapping[str, Any]) -> int:
    size = plain["kernel_size"]
    if not isinstance(size, int) or not 1 <= size <= LARGEST_BOX or size % 2 == 0:
        raise ValueError(f"expected an odd kernel_size from 1 to {LARGEST_BOX}, got {size!r}")
    return size


def _numbers(values: object, count: int) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"expected {count} numbers, got {len(values) if isinstance(values, list) else values!r}")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ValueError("expected numbers")
    return [float(v) for v in values]


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def _label(folder: str) -> str:
    return posixpath.basename(folder.rstrip("/"))
