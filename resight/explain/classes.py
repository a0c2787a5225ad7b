"""Which classes are to be explained: names, numbers, or the most probable ones."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from resight.errors import InputError
from resight.explain.work import Ask

Wanted = str | int | Sequence[str | int]
NUMBERED = re.compile(r"(n\d{8}) (.+)", re.DOTALL)  # ImageNet's: "n02123045 tabby"
GUESSES, LISTED = 3, 24  # close names that are offered; classes that are all listed


def ask_classes(wanted: Wanted, classes: Sequence[str], what: str = "class") -> Ask:
    """What each image is asked for.

    wanted: "top:5" (the most probable), a name, a number from 0, or a list of names and numbers

    Names of ImageNet are known with their number ("n02123045 tabby"), by it and without. Raises InputError for a class
    that there is not, with the closest names, for a name that several have, and for more of the most probable than
    there are classes.

    >>> ask_classes("top:2", ["a", "b", "c"])(torch.tensor([0.1, 3.0, 2.0]))
    [1, 2]
    >>> ask_classes(["c", 0], ["a", "b", "c"])(torch.zeros(3))
    [2, 0]
    """
    if _is_top(wanted, classes):
        return _top(str(wanted).strip(), len(classes))
    asked = [wanted] if isinstance(wanted, (str, int)) or not isinstance(wanted, Sequence) else list(wanted)
    if not asked:
        raise InputError("no class to explain: give names, numbers, or top:1")
    for one in asked:
        if _is_top(one, classes):
            raise InputError(f"{str(one).strip()} stands alone, it cannot be one of several classes: give names and "
                             "numbers, or top:5 only")  # fmt: skip
    numbers = list(dict.fromkeys(class_number(one, classes, what) for one in asked))
    return lambda logits: numbers


def _is_top(one: object, classes: Sequence[str]) -> bool:
    return isinstance(one, str) and one.strip().startswith("top:") and one not in classes


def _top(text: str, classes: int) -> Ask:
    found = re.fullmatch(r"top:(\d{1,9})", text, re.ASCII)
    if not found:
        raise InputError(f"expected top: and a whole number, such as top:5, got {text!r}")
    count = int(found[1])
    if count < 1:
        raise InputError("top:0 explains nothing: give top:1 or more")
    if count > classes:
        raise InputError(f"{text} asks for more classes than there are: give top:{classes} or less")

    def best(logits: Tensor) -> list[int]:
        return [int(number) for number in torch.topk(logits, count).indices]

    return best


def class_number(one: object, classes: Sequence[str], what: str = "class") -> int:
    """The number of a class given by its name or number.

    A name as it is written comes first, then without regard to case, or a part of ImageNet's, then a number as text.
    Raises InputError if there is none, or a name is that of several classes.
    """
    if not isinstance(one, str):
        try:
            number = operator.index(one)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"a class is a name or a number, got {type(one).__name__}") from error
        if isinstance(one, bool) or not 0 <= number < len(classes):
            raise InputError(f"class {one} is out of range: there are {len(classes)}, numbered from 0")
        return number
    found = [number for number, name in enumerate(classes) if name == one]
    if not found:
        found = [number for number, name in enumerate(classes) if one.casefold() in _called(name)]
    if len(found) > 1:
        raise InputError(_several(what, one, found, classes))
    if found:
        return found[0]
    if one.isdecimal():
        return class_number(int(one), classes, what)
    raise _unknown(what, one, classes)


def _called(name: str) -> tuple[str, ...]:
    """What else a class may be called, without regard to case."""
    parts = NUMBERED.fullmatch(name)
    return tuple(part.casefold() for part in ((name, *parts.groups()) if parts else (name,)))


def _several(what: str, one: str, found: list[int], classes: Sequence[str]) -> str:
    shown = ", ".join(f"{number} {classes[number]!r}" for number in found[:LISTED])
    more = f" and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    apart = len({classes[number] for number in found}) == len(found)
    return (
        f"{what} {one!r} is that of {len(found):,} classes, {shown}{more}: give the number"
        f"{' or the full name' if apart else ''}"
    )


def _unknown(what: str, one: str, classes: Sequence[str]) -> InputError:
    close = _close(one, classes)
    guess = f", did you mean {' or '.join(map(repr, close))}?" if close else ""
    listed = f"choices: {', '.join(classes)}" if len(classes) <= LISTED else f"{len(classes):,} are known"
    return InputError(f"unknown {what} {one!r}{guess} ({listed})")


def _close(one: str, classes: Sequence[str]) -> list[str]:
    """Names that contain it as a word, the shortest first, then those that are written alike."""
    plain = {_called(name)[-1]: _plain(name) for name in reversed(classes)}
    asked = one.casefold().strip()
    word = re.compile(rf"(?<![^\W_]){re.escape(asked)}(?![^\W_])")
    within = sorted((name for name in plain if asked and word.search(name)), key=lambda name: (len(name), name))
    known = {**plain, **{_called(name)[0]: name for name in classes if asked[:1] == "n" and asked[1:2].isdigit()}}
    alike = difflib.get_close_matches(asked, known, n=GUESSES if len(classes) > LISTED else 1, cutoff=0.5)
    return [known[name] for name in dict.fromkeys([*within[:GUESSES], *(() if within else alike)])]


def _plain(name: str) -> str:
    parts = NUMBERED.fullmatch(name)
    return parts[2] if parts else name
