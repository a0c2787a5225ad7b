"""Which examples a run trains on, validates with and tests: the data's own parts, and what is cut from training."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.errors import InputError
from resight.images.examples import PARTS, Examples, read_examples
from resight.images.identical import identical
from resight.tables.atomic import AtomicFiles
from resight.train.partition import Unit, fill, partition

COLUMNS = ("path", "label", "part", "group")
FAR = 0.05  # a share that misses the one asked for by more is told
MOST_FOLDS = 1000


@dataclass(frozen=True)
class Split:
    """The examples of each part, as their places in `Examples.items`, ascending; each is in one part at most.

    notes: what the reader of a result should know about it, a clause each
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test"


def split_examples(
    examples: Examples, *, validation: float, test: float = 0.0, seed: int = 0, folds: int = 0, fold: int = 0
) -> Split:
    """The data's own parts as they are, and the parts that it lacks cut from its training examples.

    validation, test: shares of the training examples to hold back, of each class alike; not used for a part that the
                      data has
    folds, fold:      validate with fold `fold` (from 0) of `folds`, of everything that is not for testing
    seed:             the same seed cuts the same

    Groups stay whole, and so do files of the same content. A class with two examples (groups) or more has at least one
    for training, then one for validation, then one for testing, whatever the shares.
    Raises InputError if nothing is there to train on, or what is asked for cannot be cut.

    >>> from resight.images import Example
    >>> items = tuple(Example(Path(f"{n}.jpg"), "ab"[n % 2]) for n in range(8))
    >>> str(split_examples(Examples(items, ("a", "b"), "."), validation=0.25))
    '6 train, 2 val, 0 test'
    """
    _check_asked(validation, test, folds, fold)
    own = _own_parts(examples)
    pool = own["train"] + (own["val"] if folds else [])
    if not pool:
        held = " and ".join(part for part in ("val", "test") if own[part])
        raise InputError(f"{examples.source}: nothing to train on: all examples are for {held or 'nothing'}")
    same = identical([item.path for item in examples.items])
    groups = _groups(examples, sorted(pool), same)
    units = [Counter(str(examples.items[place].label) for place in group) for group in groups]
    shares = {"val": 0.0 if own["val"] or folds else validation, "test": 0.0 if own["test"] else test}
    where = _cut(examples, units, shares, seed)
    if folds:
        where = _cut_fold(examples, units, where, folds, fold, seed)
    parts = {part: [p for group, w in zip(groups, where) if w == part for p in group] for part in PARTS}
    notes = _share_notes(parts, shares)
    if own["val"] and folds:
        notes.append(f"the data's own {len(own['val']):,} validation examples are dealt out to the folds")
    parts["val"] += [] if folds else own["val"]
    parts["test"] += own["test"]
    split = _split(parts)
    notes += _class_notes(examples, split) + _content_notes(examples, split, same)
    return Split(split.train, split.val, split.test, tuple(notes))


def write_split(split: Split, examples: Examples, file: str | os.PathLike[str]) -> None:
    """Writes the split as CSV with columns path, label, part and group, which `read_examples` takes as a source.

    Paths below the file's folder are relative to it, others absolute. The file appears whole or not at all.
    Raises InputError if a name cannot be written, WorkError if the disk refuses.
    """
    target = Path(file)
    folder = Path(os.path.abspath(target)).parent
    rows = [COLUMNS]
    for part, places in zip(PARTS, (split.train, split.val, split.test)):
        for item in (examples.items[place] for place in places):
            path = item.path.relative_to(folder) if item.path.is_relative_to(folder) else item.path
            rows.append((path.as_posix(), item.label or "", part, item.group or ""))
    # Before Python 3.13, csv leaves a lone carriage return unquoted, and then takes it for the end of a line.
    odd = any("\r" in cell for row in rows for cell in row)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL).writerows(rows)
    try:
        content = text.getvalue().encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{target}: a name or label is not UTF-8: rename {error.object[error.start - 40:error.end]!a}"
                         ) from error  # fmt: skip
    with AtomicFiles() as files:
        files.open(target).write(content)


def read_split(file: str | os.PathLike[str], examples: Examples) -> Split:
    """The split that `write_split` wrote, as places in these examples.

    Raises InputError if the file is none, or examples are missing from it, are new, or have another label.
    """
    written = {item.path: item for item in read_examples(file, sequences=examples.sequences, least=1).items}
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    for place, item in enumerate(examples.items):
        row = written.pop(item.path, None)
        if row is None or row.label != item.label:
            raise InputError(f"{file}: it is not of this data: {str(item.path)!r} has the label {item.label!r} here, "
                             f"and {'is not listed' if row is None else f'{row.label!r}'} there")  # fmt: skip
        if row.part is None:
            raise InputError(f"{file}: expected a part in every row, {str(item.path)!r} has none")
        parts[row.part].append(place)
    if written:
        raise InputError(f"{file}: it is not of this data: {str(next(iter(written)))!r} is listed, and not here")
    return _split(parts)


def _split(parts: Mapping[str, Sequence[int]]) -> Split:
    train, val, test = (tuple(sorted(parts[part])) for part in PARTS)
    return Split(train, val, test)


