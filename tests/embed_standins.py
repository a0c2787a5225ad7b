"""A stand-in for a run of `resight train embed`: tiny random networks, projections of one's own, no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WorkError
from resight.features import Encoder
from resight.features.whitening import Whitening
from resight.images.examples import read_examples
from resight.train.splits import split_examples, write_split

TINY: dict[str, Any] = {"weights": "random", "size": 32, "device": "cpu", "descriptor": "spoc"}
DIM = 96  # of test_resnet


def projection(seed: int, dim: int = 8) -> Whitening:
    """A random one."""
    random = np.random.default_rng(seed)
    return Whitening(random.normal(0, 0.01, DIM), random.normal(size=(DIM, dim)))


@dataclass(frozen=True)
class StandIn:
    """As an EmbedRun; lost: what of its start is not to be had, "frozen" or "start"."""

    folder: Path
    record: dict[str, Any]
    classes: tuple[str, ...]
    lost: str = ""

    @property
    def split_file(self) -> Path:
        return self.folder / "split.csv"

    def encoder(self) -> Encoder:
        return Encoder("test_resnet", projection=projection(1), **TINY)

    def started(self) -> Encoder:
        if self.lost:
            raise WorkError("the projection is lost")
        return Encoder("test_resnet", projection=projection(2), **TINY)

    def frozen(self) -> Encoder:
        if self.lost == "frozen":
            raise WorkError("the weights that it started from (/gone/w.pth) are not to be had: no such file")
        return Encoder("test_resnet", **TINY)


def stand_in(folder: Path, data: Path, *, lost: str = "", **shares: float) -> StandIn:
    """A run on `data`, split by image if shares are given, by the data's own parts otherwise."""
    examples = read_examples(data)
    split = split_examples(examples, **{"validation": 0.0, "test": 0.0, **shares})
    folder.mkdir(parents=True)
    write_split(split, examples, folder / "split.csv")
    names = tuple(sorted({str(examples.items[place].label) for place in split.train}))
    record = {"data": {"source": examples.source, "digest": examples.digest}, "network": {}}
    return StandIn(folder, record, names, lost)
