"""The engine of all trainings, for mask networks: its loss, its IoU, and what an epoch leaves besides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from numpy.typing import NDArray

from resight.errors import WorkError, advice
from resight.train.engine import Step, Training
from resight.train.history import History
from resight.train.locate_judging import dice_loss, mask_ious
from resight.train.locate_samples import MaskBatch
from resight.train.run_files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lightning.pytorch as lightning

LOGS, PANELS = "logs.json", "panels"
DRAWN = 8  # samples of a panel


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network makes of one sample: image and query (S, S, 3) uint8, mask (S, S) bool, marked (S, S) in 0..1."""

    image: NDArray[np.uint8]
    query: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    marked: NDArray[np.float32]


class MaskTraining(Training):
    """A mask network under training; `shown` are the first samples of the last validation."""

    score = "iou"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.shown: list[Seen] = []

    def forward(self, batch: Any) -> torch.Tensor:
        """(B, 1, S, S) logits in float32."""
        network: Any = self._network[0]
        logits: torch.Tensor = network(batch.images, batch.queries)
        return logits.float()

    def learn(self, batch: MaskBatch) -> Step:
        """What one batch to train on gives."""
        logits = self(batch)
        return Step(dice_loss(logits, batch.masks), mask_ious(logits, batch.masks).sum(), len(batch.images))

    def judge(self, batch: MaskBatch) -> Step:
        """What one batch to validate with gives, the same loss."""
        logits = self(batch)
        self._keep(batch, logits)
        return Step(dice_loss(logits, batch.masks), mask_ious(logits, batch.masks).sum(), len(batch.images))

    def on_validation_epoch_start(self) -> None:
        """The samples of this validation are shown, not those of the one before."""
        self.shown = []

    def _keep(self, batch: MaskBatch, logits: torch.Tensor) -> None:
        marked = logits.detach().sigmoid()
        for place in range(min(len(batch.images), DRAWN - len(self.shown))):
            image, query = (some[place].permute(1, 2, 0).cpu().numpy() for some in (batch.images, batch.queries))
            self.shown.append(Seen(image, query, batch.masks[place, 0].cpu().numpy(), marked[place, 0].cpu().numpy()))


class MaskEpochEnd(Checkpoint):
    """After each epoch, behind its checkpoints: logs.json, and every so often a panel of samples.

    A Checkpoint, because Lightning calls those last.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Writes them. Raises WorkError if the disk refuses."""
        training: MaskTraining = pl_module
        if not trainer.is_global_zero:
            return
        history = History(training.history)
        write_text(self.folder / LOGS, logs_text(history))
        if self.every and training.shown and (len(history) % self.every == 0 or len(history) == 1):
            folder = self.folder / PANELS
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise WorkError(f"cannot write {folder}: {advice(error)}; then go on with --resume") from error
            plot(training.shown, folder / f"epoch-{len(history):04}.png")


def plot(shown: Sequence[Seen], file: Path) -> None:
    """Draw samples into a PNG: image, query, truth, prediction."""
    from resight.show.files import write_atomic
    from resight.show.locate_panels import panels_picture

    write_atomic(file, panels_picture(shown))


def logs_text(history: History) -> str:
    """logs.json: a list for each quantity, an entry an epoch; null without validation."""
    rows = [one.as_dict() for one in history.epochs]
    names = list(rows[0]) if rows else []
    lists = {name: [None if row[name] != row[name] else row[name] for row in rows] for name in names}
    return json.dumps(lists, indent=1, allow_nan=False) + "\n"
