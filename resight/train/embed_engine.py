"""The engine of all trainings, for embedding networks: its losses, its retrieval scores, and what an epoch leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.measure.retrieval import RetrievalScores, evaluate_labels
from resight.train.checkpoints import Report
from resight.train.embed_data import EmbedBatch
from resight.train.embed_files import write_tables
from resight.train.embed_losses import Loss, TripletsLoss
from resight.train.embed_mining import Mining
from resight.train.embed_options import EmbedOptions
from resight.train.engine import Step, Training
from resight.train.history import Epoch, EpochLine, History
from resight.train.material import Material
from resight.train.mining import batch_hard, semi_hard, spread, triplet_losses

if TYPE_CHECKING:
    import lightning.pytorch as lightning

COLLAPSED = 0.02  # root mean squared distance of two vectors, of at most 1.41
SHRUNK = 0.1  # of what it was before training
AT_MARGIN, FEWEST_STEPS = 0.002, 5
SAMPLE, TRIPLETS = 1000, 2000  # images that the training is judged by, triplets of the validation's loss
JUDGED = 51  # what a seed is for


@dataclass(frozen=True)
class EmbedMaterial(Material):
    """What an embedding network learns from and is validated on.

    loss:    with its own weights, if it has any;  mining: of all vectors, or None
    names:   {place: class} of the validation images;   same: {place: number}, equal for the same content
    before:  the row of validation.csv before training, None without validation
    """

    loss: Loss | None = None
    mining: Mining | None = None
    names: Mapping[int, str] | None = None
    same: Mapping[int, int] | None = None
    before: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EmbedLine(EpochLine):
    """What is told after an epoch of an embedding network, besides.

    recall  recall@1 of the validation images, NaN without
    before  mean average precision before training, NaN without validation
    share   of the triplets looked at that had a loss, NaN if none were mined in this epoch
    drawn   how many were looked at;   mining: seconds that took, with all images' vectors
    """

    recall: float = math.nan
    before: float = math.nan
    share: float = math.nan
    drawn: int = 0
    mining: float = 0.0


class EmbedTraining(Training):
    """An embedding network under training; `mining`, `validation` become the rows of the files of that name."""

    score = "map"

    def __init__(self, network: Any, options: Any, material: EmbedMaterial, banked: bool) -> None:
        super().__init__(network, options, material, banked)
        self.material, self.loss = material, material.loss
        self.embed: EmbedOptions = options
        self.mining: list[dict[str, Any]] = []
        self.validation: list[dict[str, Any]] = [dict(material.before)] if material.before else []
        self._found: dict[int, NDArray[np.float32]] = {}

    def forward(self, batch: Any) -> torch.Tensor:
        """(B, d) unit vectors in float32."""
        network: Any = self._network[0]
        found: torch.Tensor = (network.classify if self.banked else network)(batch.inputs)
        return found.float()

    def learn(self, batch: EmbedBatch) -> Step:
        """What one batch to train on gives; counted as right is a batch whose loss is the margin."""
        vectors = self(batch)
        triplets = self._mined_in(batch, vectors.detach())
        found: torch.Tensor = self._loss_of()(vectors, batch.labels, triplets)
        seen = len(vectors)
        return Step(found, seen * self._is_at_margin(found.detach(), triplets), seen)

    def judge(self, batch: EmbedBatch) -> Step:
        """Keeps the vectors of one batch of validation images; there is nothing to count before all are there."""
        with torch.autocast(self.device.type, enabled=False):
            vectors = self(batch).cpu().numpy()
        self._found.update(zip(batch.places.tolist(), vectors))
        nothing = torch.zeros((), device=self.device)
        return Step(nothing, nothing, len(vectors))

    def on_validation_epoch_start(self) -> None:
        """The vectors of this validation count, not those of the one before."""
        self._found = {}

    def on_train_epoch_end(self) -> None:
        """Closes the epoch: one more entry in `history`, `validation` and `mining`."""
        self._check_loss(self.steps)
        loss, at_margin, seen = self._totals("train")
        number, mining = len(self.history) + 1, self._mining_row()
        row = validation_row(self._vectors(), self.material.names or {}, self.embed, number)
        self._check_spread(row, mining, at_margin)
        nan = math.nan
        began = min(self._began, self.material.mining.began) if mining and self.material.mining else self._began
        seconds = time.monotonic() - began
        self.history += (
            Epoch(number, loss, self._train_map() if mining else nan, row["loss"] if row else nan,
                  row["map"] if row else nan, self._lr, seconds, seen, self.score),
        )  # fmt: skip
        if row:
            self.validation.append(row)
        if mining:
            self.mining.append({**mining, "share_of_time": round(mining["seconds"] / max(seconds, 1e-9), 4)})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The tables, and triplets that later epochs learn from too, go with the weights."""
        super().on_save_checkpoint(checkpoint)
        mined = self.material.mining.state() if self.material.mining else {}
        checkpoint["embed"] = {"mining": self.mining, "validation": self.validation, "mined": mined}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What `on_save_checkpoint` kept."""
        own = checkpoint["embed"]
        self.mining, self.validation = list(own["mining"]), list(own["validation"])
        if self.material.mining:
            self.material.mining.load(own["mined"])

    def line(self, epochs: int) -> EmbedLine:
        """What is told of the last epoch."""
        history = History(self.history)
        plain = history.line(epochs)
        number, nan = plain.epoch, math.nan
        validated = {int(row["epoch"]): row for row in self.validation}
        mined = self.mining[-1] if self.mining and int(self.mining[-1]["epoch"]) == number else None
        return EmbedLine(
            **vars(plain), recall=validated.get(number, {}).get("recall_1", nan),
            before=validated.get(0, {}).get("map", nan), share=mined["share"] if mined else nan,
            drawn=mined["drawn"] if mined else 0, mining=mined["seconds"] if mined else 0.0,
        )  # fmt: skip

    def _loss_of(self) -> Loss:
        if self.loss is None:
            raise InputError("an embedding network cannot be trained without a loss")
        return self.loss

    def _mined_in(self, batch: EmbedBatch, vectors: torch.Tensor) -> torch.Tensor | None:
        """The triplets of a batch: those that it came with, or those that are found in it."""
        own = self.embed
        if batch.triplets is not None or own.mining == "none":
            return batch.triplets
        known = self.material.same or {}
        same = torch.tensor([known[place] for place in batch.places.tolist()], device=vectors.device)
        if own.mining == "batch-hard":
            return batch_hard(vectors, batch.labels, same)
        return semi_hard(vectors, batch.labels, float(getattr(self.loss, "margin", 0.1)), same)

    def _is_at_margin(self, loss: torch.Tensor, triplets: torch.Tensor | None) -> torch.Tensor:
        own = self.loss
        if not isinstance(own, TripletsLoss) or own.name != "triplet" or triplets is None or not own.margin:
            return loss.new_zeros(())
        mean = loss / max(1, len(triplets)) if own.reduction == "sum" else loss
        return ((mean - own.margin).abs() < AT_MARGIN * own.margin).to(loss.dtype)

    def _mining_row(self) -> dict[str, Any] | None:
        return self.material.mining.row if self.material.mining else None

    def _train_map(self) -> float:
        """Mean average precision of a sample of the training images, by the vectors that this epoch was mined with."""
        mining = self.material.mining
        if mining is None or mining.vectors is None:
            return math.nan
        chosen = np.sort(np.random.default_rng((self.embed.seed, JUDGED)).permutation(len(mining.places))[:SAMPLE])
        found = _scores(mining.vectors[chosen], [str(label) for label in mining.labels[chosen]])
        return math.nan if found is None else found.map

    def _vectors(self) -> dict[int, NDArray[np.float32]]:
        """Those of all validation images, of all processes."""
        if self.trainer.world_size == 1:
            return self._found
        import torch.distributed as others

        parts: list[Any] = [None] * self.trainer.world_size
        others.all_gather_object(parts, self._found)
        return {place: vector for part in parts for place, vector in part.items()}

    def _check_spread(self, row: Mapping[str, Any] | None, mining: Mapping[str, Any] | None, at_margin: float) -> None:
        """Raises WorkError if all vectors have become one, or nearly."""
        width = row["spread"] if row else mining["spread"] if mining else math.nan
        before = self.material.before["spread"] if self.material.before else math.inf
        if not math.isfinite(width) and row:
            self._stop(f"the vectors are no numbers any more (spread {width})")
        if width < min(COLLAPSED, SHRUNK * before):
            self._stop(f"the vectors have collapsed: two of them are {width:.2g} apart on average")
        if at_margin == 1 and len(self._sums["train"]) >= FEWEST_STEPS:
            self._stop("the loss is the margin in every step: the vectors of the images learned from have collapsed")

    def _stop(self, what: str) -> NoReturn:
        """All processes get here together; the first one tells."""
        if self.global_rank > 0:
            raise SystemExit(0)
        ended = len(self.history)
        kept = (f"`resight train finish {self.folder}` keeps the best of the {ended} before it" if ended else
                "no epoch has ended: the same --out may be used again")  # fmt: skip
        raise WorkError(f"in epoch {ended + 1} {what}: lower --lr ({self._lr:.1e} now), or try --miner semi-hard or "
                        f"another --loss; {kept}")  # fmt: skip


class EmbedEpochEnd(Checkpoint):
    """After each epoch, behind its checkpoints: mining.csv, validation.csv, and the report.

    A Checkpoint, because Lightning calls those last.
    """

    def __init__(self, folder: Path, report: Report | None) -> None:
        self.folder, self.report = folder, report

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Writes them. Raises WorkError if the disk refuses."""
        training: EmbedTraining = pl_module
        if not trainer.is_global_zero:
            return
        write_tables(self.folder, training.mining, training.validation)
        if self.report is not None:
            self.report(training.line(int(training.options.epochs or 0)))


