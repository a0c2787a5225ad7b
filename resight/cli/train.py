"""`resight train classify`: a classifier of images or sequences, from a folder to a run on disk."""

from __future__ import annotations

import json as json_module
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from resight.cli.destinations import check_folder
from resight.cli.flags import with_flags
from resight.cli.progress import duration, progress
from resight.show.text import visible
from resight.train.options import TrainOptions

if TYPE_CHECKING:
    from resight.train.folds import FoldedRuns
    from resight.train.history import EpochLine
    from resight.train.runs import Run

SECONDS_BETWEEN_EPOCHS = 2.0
SECONDS_BETWEEN_LINES = 60.0
SECONDS_BEFORE_BAR = 1.0
TOPICS = {
    "Network": "input backbone weights sift_backbone sift_weights sift stem size dropout",
    "Images": "fit mask augment balance validation test groups seed",
    "Learning": "tune epochs batch lr optimiser weight_decay schedule warmup decay_every decay "
    "label_smoothing ema early_stop",
    "Sequences": "sequences frames head motion",
    "Machine": "device precision workers devices nodes",
}  # fmt: skip

app = App(name="train", help="Train a classifier, a network that finds things, or one for searching.")


def classify(
    data: Path | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    preset: str | None = None,
    config: Path | None = None,
    folds: int = 0,
    resume: bool = False,
    json: bool = False,
    **options: Any,
) -> int:
    """Train a classifier of images or sequences, and keep it in a folder.

    The defaults fine-tune a small network, which takes minutes on a CPU; --tune head is faster and often as good.
    After an interruption --out FOLDER --resume goes on, and `resight train finish FOLDER` keeps the best epoch so far.

    Parameters
    ----------
    data
        A folder with a folder for each class; one with train, val, test of such folders; or a CSV with path, label and
        perhaps split and group. With --resume it may be left out.
    out
        Folder of the run, which must not exist yet.
    preset
        deepsky: the options of sift-cnn-all-sky-images.
    config
        File of options, .yaml, .toml or .json; flags win. The options.yaml of a run is one.
    folds
        Train this many times, each time validated on another part of the data.
    resume
        Go on with the run in --out, if there is one, with its data and options; what is given besides must agree.
    json
        Print the record of the run as JSON, and nothing else.
    """
    from resight.train.asking import ask
    from resight.train.classifier import train_classifier
    from resight.train.plan import rank

    given = {name: value for name, value in options.items() if value is not None}
    asked = ask(out, given, preset=preset, config=config, folds=folds, resume=resume)
    first = rank(asked.options) == 0
    if first:
        check_folder(out)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    quiet = json or not first
    printer = Printer()
    try:
        made = train_classifier(
            data, out, asked.options, folds=asked.folds, resume=resume, progress=None if quiet else show_progress,
            report=None if quiet else printer.epoch, tell=None if quiet else print_line,
        )  # fmt: skip
    except KeyboardInterrupt:
        if first:
            print(f"resight: {printer.interrupted(out)}", file=sys.stderr, flush=True)
            return 130
        return 0  # anything else would have Lightning kill the first process before it has spoken
    if json and first:
        runs = made.runs if hasattr(made, "runs") else (made,)
        records = [{"folder": str(run.folder), **run.record} for run in runs]
        print(json_module.dumps(records if asked.folds else records[0], indent=1))
    elif first:
        print_end(made)
    return 0


def print_line(text: str) -> None:
    """Prints what is worth knowing."""
    print(visible(text), flush=True)


def epoch_line(line: EpochLine) -> str:
    """One epoch in a line of a terminal."""
    width = len(str(line.epochs))
    val = ""
    if line.val == line.val:
        best = "best" if line.best_epoch == line.epoch else f"best {line.best:.3f}, epoch {line.best_epoch}"
        val = f"  val {line.val:.3f} ({best})"
    left = f", {duration(line.left)} left" if line.epoch < line.epochs else ""
    return (
        f"epoch {line.epoch:>{width}}/{line.epochs}  loss {line.loss:.3f}  train {line.train:.3f}{val}  "
        f"lr {line.lr:.1e}  {duration(line.seconds)}, {line.per_second:,.0f} {line.unit}/s{left}"
    )


