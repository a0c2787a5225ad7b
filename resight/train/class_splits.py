"""A data set dealt out to train, val and test before any training: by image, by whole groups, or by whole classes."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from resight.errors import InputError, unknown
from resight.images.examples import PARTS, Examples
from resight.images.identical import identical
from resight.train.groups import grouped
from resight.train.options import GROUPS, TrainOptions
from resight.train.splits import FAR, Split, split_examples, write_split

WAYS = ("image", "class", "group")
LEAST_TRAINED = 2  # classes: of one alone nothing can be told apart


@dataclass(frozen=True)
class Dealt:
    """A data set and the part of each of its examples.

    examples  those that were dealt out: without the classes that have too few images
    split     their parts
    by        what was kept whole: image, class or group
    notes     what a reader should know, a clause each
    """

    examples: Examples
    split: Split
    by: str
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Part -> places of its examples, for all of PARTS."""
        return {"train": self.split.train, "val": self.split.val, "test": self.split.test}

    def counts(self) -> list[tuple[str, int, int]]:
        """(part, classes, images) of each part that has any, and of all."""
        rows = [(part, len({self.examples.items[place].label for place in places}), len(places))
                for part, places in self.places.items() if places]  # fmt: skip
        return [*rows, ("all", len(self.examples.classes), len(self.examples))]

    def write(self, file: str | os.PathLike[str]) -> None:
        """Write path, label, part and group as CSV, whole or not at all; `read_examples` takes it as a source."""
        write_split(self.split, self.examples, file)

    def as_dict(self) -> dict[str, Any]:
        """What was dealt out, as plain values for JSON."""
        parts = {part: {"classes": classes, "images": images} for part, classes, images in self.counts()}
        return {"source": self.examples.source, "by": self.by, "parts": parts, "notes": list(self.notes)}

    def __str__(self) -> str:
        return f"{self.split} by {self.by}"


def deal(
    examples: Examples, by: str = "image", *, validation: float = 0.15, test: float = 0.2, seed: int = 0,
    groups: str = "data", least: int = 2, anew: bool = False,
) -> Dealt:  # fmt: skip
    """The parts of labelled examples.

    by:               image (of each class alike), group (the same, groups whole), class (whole classes: what is tested
                      was never a class in training)
    validation, test: shares of the images; of the classes with `by` class. 0: no such part
    seed:             the same seed deals the same
    groups:           data (its column group) or folder (the images of a folder), with `by` group
    least:            classes with fewer images are left out, which a note tells
    anew:             parts that the data has already are put together first

    Files of the same content stay in one part, unless whole classes are dealt out: then a note tells.
    Raises InputError if an option is wrong, the data has no groups to keep whole, or too little is left to deal out.
    """
    _check(by, validation, test, groups, least)
    if anew:
        examples = replace(examples, items=tuple(replace(item, part=None) for item in examples.items))
    kept, notes = _large_enough(examples, least)
    if by == "group":
        kept = grouped(kept, TrainOptions(groups=groups))
        if all(item.group is None for item in kept.items):
            raise InputError(f"{kept.source}: no groups to keep whole: list the images in a CSV with a column group, "
                             "or take the folders they lie in: --groups folder")  # fmt: skip
    if by == "class":
        split = split_classes(kept, validation=validation, test=test, seed=seed)
    else:
        split = split_examples(kept, validation=validation, test=test, seed=seed)
        notes += _own_notes(kept) + _group_notes(kept, by)
    return Dealt(kept, split, by, (*examples.notes, *notes, *split.notes))


def split_classes(examples: Examples, *, validation: float, test: float, seed: int = 0) -> Split:
    """Whole classes dealt out to the parts.

    validation, test: shares of the classes, rounded; a part that is asked for has at least one, training at least two

    Classes that share a group stay in one part. Identical files in classes of different parts are a note.
    Raises InputError if the data has parts of its own, or there are too few classes.
    """
    own = sorted({item.part for item in examples.items if item.part is not None}, key=PARTS.index)
    if own:
        raise InputError(f"{examples.source}: it has parts already ({', '.join(own)}), and whole classes would mix "
                         "them: put them together (--anew), give one of them, or split by image")  # fmt: skip
    wanted = _class_numbers(examples, validation, test)
    blocks = _together(examples)
    random.Random(seed).shuffle(blocks)
    where: dict[str, str] = {}
    left = dict(wanted)
    for block in blocks:
        part = next((one for one, room in left.items() if room and len(block) <= room), "train")
        where |= dict.fromkeys(block, part)
        if part != "train":
            left[part] -= len(block)
    for part, room in left.items():
        if room and room == wanted[part]:
            smallest = min(map(len, blocks))
            raise InputError(f"{examples.source}: no class is left for {part}: classes share groups, and the smallest "
                             f"block of them has {smallest} of {len(where)}: take larger shares")  # fmt: skip
    places = {part: tuple(place for place, item in enumerate(examples.items) if where[str(item.label)] == part)
              for part in PARTS}  # fmt: skip
    notes = _block_notes(blocks) + _share_notes(where, {"val": validation, "test": test}) + _copies(examples, where)
    return Split(places["train"], places["val"], places["test"], tuple(notes))


