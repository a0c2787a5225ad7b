"""Training by Lightning: what a step does, what an epoch leaves behind, and how it all stops."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import lightning.pytorch as lightning
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from resight.errors import InputError, WorkError
from resight.measure.watching import Watch, unwatched
from resight.models.backbone import choose_device
from resight.train.checkpoints import Curves, EpochEnd, Report, WholeFiles
from resight.train.course import Course
from resight.train.data import Batch, unwrap
from resight.train.history import Epoch, History
from resight.train.material import Loaders, Material
from resight.train.run_files import LAST, TENSORBOARD
from resight.train.schedules import rate_factor
from resight.train.surroundings import memory_kept, own_words, quiet, settings_kept

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
MOMENTUM = 0.9


class Step(NamedTuple):
    """What one batch gives: the mean loss of its examples, the sum of what they are judged by, and their number."""

    loss: torch.Tensor
    right: torch.Tensor
    seen: int


class Training(lightning.LightningModule):
    """One network under training; what it counts in an epoch becomes an `Epoch` of `history`.

    learned:  the layers that are trained and kept in checkpoints
    call:     (inputs[, lengths]) -> (B, C) logits, through `learned`

    Trainings of other things than classifiers have their own `learn` and `judge`.
    """

    score = "accuracy"  # what `history` is judged by

    def __init__(self, network: nn.Module, options: Course, material: Material, banked: bool) -> None:
        super().__init__()
        self.options, self.banked = options, banked
        self._lr = 0.0
        self.learned = nn.ModuleDict(_unfrozen(network)) if banked else network
        self._network = [network]  # in a list: its frozen layers are no part of this module
        weights = material.class_weights
        self.register_buffer("class_weights", torch.tensor(weights) if weights else None, persistent=False)
        self.steps = 1
        self.folder: Path | None = None  # of the run, for what is said when it fails
        self.history: tuple[Epoch, ...] = ()
        self._began, self._loss = time.monotonic(), torch.zeros(())
        self._sums: dict[str, list[torch.Tensor]] = {"train": [], "val": []}

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, C) logits in float32."""
        network: Any = self._network[0]
        call = network.classify if self.banked else network
        given = (batch.inputs,) if batch.lengths is None else (batch.inputs, batch.lengths)
        logits: torch.Tensor = call(*given)
        return logits.float()

    def on_train_epoch_start(self) -> None:
        """The same random numbers in this epoch whether or not the training was interrupted before it."""
        number = len(self.history)
        torch.manual_seed((self.options.seed * 1_000_003 + number) * 1024 + self.global_rank)
        self._began = time.monotonic()
        self._sums = {"train": [], "val": []}
        self._loss = torch.zeros(())

    def learn(self, batch: Any) -> Step:
        """What one batch to train on gives."""
        logits = self(batch)
        weights: Any = self.class_weights
        smoothing = float(getattr(self.options, "label_smoothing", 0.0))
        loss = nn.functional.cross_entropy(logits, batch.labels, weight=weights, label_smoothing=smoothing)
        return _classified(loss, logits, batch.labels)

    def judge(self, batch: Any) -> Step:
        """What one batch of validation images gives: plain cross-entropy, without smoothing or weights."""
        logits = self(batch)
        return _classified(nn.functional.cross_entropy(logits, batch.labels), logits, batch.labels)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """The loss of one batch."""
        self._check_loss(index)
        self._lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        step = self.learn(unwrap(batch))
        self._loss = step.loss.detach()
        self._count("train", step)
        return step.loss

    def validation_step(self, batch: Any, index: int) -> None:
        """Counts one batch of validation images."""
        self._count("val", self.judge(unwrap(batch)))

    def on_train_epoch_end(self) -> None:
        """Closes the epoch: one more entry in `history`."""
        self._check_loss(self.steps)
        train_loss, train_accuracy, seen = self._totals("train")
        val_loss, val_accuracy, validated = self._totals("val")
        if validated and not math.isfinite(val_loss):
            self._fail(val_loss, "of the validation images")
        self.history += (
            Epoch(len(self.history) + 1, train_loss, train_accuracy, val_loss, val_accuracy, self._lr,
                  time.monotonic() - self._began, seen, self.score),
        )  # fmt: skip

    def configure_optimizers(self) -> Any:
        """The optimiser, and the learning rate of each step. Biases and normalisations are not decayed."""
        own = [p for p in self.parameters() if p.requires_grad]
        decay = float(self.options.weight_decay or 0.0)
        groups = [
            {"params": [p for p in own if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
        ]
        rate = float(self.options.lr or 0.0)
        optimiser: torch.optim.Optimizer
        if self.options.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM)
        else:
            optimiser = torch.optim.AdamW(groups, lr=rate)
        options, steps = self.options, self.steps
        schedule = LambdaLR(optimiser, lambda step: rate_factor(step, steps, options))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The history goes with the weights: after a kill both are of the same epoch."""
        checkpoint["history"] = [one.as_dict() for one in self.history]

    def _count(self, part: str, step: Step) -> None:
        right = step.right.detach()
        seen = right.new_tensor(step.seen).float()
        self._sums[part].append(torch.stack([step.loss.detach() * step.seen, right.float(), seen]))

    def _totals(self, part: str) -> tuple[float, float, int]:
        """Mean loss, share of right answers, and number of images, over all processes; NaN if there were none."""
        rows = self._sums[part]
        if not rows:
            return math.nan, math.nan, 0
        # Added up in float64 where the device has it: a sum must not depend on how many batches there are.
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        total: Any = self.trainer.strategy.reduce(torch.stack(rows).to(kind).sum(0), reduce_op="sum")
        loss, right, seen = (float(value) for value in total)
        return loss / seen, right / seen, round(seen)

    def _check_loss(self, step: int) -> None:
        """Looks at the loss of the step before, which a GPU has done by now. Raises WorkError if it is not finite."""
        bad = not bool(torch.isfinite(self._loss))
        if self.trainer.world_size > 1:
            bad = self.trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            self._fail(float(self._loss), f"in step {step}")

    def _fail(self, loss: float, where: str) -> NoReturn:
        """All processes get here together; the first one tells."""
        if self.global_rank > 0:
            raise SystemExit(0)
        ended = len(self.history)
        kept = (
            f"`resight train finish {self.folder}` keeps the best of the {ended} before it, --resume goes on after them"
            if ended else "no epoch has ended: the same --out may be used again"
        )  # fmt: skip
        raise WorkError(
            f"the loss {where} of epoch {ended + 1} is {loss}, at a learning rate of {self._lr:.1e}: lower --lr, "
            f"lengthen --warmup, or use --precision float32; {kept}"
        )


def train_network(
    network: nn.Module, options: Course, material: Material, folder: Path, *, banked: bool,
    history: History, checkpoint: str = LAST, report: Report | None = None, watch: Watch = unwatched,
    kind: type[Training] | None = None, after: Sequence[lightning.Callback] = (),
) -> History:  # fmt: skip
    """Train the network, in place, from a checkpoint of the run folder if there is one.

    options: all filled in; banked: `material` is of features, only `network.classify` is trained
    history: of that checkpoint, LAST or BEST; report: called with each epoch's end; watch: shows how far an epoch is
    kind:    of another training than a classifier's;  after: what is done at an epoch's end, behind the checkpoints
    ->       all epochs; the network has the weights of the last one

    Raises WorkError if the loss is no number any more, KeyboardInterrupt for Ctrl-C (the folder is then as the last
    epoch left it).
    """
    training = (kind or Training)(network, options, material, banked)
    training.history, training.folder = history.epochs, folder
    training.steps = material.steps or -(-len(material.train_places) // options.batch)
    end = EpochEnd(folder, options, report, watch)
    device = choose_device(options.device)
    with quiet(), settings_kept(), own_words(end), memory_kept(device):
        trainer = _make_trainer(options, device, folder, len(history), [end, *after])
        if banked:
            torch.set_num_threads(1)  # one small layer: dividing it costs more than it saves
        training.train()
        trainer.fit(
            training, datamodule=Loaders(material, options, len(history)), weights_only=True,
            ckpt_path=str(folder / checkpoint) if len(history) else None,
        )  # fmt: skip
    return History(training.history)


def _make_trainer(
    options: Course, device: torch.device, folder: Path, after: int, ends: list[Any]
) -> lightning.Trainer:
    from lightning.pytorch.callbacks import EMAWeightAveraging

    if options.precision == "float16" and device.type == "cpu":
        raise InputError("precision float16 needs a GPU: use bfloat16 or float32 on a CPU")
    several = options.devices * options.nodes > 1
    callbacks = [EMAWeightAveraging(decay=options.ema), *ends] if options.ema else ends
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=[device.index] if device.index is not None and not several else options.devices,
        num_nodes=options.nodes,
        strategy=("ddp_find_unused_parameters_true" if options.find_unused else "ddp") if several else "auto",
        precision=PRECISIONS[options.precision],  # type: ignore[arg-type]
        max_epochs=options.epochs, callbacks=callbacks, plugins=[WholeFiles()],
        logger=Curves(folder, name="", version=TENSORBOARD, default_hp_metric=False, purge_step=after + 1),
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False, log_every_n_steps=10**9,
        benchmark=device.type == "cuda",
    )  # fmt: skip


def _classified(loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> Step:
    return Step(loss, (logits.detach().argmax(1) == labels).sum(), len(labels))


def _unfrozen(network: nn.Module) -> dict[str, nn.Module]:
    """The direct parts of a network that are trained, or have nothing to train (dropout)."""
    found = {}
    for name, part in network.named_children():
        own = list(part.parameters())
        if not own or any(one.requires_grad for one in own):
            found[name] = part
    return found
