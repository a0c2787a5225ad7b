"""How the learning rate runs over a training: warm-up, then cosine, steps, or constant."""

from __future__ import annotations

import math

from resight.errors import InputError
from resight.train.course import Course
from resight.train.options import SCHEDULES


def rate_factor(step: int, steps: int, options: Course) -> float:
    """What the learning rate is multiplied by in one step.

    step:    from 0, over all epochs
    steps:   steps of an epoch
    options: schedule, warmup, decay_every, decay and epochs (filled in)
    ->       0 .. 1

    Over the first `warmup` epochs the factor grows in equal parts to its full height, and no step has 0. Then
        cosine    (1 + cos(pi t)) / 2, t the share of the remaining steps that is done (Loshchilov 2017, without
                  restarts)
        step      decay ^ floor(epoch / decay_every), epochs counted from the start
        constant  1

    >>> from resight.train.options import TrainOptions
    >>> options = TrainOptions(schedule="cosine", warmup=1.0, epochs=3)
    >>> [round(rate_factor(step, 2, options), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if options.epochs is None:
        raise InputError("the number of epochs is not known yet: fill in the options first (`resolved`)")
    total = steps * options.epochs
    warm = min(round(steps * options.warmup), total - 1)
    if step < warm:
        return (step + 1) / warm
    if options.schedule == "cosine":
        done = min(1.0, (step - warm) / (total - warm))
        return (1 + math.cos(math.pi * done)) / 2
    if options.schedule == "step":
        return float(options.decay ** (step // (steps * options.decay_every)))
    if options.schedule != "constant":
        raise InputError(f"schedule must be one of {', '.join(SCHEDULES)}, got {options.schedule!r}")
    return 1.0
