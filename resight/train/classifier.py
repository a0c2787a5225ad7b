"""Train a classifier of images or sequences, from a folder or a CSV to a run on disk."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.images.examples import Examples, read_examples
from resight.measure.watching import Watch, unwatched
from resight.train.asking import Asked, ask, data_of, placed
from resight.train.course import Course
from resight.train.finishing import complete, kept_epoch, restore_model, stopped_text
from resight.train.groups import folder_notes, grouped
from resight.train.options import TrainOptions, resolved
from resight.train.plan import Plan, make_facts, network_name, own_part_notes, rank, used
from resight.train.run_files import (
    BEST,
    LEARNED,
    MODEL,
    OPTIONS,
    SKIPPED,
    SPLIT,
    skipped_text,
    write_options,
    write_record,
    write_text,
)
from resight.train.run_folders import beginning, check_outside, check_same, clear, found_run, reserved
from resight.train.seen_before import learned_text
from resight.train.splits import split_examples, write_split

if TYPE_CHECKING:
    from resight.train.checkpoints import Report
    from resight.train.data import Stock
    from resight.train.folds import FoldedRuns
    from resight.train.history import History
    from resight.train.material import Material
    from resight.train.runs import Run

Tell = Callable[[str], None]
PACKAGES = ("lightning", "tensorboard")
SHOWN = 5


@dataclass(frozen=True)
class Listener:
    """Who is told how a training goes, as `train_classifier` says."""

    watch: Watch = unwatched
    report: Report | None = None
    tell: Tell = lambda text: None


def train_classifier(
    data: str | os.PathLike[str] | Examples | None, out: str | os.PathLike[str], options: TrainOptions | None = None,
    *, folds: int = 0, resume: bool = False, progress: Watch | None = None, report: Report | None = None,
    tell: Tell | None = None, **given: Any,
) -> Run | FoldedRuns:  # fmt: skip
    """Train a classifier and keep it in a folder.

    data:     class folders, folders of parts or a CSV, as `read_examples` takes them, or its Examples; with `resume`
              None: those of the run
    out:      folder of the run, which must not exist yet, or hold a run of which no epoch has ended
    options:  or, instead, names of options (and `preset`, `config`): train_classifier(data, out, input="fusion")
    folds:    K: train K times, each time validated on another K-th of the data, into out/fold-1 ...; gives FoldedRuns
    resume:   go on with the run that is in `out` if there is one, with its own options where none are given; what has
              finished is given back as it is
    progress: shows how far reading and each epoch are, see `resight.measure.watching`
    report:   called after each epoch
    tell:     called with what is worth knowing before training begins, a line each

    The test part is never looked at. Images that cannot be read are left out and listed in skipped.csv.
    Raises InputError if the data, the options or the folder will not do; WorkError if training fails, or the run that
    is gone on with is damaged;
    KeyboardInterrupt for Ctrl-C, after which `resume` goes on with the last finished epoch.
    """
    from resight.train.networks import native_size

    if options is not None and given:
        raise InputError(f"give options, or {', '.join(given)}: not both")
    check_installed()
    place = Path(out)
    asked = _ask(place, options, folds, resume, given)
    known, folds = resolved(asked.options, native_size(asked.options)), asked.folds
    if data is None and not resume:
        raise InputError("give the data: class folders, or a CSV with path and label (without data only --resume)")
    examples = data if isinstance(data, Examples) else read_examples(
        data_of(place) if data is None else data, sequences=known.sequences
    )  # fmt: skip
    if examples.sequences != known.sequences:
        raise InputError("examples of sequences need the option sequences, and the other way round")
    check_outside(place, examples.source)
    examples = replace(examples, notes=(*examples.notes, *folder_notes(examples, known, folds)))
    listener = Listener(progress or unwatched, report, tell or (lambda text: None))
    if folds:
        from resight.train.folds import train_folds

        return train_folds(examples, known, place, folds, asked=asked.options, resume=resume, listener=listener)
    split = split_examples(grouped(examples, known), validation=known.validation, test=known.test, seed=known.seed)
    if known.early_stop and not split.val:
        raise InputError("early_stop needs images to validate with: set validation above 0, or leave early_stop out")
    return train_one(Plan(examples, split, known, place, asked=asked.options), resume=resume, listener=listener)


def _ask(out: Path, options: TrainOptions | None, folds: int, resume: bool, given: dict[str, Any]) -> Asked:
    """What is asked for."""
    if options is not None:
        asked = Asked(options, folds)
    else:
        named = {key: given.pop(key, None) for key in ("preset", "config")}
        asked = ask(out, given, folds=folds, resume=resume, **named)
    return replace(asked, options=placed(asked.options))


def train_one(plan: Plan, *, resume: bool, listener: Listener) -> Run:
    """One run by its plan, as `train_classifier` says."""
    from resight.train.preparing import check_material, prepare
    from resight.train.runs import Run, make_run_network
    from resight.train.warm_start import take_head

    first = rank(plan.options) == 0  # other processes of the same training write nothing
    before = found_run(plan.folder, resume) if first else None
    if before is not None and before["state"] == "finished":
        _check_finished(plan, before, listener.tell)
        return Run.open(plan.folder, plan.options.device)
    network = make_run_network(plan.options, len(plan.examples.classes))
    take_head(network, plan.examples.classes)
    _tell_network(plan, network, listener.tell)
    with reserved(plan.folder) if first else contextlib.nullcontext():
        if first and found_run(plan.folder, resume) != before:
            raise WorkError(f"another process has trained in {plan.folder} meanwhile: run the command again")
        started = time.monotonic()
        made = prepare(plan, network, listener.watch)
        _tell_data(plan, made.stock, listener.tell)
        check_material(plan, made.material)
        record = {**make_facts(plan, network.record(), made.stock.skipped), "fresh": list(network.fresh)}
        record |= {"taken": list(network.taken)} if network.taken else {}
        record |= {"settled": made.settled} if made.settled else {}
        record |= _learned_before(plan, before)
        record["seconds_reading"] = round(time.monotonic() - started, 3)
        if before is not None:
            _go_on(plan, before, record, made.stock, listener.tell)
        elif first:
            _begin(plan, record, made.stock, listener.tell)
        history = go_through(plan.folder, plan.options, network, made.material, listener, banked=made.banked)
        if first:
            _finish(plan, record, network, history)
        wait_for_all()
    return Run.open(plan.folder, plan.options.device)


def _check_finished(plan: Plan, before: dict[str, Any], tell: Tell) -> None:
    """A run that has finished is what is asked for, and its weights are there, or are restored."""
    now = {**make_facts(plan, before["network"]), "split": before["split"]}
    check_same(plan.folder, before, now, plan.options)
    with reserved(plan.folder):
        restored = restore_model(plan.folder, before)
    if restored:
        tell(f"{plan.folder / MODEL} was lost, and is restored from {BEST}")
    if not (plan.folder / SPLIT).is_file():
        write_split(plan.split, grouped(plan.examples, plan.options), plan.folder / SPLIT)
        tell(f"{plan.folder / SPLIT} was lost, and is written again")
    how = f"was {stopped_text(before)}" if "stopped" in before else "has finished before"
    tell(f"{plan.folder} {how}; nothing is trained")


def _tell_network(plan: Plan, network: Any, tell: Tell) -> None:
    from resight.train.warm_start import start_notes, start_text

    tell(f"{plan.options.input}: {network_name(plan.options)} at {plan.options.size} pixels, "
         f"tune {plan.options.tune}; {start_text(network)}")  # fmt: skip
    for note in start_notes(plan):
        tell(f"  {note}")


def _tell_data(plan: Plan, stock: Stock, tell: Tell) -> None:
    """What is learned from and validated with, without what cannot be read; and that."""
    split, examples = used(plan.split, stock.skipped), plan.examples
    fold = "" if plan.fold is None else f"fold {plan.fold}: "
    tell(f"{fold}{split} {plan.unit} of {len(examples.classes)} classes, from {examples.source}")
    for note in (*examples.notes, *split.notes, *own_part_notes(plan)):
        tell(f"  {note}")
    for place, why in list(stock.skipped.items())[:SHOWN]:
        tell(f"  left out, cannot be read: {examples.items[place].path}: {why}")
    if len(stock.skipped) > SHOWN:
        tell(f"  ... and {len(stock.skipped) - SHOWN:,} more, all in {SKIPPED}")


def _learned_before(plan: Plan, before: dict[str, Any] | None) -> dict[str, Any]:
    """How much the runs that training starts from were trained on, as the record says it; as it said when it began."""
    from resight.train.warm_start import learned_before, start_folders

    if before is not None:
        return {"learned_before": before["learned_before"]} if "learned_before" in before else {}
    if not start_folders(plan.options):
        return {}
    learned, unknown = learned_before(plan.options)
    return {"learned_before": {"paths": len(learned), "unknown": unknown}}


def _begin(plan: Plan, record: dict[str, Any], stock: Stock, tell: Tell) -> None:
    """The files of a run that begins; run.json last, for which all others must be there."""
    if clear(plan.folder):
        tell(f"no epoch of the training in {plan.folder} had ended: this one begins in its place")
    with beginning(plan.folder):
        _write_first(plan, record, stock, (OPTIONS, SPLIT, SKIPPED, LEARNED))
        write_record(plan.folder, record)


def _go_on(plan: Plan, before: dict[str, Any], record: dict[str, Any], stock: Stock, tell: Tell) -> None:
    """Whether a run may be gone on with; files of its beginning that were lost are written again."""
    check_same(plan.folder, before, record, plan.options)
    lost = [name for name in (OPTIONS, SPLIT, SKIPPED, LEARNED) if not (plan.folder / name).is_file()]
    for name in _write_first(plan, record, stock, lost):
        tell(f"{plan.folder / name} was lost, and is written again")


def _write_first(plan: Plan, record: dict[str, Any], stock: Stock, names: Collection[str]) -> list[str]:
    """Write these of the files that a run begins with; which of them it has."""
    from resight.train.warm_start import learned_before

    items, val = plan.examples.items, set(plan.split.val)
    names = [name for name in names if name != LEARNED or "learned_before" in record]
    for name in names:
        if name == OPTIONS:
            write_options(plan.folder, plan.asked or plan.options)
        elif name == SPLIT:
            write_split(plan.split, grouped(plan.examples, plan.options), plan.folder / SPLIT)
        elif name == SKIPPED:
            rows = ((str(items[at].path), "val" if at in val else "train", why) for at, why in stock.skipped.items())
            write_text(plan.folder / SKIPPED, skipped_text(rows))
        else:
            write_text(plan.folder / LEARNED, learned_text(learned_before(plan.options)[0]))
    return names


def go_through(
    folder: Path, options: Course, network: Any, material: Material, listener: Listener, *, banked: bool = False,
    **more: Any,
) -> History:  # fmt: skip
    """All epochs of a training that the checkpoints in its folder lack; more: as `train_network` takes it."""
    from resight.train.checkpoints import is_over, mend, read_progress
    from resight.train.engine import train_network

    progress = read_progress(folder)
    history = progress.history
    if progress.note:
        listener.tell(progress.note)
    if rank(options) == 0:
        mend(folder, progress)
    if is_over(history, options):
        return history
    if len(history):
        listener.tell(f"going on after epoch {len(history)} of {options.epochs}")
    return train_network(
        network, options, material, folder, banked=banked, history=history, checkpoint=progress.checkpoint,
        report=listener.report, watch=listener.watch, **more,
    )  # fmt: skip


def _finish(plan: Plan, record: dict[str, Any], network: Any, history: History) -> None:
    """The best weights as the run's own."""
    kept = kept_epoch(plan.folder)
    if kept is None:
        raise WorkError(f"the checkpoints of {plan.folder} are gone: train again")
    network.cpu().load_state_dict(kept.state, strict=False)
    complete(plan.folder, record, network, history, kept.epoch)


def check_installed() -> None:
    """Raises InputError if Lightning or TensorBoard is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"training needs {' and '.join(missing)}: pip install 'resight[train]'")


def wait_for_all() -> None:
    """Until all processes of a training are here; at once if it has only one."""
    import torch.distributed as others

    if others.is_available() and others.is_initialized():
        others.barrier()
