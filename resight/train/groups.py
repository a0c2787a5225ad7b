"""Images that belong together because they lie in one folder, such as the frames of one take."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from resight.images.examples import Example, Examples
from resight.train.options import TrainOptions


def grouped(examples: Examples, options: TrainOptions) -> Examples:
    """The examples as they are split: with option groups folder, those of one folder are one group.

    A group that the data gives itself stays. Raises InputError if a folder is in two parts of the data.
    """
    if options.groups != "folder":
        return examples
    return replace(examples, items=tuple(
        item if item.group is not None else replace(item, group=_folder(item, examples)) for item in examples.items
    ))  # fmt: skip


def folder_notes(examples: Examples, options: TrainOptions, folds: int = 0) -> list[str]:
    """A note if images that lie together in folders inside the classes are split one by one, or the option groups
    has no effect."""
    if options.groups == "folder" and all(item.group is not None for item in examples.items):
        return ["groups folder has no effect: the data names a group for each example, which stays"]
    parts = {item.part for item in examples.items}
    cut = folds or (options.validation and "val" not in parts) or (options.test and "test" not in parts)
    listed = examples.source.lower().endswith(".csv")  # whoever lists images could have given groups
    if not cut or listed or examples.sequences or options.groups == "folder":
        return []
    inner = Counter(
        _folder(item, examples)
        for item in examples.items
        if len(item.path.relative_to(examples.source).parts) > (2 if item.part is None else 3)
    )
    several = [name for name, count in inner.items() if count > 1]
    if not several:
        return []
    return [
        f"images of {len(several):,} folders inside the classes, such as {several[0]}, are split one by one: if a "
        "folder holds frames of one take, near-identical images are trained on and validated: --groups folder keeps "
        "folders whole, so does a CSV with a column group; --sequences makes each folder one example"
    ]


def _folder(item: Example, examples: Examples) -> str:
    """The folder of an example, relative to the source."""
    root = examples.source if Path(examples.source).is_dir() else os.path.dirname(examples.source)
    return Path(os.path.relpath(item.path.parent, root)).as_posix()
