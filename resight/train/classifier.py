"""Train a classifier of images or sequences, from a folder or a CSV to a run on disk."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError
from resight.images.examples import Examples, read_examples
from resight.measure.watching import Watch, unwatched
from resight.train.options import TrainOptions, make_options, resolved
from resight.train.plan import Plan, epoch_facts, make_facts, network_name, rank
from resight.train.run_files import (
    BEST,
    CURVES,
    METRICS,
    MODEL,
    SKIPPED,
    SPLIT,
    skipped_text,
    write_model,
    write_options,
    write_record,
    write_text,
)
from resight.train.run_folders import check_same, found_run, reserved
from resight.train.splits import split_examples, write_split

if TYPE_CHECKING:
    from resight.train.checkpoints import Report
    from resight.train.data import Stock
    from resight.train.folds import FoldedRuns
    from resight.train.history import History
    from resight.train.preparing import Prepared
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
    data: str | os.PathLike[str] | Examples, out: str | os.PathLike[str], options: TrainOptions | None = None, *,
    folds: int = 0, resume: bool = False, progress: Watch | None = None, report: Report | None = None,
    tell: Tell | None = None, **given: Any,
) -> Run | FoldedRuns:  # fmt: skip
    """Train a classifier and keep it in a folder.

    data:     class folders, folders of parts or a CSV, as `read_examples` takes them, or its Examples
    out:      folder of the run, which must not exist yet
    options:  or, instead, names of options (and `preset`): train_classifier(data, out, input="fusion", epochs=3)
    folds:    K: train K times, each time validated on another K-th of the data, into out/fold-1 ...; gives FoldedRuns
    resume:   go on with the run that is in `out` if there is one; what has finished is given back as it is
    progress: shows how far reading and each epoch are, see `resight.measure.watching`
    report:   called after each epoch
    tell:     called with what is worth knowing before training begins, a line each

    The test part is never looked at. Images that cannot be read are left out and listed in skipped.csv.
    Raises InputError if the data, the options or the folder will not do; WorkError if training fails;
    KeyboardInterrupt for Ctrl-C, after which `resume` goes on with the last finished epoch.
    """
    if options is not None and given:
        raise InputError(f"give options, or {', '.join(given)}: not both")
    asked = options or make_options(**given)
    check_installed()
    examples = data if isinstance(data, Examples) else read_examples(data, sequences=asked.sequences)
    if examples.sequences != asked.sequences:
        raise InputError("examples of sequences need the option sequences, and the other way round")
    from resight.train.networks import native_size

    known = resolved(asked, native_size(asked))
    if known.frozen and known.input != "rgb" and known.sift_weights != "random":
        raise InputError("tune head would leave SIFT's new first convolution as it was drawn, at random: use tune all")
    listener = Listener(progress or unwatched, report, tell or (lambda text: None))
    if folds:
        from resight.train.folds import train_folds

        return train_folds(examples, known, Path(out), folds, resume=resume, listener=listener)
    split = split_examples(examples, validation=known.validation, test=known.test, seed=known.seed)
    return train_one(Plan(examples, split, known, Path(out)), resume=resume, listener=listener)


def train_one(plan: Plan, *, resume: bool, listener: Listener) -> Run:
    """One run by its plan, as `train_classifier` says."""
    from resight.train.preparing import check_material, prepare
    from resight.train.runs import Run, make_run_network

    first = rank(plan.options) == 0  # other processes of the same training write nothing
    before = found_run(plan.folder, resume) if first else None
    if before is not None and before["state"] == "finished":
        check_same(plan.folder, before, make_facts(plan, before["network"], before["split"]["skipped"]), plan.options)
        listener.tell(f"{plan.folder} has finished before; nothing is trained")
        return Run.open(plan.folder, plan.options.device)
    network = make_run_network(plan.options, len(plan.examples.classes))
    _tell_plan(plan, network, listener.tell)
    with reserved(plan.folder) if first else contextlib.nullcontext():
        started = time.monotonic()
        made = prepare(plan, network, listener.watch)
        _tell_skipped(plan, made.stock, listener.tell)
        check_material(plan, made.material)
        record = {**make_facts(plan, network.record(), len(made.stock.skipped)), "fresh": list(network.fresh)}
        record |= {"settled": made.settled} if made.settled else {}
        record["seconds_reading"] = round(time.monotonic() - started, 3)
        if before is not None:
            check_same(plan.folder, before, record, plan.options)
        elif first:
            _begin(plan, record, made.stock)
        history = _fit(plan, network, made, listener)
        if first:
            _finish(plan, record, network, history)
        _wait_for_all()
    return Run.open(plan.folder, plan.options.device)


def _tell_plan(plan: Plan, network: Any, tell: Tell) -> None:
    what = "sequences" if plan.options.sequences else "images"
    fold = "" if plan.fold is None else f"fold {plan.fold}: "
    tell(f"{fold}{plan.split} {what} of {len(plan.examples.classes)} classes, from {plan.examples.source}")
    for note in (*plan.examples.notes, *plan.split.notes):
        tell(f"  {note}")
    tell(f"{plan.options.input}: {network_name(plan.options)} at {plan.options.size} pixels, "
         f"tune {plan.options.tune}; new: {', '.join(network.fresh)}")  # fmt: skip


def _tell_skipped(plan: Plan, stock: Stock, tell: Tell) -> None:
    for place, why in list(stock.skipped.items())[:SHOWN]:
        tell(f"  left out, cannot be read: {plan.examples.items[place].path}: {why}")
    if len(stock.skipped) > SHOWN:
        tell(f"  ... and {len(stock.skipped) - SHOWN:,} more, all in {SKIPPED}")


def _begin(plan: Plan, record: dict[str, Any], stock: Stock) -> None:
    """The files of a run that begins; run.json last, for which all others must be there."""
    items, val = plan.examples.items, set(plan.split.val)
    rows = [(str(items[place].path), "val" if place in val else "train", why) for place, why in stock.skipped.items()]
    write_options(plan.folder, plan.options)
    write_split(plan.split, plan.examples, plan.folder / SPLIT)
    write_text(plan.folder / SKIPPED, skipped_text(rows))
    write_record(plan.folder, record)


def _fit(plan: Plan, network: Any, made: Prepared, listener: Listener) -> History:
    from resight.train.checkpoints import is_over, read_progress
    from resight.train.engine import train_network

    history = read_progress(plan.folder)
    if is_over(history, plan.options):
        return history
    if len(history):
        listener.tell(f"going on after epoch {len(history)} of {plan.options.epochs}")
    return train_network(network, plan.options, made.material, plan.folder, banked=made.banked, history=history,
                         report=listener.report, watch=listener.watch)  # fmt: skip


def _finish(plan: Plan, record: dict[str, Any], network: Any, history: History) -> None:
    """The best weights as the run's own, and run.json last: then it is complete."""
    from resight.train.checkpoints import read_checkpoint

    state = read_checkpoint(plan.folder / BEST)["state_dict"]
    network.cpu().load_state_dict({name.removeprefix("learned."): value for name, value in state.items()}, strict=False)
    digest = write_model(plan.folder / MODEL, network.state_dict())
    write_text(plan.folder / METRICS, history.text())
    history.plot(plan.folder / CURVES)
    training = sum(history.column("seconds"))
    write_record(plan.folder, {
        **record, "state": "finished", "epochs": len(history), "best": epoch_facts(history.best),
        "last": epoch_facts(history.epochs[-1]), "seconds": round(record["seconds_reading"] + training, 3),
        "images_per_second": round(sum(history.column("images")) / max(training, 1e-9), 2),
        "model": {"file": MODEL, "sha256": digest},
    })  # fmt: skip


def check_installed() -> None:
    """Raises InputError if Lightning or TensorBoard is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"training needs {' and '.join(missing)}: pip install 'resight[train]'")


def _wait_for_all() -> None:
    import torch.distributed as others

    if others.is_available() and others.is_initialized():
        others.barrier()
