"""The objects of a JSON array, one at a time: a file of any length is never whole in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from resight.errors import InputError, WorkError

CHUNK = 2**20
MAX_OBJECT = 64 * 2**20  # letters
_BLANK = " \t\r\n"


def read_objects(path: Path) -> Iterator[object]:
    """The elements of the array that a UTF-8 JSON file holds.

    Raises InputError if it is not an array, not JSON, or an element is longer than 64 MB; WorkError if the file
    cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(CHUNK).lstrip(_BLANK)
            if not text.startswith("["):
                raise InputError(f"{path}: expected a JSON array, a file that begins with [")
            text, first = text[1:], True
            while True:
                text = _ahead(path, file.read, text, CHUNK)
                if text[0] == "]" and first:
                    break
                value, text = _element(path, file.read, text)
                yield value
                text, first = _ahead(path, file.read, text, CHUNK), False
                if text[0] == "]":
                    break
                if text[0] != ",":
                    raise InputError(f"{path}: expected a comma or ] behind an element, got {text[:20]!r}")
                text = text[1:]
            if (text[1:] + file.read(CHUNK)).strip(_BLANK):
                raise InputError(f"{path}: something stands behind the array")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start} of a block") from error
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}") from error


def _ahead(path: Path, read: Callable[[int], str], text: str, size: int) -> str:
    """The text from its next letter that is no blank."""
    text = text.lstrip(_BLANK)
    while not text:
        more = read(size)
        if not more:
            raise InputError(f"{path}: the file ends inside the array: it is cut off")
        text = more.lstrip(_BLANK)
    return text


def _element(path: Path, read: Callable[[int], str], text: str) -> tuple[object, str]:
    """The first value of the text, reading on until it is whole, and what is behind it."""
    while True:
        try:
            value, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(text)
            if end < len(text) and (text[end] in _BLANK + ",]" or not isinstance(value, int | float)):
                return value, text[end:]  # else a number might go on
        except json.JSONDecodeError as error:
            if len(text) > MAX_OBJECT:  # until then it may be that the rest is missing
                raise InputError(f"{path}: not JSON: {error.msg}, near {text[error.pos : error.pos + 30]!r}") from error
        except (RecursionError, ValueError) as error:
            raise InputError(f"{path}: not JSON that is read here: {error}") from error
        more = read(max(CHUNK, len(text)))
        if not more:
            raise InputError(f"{path}: the file ends inside an element: it is cut off, or not JSON: {text[:30]!r}")
        text += more


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")