class Printer:
    """Prints epochs as they end; of those that take a moment only, some."""

    def __init__(self) -> None:
        self.last: EpochLine | None = None
        self._printed = -SECONDS_BETWEEN_EPOCHS

    def epoch(self, line: EpochLine) -> None:
        """Prints an epoch, or not."""
        self.last = line
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_EPOCHS or line.epoch in (1, line.epochs):
            self._printed = now
            print(self.text(line), flush=True)

    def text(self, line: EpochLine) -> str:
        """One epoch in a line of a terminal."""
        return epoch_line(line)

    def interrupted(self, out: Path) -> str:
        """What is said after Ctrl-C; out: folder of the run, or of folds."""
        if self.last:
            kept = f"{self.last.epoch} of {self.last.epochs} epochs are kept"
        elif any(out.glob("checkpoints/*.ckpt")) or any(out.glob("fold-*/checkpoints/*.ckpt")):
            kept = "epochs that have ended are kept"
        else:
            return "interrupted before an epoch had ended: nothing is kept, run the same command again"
        return f"interrupted; {kept}: run the same command with --resume to go on"


def show_progress(verb: str, total: int, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Reading is shown as elsewhere; epochs come and go, so that their lines stay together."""
    return _epoch(verb, total) if verb.startswith("epoch") else progress(verb, total, unit)


@contextmanager
def _epoch(verb: str, total: int) -> Iterator[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        yield _rare_lines(verb, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(verb, total=total)
    begun = time.monotonic()

    def show(done: int, failed: int) -> None:
        if not bar.live.is_started and time.monotonic() - begun > SECONDS_BEFORE_BAR:
            bar.start()  # not for epochs that end at once: it would only flicker
        bar.update(task, completed=done)

    try:
        yield show
    finally:
        bar.stop()


def _rare_lines(verb: str, total: int) -> Callable[[int, int], None]:
    last = time.monotonic()
    first: tuple[float, int] | None = None  # the end of the first step, before which all is got ready

    def show(done: int, failed: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        first = first or (now, done)
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            steps = done - first[1]
            left = f", {duration((total - done) * (now - first[0]) / steps)} left" if steps else ""
            print(f"{verb}: step {done:,} of {total:,}{left}", file=sys.stderr, flush=True)

    return show


def print_end(made: Run | FoldedRuns) -> None:
    """What came out of a training, and what to do next."""
    from resight.train.folds import FoldedRuns

    if isinstance(made, FoldedRuns):
        for number, (run, accuracy) in enumerate(zip(made.runs, made.accuracies, strict=True), 1):
            print(f"fold {number}: validation accuracy {accuracy:.3f}  {visible(str(run.folder))}")
        print(f"{made} (after the last epoch of each; folds.json has them all)")
        print(_next(made.runs[0]) + ("   (each fold is a run)" if len(made.runs) > 1 else ""))
        return
    best, record = made.record["best"], made.record
    if best["val_accuracy"] is not None:
        print(f"best: validation accuracy {best['val_accuracy']:.3f} in epoch {best['epoch']} of {record['epochs']}; "
              f"{duration(record['seconds'])} in all")  # fmt: skip
    else:
        print(f"{record['epochs']} epochs without validation; {duration(record['seconds'])} in all")
    print(f"run: {visible(str(made.folder))} (curves.png, metrics.csv, model.safetensors ...)")
    print(_next(made))


def _next(run: Run) -> str:
    folder = visible(shlex.quote(str(run.folder)))
    if run.record["split"]["test"]:
        return f"next: resight test {folder}"
    what = "SEQUENCE" if run.options.sequences else "IMAGE"
    return f"next: resight classify {folder} {what} ...   (nothing is held back for a test; --test 0.2 would)"


app.command(with_flags(classify, TrainOptions, TOPICS), name="classify", help=None)
app.command("resight.cli.train_locate:locate", name="locate", help="Train a network that finds a picture in images.")
app.command(
    "resight.cli.train_embed:embed",
    name="embed",
    help="Train a network for searching: near vectors for images of a class.",
)
app.command("resight.cli.finish:finish", name="finish", help="Keep the best epoch so far of a training that stopped.")
app.command("resight.cli.study:study", name="study", help="Rows of trainings side by side, over several seeds.")
