"""Cases made up for the tests of calibrating: places whose being right is drawn from known weights."""

from __future__ import annotations

import numpy as np

from resight.match.score import NAMES, PLAIN, Calibration
from resight.measure.calibrating_places import Asked, Place

# None below 0 but that of the number of features, the third, as the fit has it.
TRUE = Calibration(
    tuple(weight if place != 2 else -0.8 for place, weight in enumerate(np.linspace(1.5, 0.3, len(NAMES)).tolist())),
    -0.5, tuple(np.linspace(0.2, 2, len(PLAIN)).tolist()), 0.25,
)  # fmt: skip


def drawn_place(random: np.random.Generator, plain: bool, stage: str = "copy") -> Place:
    """A place with measures from a normal distribution, right with the probability that TRUE gives them."""
    weights, bias = (TRUE.plain_weights, TRUE.plain_bias) if plain else (TRUE.weights, TRUE.bias)
    values = random.standard_normal(len(weights))
    right = random.random() < 1 / (1 + np.exp(-bias - values @ weights))
    return Place(stage, 1.0 if right else 0.0, tuple(values.tolist()))


def drawn_cases(count: int, seed: int = 0) -> list[Asked]:
    """Cases with two places of each sort; of every third nothing is right, and its measures are those of wrong ones."""
    random, cases = np.random.default_rng(seed), []
    for number in range(count):
        places = []
        while len(places) < 4:
            one = drawn_place(random, len(places) < 2)
            if number % 3 or not one.right:
                places.append(one)
        tier = "absent" if number % 3 == 0 else ("blur", "noise")[number % 2]
        cases.append(Asked(tier, number, "", tuple(places), tuple(places[1:3])))
    return cases
