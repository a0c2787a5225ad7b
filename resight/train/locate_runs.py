"""A finished training of a mask network, opened: its facts, and what finds things by it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError
from resight.train.history import History, read_history
from resight.train.locate_options import LocateOptions
from resight.train.run_files import BEST, LAST, METRICS, MODEL, SPLIT, read_record, recorded_locating

if TYPE_CHECKING:
    from resight.images.read import ImageLike
    from resight.match.mask_finder import MaskFinder
    from resight.match.template import Template


@dataclass(frozen=True, eq=False)
class LocateRun:
    """A finished training of a mask network.

    folder   where it is
    options  every option
    record   run.json as a whole
    device   where the network runs: auto, cpu, cuda, mps
    """

    folder: Path
    options: LocateOptions
    record: dict[str, Any] = field(repr=False)
    device: str = "auto"

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: str = "auto") -> LocateRun:
        """The run in a folder. Its network is loaded by what finds with it.

        Raises InputError if there is none, or it has not finished; WorkError if it is damaged.
        """
        place = Path(folder)
        record = read_record(place, "locate")
        if record["state"] != "finished":
            ended = (place / LAST).is_file() or (place / BEST).is_file()
            finish = f"; or keep its best epoch so far: `resight train finish {place}`" if ended else ""
            raise InputError(f"{place}: this training has not finished: go on with it: `resight train locate --out "
                             f"{place} --resume`{finish}")  # fmt: skip
        return cls(place, recorded_locating(place, record), record, device)

    @property
    def history(self) -> History:
        """What happened in each epoch."""
        return read_history(self.folder / METRICS, "iou")

    @property
    def model(self) -> Path:
        """The weights of its best epoch."""
        return self.folder / MODEL

    @property
    def split_file(self) -> Path:
        """CSV of path and part of every image it was trained on or validated with."""
        return self.folder / SPLIT

    def finder(self, template: Template | ImageLike, **given: Any) -> MaskFinder:
        """What finds a template by this network; arguments as of `MaskFinder`."""
        from resight.match.mask_finder import MaskFinder

        return MaskFinder(template, self.folder, **{"device": self.device, **given})

    def __repr__(self) -> str:
        own = self.options
        return f"<LocateRun {str(self.folder)!r}: {own.backbone}, {own.combine}, {own.size} pixels>"
