"""Feature tables as ARFF: features, and the label as the last attribute, as Weka, scipy and liac-arff read them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import InputError
from resight.tables.atomic import AtomicFiles
from resight.tables.columns import Nominal, Text
from resight.tables.lines import feature_cells, rows_text
from resight.tables.schema import Schema
from resight.tables.words import needs_quotes, quote, spell_name, spell_values

COMMENT = "% resight: "


class ArffSink:
    """Writes blocks as lines below a header that names all labels; facts about the images have no place in ARFF."""

    def __init__(self, files: AtomicFiles, path: Path, schema: Schema) -> None:
        self._schema = schema
        self._has_class = "label" in schema.meta and schema.labels != ()
        if self._has_class and schema.labels is None:
            raise InputError(f"{path}: ARFF names all labels before the rows: give the schema its labels")
        if not schema.columns and not self._has_class:
            raise InputError(f"{path}: a table without features and labels cannot be ARFF")
        if self._has_class and schema.class_name in schema.attributes:
            raise InputError(f"{path}: a feature is called {schema.class_name!r} as the label is: rename it")
        self._file = files.open(path)
        self._file.write(_header(schema, self._has_class).encode())
        self._spelt = _spelling(schema, self._has_class)

    def put(self, batch: pa.RecordBatch) -> None:
        """Write rows that have just the columns of the schema; NaN and infinity become ?."""
        for column in self._schema.columns:
            if isinstance(column, Nominal):
                strange = set(pc.unique(batch.column(column.name)).to_pylist()) - {None, *column.values}
                if strange:
                    raise InputError(f"{min(strange)!r} is not among the values of {column}")
        cells = feature_cells(batch, self._schema.columns, "?", False, self._spell)
        if self._has_class:
            cells.append(self._spell(batch.column("label")))
        self._file.write(rows_text(cells, len(batch)))

    def finish(self, schema: Schema) -> None:
        """Nothing comes at the end."""

    def _spell(self, texts: pa.Array) -> pa.Array:
        """Each distinct word is spelt once."""
        coded = texts.dictionary_encode()
        words = [self._spelt.get(w) or (quote(w) if needs_quotes(w) else w) for w in coded.dictionary.to_pylist()]
        spelt = pa.DictionaryArray.from_arrays(coded.indices, pa.array(words, pa.string())).dictionary_decode()
        return pc.fill_null(spelt, "?")


def _spelling(schema: Schema, has_class: bool) -> dict[str, str]:
    values = [value for column in schema.columns if isinstance(column, Nominal) for value in column.values]
    values += schema.labels or () if has_class else ()
    return spell_values(values, always=any(map(needs_quotes, values)))


def _header(schema: Schema, has_class: bool) -> str:
    spelt = _spelling(schema, has_class)
    lines = [COMMENT + schema.as_json(), f"@RELATION {spell_name(schema.relation or 'features')}", ""]
    for column in schema.columns:
        kind = "numeric"
        if isinstance(column, Text):
            kind = "string"
        elif isinstance(column, Nominal):
            kind = "{" + ",".join(spelt[value] for value in column.values) + "}"
        lines += [f"@ATTRIBUTE {spell_name(name)} {kind}" for name in column.attributes]
    if has_class:
        values = ",".join(spelt[label] for label in schema.labels or ())
        lines.append(f"@ATTRIBUTE {spell_name(schema.class_name)} {{{values}}}")
    return "\n".join([*lines, "", "@DATA", ""])
