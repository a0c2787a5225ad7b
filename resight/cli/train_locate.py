"""`resight train locate`: a network that marks a thing in images, from images to a run on disk."""

from __future__ import annotations

import json as json_module
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
from resight.train.locate_options import LocateOptions

if TYPE_CHECKING:
    from resight.train.locate_runs import LocateRun

LOCATE_TOPICS = {
    "Network": "backbone weights combine width size",
    "Samples": "samples val_samples negative rotate degrees flip scale perspective occlude light noise validation seed",
    "Learning": "epochs batch lr weight_decay schedule warmup decay_every decay ema early_stop panels",
    "Machine": "device precision workers devices nodes",
}  # fmt: skip


def locate(
    data: str | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    images: Path | None = None,
    preset: str | None = None,
    config: Path | None = None,
    resume: bool = False,
    json: bool = False,
    **options: Any,
) -> int:
    """Train a network that finds a picture of a thing in other images, and keep it in a folder.

    It learns from images of anything: boxes are cut out and sought in the changed image. On a CPU give fewer --samples
    and a smaller --size. After an interruption --out FOLDER --resume goes on, and `resight train finish FOLDER` keeps
    the best epoch so far. `resight match TEMPLATE SCENE --method mask --model FOLDER` uses it.

    Parameters
    ----------
    data
        A folder of images (boxes are drawn by chance), the .json of COCO instances (its boxes), or `synthetic`. Left
        out: RESIGHT_LOCATE_DATA of the environment or of a file .env here, and RESIGHT_LOCATE_IMAGES; with --resume
        those of the run.
    out
        Folder of the run, which must not exist yet.
    images
        Folder of the images of COCO annotations, if it is not `images` beside them.
    preset
        neural-template-matching: the options of the network of that name (two ResNet-152, 512 pixels, batch 32).
    config
        File of options, .yaml, .toml or .json; flags win. The options.yaml of a run is one.
    resume
        Go on with the run in --out, if there is one, with its data and options; what is given besides must agree.
    json
        Print the record of the run as JSON, and nothing else.
    """
    from resight.train.locate_options import ask_locate
    from resight.train.locate_training import train_locator
    from resight.train.plan import rank

    given = {name: value for name, value in options.items() if value is not None}
    asked = ask_locate(out, given, preset=preset, config=config, resume=resume)
    if data is None and not resume:
        data, images = _named(images)
    first = rank(asked) == 0
    if first:
        check_folder(out)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    quiet = json or not first
    printer = Printer()
    try:
        made = train_locator(
            data, out, asked, images=images, resume=resume, progress=None if quiet else show_progress,
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
        print_located(made)
    return 0


def print_located(made: LocateRun) -> None:
    """What came out of a training, and what to do next."""
    best, record = made.record["best"], made.record
    print(f"best: validation IoU {best['val_iou']:.3f} in epoch {best['epoch']} of {record['epochs']}; "
          f"{duration(record['seconds'])} in all")  # fmt: skip
    print(f"run: {visible(str(made.folder))} (curves.png, panels, metrics.csv, model.safetensors ...)")
    folder = visible(shlex.quote(str(made.folder)))
    print(f"next: resight match TEMPLATE SCENE ... --method mask --model {folder}")


def _named(images: Path | None) -> tuple[str | None, Path | None]:
    """The data that the environment or a file .env names, and its images if they are not given."""
    from resight.train.locate_paths import named_paths

    data, folder = named_paths(Path())
    return data, images if images is not None or folder is None or data is None else Path(folder)


with_flags(locate, LocateOptions, LOCATE_TOPICS)
