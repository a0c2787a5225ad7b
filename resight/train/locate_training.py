"""Train a mask network, from images to a run on disk."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.images.places import is_there
from resight.measure.watching import Watch, unwatched
from resight.train.classifier import Listener, Tell, check_installed, go_through, wait_for_all
from resight.train.finishing import complete, kept_epoch, restore_model, stopped_text
from resight.train.history import History
from resight.train.locate_options import LocateOptions, ask_locate, make_locate_network
from resight.train.locate_scenes import SYNTHETIC, Ready, Scenes, list_scenes, read_scenes, split_places, split_text
from resight.train.plan import rank, versions
from resight.train.run_files import (
    BEST,
    FORMAT,
    MODEL,
    OPTIONS,
    RECORD,
    SKIPPED,
    SPLIT,
    read_record,
    skipped_text,
    write_options,
    write_record,
    write_text,
)
from resight.train.run_folders import beginning, check_outside, check_same, clear, found_run, reserved

if TYPE_CHECKING:
    from resight.train.checkpoints import Report
    from resight.train.locate_runs import LocateRun

FIRST = (OPTIONS, SPLIT, SKIPPED)
DECODER = "segmentation_models_pytorch"
SHOWN = 5


@dataclass(frozen=True, eq=False)
class LocatePlan:
    """One training before it begins: what it learns from, in which parts, how, and where it is kept."""

    scenes: Scenes
    parts: tuple[tuple[int, ...], tuple[int, ...]]
    options: LocateOptions
    folder: Path


def train_locator(
    data: str | os.PathLike[str] | None, out: str | os.PathLike[str], options: LocateOptions | None = None, *,
    images: str | os.PathLike[str] | None = None, resume: bool = False, progress: Watch | None = None,
    report: Report | None = None, tell: Tell | None = None, **given: Any,
) -> LocateRun:  # fmt: skip
    """Train a network that marks a thing in images, and keep it in a folder.

    data:     images of anything, or a .json of COCO instances, or "synthetic", as `list_scenes` takes them; with
              `resume` None: those of the run
    out:      folder of the run, which must not exist yet, or hold a run of which no epoch has ended
    options:  or, instead, names of options (and `preset`, `config`): train_locator(data, out, combine="concat")
    images:   folder of the annotated images
    resume:   go on with the run that is in `out` if there is one, with its own options where none are given; what has
              finished is given back as it is
    progress: shows how far reading and each epoch are, see `resight.measure.watching`
    report:   called after each epoch
    tell:     called with what is worth knowing before training begins, a line each

    Images that cannot be used are left out and listed in skipped.csv.
    Raises InputError if the data, the options or the folder will not do; WorkError if training fails, or the run that
    is gone on with is damaged; KeyboardInterrupt for Ctrl-C, after which `resume` goes on with the last finished epoch.
    """
    if options is not None and given:
        raise InputError(f"give options, or {', '.join(given)}: not both")
    check_locating()
    place = Path(out)
    named = {key: given.pop(key, None) for key in ("preset", "config")}
    known = options if options is not None else ask_locate(place, given, resume=resume, **named)
    if data is None and not resume:
        raise InputError("give the data: images, COCO annotations, or synthetic (without data only --resume)")
    if data is None:
        data, images = _data_of(place, images)
    scenes = list_scenes(data, images)
    check_outside(place, scenes.folder or scenes.source)
    plan = LocatePlan(scenes, split_places(scenes, known), known, place)
    return _train(plan, resume, Listener(progress or unwatched, report, tell or (lambda text: None)))


def check_locating() -> None:
    """Raises InputError if something that training mask networks needs is not installed."""
    check_installed()
    if importlib.util.find_spec(DECODER) is None:
        raise InputError("training a mask network needs segmentation-models-pytorch: pip install 'resight[locate]'")


def _data_of(out: Path, images: str | os.PathLike[str] | None) -> tuple[str, str | os.PathLike[str] | None]:
    """The data of the run in `out` that is gone on with, and the folder of annotated images.

    Raises InputError if there is no run, or its data have moved.
    """
    if not (out / RECORD).is_file():
        raise InputError(f"{out} holds no run to go on with: give the data as well")
    facts = read_record(out, "locate")["data"]
    source, folder = str(facts.get("source")), facts.get("images_folder")
    if source != SYNTHETIC and not is_there(source):
        raise InputError(f"{source}, the data of {out}, is not there any more: give the place where it is now: "
                         f"resight train locate DATA --out {out} --resume")  # fmt: skip
    if source.lower().endswith(".json") and images is None:
        images = None if folder is None else str(folder)
    return source, images


def _train(plan: LocatePlan, resume: bool, listener: Listener) -> LocateRun:
    from resight.train.locate_runs import LocateRun

    first = rank(plan.options) == 0  # other processes of the same training write nothing
    before = found_run(plan.folder, resume, "locate") if first else None
    if before is not None and before["state"] == "finished":
        _check_finished(plan, before, listener.tell)
        return LocateRun.open(plan.folder, plan.options.device)
    network = make_locate_network(plan.options)
    own = plan.options
    listener.tell(f"locate: two {own.backbone} at {own.size} pixels, joined by {own.combine}; weights {own.weights}")
    with reserved(plan.folder) if first else contextlib.nullcontext():
        if first and found_run(plan.folder, resume, "locate") != before:
            raise WorkError(f"another process has trained in {plan.folder} meanwhile: run the command again")
        started = time.monotonic()
        ready = read_scenes(plan.scenes, plan.parts, own, watch=listener.watch)
        _tell_data(plan, ready, listener.tell)
        record = _facts(plan, network.record(), ready)
        record["seconds_reading"] = round(time.monotonic() - started, 3)
        if before is not None:
            check_same(plan.folder, before, record, own)
            lost = [name for name in FIRST if not (plan.folder / name).is_file()]
            _write_first(plan, ready.skipped, lost)
            for name in lost:
                listener.tell(f"{plan.folder / name} was lost, and is written again")
        elif first:
            _begin(plan, record, ready, listener.tell)
        history = _fit(plan, network, ready, listener)
        if first:
            _finish(plan, record, network, history)
        wait_for_all()
    return LocateRun.open(plan.folder, own.device)


def _check_finished(plan: LocatePlan, before: dict[str, Any], tell: Tell) -> None:
    """A run that has finished is what is asked for, and its weights are there, or are restored."""
    now = {"data": _data(plan), "split": before["split"], "network": before["network"]}
    check_same(plan.folder, before, now, plan.options)
    with reserved(plan.folder):
        restored = restore_model(plan.folder, before)
    if restored:
        tell(f"{plan.folder / MODEL} was lost, and is restored from {BEST}")
    how = f"was {stopped_text(before)}" if "stopped" in before else "has finished before"
    tell(f"{plan.folder} {how}; nothing is trained")


def _facts(plan: LocatePlan, network: dict[str, Any], ready: Ready) -> dict[str, Any]:
    """What run.json holds from the beginning."""
    split = {"train": len(ready.train.places), "val": len(ready.val.places), "skipped": len(ready.skipped)}
    return {
        "format": FORMAT, "task": "locate", "state": "training", "versions": versions(),
        "options": plan.options.as_dict(), "data": _data(plan), "split": split, "network": network,
    }  # fmt: skip


def _data(plan: LocatePlan) -> dict[str, Any]:
    scenes = plan.scenes
    boxes = None if scenes.boxes is None else sum(map(len, scenes.boxes.values()))
    return {"source": scenes.source, "images_folder": scenes.folder, "digest": scenes.digest,
            "images": len(scenes.paths), "boxes": boxes, "notes": list(scenes.notes)}  # fmt: skip


def _tell_data(plan: LocatePlan, ready: Ready, tell: Tell) -> None:
    """What is learned from and validated with, without what cannot be used; and that."""
    boxes = len(ready.train.things)
    what = "boxes drawn by chance" if plan.scenes.boxes is None else f"{boxes:,} annotated boxes to train on"
    tell(f"{len(ready.train.places):,} train, {len(ready.val.places):,} val images from {plan.scenes.source}, {what}; "
         f"{plan.options.samples:,} samples an epoch, {plan.options.val_samples:,} validate it")  # fmt: skip
    for note in plan.scenes.notes:
        tell(f"  {note}")
    for place, why in list(ready.skipped.items())[:SHOWN]:
        tell(f"  left out, cannot be used: {plan.scenes.paths[place]}: {why}")
    if len(ready.skipped) > SHOWN:
        tell(f"  ... and {len(ready.skipped) - SHOWN:,} more, all in {SKIPPED}")


def _begin(plan: LocatePlan, record: dict[str, Any], ready: Ready, tell: Tell) -> None:
    """The files of a run that begins; run.json last, for which all others must be there."""
    if clear(plan.folder):
        tell(f"no epoch of the training in {plan.folder} had ended: this one begins in its place")
    with beginning(plan.folder):
        _write_first(plan, ready.skipped, FIRST)
        write_record(plan.folder, record)


def _write_first(plan: LocatePlan, skipped: dict[int, str], names: Collection[str]) -> None:
    """Write these of the files that a run begins with."""
    val = set(plan.parts[1])
    folder = Path(os.path.abspath(plan.folder))
    for name in names:
        if name == OPTIONS:
            write_options(plan.folder, plan.options)
        elif name == SPLIT:
            write_text(plan.folder / SPLIT, split_text(plan.scenes, plan.parts, folder))
        else:
            rows = ((str(plan.scenes.paths[at]), "val" if at in val else "train", why) for at, why in skipped.items())
            write_text(plan.folder / SKIPPED, skipped_text(rows))


def _fit(plan: LocatePlan, network: Any, ready: Ready, listener: Listener) -> History:
    from resight.train.locate_engine import MaskEpochEnd, MaskTraining
    from resight.train.locate_samples import TRAIN, VAL, Samples
    from resight.train.material import Material

    own = plan.options
    material = Material(
        Samples(ready.train, own, TRAIN), Samples(ready.val, own, VAL), tuple(range(own.samples)),
        tuple(range(own.val_samples)),
    )  # fmt: skip
    return go_through(plan.folder, own, network, material, listener, kind=MaskTraining,
                      after=[MaskEpochEnd(plan.folder, own.panels)])  # fmt: skip


def _finish(plan: LocatePlan, record: dict[str, Any], network: Any, history: History) -> None:
    """The best weights as the run's own, and the logs of all epochs."""
    from resight.train.locate_engine import LOGS, logs_text

    kept = kept_epoch(plan.folder)
    if kept is None:
        raise WorkError(f"the checkpoints of {plan.folder} are gone: train again")
    network.cpu().load_state_dict(kept.state)
    write_text(plan.folder / LOGS, logs_text(history))
    complete(plan.folder, record, network, history, kept.epoch)
