"""The folder of a run: never overwritten, never trained in by two at once, gone on with only by the same command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resight.errors import InputError, WorkError, advice
from resight.train.options import TrainOptions, changed, make_options
from resight.train.run_files import (
    CHECKPOINTS,
    CURVES,
    METRICS,
    MODEL,
    OPTIONS,
    RECORD,
    SKIPPED,
    SPLIT,
    TENSORBOARD,
    read_record,
)

OWN = {RECORD, OPTIONS, SPLIT, SKIPPED, METRICS, CURVES, MODEL, CHECKPOINTS, TENSORBOARD}
NOT_DECIDING = ("device", "devices", "nodes", "workers")  # a run may go on with others
TEMPORARY = ".resight-"
SHOWN = 4


def found_run(folder: Path, resume: bool) -> dict[str, Any] | None:
    """The record of the run that `folder` holds, if it is to be gone on with; None if there is none yet.

    Raises InputError if something is there and `resume` is not asked for, or it is no run.
    """
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, or a name that is free, got a file: choose another --out")
    names = {entry.name for entry in folder.iterdir()}
    if not names:
        return None
    if RECORD in names:
        record = read_record(folder)
        if not resume:
            what = "a finished training" if record["state"] == "finished" else "a training that has not finished"
            raise InputError(f"{folder} holds {what}, which is not overwritten: choose another --out"
                             + ("" if record["state"] == "finished" else ", or --resume to go on with it"))  # fmt: skip
        return record
    own = all(name in OWN or name.startswith(TEMPORARY) for name in names)
    if resume and own:
        return None  # it was stopped before the first epoch
    hint = ", or --resume to begin again in it" if own else ""
    raise InputError(f"{folder} is there already and is not overwritten: choose another --out{hint}")


def check_same(folder: Path, record: dict[str, Any], facts: dict[str, Any], options: TrainOptions) -> None:
    """Raises InputError, naming what differs, unless the run was begun with these options on this data.

    record: of the run; facts: what a run that begins now would record
    """
    before = make_options(**record["options"])
    names = [name for name in changed(before, options) if name not in NOT_DECIDING]
    apart = [f"{name} {getattr(before, name)!r}, now {getattr(options, name)!r}" for name in names[:SHOWN]]
    if len(names) > SHOWN:
        apart.append(f"{len(names) - SHOWN} options more")
    if record["data"].get("digest") != facts["data"]["digest"]:
        apart.append(f"the data (then {record['data'].get('source')}: {record['data'].get('images')} images; now "
                     f"{facts['data']['source']}: {facts['data']['images']})")  # fmt: skip
    elif record["split"].get("skipped") != facts["split"]["skipped"]:
        apart.append(f"images that cannot be read: {record['split'].get('skipped')}, now {facts['split']['skipped']}")
    if not names and record["network"] != facts["network"]:
        apart.append("the weights that training starts from")
    if record.get("fold") != facts.get("fold"):
        apart.append(f"the fold: {record.get('fold')}, now {facts.get('fold')}")
    if apart:
        raise InputError(f"{folder} was begun with other choices: {'; '.join(apart)}: repeat the command that began "
                         "it, or choose another --out")  # fmt: skip


@contextlib.contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """The folder, made if need be and locked against a second training; removed again if nothing was put into it.

    Raises WorkError if it cannot be made, or another process trains in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if os.name == "posix" else None
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {advice(error)}") from error
    try:
        if handle is not None:
            _lock(handle, folder)
        for left in (*folder.glob(f"{TEMPORARY}*"), *(folder / CHECKPOINTS).glob(f"{TEMPORARY}*")):
            left.unlink(missing_ok=True)  # of a process that was killed while it wrote
        yield
    finally:
        if handle is not None:
            os.close(handle)
        with contextlib.suppress(OSError):
            folder.rmdir()  # refused unless it is empty


def _lock(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WorkError(f"another process is training in {folder}: wait for it, or choose another --out") from error
    except OSError:
        return  # a file system without locks
