"""Options that were given and cannot matter: better said before a training than believed after it."""

from __future__ import annotations

from collections.abc import Collection

from resight.errors import InputError
from resight.train.options import TrainOptions, resolved

SEQUENCES = ("head", "frames", "motion")
SIFT = ("sift", "stem", "sift_backbone", "sift_weights")
STEP = ("decay", "decay_every")


def check_given(options: TrainOptions, given: Collection[str]) -> None:
    """Raises InputError, naming the first, if one of the options given has no effect.

    options: all that is asked for;  given: names of those that were given for this training, not by defaults, a
             preset, a file of options or the run that is gone on with, which may well hold more than matters
    """
    for name in given:
        why = _idle(name, options, given)
        if why:
            raise InputError(f"{name} has no effect {why}, or leave {name} out")


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
    epochs = resolved(options, options.size or 224).epochs or 0
    if name == "warmup" and options.warmup > epochs:
        return f"behind the last epoch: {options.warmup:g} epochs of warmup, {epochs} in all: give more epochs"
    return None
