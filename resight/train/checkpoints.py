"""What each epoch leaves on the disk, so that a training can be killed at any moment and go on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from resight.errors import WorkError, advice
from resight.measure.watching import Watch
from resight.train.history import EpochLine, History, make_history
from resight.train.options import TrainOptions
from resight.train.run_files import BEST, LAST, METRICS, write_text

if TYPE_CHECKING:
    import lightning.pytorch as lightning

    from resight.train.engine import Training

Report = Callable[[EpochLine], None]


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are written beside their place and renamed: there is never a part of one.

    Lightning's own writes to the system's folder of temporary files and copies from there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; of the best one only the weights. Raises WorkError if the disk refuses."""
        target = Path(path)
        if target.name == Path(BEST).name:
            checkpoint = {key: checkpoint[key] for key in ("state_dict", "history")}
        temporary = target.parent / f".resight-{secrets.token_hex(6)}.tmp"
        try:
            target.parent.mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            why = advice(error) if isinstance(error, OSError) else str(error).splitlines()[0]
            raise WorkError(f"cannot write {target}: {why}") from error
        finally:
            temporary.unlink(missing_ok=True)


class Curves(TensorBoardLogger):
    """TensorBoard's files, without the empty hparams.yaml."""

    def save(self) -> None:
        """Whatever was logged is on the disk."""
        self.experiment.flush()


class EpochEnd(Checkpoint):
    """After each epoch: checkpoints, metrics.csv, TensorBoard, the report; and whether to stop early."""

    def __init__(self, folder: Path, options: TrainOptions, report: Report | None, watch: Watch) -> None:
        self.folder, self.options, self.report, self.watch = folder, options, report, watch
        self.stopped_by: BaseException | None = None
        self._shown = ExitStack()
        self._show: Callable[[int, int], None] = lambda done, failed: None

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Begins to show how far the epoch is."""
        if trainer.is_global_zero:
            module: Training = pl_module
            verb = f"epoch {len(module.history) + 1} of {self.options.epochs}"
            self._show = self._shown.enter_context(self.watch(verb, int(trainer.num_training_batches), "steps"))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows how far the epoch is."""
        self._show(batch_idx + 1, 0)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """The best checkpoint first: if this is killed in between, the epoch is done again and nothing is lost."""
        module: Training = pl_module
        history = History(module.history)
        last, best = history.epochs[-1], history.best
        if best is last:
            trainer.save_checkpoint(self.folder / BEST)
        trainer.save_checkpoint(self.folder / LAST)
        self._shown.close()
        if trainer.is_global_zero:
            write_text(self.folder / METRICS, history.text())
            if trainer.logger is not None:
                values = {name: value for name, value in last.as_dict().items() if name != "epoch" and value == value}
                trainer.logger.log_metrics(values, step=last.epoch)
                trainer.logger.save()
            if self.report is not None:
                self.report(
                    history.line(int(self.options.epochs or 0), "sequences" if self.options.sequences else "images")
                )
        if is_over(history, self.options):
            trainer.should_stop = True

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Clears the terminal for what is said about it."""
        self.stopped_by = exception
        self._shown.close()


def is_over(history: History, options: TrainOptions) -> bool:
    """Whether a training has had all its epochs, or none of the last `early_stop` was the best."""
    if len(history) >= int(options.epochs or 0):
        return True
    return bool(options.early_stop) and history.waited() >= options.early_stop


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint; nothing in it can run. Raises WorkError if it is damaged."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(found, dict) or not {"state_dict", "history"} <= found.keys():
            raise ValueError("it holds something else")
    except Exception as error:  # torch raises a dozen types for damaged or hostile files
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise WorkError(f"cannot read the checkpoint {file}: {first}; remove it to begin again, or train into another "
                        "folder") from error  # fmt: skip
    return found


def read_progress(folder: Path) -> History:
    """The epochs that the last checkpoint of a run folder has behind it; none without one."""
    file = folder / LAST
    return make_history(read_checkpoint(file)["history"]) if file.is_file() else History(())
