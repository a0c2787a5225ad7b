"""The folder of a run: never overwritten, never trained in by two at once, gone on with only by the same command."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resight.errors import InputError, WorkError, advice
from resight.images.places import is_folder
from resight.train.course import Course
from resight.train.embed_files import FEATURES, START
from resight.train.options import changed
from resight.train.run_files import (
    BEST,
    CHECKPOINTS,
    LAST,
    LEARNED,
    METRICS,
    OPTIONS,
    RECORD,
    SKIPPED,
    SPLIT,
    TENSORBOARD,
    read_record,
    recorded_course,
)

# What a run leaves before its first epoch has ended.
FIRST = {RECORD, OPTIONS, SPLIT, SKIPPED, LEARNED, CHECKPOINTS, TENSORBOARD, START, FEATURES}
EVENTS = "events.out.tfevents"
VECTORS = "*.npy"  # in FEATURES
NOT_DECIDING = ("device", "devices", "nodes", "workers", "panels")  # a run may go on with others
TEMPORARY = ".resight-"
BEGINS = ".resight-begins"  # is there while the first files of a run are written
SHOWN = 4
LOST = ("its checkpoints are gone: --resume begins it again from the first epoch, or choose another --out and remove "
        "this one")  # fmt: skip


def found_run(folder: Path, resume: bool, task: str = "classify") -> dict[str, Any] | None:
    """The record of the run that `folder` holds, if it is to be gone on with, as a training for `task`.

    None if there is none yet, or one of which no epoch has ended: it may begin anew.
    Raises InputError if something is there and `resume` is not asked for, or it is no run.
    """
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, or a name that is free, got a file: choose another --out")
    if not any(folder.iterdir()) or has_no_epoch(folder):
        return None
    if not (folder / RECORD).exists():
        # Of a training that was killed before it wrote run.json, if that left its mark; or somebody's own options.yaml.
        own = _holds_only_first(folder)
        if own and (resume or (folder / BEGINS).is_file()):
            return None
        hint = ", or --resume to begin again in it" if own else ""
        raise InputError(f"{folder} is there already and is not overwritten: choose another --out{hint}")
    record = read_record(folder, task if resume else None)
    if resume:
        return record
    if record["state"] == "finished":
        raise InputError(f"{folder} holds a finished training, which is not overwritten: choose another --out")
    if lost_checkpoints(folder):
        raise InputError(f"{folder} holds a training that has not finished, which is not overwritten; {LOST}")
    raise InputError(f"{folder} holds a training that has not finished, which is not overwritten: choose another "
                     f"--out, or --resume to go on with it (`resight train finish {folder}` keeps its best epoch "
                     "as it is)")  # fmt: skip


def check_outside(folder: Path, source: str) -> None:
    """Raises InputError if a new folder of results would lie in the folder of the data, and be a class or a part there.

    source: folder or CSV of the data
    """
    if not is_folder(source) or (folder / RECORD).exists() or (folder / "fold-1" / RECORD).exists():
        return
    inside = Path(os.path.realpath(folder))
    if inside.is_relative_to(os.path.realpath(source)):
        raise InputError(f"{folder} lies in the folder of the data, {source}, where it would be taken for a class: "
                         "choose an --out outside of it")  # fmt: skip


def has_no_epoch(folder: Path) -> bool:
    """Whether a folder holds a run of which no epoch has ended, and nothing else."""
    if not (folder / RECORD).is_file() or not _holds_only_first(folder):
        return False
    return bool(read_record(folder, None)["state"] == "training")


def lost_checkpoints(folder: Path) -> bool:
    """Whether epochs of a training in this folder have ended and no checkpoint of them is there any more."""
    return (folder / METRICS).is_file() and not any((folder / name).is_file() for name in (LAST, BEST))


def _holds_only_first(folder: Path) -> bool:
    if any(one.name not in FIRST and not one.name.startswith(TEMPORARY) for one in folder.iterdir()):
        return False
    for name, pattern in {CHECKPOINTS: f"{TEMPORARY}*", TENSORBOARD: f"{EVENTS}*", FEATURES: VECTORS}.items():
        place = folder / name
        if place.is_symlink():
            return False
        if place.is_dir() and any(not _is(one.name, pattern, f"{TEMPORARY}*") for one in place.iterdir()):
            return False
    return True


def _is(name: str, *patterns: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def clear(folder: Path) -> bool:
    """Remove what a run left before its first epoch had ended; whether there was any of it."""
    if not folder.is_dir() or not has_no_epoch(folder):
        return False
    try:
        for one in sorted(folder.iterdir(), key=lambda one: one.name == RECORD):  # the last, if it is killed here
            if one.is_dir():
                shutil.rmtree(one)
            else:
                one.unlink()
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {advice(error)}") from error
    return True


def check_same(folder: Path, record: dict[str, Any], facts: dict[str, Any], options: Course) -> None:
    """Raises InputError, naming what differs, unless the run was begun with these options on this data.

    record: of the run; facts: what a run that begins now would record
    """
    before = recorded_course(folder, record)
    names = [name for name in changed(before, options) if name not in NOT_DECIDING]
    apart = [f"{name} {getattr(before, name)!r}, now {getattr(options, name)!r}" for name in names[:SHOWN]]
    if len(names) > SHOWN:
        apart.append(f"{len(names) - SHOWN} options more")
    unit = "sequences" if before.unit == "sequences" else "images"
    if record["data"].get("digest") != facts["data"]["digest"]:
        apart.append(f"the data (then {record['data'].get('source')}: {record['data'].get('images')} {unit}; now "
                     f"{facts['data']['source']}: {facts['data']['images']})")  # fmt: skip
    elif record["split"].get("skipped") != facts["split"]["skipped"]:
        apart.append(f"{unit} that cannot be read: {record['split'].get('skipped')}, now {facts['split']['skipped']}")
    if not names and record["network"] != facts["network"]:
        apart.append("the weights that training starts from")
    if record.get("fold") != facts.get("fold"):
        apart.append(f"the fold: {record.get('fold')}, now {facts.get('fold')}")
    elif record.get("folds", facts.get("folds")) != facts.get("folds"):
        apart.append(f"folds {record.get('folds')}, now {facts.get('folds')}")
    if apart:
        raise InputError(f"{folder} was begun with other choices: {'; '.join(apart)}: with --resume and --out alone it "
                         "goes on as it was begun; or choose another --out")  # fmt: skip


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
            if left.name != BEGINS or (folder / RECORD).exists():
                left.unlink(missing_ok=True)  # of a process that was killed while it wrote
        yield
    finally:
        if handle is not None:
            os.close(handle)
        with contextlib.suppress(OSError):
            folder.rmdir()  # refused unless it is empty


@contextlib.contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """Marks a folder while the first files of a run are written: whoever is killed there leaves nothing to keep."""
    try:
        (folder / BEGINS).touch()
        yield
        (folder / BEGINS).unlink(missing_ok=True)
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {advice(error)}") from error


def _lock(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WorkError(f"another process is training in {folder}: wait for it, or choose another --out") from error
    except OSError:
        return  # a file system without locks
