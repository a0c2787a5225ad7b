"""The header of an ARFF file: its relation, its attributes, and the description that our own files carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from resight.errors import InputError
from resight.tables.arff_write import COMMENT
from resight.tables.columns import Column, Nominal, Scalar, Text, grouped
from resight.tables.schema import MAX_COLUMNS, Schema
from resight.tables.words import split_words

MAX_HEADER = 256 * 2**20
MAX_LINE = 64 * 2**20
NUMBERS = ("numeric", "real", "integer")
REFUSED = {"relational": "relational attributes have no place in a feature table"}


@dataclass(frozen=True)
class Head:
    """What an ARFF file says before its rows.

    attributes: as they stand in the file, the label among them
    schema:     what is read of it; without the label's column where there is one
    has_class:  the last attribute is the label
    lines:      how many lines stand before the rows
    offset:     and how many bytes
    """

    attributes: tuple[Column, ...]
    schema: Schema
    has_class: bool
    lines: int
    offset: int


def read_head(path: Path, file: BinaryIO) -> Head:
    """The header of an open ARFF file, which is left at the first row.

    The last attribute is the label if it is nominal. Dates are read as text.
    Raises InputError, with the line, for what is no ARFF, and for relational attributes.
    """
    relation, described = path.stem, None
    attributes: list[Column] = []
    places: dict[str, int] = {}
    number = 0
    while True:
        raw = file.readline(MAX_LINE)
        number += 1
        if not raw:
            raise InputError(f"{path}, line {number}: the file ends before @DATA: expected an ARFF file")
        if len(raw) == MAX_LINE or file.tell() > MAX_HEADER:
            raise InputError(f"{path}, line {number}: a header longer than {MAX_HEADER // 2**20} MB, or a line of it "
                             f"than {MAX_LINE // 2**20} MB")  # fmt: skip
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if line.startswith(COMMENT) and not attributes:
                described = line[len(COMMENT) :]
            if not line or line.startswith("%"):
                continue
            keyword, *_ = line.split(None, 1)
            rest = line[len(keyword) :].strip()
            match keyword.lower():
                case "@relation":
                    relation = next((text for text, _, _ in split_words(rest)), "")
                case "@attribute":
                    column = _attribute(rest)
                    if column.name in places:
                        first = places[column.name]
                        raise ValueError(f"the attribute {column.name!r} is there already, on line {first}")
                    places[column.name] = number
                    attributes.append(column)
                    if len(attributes) > MAX_COLUMNS:
                        raise ValueError(f"more than {MAX_COLUMNS:,} attributes")
                case "@data":
                    break
                case _:
                    raise ValueError(f"expected @RELATION, @ATTRIBUTE, @DATA or %, got {line[:40]!r}")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if not attributes:
        raise InputError(f"{path}, line {number}: @DATA comes before any @ATTRIBUTE")
    return _head(attributes, relation, described, number, file.tell())


def _attribute(text: str) -> Column:
    words = split_words(text)
    name, _, end = next(words, ("", False, 0))
    kind = text[end:].strip()
    if not name or not kind:
        raise ValueError(f"expected @ATTRIBUTE NAME TYPE, got {text[:40]!r}")
    if kind.startswith("{"):
        if "}" not in kind:
            raise ValueError(f"the values of {name!r} begin with {{ and do not end with }}")
        values = tuple(value for value, _, _ in split_words(kind[1 : kind.rindex("}")]))
        twice = len(set(values)) < len(values)
        if twice or not values:
            raise ValueError(f"the attribute {name!r} names {'a value twice' if twice else 'no values'}")
        return Nominal(name, values)
    word = kind.split(None, 1)[0].lower()
    if word in NUMBERS:
        return Scalar(name)
    if word in ("string", "date"):
        return Text(name)
    raise ValueError(REFUSED.get(word, f"unknown type {kind[:40]!r} of {name!r}: expected numeric, real, integer, "
                                 "string, date or {a,b,..}"))  # fmt: skip


def _head(attributes: list[Column], relation: str, described: str | None, lines: int, offset: int) -> Head:
    last = attributes[-1]
    own = _own(attributes, described)
    if own is not None:
        return Head(tuple(attributes), own, "label" in own.meta, lines, offset)
    has_class = isinstance(last, Nominal) and "" not in last.values
    labels, class_name = (last.values, last.name) if isinstance(last, Nominal) and has_class else (None, "class")
    columns = grouped(attributes[:-1] if has_class else attributes)
    schema = Schema(columns, ("label",) if has_class else (), labels, relation, {}, class_name)
    return Head(tuple(attributes), schema, has_class, lines, offset)


def _own(attributes: list[Column], described: str | None) -> Schema | None:
    """The schema that our own writer put into a comment, if the attributes are still the same."""
    if described is None:
        return None
    try:
        whole = Schema.from_json(described)
    except InputError:
        return None  # a comment of someone else's, or edited: the attributes tell
    has_class = "label" in whole.meta and whole.labels != ()
    names = [*whole.attributes, *([whole.class_name] if has_class else [])]
    last = attributes[-1]
    if names != [a.name for a in attributes] or (has_class and not isinstance(last, Nominal)):
        return None
    flat = dict(zip(names, attributes))
    for column in whole.columns:
        kinds = {type(flat[name]) for name in column.attributes}
        if kinds != {type(column) if isinstance(column, Text | Nominal) else Scalar}:
            return None
    columns = tuple(flat[c.name] if isinstance(c, Nominal) else c for c in whole.columns)
    labels = last.values if has_class and isinstance(last, Nominal) else ()
    meta = ("label",) if has_class else ()
    return Schema(columns, meta, labels, whole.relation, whole.metadata, whole.class_name)
