"""A choice written as text, name:option=value,option=value, and how its options are checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from resight.errors import InputError, unknown

Value = bool | int | float | str
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Option:
    """What one option takes: its type, its default, how an error names what is expected, and the values that fit."""

    kind: type[bool] | type[int] | type[float] | type[str]
    default: Value
    expected: str
    fits: Callable[[Value], bool] = lambda value: True


Table = Mapping[str, Mapping[str, Option]]


def parse(family: str, text: str, table: Table) -> tuple[str, tuple[tuple[str, Value], ...]]:
    """The name and the options in "name:option=value,option=value"; case and blanks do not matter.

    family: how an error names the kind of choice, "descriptor"
    table:  {name: {option: Option}}

    Raises InputError for an unknown name or option (with the closest match), or a value of the wrong type or range.

    >>> parse("step", "AQE: k=5", {"aqe": {"k": Option(int, 10, "a whole number")}})
    ('aqe', (('k', 5),))
    """
    name, colon, rest = text.strip().lower().partition(":")
    name = name.strip()
    if name not in table:
        raise unknown(family, name, table)
    pairs = []
    for part in rest.split(",") if colon else []:
        key, equals, raw = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise InputError(f"expected option=value after '{name}:', got {part.strip()!r} in {text!r}")
        pairs.append((key, _read(name, key, raw, table)))
    return name, check(name, pairs, table)


def check(name: str, pairs: Iterable[tuple[str, object]], table: Table) -> tuple[tuple[str, Value], ...]:
    """Options of `name` that are not at their default, checked and sorted. Raises InputError as `parse` does."""
    pairs = list(pairs)
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InputError(f"option {twice[0]} of {name} is given more than once")
    checked = {key: _checked(name, key, value, table) for key, value in pairs}
    return tuple(sorted((key, value) for key, value in checked.items() if value != table[name][key].default))


def write(name: str, options: Iterable[tuple[str, Value]]) -> str:
    """The text that `parse` reads back.

    >>> write("gem", [("p", 4.0)])
    'gem:p=4'
    """
    written = ",".join(f"{key}={_text(value)}" for key, value in options)
    return f"{name}:{written}" if written else name


def settings(name: str, options: Iterable[tuple[str, Value]], table: Table) -> dict[str, Value]:
    """Every option of `name` with its value, defaults included."""
    return {key: option.default for key, option in table[name].items()} | dict(options)


def _checked(name: str, key: str, value: object, table: Table) -> Value:
    option = _option(name, key, table)
    typed: Value | None = None
    if isinstance(value, bool):
        typed = value if option.kind is bool else None
    elif isinstance(value, str):
        typed = value if option.kind is str else None
    elif isinstance(value, int | float) and option.kind in (int, float) and math.isfinite(value):
        typed = float(value) if option.kind is float else int(value) if value == int(value) else None
    if typed is None or not option.fits(typed):
        raise InputError(f"{key} of {name} must be {option.expected}, got {value!r}")
    return typed


def _read(name: str, key: str, raw: str, table: Table) -> Value:
    option = _option(name, key, table)
    if option.kind is str and raw:
        return raw
    if option.kind is bool and raw in ("true", "false"):
        return raw == "true"
    if option.kind is int and _INT.fullmatch(raw):
        return int(raw)
    if option.kind is float and _FLOAT.fullmatch(raw):
        return float(raw)
    raise InputError(f"{key} of {name} must be {option.expected}, got {raw!r}")


def _option(name: str, key: str, table: Table) -> Option:
    known = table[name]
    if not known:
        raise InputError(f"{name} takes no options, got {key!r}")
    if key not in known:
        raise unknown(f"option of {name}", key, known)
    return known[key]


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value).removesuffix(".0")