def _check(by: str, validation: float, test: float, groups: str, least: int) -> None:
    for kind, name, choices in (("way to split", by, WAYS), ("groups", groups, GROUPS)):
        if name not in choices:
            raise unknown(kind, name, choices)
    if groups != "data" and by != "group":
        raise InputError(f"groups {groups} goes with --by group, got --by {by}")
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise InputError(f"validation and test are shares that add up to less than 1, got {validation} and {test}")
    if not validation and not test:
        raise InputError("nothing to split: validation and test are both 0")
    if least < 1:
        raise InputError(f"the fewest images of a class must be at least 1, got {least}")


def _large_enough(examples: Examples, least: int) -> tuple[Examples, list[str]]:
    """The examples of classes with so many images, and a note on the others."""
    counts = examples.counts
    small = [name for name, count in counts.items() if count < least]
    if not small:
        return examples, []
    kept = tuple(name for name in examples.classes if counts[name] >= least)
    told = f"{len(small):,} of {len(counts):,} classes with fewer than {least} images"
    if len(kept) < 2:
        raise InputError(f"{examples.source}: {told} are left out, such as {small[0]!r} ({counts[small[0]]}), and "
                         f"{len(kept)} remain: at least 2 are needed; add images, or lower --min-images")  # fmt: skip
    items = tuple(item for item in examples.items if counts[str(item.label)] >= least)
    return replace(examples, items=items, classes=kept), [f"left out: {told}, {_some(small)}"]


def _class_numbers(examples: Examples, validation: float, test: float) -> dict[str, int]:
    """Classes of test and val: their shares, rounded, as far as training keeps two."""
    number = len(examples.classes)
    shares = {part: share for part, share in (("test", test), ("val", validation)) if share}
    if number < LEAST_TRAINED + len(shares):
        raise InputError(f"{examples.source}: {number} classes cannot be dealt out whole: train needs {LEAST_TRAINED}, "
                         f"{' and '.join(shares)} 1 each; add classes, or set a share to 0")  # fmt: skip
    wanted = {part: max(1, round(share * number)) for part, share in shares.items()}
    while sum(wanted.values()) > number - LEAST_TRAINED:
        wanted[max(wanted, key=lambda part: wanted[part])] -= 1
    return wanted


def _together(examples: Examples) -> list[list[str]]:
    """Classes that must stay in one part as they share groups, most of them alone; in the order of their names."""
    block = {name: [name] for name in examples.classes}
    first: dict[str, str] = {}
    for item in examples.items:
        if item.group is None:
            continue
        one, other = block[first.setdefault(item.group, str(item.label))], block[str(item.label)]
        if one is not other:
            one.extend(other)
            block |= dict.fromkeys(other, one)
    return list({id(names): sorted(names) for names in block.values()}.values())


def _block_notes(blocks: list[list[str]]) -> list[str]:
    large = [names for names in blocks if len(names) > 1]
    return [f"classes that share a group stay in one part: {_some(large[0])}"] if large else []


def _share_notes(where: dict[str, str], shares: dict[str, float]) -> list[str]:
    found, total = Counter(where.values()), len(where)
    return [
        f"{part} has {found[part]} of {total} classes ({found[part] / total:.0%}), not {share:.0%}: classes stay whole"
        for part, share in shares.items() if share and abs(found[part] / total - share) > FAR
    ]  # fmt: skip


def _copies(examples: Examples, where: dict[str, str]) -> list[str]:
    items = examples.items
    odd = [
        group for group in identical([item.path for item in items])
        if len({where[str(items[place].label)] for place in group}) > 1
    ]  # fmt: skip
    if not odd:
        return []
    one = odd[0][0]
    other = next(place for place in odd[0] if where[str(items[place].label)] != where[str(items[one].label)])
    pair = " and ".join(f"{items[place].path} ({where[str(items[place].label)]})" for place in (one, other))
    return [f"files of the same content are in classes of different parts: {len(odd):,}, such as {pair}: "
            "a test would meet what was trained on"]  # fmt: skip


def _own_notes(examples: Examples) -> list[str]:
    parts = Counter(item.part for item in examples.items)
    return [f"the data's own {part} part stays: {parts[part]:,} images" for part in ("val", "test") if parts[part]]


def _group_notes(examples: Examples, by: str) -> list[str]:
    if by == "group" or all(item.group is None for item in examples.items):
        return []
    return ["the data names groups, which stay whole"]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