def _check_asked(validation: float, test: float, folds: int, fold: int) -> None:
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise InputError(f"validation and test are shares that add up to less than 1, got {validation} and {test}")
    if folds and not 2 <= folds <= MOST_FOLDS:
        raise InputError(f"folds must be from 2 to {MOST_FOLDS:,} (or 0 for none), got {folds}")
    if folds and not 0 <= fold < folds:
        raise InputError(f"fold must be from 0 to {folds - 1} of {folds} folds, got {fold}")


def _own_parts(examples: Examples) -> dict[str, list[int]]:
    own: dict[str, list[int]] = {part: [] for part in PARTS}
    for place, item in enumerate(examples.items):
        own[item.part or "train"].append(place)
    return own


def _groups(examples: Examples, pool: Sequence[int], same: Iterable[Sequence[int]]) -> list[list[int]]:
    """The places of the pool that must stay together, by group and by content, in order of their first."""
    leader = {place: place for place in pool}

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    by_name: dict[str, list[int]] = {}
    for place in pool:
        group = examples.items[place].group
        if group is not None:
            by_name.setdefault(group, []).append(place)
    for together in (*by_name.values(), *([place for place in group if place in leader] for group in same)):
        for place in together[1:]:
            one, other = sorted((find(together[0]), find(place)))
            leader[other] = one
    groups: dict[int, list[int]] = {}
    for place in pool:
        groups.setdefault(find(place), []).append(place)
    return list(groups.values())


def _cut(examples: Examples, units: Sequence[Unit], shares: Mapping[str, float], seed: int) -> list[str]:
    """The part of each unit, of train and what has a share."""
    val, test = shares["val"], shares["test"]
    where = partition(units, (1 - val - test, val, test), seed)
    fill(units, where, 0, (1, 2), robbing=True)
    for part in (1, 2):
        if shares[PARTS[part]]:
            fill(units, where, part, (0,))
            if part not in where:
                raise InputError(_nothing_to_spare(examples, units, PARTS[part]))
    return [PARTS[part] for part in where]


def _nothing_to_spare(examples: Examples, units: Sequence[Unit], part: str) -> str:
    share = {"val": "validation", "test": "test"}[part]
    grouped = any(item.group is not None for item in examples.items)
    kind = "groups" if grouped else "different sequences" if examples.sequences else "different images"
    return (
        f"{examples.source}: too few {kind} to hold back a part for {share}: {len(units):,} for training, and each "
        f"class needs one there; add some, or set {share} to 0"
    )


def _cut_fold(
    examples: Examples, units: Sequence[Unit], where: Sequence[str], folds: int, fold: int, seed: int
) -> list[str]:
    """As `where`, its training units dealt out to folds, of which one is for validation."""
    pool = [place for place, part in enumerate(where) if part == "train"]
    rest = [units[place] for place in pool]
    counts = Counter(label for unit in rest for label in unit)
    rare = min(counts, key=lambda label: (counts[label], label))
    if counts[rare] < folds:
        raise InputError(
            f"{examples.source}: {folds} folds need {folds} different images (or groups) of each class, {rare!r} has "
            f"{counts[rare]}: take fewer folds, or leave the class out"
        )
    dealt = partition(rest, [1 / folds] * folds, seed)
    for part in range(folds):
        fill(rest, dealt, part, [other for other in range(folds) if other != part])
    result = list(where)
    for place, part in zip(pool, dealt):
        result[place] = "val" if part == fold else "train"
    return result


def _share_notes(parts: Mapping[str, Sequence[int]], shares: Mapping[str, float]) -> list[str]:
    total = sum(map(len, parts.values()))
    return [
        f"{part} is {len(parts[part]) / total:.0%} ({len(parts[part]):,} of {total:,}), not {share:.0%}: "
        "groups stay whole, and each class has one there"
        for part, share in shares.items()
        if share and abs(len(parts[part]) / total - share) > FAR
    ]


def _class_notes(examples: Examples, split: Split) -> list[str]:
    notes = []
    for places, what in ((split.train, "trained on"), (split.val, "validated"), (split.test, "tested")):
        present = {examples.items[place].label for place in places}
        absent = [repr(label) for label in examples.classes if label not in present]
        if absent and places:
            shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            notes.append(f"not {what}, as no example is left for it: {shown}")
    return notes


def _content_notes(examples: Examples, split: Split, same: Sequence[Sequence[int]]) -> list[str]:
    parts = {place: part for part, places in zip(PARTS, (split.train, split.val, split.test)) for place in places}
    labels = {place: repr(examples.items[place].label) for group in same for place in group}
    notes = []
    for what, values in (("is in two parts", parts), ("has two labels", labels)):
        odd = [group for group in same if len({values[place] for place in group}) > 1]
        if odd:
            one = odd[0][0]
            other = next(place for place in odd[0] if values[place] != values[one])
            pair = " and ".join(f"{examples.items[place].path} ({values[place]})" for place in (one, other))
            notes.append(f"content that {what}: {len(odd):,}, such as {pair}")
    return notes
