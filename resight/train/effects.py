"""Options that were given and cannot matter: better said before a training than believed after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from resight.errors import InputError
from resight.train.options import TrainOptions, resolved

SEQUENCES = ("head", "frames", "motion")
ORDERED = ("tcn", "gru")  # heads that know the order of frames
SIFT = ("sift", "stem", "sift_backbone", "sift_weights")
STEP = ("decay", "decay_every")


def check_given(options: TrainOptions, given: Collection[str], folds: int = 0) -> None:
    """Raises InputError, naming the first, if one of the options given has no effect.

    options: all that is asked for;  given: names of those that were given for this training, not by defaults, a
             preset, a file of options or the run that is gone on with, which may well hold more than matters
    folds:   how many trainings it is, 0: one
    """
    for name in given:
        why = _of_folds(name, folds) or _idle(name, options, given)
        if why:
            raise InputError(f"{name} has no effect {why}, or leave {name} out")


def chosen_in(content: Mapping[str, Any]) -> list[str]:
    """Names in a file that nobody can have written there but by choice, and that must matter as if they were given.

    The options.yaml of a run of single images has all options of sequences as well, by their defaults.

    >>> chosen_in({"head": "tcn", "frames": 16, "motion": "no"})
    ['head']
    """
    plain = TrainOptions()
    usual = {name: (None, getattr(plain, name), "no") for name in SEQUENCES}
    return [name for name, values in usual.items() if content.get(name) not in values]


def _of_folds(name: str, folds: int) -> str | None:
    if name == "validation" and folds:
        return f"on {folds} folds, each of which is validated on its own share: train without folds"
    return None


def _idle(name: str, options: TrainOptions, given: Collection[str]) -> str | None:
    """Why an option cannot matter, and what would make it; None if it can."""
    if name in SEQUENCES and not options.sequences:
        return "on single images: give sequences as well"
    if name in SIFT and options.input == "rgb":
        return "on input rgb, which sees no SIFT: give input sift or fusion as well"
    if name in ("backbone", "weights") and options.input == "sift" and f"sift_{name}" in given:
        return f"on input sift beside sift_{name}: give input fusion"
    if name in STEP and options.schedule != "step":
        return f"on schedule {options.schedule}: give schedule step as well"
    if name in SEQUENCES and options.frames == 1 and (options.head in ORDERED or options.motion == "yes"):
        what = f"head {options.head}" if options.head in ORDERED else "motion"
        return f"on sequences of 1 frame, in which {what} sees no order: give more frames"
    epochs = resolved(options, options.size or 224).epochs or 0
    if name == "warmup" and options.warmup > epochs:
        return f"behind the last epoch: {options.warmup:g} epochs of warmup, {epochs} in all: give more epochs"
    if name == "early_stop" and options.early_stop >= epochs:
        return f"behind the last epoch: {options.early_stop} epochs to wait, {epochs} in all: give more epochs"
    return None
