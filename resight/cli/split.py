"""`resight split`: the parts of a data set, dealt out once and kept in a CSV."""

from __future__ import annotations

import json as json_module
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.train.class_splits import Dealt


def split(
    data: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    by: Literal["image", "class", "group"] = "image",
    validation: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    min_images: int = 2,
    groups: Literal["data", "folder"] = "data",
    anew: bool = False,
    replace: bool = False,
    json: bool = False,
) -> int:
    """Deal labelled images out to train, val and test, and write the list that train and test commands take.

    Parameters
    ----------
    data
        Class folders, or a CSV with columns path, label and perhaps group.
    out
        The CSV to write: path, label, part, group; paths below its folder are relative to it.
    by
        image: each part has its share of each class. class: whole classes, so that what is tested was never a class in
        training. group: as image, and groups stay whole.
    validation
        Share of the images (with --by class: of the classes) to choose epochs by; 0 for none.
    test
        Share to test on; 0 for none.
    seed
        The same seed deals the same.
    min_images
        Leave out classes with fewer images.
    groups
        What a group is, with --by group: data (the CSV's column) or folder (the images that lie in one folder).
    anew
        Deal all images out anew: parts that the data has already (folders train and test, a column) count as one.
    replace
        Replace --out if it is there.
    json
        Print the numbers as JSON.
    """
    from resight.cli.destinations import check_file
    from resight.images.examples import read_examples
    from resight.train.class_splits import deal

    if out.suffix.lower() != ".csv":
        raise InputError(f"--out takes a name that ends with .csv, got {visible(str(out))}")
    if os.path.lexists(out) and not replace:
        raise InputError(
            f"{visible(str(out))} is there already and is not overwritten: give another name, or --replace"
        )
    check_file(out)
    examples = read_examples(data)
    if out.exists() and out.samefile(data):
        raise InputError(f"{visible(str(out))}: this is the list to be split: give another name")
    dealt = deal(examples, by, validation=validation, test=test, seed=seed, groups=groups, least=min_images, anew=anew)
    dealt.write(out)
    if json:
        print(json_module.dumps({**dealt.as_dict(), "seed": seed, "file": str(out)}, indent=1))
    else:
        _print(dealt, out)
    return 0


def _print(dealt: Dealt, out: Path) -> None:
    print("part   classes   images")
    for part, classes, images in dealt.counts():
        print(f"{part:<5}  {classes:>7,}  {images:>7,}")
    for note in dealt.notes:
        print(textwrap.fill(visible(note), 110, initial_indent="note: ", subsequent_indent="      ",
                            break_long_words=False, break_on_hyphens=False))  # fmt: skip
    print(f"wrote {visible(str(out))}")
