"""Which images a run is tested on, and whether it has seen them in training."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError, unknown
from resight.images.examples import PARTS, Example, Examples, read_examples
from resight.train.seen_before import is_image, same_contents, same_files, seen_before, trained_parts

if TYPE_CHECKING:
    from resight.train.runs import Run

CHOICES = (*PARTS, "all")
SHOWN = 5


@dataclass(frozen=True)
class HeldOut:
    """Labelled images (or sequences, as everywhere here) to test a run on, each label one of its classes.

    source    where they come from
    part      "train", "val", "test", or "all": whatever the source holds
    left_out  {label: images} that the run does not know, which are not among the items
    notes     what a reader of the result should know, a clause each
    """

    items: tuple[Example, ...]
    source: str
    part: str
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)


def held_out(
    run: Run, data: str | os.PathLike[str] | Examples | None = None, *, part: str = "test",
    ignore_unknown: bool = False, allow_leak: bool = False,
) -> HeldOut:  # fmt: skip
    """The images of one part of the data.

    data: class folders, folders of parts or a CSV; None: what the run itself was trained on. If it is that, the parts
          are those of the run; otherwise its own. Data without any parts are taken whole for "test"
    part: "test", "val", "train", or "all"

    Images that were in training are an error: the same file always, another one of the same content unless the data
    itself says that it is for testing; then it is a note.
    Raises InputError if there are no such images, a label is unknown to the run (unless `ignore_unknown`), or images
    were in training (unless `allow_leak`).
    """
    if part not in CHOICES:
        raise unknown("part", part, CHOICES)
    before = trained_parts(run)
    examples = _examples(run, data)
    chosen, whole = _chosen(run, examples, part, before)
    items, left_out = known_labels(chosen, run.classes, examples, ignore_unknown)
    notes = [*examples.notes, *_left_out(left_out)]
    if whole and part != "all":
        notes.append(f"{examples.source} has no parts: all of it is tested")
    if part == "train" and all(before.get(item.path) == "train" for item in items):
        notes.append(f"these are the {run.unit} that the run was trained on: this is no test")
    else:
        notes += _seen(run, items, examples, refuse=not allow_leak, copies=whole)
    return HeldOut(tuple(items), examples.source, part, left_out, (*notes, *_absent(items, run.classes, run.unit)))


def learn_and_test(
    run: Run, data: str | os.PathLike[str] | Examples | None = None, *, ignore_unknown: bool = False,
    allow_leak: bool = False,
) -> tuple[tuple[Example, ...], HeldOut]:  # fmt: skip
    """The images to fit another classifier on, and those to test it on, for one that stands on a run's features.

    data: as for `held_out`, of any classes; without a training part the run's own training images are used

    Raises InputError as `held_out`, and if an image to test is among those to fit on (unless `allow_leak`).
    """
    before = trained_parts(run)
    examples = _examples(run, data)
    test, whole = _chosen(run, examples, "test", before)
    try:
        train, _ = _chosen(run, examples, "train", before)
    except InputError:
        train = [item for item in _own(run).items if item.part == "train"]
    classes = sorted({str(item.label) for item in train})
    if len(classes) < 2:
        raise InputError(f"{examples.source}: expected training {run.unit} of at least 2 classes, got {len(classes)}")
    items, left_out = known_labels(test, classes, examples, ignore_unknown)
    notes = [*examples.notes, *_left_out(left_out)]
    notes += _seen(run, items, examples, refuse=not allow_leak, copies=whole)
    notes += _absent(items, classes, run.unit)
    return tuple(train), HeldOut(tuple(items), examples.source, "test", left_out, tuple(notes))


def _examples(run: Run, data: str | os.PathLike[str] | Examples | None) -> Examples:
    if data is None:
        return _own(run)
    if isinstance(data, Examples):
        if data.sequences != run.options.sequences:
            raise InputError(f"this run is of {run.unit}, and {data.source} was read as {data.unit}")
        return data
    return read_examples(data, sequences=run.options.sequences, least=1)


def _own(run: Run) -> Examples:
    """What the run was trained on, in its parts."""
    try:
        own = read_examples(run.split_file, sequences=run.options.sequences, least=1)
    except InputError as error:
        raise InputError(f"what {run.folder} was trained on cannot be read, give data instead: {error}") from error
    return replace(own, source=str(run.record["data"].get("source") or own.source))


def _chosen(run: Run, examples: Examples, part: str, before: Mapping[Path, str]) -> tuple[list[Example], bool]:
    """The examples of the part, and whether they are all there are, with nothing said about parts."""
    if part == "all":
        return list(examples.items), True
    own = _parts_in_run(run, examples, before)
    parts: Sequence[str | None] = own or [item.part for item in examples.items]
    chosen = [item for item, its in zip(examples.items, parts) if its == part]
    if chosen:
        return chosen, False
    if part == "test" and not any(parts):
        return list(examples.items), True
    counts = Counter(its or "no part" for its in parts)
    held = ", ".join(f"{counts[name]:,} {name}" for name in (*PARTS, "no part") if counts[name])
    raise InputError(
        f"{examples.source}: no {part} {run.unit}{' held back by the run' if own else ''} ({held}): give other data, "
        f"or another --part, one of {', '.join([*(name for name in PARTS if counts[name]), 'all'])}"
    )


def _parts_in_run(run: Run, examples: Examples, before: Mapping[Path, str]) -> list[str] | None:
    """The run's own part of each example, if they are the data that it was made from, here or moved elsewhere."""
    data = run.record["data"]
    same = data.get("digest") == examples.digest
    if (same or all(item.part is None for item in examples.items)) and all(i.path in before for i in examples.items):
        return [before[item.path] for item in examples.items]
    if not same:
        return None
    old, new = _root(str(data.get("source"))), _root(examples.source)
    moved = {os.path.relpath(path, old): part for path, part in before.items()}
    names = [os.path.relpath(item.path, new) for item in examples.items]
    return [moved[name] for name in names] if all(name in moved for name in names) else None


