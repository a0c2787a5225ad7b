"""What is asked of a training: options from a file, a preset and by name, and from the run that is gone on with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.places import is_there
from resight.train.effects import check_given, chosen_in
from resight.train.options import WEIGHTS, TrainOptions, expand, make_options
from resight.train.run_files import RECORD, read_config, read_record, recorded_options


@dataclass(frozen=True)
class Asked:
    """Options of a training, and how many folds it has (0: none)."""

    options: TrainOptions
    folds: int = 0


def ask(
    out: Path, given: Mapping[str, Any], *, preset: str | None = None, config: str | os.PathLike[str] | None = None,
    folds: int = 0, resume: bool = False,
) -> Asked:  # fmt: skip
    """The options of a training into `out`.

    given:  options by name, for this training
    config: file of options;  preset: a key of PRESETS
    resume: if a run is there, what is not given, in the file or in the preset is as the run has it

    What is given goes before the file, the file before the preset.
    Raises InputError for names and values that cannot be, and for what is given without effect; WorkError if the run
    that is gone on with is damaged.
    """
    named, content = read_config(Path(config)) if config is not None else (None, {})
    asked = {**content, **given}
    chosen, record = preset or named, _record(out) if resume else None
    if record is None:
        options = make_options(chosen, **asked)
    else:
        own = placed(recorded_options(out, record)).as_dict()
        options = make_options(**{**own, **expand(chosen, str(asked.get("input", own["input"]))), **asked})
        folds = folds or _folds(out, record)
    check_given(options, [*given, *chosen_in(content)], folds)
    return Asked(placed(options), folds)


def data_of(out: Path) -> str:
    """The data of the run in `out` that is gone on with.

    Raises InputError if there is no run, or its data have moved; WorkError if it is damaged.
    """
    record = _record(out)
    if record is None:
        raise InputError(f"{out} holds no run to go on with: give the data as well")
    source = str(record["data"].get("source"))
    if not is_there(source):
        raise InputError(f"{source}, the data of {out}, is not there any more: give the place where it is now: "
                         f"resight train classify DATA --out {out} --resume")  # fmt: skip
    return source


def placed(options: TrainOptions) -> TrainOptions:
    """The options with whole paths of weights, so that they hold in another working folder too."""
    return replace(options, weights=_place(options.weights),
                   sift_weights=options.sift_weights and _place(options.sift_weights))  # fmt: skip


def _place(weights: str) -> str:
    file = os.path.expanduser(weights)
    return weights if weights in WEIGHTS or not is_there(file) else os.path.abspath(file)


def _record(out: Path) -> dict[str, Any] | None:
    """The record of the run in a folder, of folds that of the first; None if there is none."""
    for folder in (out, out / "fold-1"):
        if (folder / RECORD).is_file():
            return read_record(folder)
    return None


def _folds(out: Path, record: Mapping[str, Any]) -> int:
    if "fold" not in record or (out / RECORD).is_file():
        return 0
    if not isinstance(record.get("folds"), int):
        raise InputError(f"{out} does not say how many folds it has: give --folds as well")
    return int(record["folds"])
