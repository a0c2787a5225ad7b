"""What the options of `resight explain` mean together, and which have no effect beside others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from resight.errors import InputError

DRAWING = ("modes", "scale", "signed", "colors", "longest")
ASKING = ("method", "class", "layer", "fit", "segments")
SOURCE = ("model", "descriptor", "weights")
FOR_PAIR = {
    "in": "it names the collection whose descriptor is explained",
    "descriptor": "what makes two images alike",
    "encoder": "a run of `resight train embed`, whose descriptor is explained",
    "box": "the part of the first image that is compared",
}
FOR_REPORT = {"boxes": "the objects on which the highest places should lie"}


def check_together(pair: bool, report: bool, given: Mapping[str, object]) -> None:
    """Raises InputError for options of which one would do nothing beside the other.

    given: {option: what was given for it}; None, False and () are nothing
    """
    given = {name: value for name, value in given.items() if value is not None and value is not False and value != ()}
    if pair and report:
        raise InputError("--pair and --report are two questions: ask one at a time")
    for mode, asked, own in (("--pair", pair, FOR_PAIR), ("--report", report, FOR_REPORT)):
        for name, why in own.items():
            if name in given and not asked:
                raise InputError(f"--{name} is for {mode}: {why}")
    if pair:
        _check_useless(given, ASKING, "--pair", "it explains a similarity, which has no class")
    if report:
        _check_useless(given, DRAWING, "--report", "it draws no maps")
        _check_useless(given, ("segments",), "--report", "there lime cuts every image itself")
    if "in" in given:
        _check_useless(given, (*SOURCE, "encoder"), "--in", "the collection has a network and a descriptor of its own")
    if "encoder" in given:
        _check_useless(given, SOURCE, "--encoder", "the run has a network and a descriptor of its own")
    model = given.get("model")
    if not pair and model is not None and "weights" in given and Path(str(model)).is_dir():
        raise InputError(f"--weights has no effect beside --model {model}, a training run with weights of its own: "
                         "leave --weights out, or give a network by its name")  # fmt: skip


def _check_useless(given: Mapping[str, object], names: Iterable[str], beside: str, why: str) -> None:
    useless = [f"--{name}" for name in names if name in given]
    if useless:
        verb, them = ("has", "it") if len(useless) == 1 else ("have", "them")
        raise InputError(f"{', '.join(useless)} {verb} no effect beside {beside}: {why}; leave {them} out")


def check_segments_of(segments: Path | None, method: str) -> None:
    """Raises InputError for --segments beside another method than lime, or options of lime that cut the image."""
    if segments is None:
        return
    if method.partition(":")[0].strip().lower() != "lime":
        raise InputError(f"--segments is for --method lime, got {method}")
    cutting = re.findall(r"[:,]\s*(segments|count)\s*=", method.lower())
    if cutting:
        raise InputError(f"{cutting[0]} of lime has no effect beside --segments: leave one of them out")


def split_words(words: Sequence[str]) -> list[str]:
    """Words given several times or with commas, but for commas between options.

    >>> split_words(["a,b:x=1,y=2", "c"])
    ['a', 'b:x=1,y=2', 'c']
    """
    found: list[str] = []
    for word in words:
        for part in word.split(","):
            if "=" in part and ":" not in part and found:
                found[-1] += f",{part}"
            elif part.strip():
                found.append(part.strip())
    return found


def asked_classes(given: Sequence[str], classes: Sequence[str]) -> str | list[str | int]:
    """Classes as `ask_classes` takes them, "top:5" spelt as here; "3_cirrus", as it is printed here, is class 3."""
    from resight.explain.classes import best_count

    count = best_count(given[0] if len(given) == 1 else list(given), classes)
    if count is not None:
        return f"top:{count}"
    printed = {f"{number}_{name}": number for number, name in enumerate(classes)}
    return [one if one in classes else printed.get(one, one) for one in given]
