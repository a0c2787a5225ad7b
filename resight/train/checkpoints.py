"""What each epoch leaves on the disk, so that a training can be killed at any moment and go on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from resight.errors import WorkError, advice
from resight.measure.watching import Watch
from resight.train.course import Course
from resight.train.history import EpochLine, History, make_history
from resight.train.run_files import BEST, LAST, METRICS, short, write_text
from resight.train.run_folders import lost_checkpoints

if TYPE_CHECKING:
    import lightning.pytorch as lightning

    from resight.train.engine import Training

Report = Callable[[EpochLine], None]


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are written beside their place and renamed: there is never a part of one.

    Lightning's own writes to the system's folder of temporary files and copies from there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint. Raises WorkError if the disk refuses."""
        target = Path(path)
        temporary = target.parent / f".resight-{secrets.token_hex(6)}.tmp"
        try:
            target.parent.mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except (OSError, RuntimeError) as error:
            raise WorkError(f"cannot write {target}: {refused(error)}; then go on with --resume") from error
        finally:
            temporary.unlink(missing_ok=True)


def refused(error: BaseException) -> str:
    """Why the disk did not take something, and what to do: torch's writer hides the system's error behind its own."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError):
            return advice(one)
        one = one.__cause__ or one.__context__
    return f"the file could not be written whole, the disk may be full ({short(error)}); free some space"


class Curves(TensorBoardLogger):
    """TensorBoard's files, without the empty hparams.yaml."""

    def save(self) -> None:
        """Whatever was logged is on the disk."""
        self.experiment.flush()


class EpochEnd(Checkpoint):
    """After each epoch: checkpoints, metrics.csv, TensorBoard, the report; and whether to stop early."""

    def __init__(self, folder: Path, options: Course, report: Report | None, watch: Watch) -> None:
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
                self.report(history.line(int(self.options.epochs or 0), self.options.unit))
        if is_over(history, self.options):
            trainer.should_stop = True

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Clears the terminal for what is said about it."""
        self.stopped_by = exception
        self._shown.close()


def is_over(history: History, options: Course) -> bool:
    """Whether a training has had all its epochs, or none of the last `early_stop` was the best."""
    if len(history) >= int(options.epochs or 0):
        return True
    return bool(options.early_stop) and history.waited() >= options.early_stop


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    history     its epochs, none if it has yet to begin
    checkpoint  what holds the state after the last of them: LAST or BEST
    note        what the reader should know about it
    """

    history: History
    checkpoint: str = LAST
    note: str = ""


def read_progress(folder: Path) -> Progress:
    """Where a training in this folder goes on: after the later of its checkpoints that are whole.

    The best is the later one if a training was killed between the two, or the last is lost.
    Raises WorkError if there is nothing to go on from, or the weights of the best epoch are lost.
    """
    place = folder / LAST
    last, best = try_checkpoint(place), try_checkpoint(folder / BEST)
    if last is None and best is None and not place.is_file() and not (folder / BEST).is_file():
        gone = "the checkpoints are gone: beginning again from the first epoch"
        return Progress(History(()), note=gone if lost_checkpoints(folder) else "")
    whole = best is not None and "optimizer_states" in best  # older versions kept only the weights of the best
    after, later = (len(one["history"]) if one else 0 for one in (last, best))
    if best is not None and whole and later > after:
        lost = f"{LAST} is {'damaged' if place.is_file() else 'missing'}" if last is None else ""
        note = f"{lost}: going on from {BEST}; what came after epoch {later} is done again" if lost else ""
        return Progress(make_history(best["history"]), BEST, note)
    if last is None:
        lost = f"{place} and {BEST} are damaged" if best is None else f"{place} is lost, and {BEST} has weights only"
        raise WorkError(f"{lost}: {_way_out(folder, best is not None)}")
    history = make_history(last["history"])
    kept = history.best
    if kept is not None and kept.epoch not in (after, later) and later <= after:
        raise WorkError(f"{folder / BEST} is lost, and with it epoch {kept.epoch}, the best so far: "
                        f"{_way_out(folder, True)}")  # fmt: skip
    return Progress(history)


def mend(folder: Path, progress: Progress) -> None:
    """Files that a kill or a damage left behind another epoch than the one that a training goes on after."""
    history = progress.history
    if not len(history):
        return
    write_text(folder / METRICS, history.text())
    kept, best = history.best, try_checkpoint(folder / BEST)
    if kept is not None and kept.epoch == len(history) and (best is None or len(best["history"]) < kept.epoch):
        WholeFiles().save_checkpoint(read_checkpoint(folder / progress.checkpoint), folder / BEST)


def _way_out(folder: Path, some: bool) -> str:
    finish = f"`resight train finish {folder}` keeps the epoch that is there, or " if some else ""
    return f"{finish}remove {folder} and train again"


def try_checkpoint(file: Path) -> dict[str, Any] | None:
    """A checkpoint, None if it is missing or damaged."""
    try:
        return read_checkpoint(file) if file.is_file() else None
    except WorkError:
        return None


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint; nothing in it can run. Raises WorkError if it is damaged."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
            raise ValueError("it holds something else")
        make_history(found["history"])
    except OSError as error:
        raise WorkError(f"cannot read the checkpoint {file}: {error.strerror or error}") from error
    except Exception as error:  # torch raises a dozen types for damaged or hostile files, with advice to trust them
        raise WorkError(f"cannot read the checkpoint {file}: it is damaged, or no checkpoint of a training") from error
    return found
