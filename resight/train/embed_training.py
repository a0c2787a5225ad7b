"""Train an embedding network, from class folders or a CSV to a run on disk."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.images.examples import Examples, read_examples
from resight.images.places import is_there
from resight.measure.watching import Watch, unwatched
from resight.train.classifier import Listener, Tell, check_installed, go_through, wait_for_all
from resight.train.embed_data import part_examples
from resight.train.embed_files import START, read_start
from resight.train.embed_options import EmbedOptions, ask_embed, placed_embed, resolved_embed
from resight.train.embed_plan import (
    EmbedPlan,
    begin_files,
    check_going_on,
    data_facts,
    make_embed_facts,
    tell_data,
    tell_start,
)
from resight.train.finishing import complete, kept_epoch, restore_files, stopped_text
from resight.train.history import History
from resight.train.plan import rank
from resight.train.run_files import RECORD, SPLIT, read_record, recorded_embedding
from resight.train.run_folders import check_outside, check_same, found_run, reserved
from resight.train.splits import write_split

if TYPE_CHECKING:
    from resight.features.whitening import Whitening
    from resight.train.checkpoints import Report
    from resight.train.embed_preparing import Basis
    from resight.train.embed_runs import EmbedRun


@dataclass(frozen=True, eq=False)
class Begun:
    """What a training begins with: its images, the projection fitted on them, the scores before it."""

    basis: Basis
    start: Whitening
    pooled: Any
    record: dict[str, Any]


def train_embedder(
    data: str | os.PathLike[str] | Examples | None, out: str | os.PathLike[str], options: EmbedOptions | None = None,
    *, resume: bool = False, progress: Watch | None = None, report: Report | None = None, tell: Tell | None = None,
    **given: Any,
) -> EmbedRun:  # fmt: skip
    """Train a network whose vectors are near for images of one class, and keep it in a folder.

    data:     class folders, folders of parts or a CSV, as `read_examples` takes them, or its Examples; with `resume`
              None: those of the run
    out:      folder of the run, which must not exist yet, or hold a run of which no epoch has ended
    options:  or, instead, names of options (and `preset`, `config`): train_embedder(data, out, pool="spoc")
    resume:   go on with the run that is in `out` if there is one, with its own options where none are given; what has
              finished is given back as it is
    progress: shows how far reading, mining and each epoch are, see `resight.measure.watching`
    report:   called after each epoch
    tell:     called with what is worth knowing before training begins, a line each

    The test part is never looked at. Images that cannot be read are left out and listed in skipped.csv.
    Raises InputError if the data, the options or the folder will not do; WorkError if training fails or the vectors
    collapse, or the run that is gone on with is damaged; KeyboardInterrupt for Ctrl-C, after which `resume` goes on
    with the last finished epoch.
    """
    if options is not None and given:
        raise InputError(f"give options, or {', '.join(given)}: not both")
    check_installed()
    place = Path(out)
    named = {key: given.pop(key, None) for key in ("preset", "config")}
    asked = placed_embed(options) if options is not None else ask_embed(place, given, resume=resume, **named)
    if data is None and not resume:
        raise InputError("give the data: class folders, or a CSV with path and label (without data only --resume)")
    examples = data if isinstance(data, Examples) else read_examples(_data_of(place) if data is None else data)
    if examples.sequences:
        raise InputError("an embedding network learns from images, not from sequences")
    check_outside(place, examples.source)
    known = _filled(place, resolved_embed(asked), resume)
    parted = part_examples(examples, known)
    if known.early_stop and not parted.split.val:
        raise InputError("early_stop needs images to validate with: set validation above 0, or leave early_stop out")
    plan = EmbedPlan(examples, parted, replace(known, by=parted.by), asked, place)
    _check_learning(plan)
    return _train(plan, resume, Listener(progress or unwatched, report, tell or (lambda text: None)))


def _check_learning(plan: EmbedPlan) -> None:
    """Raises InputError, before any image is read, if the loss cannot be had or the batches not be filled."""
    import numpy as np

    from resight.train.embed_mining import count_steps
    from resight.train.embed_preparing import make_embed_loss

    labels = [str(plan.parted.examples.items[place].label) for place in plan.parted.split.train]
    known = np.unique(labels, return_inverse=True)[1]
    make_embed_loss(plan.options, len(set(labels)), plan.options.dim or 2)
    count_steps(plan.options, known)


def _data_of(out: Path) -> str:
    """The data of the run in `out` that is gone on with. Raises InputError if there is no run, or they have moved."""
    if not (out / RECORD).is_file():
        raise InputError(f"{out} holds no run to go on with: give the data as well")
    source = str(read_record(out, "embed")["data"].get("source"))
    if not is_there(source):
        raise InputError(f"{source}, the data of {out}, is not there any more: give the place where it is now: "
                         f"resight train embed DATA --out {out} --resume")  # fmt: skip
    return source


def _filled(out: Path, options: EmbedOptions, resume: bool) -> EmbedOptions:
    """The options, what follows from data or network filled in as the run has it that is gone on with."""
    if not resume or not (out / RECORD).is_file():
        return options
    own = recorded_embedding(out, read_record(out, "embed"))
    return replace(options, dim=options.dim or own.dim, size=options.size or own.size)


def _train(plan: EmbedPlan, resume: bool, listener: Listener) -> EmbedRun:
    from resight.train.embed_network import make_embed_network
    from resight.train.embed_runs import EmbedRun

    first = rank(plan.options) == 0  # other processes of the same training write nothing
    before = found_run(plan.folder, resume, "embed") if first else None
    if before is not None and before["state"] == "finished":
        _check_finished(plan, before, listener.tell)
        return EmbedRun.open(plan.folder, plan.options.device)
    network = make_embed_network(plan.options)
    plan = replace(plan, options=replace(plan.options, size=network.size))
    own = plan.options
    listener.tell(f"embed: {own.backbone} at {own.size} pixels, {own.pool}, tune {own.tune}; weights {own.weights}")
    with reserved(plan.folder) if first else contextlib.nullcontext():
        if first and found_run(plan.folder, resume, "embed") != before:
            raise WorkError(f"another process has trained in {plan.folder} meanwhile: run the command again")
        begun = _begin(plan, network, before, listener)
        plan = replace(plan, options=replace(own, dim=begun.start.projection.shape[1]))
        history = _fit(plan, network, begun, listener)
        if first:
            _finish(plan, begun.record, network, history)
        wait_for_all()
    return EmbedRun.open(plan.folder, plan.options.device)


def _begin(plan: EmbedPlan, network: Any, before: dict[str, Any] | None, listener: Listener) -> Begun:
    """Images read, the projection fitted or read again, the files of the beginning written."""
    from resight.train.embed_preparing import begin_projection, measure_before, pool_all, read_basis

    started, tell = time.monotonic(), listener.tell
    basis = read_basis(plan.parted, network, plan.options, listener.watch)
    tell_data(plan, basis, tell)
    kept = before is not None and _has_start(plan.folder, before)
    pooled: Any = None
    notes: list[str] = []
    if before is not None and kept:
        start = read_start(plan.folder, before)
    else:
        pooled = pool_all(basis, network, listener.watch)
        start, notes = begin_projection(pooled[0], basis, plan.options)
    network.take(start)
    plan = replace(plan, options=replace(plan.options, dim=start.projection.shape[1]))
    for note in notes:
        tell(f"  {note}")
    record = make_embed_facts(plan, network.record(), basis)
    if before is not None:
        record |= {key: before[key] for key in ("before", "start") if key in before}
        record["seconds_reading"] = before.get("seconds_reading", 0.0)
    elif pooled is not None:
        record["before"] = measure_before(pooled[1], basis, network, plan.options)
        record["seconds_reading"] = round(time.monotonic() - started, 3)
    tell_start(plan, start, record, tell)
    if rank(plan.options) == 0:
        if before is None:
            begin_files(plan, record, basis, start, tell)
        else:
            check_going_on(plan, before, record, basis, start, tell)
    return Begun(basis, start, None if pooled is None else pooled[0], record)


def _has_start(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the projection that training began with is there; a damaged file is removed, and fitted again."""
    try:
        read_start(folder, record)
    except WorkError:
        (folder / START).unlink(missing_ok=True)
        return False
    return True


