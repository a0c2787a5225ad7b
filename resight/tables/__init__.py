"""Feature tables on disk: Parquet, CSV, ARFF, NPY and gliding-box JSON; written as a stream, joined, converted."""

from resight.tables.columns import META, Column, Nominal, Scalar, Text, Vector
from resight.tables.folders import group_folder, map_folder
from resight.tables.formats import FORMATS, open_table, open_writer, schema_of, write_table
from resight.tables.joining import concat, convert, merge
from resight.tables.reading import TableFile, with_labels
from resight.tables.schema import Schema
from resight.tables.writing import TableWriter

__all__ = [
    "FORMATS",
    "META",
    "Column",
    "Nominal",
    "Scalar",
    "Schema",
    "TableFile",
    "TableWriter",
    "Text",
    "Vector",
    "concat",
    "convert",
    "group_folder",
    "map_folder",
    "merge",
    "open_table",
    "open_writer",
    "schema_of",
    "with_labels",
    "write_table",
]
