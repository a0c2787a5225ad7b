"""The images of a study: the share of each class that a seed takes, and whether the data is fit for it."""

from __future__ import annotations

import csv
import io
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from resight.errors import InputError
from resight.images.examples import Example, Examples
from resight.tables.atomic import AtomicFiles
from resight.train.study_config import Study

SHOWN = 4


def check_parts(study: Study, examples: Examples) -> None:
    """Raises InputError unless the data has the parts that the study tests on, or validates on without a test."""
    parts = {item.part for item in examples.items}
    if study.test and "test" not in parts:
        raise InputError(
            f"{study.data}: a study needs a test part: folders train and test, or a CSV with a column split; to choose "
            "options by validation alone, set test: false"
        )
    if study.test or "val" in parts:
        return
    for name, options in study.rows:
        if not options.validation:
            raise InputError(f"rows.{name}: without a test (test: false) rows are compared by validation, and there is "
                             "none: give a share by validation")  # fmt: skip


def shortages(study: Study, examples: Examples) -> Iterator[str]:
    """A line for each of train_images and test_images that is more than there are of some classes."""
    for name, wanted, tested in (("train_images", study.train_images, False), ("test_images", study.test_images, True)):
        counts = Counter(item.label for item in examples.items if (item.part == "test") is tested)
        few = [f"{label} ({counts[label]:,})" for label in examples.classes if counts[label] < wanted]
        if few:
            more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
            yield (f"{name} is {wanted:,}, but {len(few)} of {len(examples.classes)} classes have fewer, all of which "
                   f"are taken: {', '.join(few[:SHOWN])}{more}")  # fmt: skip


def write_source(study: Study, examples: Examples, seed: int) -> Path:
    """The data itself, or a CSV of the share of it that this seed takes."""
    if not study.train_images and not study.test_images:
        return Path(study.data)
    chosen = share(examples, study.train_images, study.test_images, seed)
    file = Path(study.out) / "data" / f"seed-{seed}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", "group"])
    here = file.parent.resolve()
    writer.writerows(
        [os.path.relpath(item.path, here), item.label, item.part or "train", item.group or ""] for item in chosen
    )
    data = text.getvalue().encode("utf-8", "surrogateescape")
    if not file.is_file() or file.read_bytes() != data:
        with AtomicFiles() as files:
            files.open(file).write(data)
    return file


def share(examples: Examples, train: int, test: int, seed: int) -> list[Example]:
    """Some examples of each class, in their order.

    train: how many of each class outside the test part, drawn by the seed; test: of the test part, always the same;
           0: all

    A class with fewer gives all that it has.
    """
    found: dict[tuple[bool, str | None], list[Example]] = defaultdict(list)
    for item in examples.items:
        found[item.part == "test", item.label].append(item)
    taken: set[Path] = set()
    for (tested, label), items in found.items():
        count = test if tested else train
        dice = random.Random(f"{0 if tested else seed} {tested} {label}")
        taken.update(item.path for item in (dice.sample(items, min(count, len(items))) if count else items))
    return [item for item in examples.items if item.path in taken]
