"""Feature tables as CSV: UTF-8, a header, vectors spread over columns, the description beside it in FILE.csv.json."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from resight.errors import InputError, WorkError
from resight.tables.atomic import AtomicFiles
from resight.tables.columns import META, Column, Scalar, Text, Vector, grouped
from resight.tables.lines import feature_cells, rows_text
from resight.tables.reading import TableFile, checked_file, read_sidecar, sidecar_of
from resight.tables.schema import MAX_COLUMNS, Schema, vector_array

FIRST_BYTES = 4 * 2**20
MAX_LINE = 64 * 2**20
MISSING = ["", "NA", "N/A", "NaN", "nan", "?", "null", "None"]
QUOTED = r'[",\r\n]|^\s|\s$'


class CsvSink:
    """Writes blocks as lines, and the description beside them."""

    def __init__(self, files: AtomicFiles, path: Path, schema: Schema) -> None:
        self._schema = schema
        self._sidecar = files.open(sidecar_of(path), path)
        self._file = files.open(path)
        names = [*schema.meta, *schema.attributes]
        if not names:
            raise InputError(f"{path}: a table without columns cannot be CSV")
        self._missing = "" if len(names) > 1 else '""'  # an empty line is no row to most readers
        self._file.write(",".join(_quoted(pa.array(names, pa.string())).to_pylist()).encode() + b"\n")

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema."""
        cells = fact_cells(batch, self._schema.meta, self._missing)
        cells += feature_cells(batch, self._schema.columns, self._missing, True, lambda t: _quoted(t, self._missing))
        self._file.write(rows_text(cells, len(batch)))

    def finish(self, schema: Schema) -> None:
        """Write the description."""
        self._sidecar.write(schema.as_json().encode() + b"\n")


def fact_cells(batch: pa.RecordBatch, names: Sequence[str], missing: str) -> list[pa.Array]:
    """The facts about a batch's images as cells of CSV."""
    return [_quoted(pc.cast(batch.column(name), pa.string()), missing) for name in names]


def read_facts(path: Path, names: Sequence[str]) -> pa.Table:
    """The facts about images in a CSV file that has just these columns.

    Raises InputError if it has others, or is not readable.
    """
    if _header(checked_file(path)) != list(names):
        raise InputError(f"{path}, line 1: expected the columns {','.join(names)}")
    schema = Schema((), tuple(names))
    return pa.Table.from_batches(list(_stream(path, schema, list(names), {n: n for n in names})), schema.arrow)


def _quoted(texts: pa.Array, missing: str = "") -> pa.Array:
    texts = pc.fill_null(texts, "")
    if missing:
        texts = pc.if_else(pc.equal(texts, ""), missing, texts)
        return pc.if_else(pc.equal(texts, missing), texts, _quoted(texts))
    needs = pc.match_substring_regex(texts, QUOTED)
    if not pc.any(needs).as_py():
        return texts
    inner = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', inner, '"', ""), texts)


def open_csv(path: Path) -> TableFile:
    """A CSV table with a header: our own, or another's, where columns of numbers count as features.

    Without a description beside it, columns x_0, x_1, .. become one vector x, a text column label or class the label,
    and path, split, sha256, status, error, width and height (whole numbers, beside a path) facts. Whether a column
    holds numbers is decided by the first 4 MB.
    Raises InputError if there is no usable header.
    """
    header = _header(checked_file(path))
    described = read_sidecar(path)
    if described is not None and list(described.meta + described.attributes) == header:
        schema, names = described, {name: name for name in described.meta}
    else:
        schema, names = _foreign(path, header)
    return TableFile(path, schema, None, lambda: _stream(path, schema, header, names))


