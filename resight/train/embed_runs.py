"""A finished training of an embedding network, opened: its facts, and the encoders before and after it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.train.embed_options import EmbedOptions
from resight.train.history import History, read_history
from resight.train.run_files import BEST, LAST, METRICS, MODEL, SPLIT, read_record, recorded_embedding

if TYPE_CHECKING:
    from resight.features import Encoder
    from resight.features.whitening import Whitening


@dataclass(frozen=True, eq=False)
class EmbedRun:
    """A finished training of an embedding network.

    folder   where it is
    options  every option, defaults filled in
    classes  names of the classes it was trained on
    record   run.json as a whole
    device   where its networks run: auto, cpu, cuda, mps
    """

    folder: Path
    options: EmbedOptions
    classes: tuple[str, ...]
    record: dict[str, Any] = field(repr=False)
    device: str = "auto"

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: str = "auto") -> EmbedRun:
        """The run in a folder. Networks are loaded when they are first used.

        Raises InputError if there is none, or it has not finished; WorkError if it is damaged.
        """
        place = Path(folder)
        record = read_record(place, "embed")
        if record["state"] != "finished":
            ended = (place / LAST).is_file() or (place / BEST).is_file()
            finish = f"; or keep its best epoch so far: `resight train finish {place}`" if ended else ""
            raise InputError(f"{place}: this training has not finished: go on with it: `resight train embed --out "
                             f"{place} --resume`{finish}")  # fmt: skip
        return cls(place, recorded_embedding(place, record), tuple(record["classes"]), record, device)

    @property
    def history(self) -> History:
        """What happened in each epoch."""
        return read_history(self.folder / METRICS, "map")

    @property
    def model(self) -> Path:
        """The weights of its best epoch."""
        return self.folder / MODEL

    @property
    def split_file(self) -> Path:
        """CSV of path, label, part and group of every image of the data."""
        return self.folder / SPLIT

    def encoder(self) -> Encoder:
        """The encoder that was trained. Raises WorkError if its files are damaged."""
        from resight.features import Encoder

        return Encoder.open(self.folder, device=self.device)

    def started(self) -> Encoder:
        """The encoder as training began with it: the backbone of its start, and the projection fitted on its vectors.

        Raises WorkError if the weights that training started from are not to be had, or have changed since.
        """
        from resight.train.embed_files import read_start

        return self._before(read_start(self.folder, self.record))

    def frozen(self) -> Encoder:
        """The backbone as training began with it, pooled, without a projection. Raises as `started`."""
        return self._before(None)

    def _before(self, projection: Whitening | None) -> Encoder:
        from resight.features import Encoder, EncoderConfig

        facts = self.record["network"]
        config = EncoderConfig(
            backbone=facts["backbone"], descriptor=facts["descriptor"], weights=facts["weights"], size=facts["size"],
            fit=facts["fit"], device=self.device,
        )  # fmt: skip
        encoder = Encoder.from_config(config, projection=projection)
        what = f"the weights that {self.folder} started from ({facts['weights']})"
        try:
            own = encoder.backbone.hash
        except (InputError, WorkError) as error:
            raise WorkError(f"{what} are not to be had: {error}") from error
        if own != facts["hash"]:
            raise WorkError(f"{what} have changed since: expected the hash {facts['hash']}, got {own}")
        return encoder

    def __repr__(self) -> str:
        own = self.record["network"]
        return f"<EmbedRun {str(self.folder)!r}: {own['backbone']}, {own['descriptor']}, {own['dim']} numbers>"
