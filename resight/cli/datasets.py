"""`resight datasets`: the image sets of the protocols, and whether a folder holds one."""

from __future__ import annotations

import json as json_module
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError, unknown
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.measure.datasets import Check, Dataset


def datasets(
    name: str | None = None,
    /,
    *,
    check: Path | None = None,
    json: bool = False,
) -> int:
    """The image sets of the protocols: what they are, where they lie, and whether a folder is complete.

    Nothing is downloaded.

    Parameters
    ----------
    name
        One image set; all in short if not given.
    check
        A folder: count its images and ground truth; exits with 1 if the set is not complete.
    json
        Print as JSON.
    """
    from resight.measure.datasets import DATASETS, check_dataset

    if name is not None and name not in DATASETS:
        raise unknown("image set", name, DATASETS)
    if check is not None:
        if name is None:
            raise InputError(f"--check needs the name of an image set (choices: {', '.join(DATASETS)})")
        return _report(check_dataset(name, check), check, json)
    chosen = [DATASETS[name]] if name else list(DATASETS.values())
    if json:
        print(json_module.dumps([asdict(dataset) for dataset in chosen], indent=1))
    elif name:
        _describe(chosen[0])
    else:
        for dataset in chosen:
            print(f"{dataset.name:<12} {_count(dataset.images)} {_count(dataset.queries)}   {dataset.title}")
        print(
            "\nimages, queries, what it is; more: resight datasets NAME; a folder: resight datasets NAME --check FOLDER"
        )
    return 0


def _count(number: int) -> str:
    return f"{number:>9,}" if number else f"{'-':>9}"


def _describe(dataset: Dataset) -> None:
    print(f"{dataset.name}: {dataset.title}")
    rows = [
        ("images", f"{dataset.images:,}" if dataset.images else "yours"),
        ("queries", f"{dataset.queries:,}" if dataset.queries else "none of its own"),
        ("licence", dataset.licence),
        *(("files", text) for text in dataset.files),
        *(("where", text) for text in dataset.where),
        *(("note", text) for text in dataset.notes),
    ]
    for key, text in rows:
        lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
        print(f"  {key:<8} " + f"\n{'':<11}".join(lines))


def _report(found: Check, folder: Path, as_json: bool) -> int:
    if as_json:
        print(json_module.dumps({**asdict(found), "complete": found.complete}, indent=1))
        return 0 if found.complete else 1
    print(f"{visible(str(folder))}: {found.name} is {'complete' if found.complete else 'NOT complete'}")
    print(f"  images   {found.images:,}" + (f", {found.extra:,} more than published" if found.extra else ""))
    print(f"  truth    {visible(found.truth) or 'none'}")
    for problem in found.problems:
        print(f"  problem  {visible(problem)}")
    return 0 if found.complete else 1
