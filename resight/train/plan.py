"""One training before it begins, and what its record says of it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from resight.images.examples import Examples
from resight.train.course import Course
from resight.train.history import Epoch
from resight.train.options import TrainOptions
from resight.train.run_files import FORMAT
from resight.train.splits import Split

VERSIONS = ("resight", "torch", "torchvision", "timm", "lightning", "numpy")


@dataclass(frozen=True)
class Plan:
    """One training before it begins: what it learns from, how, and where it is kept.

    fold, folds: which of how many, from 1; None and 0 if it is none
    asked: the options before defaults were filled in, which options.yaml keeps: with it, what depends on others follows
           them in another training too
    """

    examples: Examples
    split: Split
    options: TrainOptions
    folder: Path
    fold: int | None = None
    folds: int = 0
    asked: TrainOptions | None = None

    @property
    def unit(self) -> str:
        """What an example is."""
        return "sequences" if self.options.sequences else "images"


def make_facts(plan: Plan, network: dict[str, Any], skipped: Collection[int] = ()) -> dict[str, Any]:
    """What run.json holds from the beginning; skipped: places of what cannot be read, which does not count."""
    examples, split = plan.examples, used(plan.split, skipped)
    counts = Counter(str(examples.items[place].label) for place in split.train)
    facts: dict[str, Any] = {
        "format": FORMAT, "task": "classify", "state": "training", "versions": versions(),
        "options": plan.options.as_dict(), "classes": list(examples.classes),
        "data": {"source": examples.source, "digest": examples.digest, "images": len(examples),
                 "notes": [*examples.notes, *split.notes]},
        "split": {"train": len(split.train), "val": len(split.val), "test": len(split.test),
                  "skipped": len(skipped),
                  "train_by_class": {name: counts[name] for name in examples.classes}},
        "network": network,
    }  # fmt: skip
    return facts if plan.fold is None else {**facts, "fold": plan.fold, "folds": plan.folds}


def used(split: Split, skipped: Collection[int]) -> Split:
    """The split without what cannot be read. The test part is not looked at in training: it stays as it is."""
    train, val = (tuple(place for place in places if place not in skipped) for places in (split.train, split.val))
    return replace(split, train=train, val=val)


def own_part_notes(plan: Plan) -> list[str]:
    """Notes on shares that were asked for and are not cut, because the data has such a part of its own."""
    parts = {item.part for item in plan.examples.items}
    asked = (("validation", "val", 0.15), ("test", "test", 0.0))
    return [
        f"the data has a part {part} of its own: {name} {share:g} is not used"
        for name, part, default in asked
        if part in parts
        and (share := float(getattr(plan.options, name))) != default
        and not (part == "val" and plan.fold)
    ]


def epoch_facts(epoch: Epoch | None) -> dict[str, Any]:
    """An epoch as JSON can hold it: NaN becomes null."""
    values = {} if epoch is None else epoch.as_dict()
    return {name: None if value != value else value for name, value in values.items()}


def versions() -> dict[str, str]:
    """Those of Python, this system and the libraries that a training runs on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def network_name(options: TrainOptions) -> str:
    """The backbones of a run.

    >>> network_name(TrainOptions(input="fusion", backbone="resnet18", sift_backbone="resnet34"))
    'resnet18 and resnet34 on SIFT'
    """
    sift = f"{options.sift_backbone or options.backbone} on SIFT"
    return {"rgb": options.backbone, "sift": sift, "fusion": f"{options.backbone} and {sift}"}[options.input]


def rank(options: Course) -> int:
    """Which of the processes of one training this is, from 0, as Lightning's launcher, torchrun or Slurm tell."""
    if options.devices * options.nodes == 1:
        return 0
    for name in ("RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return int(os.environ.get("NODE_RANK", 0)) * options.devices + int(os.environ.get("LOCAL_RANK", 0))