def _fit(plan: EmbedPlan, network: Any, begun: Begun, listener: Listener) -> History:
    from resight.train.embed_engine import EmbedEpochEnd, EmbedTraining
    from resight.train.embed_preparing import make_material

    material = make_material(begun.basis, network, plan.options, plan.folder, plan.examples.digest,
                             begun.record.get("before"), listener.watch)  # fmt: skip
    if material.mining is not None and begun.pooled is not None:
        material.mining.know(begun.pooled)
    silent = Listener(listener.watch, None, listener.tell)
    return go_through(plan.folder, plan.options, network, material, silent, banked=begun.basis.banked,
                      kind=EmbedTraining, after=[EmbedEpochEnd(plan.folder, listener.report)])  # fmt: skip


def _finish(plan: EmbedPlan, record: dict[str, Any], network: Any, history: History) -> None:
    """The best weights as the run's own, and what encodes by them."""
    kept = kept_epoch(plan.folder)
    if kept is None:
        raise WorkError(f"the checkpoints of {plan.folder} are gone: train again")
    network.cpu().load_state_dict(kept.state, strict=False)
    complete(plan.folder, record, network, history, kept.epoch)


def _check_finished(plan: EmbedPlan, before: dict[str, Any], tell: Tell) -> None:
    """A run that has finished is what is asked for, and its files are there, or are restored."""
    check_same(plan.folder, before, {"data": data_facts(plan), "split": before["split"], "network": before["network"]},
               plan.options)  # fmt: skip
    with reserved(plan.folder):
        restored = restore_files(plan.folder, before)
    if restored:
        tell(restored)
    if not (plan.folder / SPLIT).is_file():
        write_split(plan.parted.split, plan.parted.examples, plan.folder / SPLIT)
        tell(f"{plan.folder / SPLIT} was lost, and is written again")
    how = f"was {stopped_text(before)}" if "stopped" in before else "has finished before"
    tell(f"{plan.folder} {how}; nothing is trained")
