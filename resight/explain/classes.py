"""Which classes are to be explained: names, numbers, or the most probable ones."""

from __future__ import annotations

import difflib
import operator
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import torch

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
    count = best_count(wanted, classes)
    if count is not None:
        return lambda logits: [int(number) for number in torch.topk(logits, count).indices]
    asked = [wanted] if isinstance(wanted, (str, int)) or not isinstance(wanted, Sequence) else list(wanted)
    if not asked:
        raise InputError("no class to explain: give names, numbers, or top:1")
    numbers = list(dict.fromkeys(class_number(one, classes, what) for one in asked))
    return lambda logits: numbers


def best_count(wanted: object, classes: Sequence[str]) -> int | None:
    """How many of the most probable classes are asked for, as by "top:5"; None where classes are named.

    wanted: as of `ask_classes`; "top:5" is a name like any other where a class is called so

    Raises InputError for "top:5" among other classes, and unless a number from 1 to that of the classes is behind it.

    >>> best_count(" top:2 ", ["a", "b", "c"]), best_count(["c", 0], ["a", "b", "c"])
    (2, None)
    """
    several = [] if isinstance(wanted, str) or not isinstance(wanted, Sequence) else wanted
    best = next((str(one).strip() for one in several if _is_best(one, classes)), None)
    if best is not None:
        raise InputError(f"{best} stands alone, it cannot be one of several classes: give names and numbers, or "
                         f"{best} only")  # fmt: skip
    if not _is_best(wanted, classes):
        return None
    text = str(wanted).strip()
    found = re.fullmatch(r"top:(\d{1,9})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= len(classes):
        raise InputError(f"{text}: behind top: comes how many classes, from 1 to the {len(classes):,} that there are")
    return int(found[1])


def _is_best(one: object, classes: Sequence[str]) -> bool:
    return isinstance(one, str) and one.strip().startswith("top:") and one not in classes


def class_number(one: object, classes: Sequence[str], what: str = "class") -> int:
    """The number of a class given by its name or number.

    A name as it is written comes first, then without regard to case, or a part of ImageNet's, then a number as text.
    Raises InputError if there is none, or a name is that of several classes.
    """
    if isinstance(one, bool):
        raise InputError(f"a class is a name or a number, got {one}")
    if not isinstance(one, str):
        try:
            number = operator.index(one)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"a class is a name or a number, got {type(one).__name__}") from error
        if not 0 <= number < len(classes):
            raise InputError(f"class {one} is out of range: there are {len(classes)}, numbered from 0")
        return number
    found = named_classes(one, classes)
    if len(found) > 1:
        raise InputError(_several(what, one, found, classes))
    if found:
        return found[0]
    if re.fullmatch(r"-?\d{1,18}", one.strip()):
        return class_number(int(one), classes, what)
    raise _unknown(what, one, classes)


def named_classes(name: str, classes: Sequence[str]) -> list[int]:
    """The numbers of the classes of a name: as it is written, or else without regard to case, or a part of ImageNet's.

    >>> named_classes("Tabby", ["n02123045 tabby", "n02127052 lynx"]), named_classes("cat", ["n02127052 lynx"])
    ([0], [])
    """
    written, called = _index(tuple(classes))
    return list(written.get(name) or called.get(name.casefold()) or [])


@lru_cache(maxsize=8)
def _index(classes: tuple[str, ...]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """{name: numbers} as names are written, and by what else they may be called."""
    written, called = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for number, name in enumerate(classes):
        written[name].append(number)
        for one in dict.fromkeys(_called(name)):
            called[one].append(number)
    return dict(written), dict(called)


def plain_name(name: str) -> str:
    """A class's name without the number that ImageNet's have before it.

    >>> plain_name("n02123045 tabby"), plain_name("cirrus")
    ('tabby', 'cirrus')
    """
    parts = NUMBERED.fullmatch(name)
    return parts[2] if parts else name


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
    plain = {_called(name)[-1]: plain_name(name) for name in reversed(classes)}
    asked = one.casefold().strip()
    word = re.compile(rf"(?<![^\W_]){re.escape(asked)}(?![^\W_])")
    within = sorted((name for name in plain if asked and word.search(name)), key=lambda name: (len(name), name))
    known = {**plain, **{_called(name)[0]: name for name in classes if asked[:1] == "n" and asked[1:2].isdigit()}}
    alike = difflib.get_close_matches(asked, known, n=GUESSES if len(classes) > LISTED else 1, cutoff=0.5)
    return [known[name] for name in dict.fromkeys([*within[:GUESSES], *(() if within else alike)])]