def _header(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            first = file.readline(MAX_LINE + 1)
            while first.count(b'"') % 2 and len(first) <= MAX_LINE:  # a name with a line end in it
                more = file.readline(MAX_LINE + 1)
                if not more:
                    break
                first += more
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}") from error
    if len(first) > MAX_LINE:
        raise InputError(f"{path}, line 1: longer than {MAX_LINE // 2**20} MB: expected a header of column names")
    try:
        names = next(csv.reader([first.decode("utf-8-sig")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}, line 1: not readable as CSV: {error}") from error
    if len(names) == 1 and ";" in names[0]:
        raise InputError(f"{path}, line 1: expected columns separated by commas, got semicolons")
    if not names or "" in names or len(names) > MAX_COLUMNS:
        raise InputError(f"{path}, line 1: expected a header, one to {MAX_COLUMNS:,} names of columns, got {len(names)}"
                         f"{', one of them empty' if '' in names else ''}")  # fmt: skip
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"{path}, line 1: two columns are called {twice[0]!r}: rename one")
    return names


def _foreign(path: Path, header: list[str]) -> tuple[Schema, dict[str, str]]:
    """A schema by the first rows' values, and under what names its facts stand in the header."""
    kinds = _guess(path, header)
    facts: dict[str, str] = {}
    label = next((name for name in ("label", "class") if name in header), None)
    for name in header:
        fact = "label" if name == label else name
        if fact in META and _is_fact(fact, kinds[name], header):
            facts[fact] = name
    columns: list[Column] = [
        Text(name) if kinds[name] == pa.string() else Scalar(name) for name in header if name not in facts.values()
    ]
    meta = tuple(name for name in META if name in facts)
    called = "class" if label is None or label == "label" else label
    return Schema(grouped(columns), meta, relation=path.stem, class_name=called), facts


def _is_fact(name: str, kind: pa.DataType, header: Sequence[str]) -> bool:
    """Whether a column with the name of a fact holds it: numbers may as well be a feature of that name."""
    if name in ("width", "height"):
        return kind in (pa.int64(), pa.null()) and "path" in header
    if name in ("label", "split"):
        return bool(kind != pa.float64())
    return name in ("path", "sha256") or kind in (pa.string(), pa.null())


def _guess(path: Path, header: list[str]) -> dict[str, pa.DataType]:
    """int64, float64, string or, where every cell is empty, null: what the columns of the first rows hold."""
    options = pa_csv.ConvertOptions(null_values=MISSING, timestamp_parsers=[], true_values=[], false_values=[])
    try:
        with _open(path, options, FIRST_BYTES) as reader:
            found = reader.schema.types
    except StopIteration:
        found = []
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            found = []
        elif "straddling" in str(error):
            raise InputError(f"{path}: a line is longer than {FIRST_BYTES // 2**20} MB") from error
        else:
            raise InputError(_complaint(path, header, error)) from error
    plain = (pa.int64(), pa.float64(), pa.null())
    return dict(zip(header, [kind if kind in plain else pa.string() for kind in found or [pa.null()] * len(header)]))


def _open(path: Path, options: pa_csv.ConvertOptions, block: int) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=block),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )


def _stream(path: Path, schema: Schema, header: list[str], facts: dict[str, str]) -> Iterator[pa.RecordBatch]:
    kinds: dict[str, pa.DataType] = {source: META[fact] for fact, source in facts.items()}
    for column in schema.columns:
        kind = column.arrow.value_type if isinstance(column, Vector) else column.arrow
        kinds |= dict.fromkeys(column.attributes, kind)
    options = pa_csv.ConvertOptions(column_types=kinds, null_values=MISSING, strings_can_be_null=False)
    block = min(MAX_LINE, max(FIRST_BYTES, 64 * len(header)))
    try:
        with _open(path, options, block) as reader:
            for batch in reader:
                if len(batch):
                    yield _regrouped(batch, schema, facts)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise InputError(_complaint(path, header, error)) from error


def _regrouped(batch: pa.RecordBatch, schema: Schema, facts: dict[str, str]) -> pa.RecordBatch:
    arrays = []
    for name in schema.meta:
        array = batch.column(facts[name])
        if pa.types.is_string(array.type):
            array = pc.if_else(pc.equal(array, ""), None, array)
        arrays.append(array)
    for column in schema.columns:
        if isinstance(column, Vector):
            numbers = [batch.column(name).to_numpy(zero_copy_only=False) for name in column.attributes]
            arrays.append(vector_array(np.column_stack(numbers)))
        else:
            array = batch.column(column.name)
            arrays.append(pc.if_else(pc.equal(array, ""), None, array) if pa.types.is_string(array.type) else array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow)


def _complaint(path: Path, header: list[str], error: Exception) -> str:
    """Arrow's message with the column's name for its number; its rows count from the header, which is row 1."""
    text = " ".join(str(error).split()).removeprefix("CSV parse error: ")
    for number in range(len(header)):
        if f"CSV column #{number}:" in text:
            text = text.replace(f"In CSV column #{number}:", f"in the column {header[number]!r}:")
            break
    return f"{path}: {text[:300]}"
