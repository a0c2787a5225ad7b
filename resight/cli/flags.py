"""A flag for each option of a frozen dataclass of options, with the text below the option as its help."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

from cyclopts import Group, Parameter


def with_flags(command: Callable[..., int], options: type[Any], topics: Mapping[str, str]) -> Callable[..., int]:
    """The command, its `**options` seen by cyclopts as a flag for each option; what is not given is None.

    options: a dataclass;  topics: {heading of the help: names of options, blanks between}

    Raises TypeError if an option has no topic.
    """
    own = [one for one in inspect.signature(command).parameters.values() if one.kind is not one.VAR_KEYWORD]
    command.__signature__ = inspect.Signature([*own, *_flags(options, topics)])  # type: ignore[attr-defined]
    return command


def _flags(options: type[Any], topics: Mapping[str, str]) -> list[inspect.Parameter]:
    known = {one.name: one for one in fields(options)}
    words, hints = _words(options), get_type_hints(options)
    found = []
    for place, (topic, names) in enumerate(topics.items()):
        group = Group(topic, sort_key=place + 1)
        for name in names.split():
            text = words[name] + _default(known.pop(name))
            kind = Annotated[hints[name] | None, Parameter(help=text, group=group)]  # type: ignore[valid-type]
            found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    if known:
        raise TypeError(f"options without a topic: {', '.join(known)}")
    return found


def _words(options: type[Any]) -> dict[str, str]:
    """The text below each option in its class."""
    body = ast.parse(inspect.getsource(options)).body[0].body  # type: ignore[attr-defined]
    pairs = pairwise(body)
    return {
        one.target.id: " ".join(str(after.value.value).split())
        for one, after in pairs
        if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr)  # its docstring comes next
        and isinstance(one.target, ast.Name) and isinstance(after.value, ast.Constant)
    }  # fmt: skip


def _default(option: Field[Any]) -> str:
    return "" if option.default is None or option.default is False else f" [default: {option.default}]"
