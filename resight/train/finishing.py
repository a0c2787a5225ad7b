"""How a training becomes a run to use: the weights of its best epoch, its curves, and run.json last.

At the end of a training; for one that was stopped and shall not go on (`finish_run`); and for a run whose weights are
lost but not its checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.train.history import Epoch, History, make_history
from resight.train.plan import epoch_facts
from resight.train.run_files import (
    BEST,
    CURVES,
    LAST,
    METRICS,
    MODEL,
    has_model,
    read_record,
    recorded_course,
    recorded_embedding,
    recorded_locating,
    recorded_options,
    short,
    write_model,
    write_record,
    write_text,
)
from resight.train.run_folders import LOST, lost_checkpoints, reserved

if TYPE_CHECKING:
    from resight.train.embed_runs import EmbedRun
    from resight.train.locate_runs import LocateRun
    from resight.train.runs import Run


@dataclass(frozen=True, eq=False)
class Kept:
    """What the checkpoints of a run folder have to give.

    history  all epochs that have ended
    epoch    the one whose weights are there: the best, or the last if the best is lost
    state    those weights
    """

    history: History
    epoch: Epoch
    state: dict[str, Any]


def finish_run(
    folder: str | os.PathLike[str], device: str = "auto", *, tell: Callable[[str], None] = lambda text: None
) -> Run | LocateRun | EmbedRun:
    """Take the best epoch so far of a training that was stopped as its result; the run is then finished.

    device: where the network of the run that is given back will be
    tell:   called with what was done, a line each

    run.json says after which epoch it was stopped. A run that has finished is given back as it is; if its weights are
    lost, they are restored from its best checkpoint.
    Raises InputError if the folder holds no run or no epoch has ended, WorkError if it is damaged, or trains just now.
    """
    place = Path(folder)
    read_record(place, None)  # before the folder is touched: is it a run at all?
    with reserved(place):
        record = read_record(place, None)
        if record["state"] != "finished":
            _finish(place, record, tell)
        elif restored := restore_files(place, record):
            tell(restored)
        else:
            tell(f"{place} has finished before; nothing is changed")
    return _open(place, str(record.get("task")), device)


def _open(folder: Path, task: str, device: str) -> Run | LocateRun | EmbedRun:
    if task == "locate":
        from resight.train.locate_runs import LocateRun

        return LocateRun.open(folder, device)
    if task == "embed":
        from resight.train.embed_runs import EmbedRun

        return EmbedRun.open(folder, device)
    from resight.train.runs import Run

    return Run.open(folder, device)


def _finish(folder: Path, record: Mapping[str, Any], tell: Callable[[str], None]) -> None:
    kept = kept_epoch(folder)
    if kept is None and lost_checkpoints(folder):
        raise WorkError(f"{folder}: nothing can be kept of this training, {LOST}")
    if kept is None and any((folder / name).is_file() for name in (LAST, BEST)):
        raise WorkError(f"{folder}: {LAST} and {BEST} are lost or damaged, there is nothing to keep: remove {folder} "
                        "and train again")  # fmt: skip
    if kept is None:
        raise InputError(f"{folder}: no epoch of this training has ended, there is nothing to keep: train again, the "
                         "same --out may be used")  # fmt: skip
    network = rebuild(folder, record, kept.state)
    ended, of = len(kept.history), recorded_course(folder, dict(record)).epochs
    facts = {**record, "stopped": {"after": ended, "of": of}}
    complete(folder, facts, network, kept.history, kept.epoch)
    tell(f"{folder}: {stopped_text(facts)}")
    best = kept.history.best
    if best is not None and best.epoch != kept.epoch.epoch:
        tell(f"  the weights of its best epoch, {best.epoch}, are lost: those of epoch {kept.epoch.epoch} are kept")


def stopped_text(record: Mapping[str, Any]) -> str:
    """Where a training was stopped, as its record says.

    >>> stopped_text({"stopped": {"after": 7, "of": 20}})
    'stopped after epoch 7 of 20'
    """
    stopped = record["stopped"]
    return f"stopped after epoch {stopped['after']} of {stopped['of']}"


def complete(folder: Path, record: Mapping[str, Any], network: Any, history: History, kept: Epoch) -> None:
    """The weights of the network as the run's own, what belongs to them, and run.json last: then it is complete.

    record: what run.json says so far;  kept: the epoch that the weights are of
    """
    digest = write_model(folder / MODEL, network.state_dict())
    write_text(folder / METRICS, history.text())
    history.plot(folder / CURVES)
    training = sum(history.column("seconds"))
    if record.get("task") == "embed":
        from resight.train.embed_files import finish_files

        finish_files(folder, record, digest)
    write_record(folder, {
        **record, "state": "finished", "epochs": len(history), "best": epoch_facts(kept),
        "last": epoch_facts(history.epochs[-1]), "seconds": round(record.get("seconds_reading", 0.0) + training, 3),
        "images_per_second": round(sum(history.column("images")) / max(training, 1e-9), 2),
        "model": {"file": MODEL, "sha256": digest},
    })  # fmt: skip


def restore_model(folder: Path, record: Mapping[str, Any]) -> bool:
    """Write the weights of a finished run again if they are lost, from its checkpoints; whether that was needed.

    Raises WorkError if the checkpoints do not hold those very weights.
    """
    if has_model(folder, dict(record)):
        return False
    file = folder / MODEL
    lost = f"{file} is {'damaged' if file.is_file() else 'missing'}"
    otherwise = "bring the file back, or train again into another folder"
    kept = kept_epoch(folder)
    if kept is None:
        raise WorkError(f"{lost}, and so is {BEST}: {otherwise}")
    network = rebuild(folder, record, kept.state)
    try:
        write_model(file, network.state_dict(), str(record["model"]["sha256"]))
    except WorkError as error:
        why = str(error) if (folder / BEST).is_file() else f"so is {BEST}, and {LAST} is of a later epoch"
        raise WorkError(f"{lost}, and cannot be restored ({why}): {otherwise}") from error
    return True


def restore_files(folder: Path, record: Mapping[str, Any]) -> str:
    """Write again what a finished run needs to be used and has lost; says what that was, "" if nothing.

    Raises WorkError as `restore_model`.
    """
    if restore_model(folder, record):
        return f"{folder / MODEL} was lost, and is restored from {BEST}"
    if record.get("task") == "embed":
        from resight.train.embed_files import ENCODER, restore_encoder

        if restore_encoder(folder, record):
            return f"{folder / ENCODER} was lost, and is written again"
    return ""


def kept_epoch(folder: Path) -> Kept | None:
    """What there is to keep of a training: its best epoch, or its last if that is lost; None if there is neither."""
    from resight.train.checkpoints import try_checkpoint

    best, last = try_checkpoint(folder / BEST), try_checkpoint(folder / LAST)
    histories = [make_history(one["history"]) for one in (last, best) if one is not None]
    if not histories:
        return None
    history = max(histories, key=len)
    for one in (best, last):
        ended = 0 if one is None else len(one["history"])
        if one is not None and ended and history.best is not None and ended == history.best.epoch:
            return _kept(history, ended, one)
    return None if last is None else _kept(make_history(last["history"]), len(last["history"]), last)


def _kept(history: History, epoch: int, checkpoint: Mapping[str, Any]) -> Kept:
    own = checkpoint["state_dict"]
    # Weights of a loss (proxies of classes) are of no use to the network.
    state = {name.removeprefix("learned."): own[name] for name in own if not name.startswith("loss.")}
    return Kept(history, history.epochs[epoch - 1], state)


def rebuild(folder: Path, record: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """The network of a run with the weights of a checkpoint, which lack those of layers that were never trained.

    Raises WorkError if those cannot be had any more, or nothing fits.
    """
    make = _maker(folder, dict(record))
    try:
        network = make(record["network"])
        keys = network.load_state_dict(state, strict=False)
        if keys.unexpected_keys:
            raise WorkError(f"the checkpoint is of another network, with {keys.unexpected_keys[0]!r}")
        if keys.missing_keys:
            network = make(None)
            if network.record() != record["network"]:
                raise WorkError("these weights have changed since")
            network.load_state_dict(state, strict=False)
    except (InputError, WorkError, RuntimeError) as error:  # torch raises RuntimeError for another shape
        raise WorkError(f"{folder}: its network cannot be put together again from its checkpoint and the weights that "
                        f"training started from ({short(error)})") from error  # fmt: skip
    return network


def _maker(folder: Path, record: dict[str, Any]) -> Callable[[Any], Any]:
    """What makes the network of a run: of its record, without weights; or of None, with those that it started from."""
    if record.get("task") == "locate":
        from resight.match.mask_network import rebuild_mask_network
        from resight.train.locate_options import make_locate_network

        known = recorded_locating(folder, record)
        return lambda facts: rebuild_mask_network(facts) if facts is not None else make_locate_network(known)
    if record.get("task") == "embed":
        from resight.train.embed_network import make_embed_network, rebuild_embed_network

        own = recorded_embedding(folder, record)
        return lambda facts: (make_embed_network(own, record["network"]) if facts is None
                              else rebuild_embed_network(facts, own.tune))  # fmt: skip
    from resight.train.runs import make_run_network

    options, classes = recorded_options(folder, record), len(record["classes"])
    return lambda facts: make_run_network(options, classes, facts)
