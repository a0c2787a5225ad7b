"""Which classes are to be explained: names, numbers, or the most probable ones."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from resight.errors import InputError, unknown
from resight.explain.work import Ask

Wanted = str | int | Sequence[str | int]


def ask_classes(wanted: Wanted, classes: Sequence[str], what: str = "class") -> Ask:
    """What each image is asked for.

    wanted: "top:5" (the most probable), a name, a number from 0, or a list of names and numbers

    Names of ImageNet are known with their number ("n02123045 tabby"), by it and without. Raises InputError for a class
    that there is not, with the closest match.

    >>> ask_classes("top:2", ["a", "b", "c"])(torch.tensor([0.1, 3.0, 2.0]))
    [1, 2]
    >>> ask_classes(["c", 0], ["a", "b", "c"])(torch.zeros(3))
    [2, 0]
    """
    if isinstance(wanted, str):
        found = re.fullmatch(r"top:(\d{1,4})", wanted.strip())
        if found and wanted not in classes:
            return _top(int(found[1]), len(classes))
    asked = [wanted] if isinstance(wanted, (str, int)) or not isinstance(wanted, Sequence) else list(wanted)
    if not asked:
        raise InputError("no class to explain: give names, numbers, or top:1")
    numbers = list(dict.fromkeys(class_number(one, classes, what) for one in asked))
    return lambda logits: numbers


def _top(count: int, classes: int) -> Ask:
    if count < 1:
        raise InputError("top:0 explains nothing: give top:1 or more")

    def best(logits: Tensor) -> list[int]:
        return [int(number) for number in torch.topk(logits, min(count, classes)).indices]

    return best


def class_number(one: object, classes: Sequence[str], what: str = "class") -> int:
    """The number of a class given by its name or number. Raises InputError if there is none."""
    if not isinstance(one, str):
        try:
            number = operator.index(one)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"a class is a name or a number, got {type(one).__name__}") from error
        if isinstance(one, bool) or not 0 <= number < len(classes):
            raise InputError(f"class {one} is out of range: there are {len(classes)}, numbered from 0")
        return number
    names = {name: number for number, name in reversed(list(enumerate(classes)))}
    if one in names:
        return names[one]
    parts: dict[str, int] = {}
    for number, name in reversed(list(enumerate(classes))):
        parts[name.casefold()] = number
        if re.match(r"n\d{8} ", name):
            number_part, _, rest = name.partition(" ")
            parts[number_part] = parts[rest.casefold()] = number
    if one.casefold() in parts:
        return parts[one.casefold()]
    if one.isdecimal():
        return class_number(int(one), classes, what)
    raise unknown(what, one, [*classes, *(name for name in parts if name not in names)])
