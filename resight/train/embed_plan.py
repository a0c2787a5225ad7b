"""An embedding network's training before it begins: what its record says of it, what is told, its first files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.images.examples import Examples
from resight.train.embed_data import Parted
from resight.train.embed_files import START, write_start
from resight.train.embed_options import EmbedOptions
from resight.train.plan import versions
from resight.train.run_files import (
    FORMAT,
    OPTIONS,
    SKIPPED,
    SPLIT,
    skipped_text,
    write_options,
    write_record,
    write_text,
)
from resight.train.run_folders import beginning, check_same, clear
from resight.train.splits import write_split

if TYPE_CHECKING:
    from resight.features.whitening import Whitening
    from resight.train.classifier import Tell
    from resight.train.embed_preparing import Basis

FIRST = (OPTIONS, SPLIT, SKIPPED, START)
SHOWN = 5


@dataclass(frozen=True, eq=False)
class EmbedPlan:
    """One training before it begins: what it learns from, in which parts, how, and where it is kept.

    examples: the data as it was read;  asked: the options before defaults were filled in
    """

    examples: Examples
    parted: Parted
    options: EmbedOptions
    asked: EmbedOptions
    folder: Path


def make_embed_facts(plan: EmbedPlan, network: dict[str, Any], basis: Basis) -> dict[str, Any]:
    """What run.json holds from the beginning."""
    items = plan.parted.examples.items
    counts = Counter(str(items[place].label) for place in basis.train)
    split = {
        "train": len(basis.train), "val": len(basis.val), "test": len(plan.parted.split.test),
        "skipped": len(basis.stock.skipped), "by": plan.parted.by,
        "train_by_class": {name: counts[name] for name in basis.classes},
    }  # fmt: skip
    return {
        "format": FORMAT, "task": "embed", "state": "training", "versions": versions(),
        "options": plan.options.as_dict(), "classes": list(basis.classes), "data": data_facts(plan), "split": split,
        "network": network,
    }  # fmt: skip


def data_facts(plan: EmbedPlan) -> dict[str, Any]:
    """What run.json says of the data."""
    examples = plan.examples
    return {"source": examples.source, "digest": examples.digest, "images": len(examples),
            "notes": list(plan.parted.notes)}  # fmt: skip


def tell_data(plan: EmbedPlan, basis: Basis, tell: Tell) -> None:
    """What is learned from and validated with, without what cannot be read; and that."""
    items, skipped = plan.parted.examples.items, basis.stock.skipped
    unseen = len({items[place].label for place in basis.val} - set(basis.classes))
    val = f", {len(basis.val):,} val" + (f" of {unseen:,} other classes" if unseen else "") if basis.val else ""
    held = len(plan.parted.split.test)
    tell(f"{len(basis.train):,} train images of {len(basis.classes):,} classes{val}"
         f"{f', {held:,} held back for a test' if held else ''}, from {plan.examples.source}")  # fmt: skip
    for note in plan.parted.notes:
        tell(f"  {note}")
    for place, why in list(skipped.items())[:SHOWN]:
        tell(f"  left out, cannot be read: {items[place].path}: {why}")
    if len(skipped) > SHOWN:
        tell(f"  ... and {len(skipped) - SHOWN:,} more, all in {SKIPPED}")


def tell_start(plan: EmbedPlan, start: Whitening, record: dict[str, Any], tell: Tell) -> None:
    """How the projection begins, what is learned from, and how good the vectors are before that."""
    own, (width, dim) = plan.options, start.projection.shape
    mining = "all pairs of a batch" if own.mining == "none" else f"miner {own.mining}"
    tell(f"projection {own.project}, {width} -> {dim}; loss {own.loss}, {mining}")
    if not own.offline:
        from resight.train.embed_mining import batch_shape

        size, each = batch_shape(own, len(record["classes"]))
        if (size, each) != (own.batch, own.per_class):
            tell(f"  batches of {size} images, {each} of each class: {len(record['classes'])} classes fill no batch of "
                 f"{own.batch} with {own.per_class} each")  # fmt: skip
    before = record.get("before")
    if before:
        tell(f"before training: validation mAP {before['map']:.3f}, recall@1 {before['recall_1']:.3f} "
             f"(mAP {before['frozen_map']:.3f} without the projection)")  # fmt: skip


def begin_files(plan: EmbedPlan, record: dict[str, Any], basis: Basis, start: Whitening, tell: Tell) -> None:
    """The files of a run that begins; run.json last, for which all others must be there."""
    if clear(plan.folder):
        tell(f"no epoch of the training in {plan.folder} had ended: this one begins in its place")
    with beginning(plan.folder):
        _write_first(plan, record, basis, start, FIRST)
        write_record(plan.folder, record)


def check_going_on(
    plan: EmbedPlan, before: dict[str, Any], record: dict[str, Any], basis: Basis, start: Whitening, tell: Tell
) -> None:
    """Whether a run may be gone on with; files of its beginning that were lost are written again."""
    check_same(plan.folder, before, record, plan.options)
    lost = [name for name in FIRST if not (plan.folder / name).is_file()]
    _write_first(plan, record, basis, start, lost)
    for name in lost:
        tell(f"{plan.folder / name} was lost, and is written again")


def _write_first(
    plan: EmbedPlan, record: dict[str, Any], basis: Basis, start: Whitening, names: Collection[str]
) -> None:
    """Write these of the files that a run begins with."""
    parted, val = plan.parted, set(plan.parted.split.val)
    items = parted.examples.items
    for name in names:
        if name == OPTIONS:
            write_options(plan.folder, plan.asked)
        elif name == SPLIT:
            write_split(parted.split, parted.examples, plan.folder / SPLIT)
        elif name == SKIPPED:
            rows = ((str(items[at].path), "val" if at in val else "train", why)
                    for at, why in basis.stock.skipped.items())  # fmt: skip
            write_text(plan.folder / SKIPPED, skipped_text(rows))
        else:
            record["start"] = {"file": START, "sha256": write_start(plan.folder, start)}