def _root(source: str) -> str:
    return os.path.dirname(source) if source.lower().endswith(".csv") else source


def known_labels(
    chosen: Sequence[Example], classes: Sequence[str], examples: Examples, ignore: bool
) -> tuple[list[Example], dict[str, int]]:
    """The examples whose labels are among the classes, and {label: number} of the others.

    Raises InputError if there are others and `ignore` is not set, or there are no others.
    """
    known = set(classes)
    strange = Counter(str(item.label) for item in chosen if item.label not in known)
    if strange and not ignore:
        raise InputError(
            f"{examples.source}: {sum(strange.values()):,} of {len(chosen):,} {examples.unit} have labels that were "
            f"never seen in training: {_counted(strange)}; known are {_some(classes)}: leave them out with "
            "--ignore-unknown, or correct them"
        )
    kept = [item for item in chosen if item.label in known]
    if not kept:
        raise InputError(f"{examples.source}: none of its labels was seen in training: known are {_some(classes)}")
    return kept, dict(sorted(strange.items()))


def _left_out(counts: Mapping[str, int]) -> list[str]:
    return [f"left out, of labels never seen in training: {_counted(counts)}"] if counts else []


def _absent(items: Sequence[Example], classes: Sequence[str], unit: str) -> list[str]:
    present = {item.label for item in items}
    absent = [name for name in classes if name not in present]
    return [f"no {unit} of {_some(absent)} to test"] if absent else []


def _seen(run: Run, items: Sequence[Example], examples: Examples, *, refuse: bool, copies: bool) -> list[str]:
    """Notes on images that are in training or validation too; refuse: or an error, for other files too if `copies`."""
    before, unit = seen_before(run), examples.unit
    notes = [f"whether they were trained on by {folder}, which training started from, cannot be told"
             for folder in _untold(run)]  # fmt: skip
    tested = [item.path for item in items]
    for part, what in (("train", "trained on"), ("val", "used to choose the epoch")):
        theirs = [path for path, its in before.items() if its == part]
        there = [path for path in theirs if path.exists()]
        same, shared = ([tested[place] for place in found]
                        for found in (same_files(tested, theirs), same_contents(tested, there)))  # fmt: skip
        shared = list(dict.fromkeys([*same, *shared]))
        bad = shared if copies else same
        if part == "train" and refuse and bad:
            raise InputError(
                f"{examples.source}: {len(bad):,} of its {len(items):,} {unit} were trained on"
                f"{_how(bad, theirs, unit)}, such as {bad[0]}: that is no test; give other {unit}, or "
                "test them all the same with --allow-leak"
            )
        if shared:
            kind = "" if len(same) == len(shared) else " under the same or another name"
            notes.append(f"{len(shared):,} of the {len(items):,} {unit} were {what}{_how(shared, theirs, unit)}{kind}, "
                         f"such as {shared[0]}")  # fmt: skip
        if len(there) < len(theirs) and part == "train":
            gone = len(theirs) - len(there)
            notes.append(f"{gone:,} of the {len(theirs):,} training {unit} are no longer there to be compared with")
    return notes


def _untold(run: Run) -> list[str]:
    kept = run.record.get("learned_before")
    unknown = kept.get("unknown") if isinstance(kept, dict) else None
    return [str(folder) for folder in unknown] if isinstance(unknown, list) else []


def _how(bad: Sequence[Path], theirs: Sequence[Path], unit: str) -> str:
    """Of sequences of which frames were seen as images, and the other way round."""
    kinds = {is_image(path) for path in theirs}
    if set(bad) & set(theirs) or (unit == "sequences") not in kinds:
        return ""
    return " as single frames" if unit == "sequences" else " as frames of sequences"


def _counted(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(most) - SHOWN:,} labels more" if len(most) > SHOWN else ""
    return ", ".join(f"{label!r} ({count:,})" for label, count in most[:SHOWN]) + more


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
