"""`resight train embed`: an embedding network, from labelled images to a run on disk."""

from __future__ import annotations

import json as json_module
import math
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight.cli.destinations import check_folder
from resight.cli.flags import with_flags
from resight.cli.progress import duration
from resight.cli.train import Printer, print_line, show_progress
from resight.show.text import visible
from resight.train.embed_options import EmbedOptions

if TYPE_CHECKING:
    from resight.train.embed_runs import EmbedRun
    from resight.train.history import EpochLine

EMBED_TOPICS = {
    "Network": "backbone weights pool dim project size fit tune",
    "Loss": "loss margin reduction miner remine per_pair keep negatives per_class",
    "Images": "augment min_images validation test by seed",
    "Learning": "epochs batch lr weight_decay schedule warmup decay_every decay ema early_stop",
    "Machine": "device precision workers devices nodes",
}  # fmt: skip


def embed(
    data: Path | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    preset: str | None = None,
    config: Path | None = None,
    resume: bool = False,
    json: bool = False,
    **options: Any,
) -> int:
    """Train a network whose vectors are near for images of one class, for searching, and keep it in a folder.

    A backbone's last map is pooled and projected; what is trained are the projection and, unless --tune is head, the
    last block of the backbone. After an interruption --out FOLDER --resume goes on, and `resight train finish FOLDER`
    keeps the best epoch so far. `resight index PHOTOS --encoder FOLDER` uses it.

    Parameters
    ----------
    data
        A folder with a folder for each class; one with train, val, test of such folders; or a CSV with path, label and
        perhaps split and group, such as `resight split` writes. With --resume it may be left out.
    out
        Folder of the run, which must not exist yet.
    preset
        deep-image-matching: VGG-16 at 224, mac, triplets ranked anew in each epoch (with --pool spoc its other).
    config
        File of options, .yaml, .toml or .json; flags win. The options.yaml of a run is one.
    resume
        Go on with the run in --out, if there is one, with its data and options; what is given besides must agree.
    json
        Print the record of the run as JSON, and nothing else.
    """
    from resight.train.embed_options import ask_embed
    from resight.train.embed_training import train_embedder
    from resight.train.plan import rank

    given = {name: value for name, value in options.items() if value is not None}
    asked = ask_embed(out, given, preset=preset, config=config, resume=resume)
    first = rank(asked) == 0
    if first:
        check_folder(out)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    quiet = json or not first
    printer = EmbedPrinter()
    try:
        made = train_embedder(
            data, out, asked, resume=resume, progress=None if quiet else show_progress,
            report=None if quiet else printer.epoch, tell=None if quiet else print_line,
        )  # fmt: skip
    except KeyboardInterrupt:
        if first:
            print(f"resight: {printer.interrupted(out)}", file=sys.stderr, flush=True)
            return 130
        return 0  # anything else would have Lightning kill the first process before it has spoken
    if json and first:
        print(json_module.dumps({"folder": str(made.folder), **made.record}, indent=1))
    elif first:
        print_embedded(made)
    return 0


class EmbedPrinter(Printer):
    """Prints epochs as they end; of those that take a moment only, some."""

    def text(self, line: EpochLine) -> str:
        """One epoch in a line of a terminal."""
        return embed_line(line)


def embed_line(line: EpochLine) -> str:
    """One epoch in a line of a terminal: the loss, what was mined, how well validation images find their own."""
    width, nan = len(str(line.epochs)), math.nan
    share, recall = getattr(line, "share", nan), getattr(line, "recall", nan)
    mined = f" ({share:.1%} of {line.drawn:,} hard, mined in {duration(line.mining)})" if share == share else ""  # type: ignore[attr-defined]
    val = ""
    if line.val == line.val:
        best = "best" if line.best_epoch == line.epoch else f"best {line.best:.3f}, epoch {line.best_epoch}"
        val = f"  val mAP {line.val:.3f} ({best})  recall@1 {recall:.3f}"
    left = f", {duration(line.left)} left" if line.epoch < line.epochs else ""
    return (f"epoch {line.epoch:>{width}}/{line.epochs}  loss {line.loss:.4f}{mined}{val}  lr {line.lr:.1e}  "
            f"{duration(line.seconds)}{left}")  # fmt: skip


def print_embedded(made: EmbedRun) -> None:
    """What came out of a training, and what to do next."""
    best, record, before = made.record["best"], made.record, made.record.get("before")
    took = f"{duration(record['seconds'])} in all"
    if before and best["val_map"] is not None:
        print(f"best: validation mAP {before['map']:.3f} -> {best['val_map']:.3f} in epoch {best['epoch']} of "
              f"{record['epochs']}; {took}")  # fmt: skip
        if best["val_map"] <= before["map"]:
            print("no epoch is better than the start: try another --lr, --tune, --loss or --project")
        if best["val_map"] < before["frozen_map"]:
            print(f"the backbone alone, without a projection, has mAP {before['frozen_map']:.3f}, which is more: try "
                  "--project identity or another --dim")  # fmt: skip
    else:
        print(f"{record['epochs']} epochs without validation; {took}")
    print(f"run: {visible(str(made.folder))} (curves.png, metrics.csv, validation.csv, model.safetensors ...)")
    folder = visible(shlex.quote(str(made.folder)))
    held = record["split"]["test"]
    data = visible(shlex.quote(str(record["data"]["source"]))) if held else "DATA"
    print(f"next: resight test {folder} {data}" + ("" if held else "   (of other images: nothing is held back)"))
    print(f"next: resight index PHOTOS --encoder {folder}")


with_flags(embed, EmbedOptions, EMBED_TOPICS)