def validation_row(
    vectors: Mapping[int, NDArray[np.float32]], names: Mapping[int, str], options: EmbedOptions, epoch: int
) -> dict[str, Any] | None:
    """A row of validation.csv: each image is a query among the others; None if there is nothing to measure.

    vectors: {place: (d,)};  names: {place: class};  epoch: 0 before training
    """
    places = sorted(vectors)
    if len(places) < 2:
        return None
    stacked, labels = np.stack([vectors[place] for place in places]), [names[place] for place in places]
    if not np.isfinite(stacked).all():
        nothing = dict.fromkeys(
            ("map", "map_trapezoid", "recall_1", "recall_5", "recall_10", "spread", "loss"), math.nan
        )
        return {"epoch": epoch, **nothing, "queries": 0}
    found = _scores(stacked, labels)
    if found is None:
        return None
    return {
        "epoch": epoch, "map": found.map, "map_trapezoid": found.map_trapezoid,
        **{f"recall_{k}": found.recall[k] for k in (1, 5, 10)}, "spread": spread(stacked),
        "loss": _validation_loss(stacked, labels, options), "queries": found.queries,
    }  # fmt: skip


def _validation_loss(vectors: NDArray[np.float32], labels: Sequence[str], options: EmbedOptions) -> float:
    """Mean triplet loss of random triplets, the same in each epoch, whatever loss is trained with."""
    codes = np.unique(labels, return_inverse=True)[1]
    dice = np.random.default_rng((options.seed, JUDGED))
    able = np.flatnonzero(np.bincount(codes)[codes] > 1)
    query = dice.choice(able, TRIPLETS)
    triplets = np.empty((TRIPLETS, 3), np.int64)
    for row, one in enumerate(query.tolist()):
        own = np.flatnonzero(codes == codes[one])
        triplets[row] = one, dice.choice(own[own != one]), dice.choice(np.flatnonzero(codes != codes[one]))
    margin = options.margin if options.margin is not None and options.loss.startswith("triplet") else 0.1
    return float(triplet_losses(vectors, triplets, margin).mean())


def _scores(vectors: NDArray[np.float32], labels: Sequence[str]) -> RetrievalScores | None:
    """Leave-one-out retrieval; None if the labels leave nothing to measure."""
    if len(set(labels)) in (1, len(labels)):
        return None
    return evaluate_labels(vectors, labels)
