"""From evidence to a probability: a logistic model, calibrated on templates that are there and that are absent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resight.match.verify import Agreement

NAMES = ("inliers", "inlier_share", "features", "correlation", "median_block", "blocks_agree", "best_blocks", "blocks",
         "colour")  # fmt: skip
PLAIN = NAMES[3:]  # what there is without local features

SURE = 0.9  # score at which nothing further is tried


@dataclass(frozen=True)
class Calibration:
    """How evidence becomes a probability, and from which it counts as found.

    weights, bias: of NAMES, for a place at which local features were looked at; plain_weights, plain_bias: of PLAIN,
    for one at which they were not; threshold: 0..1
    """

    weights: tuple[float, ...]
    bias: float
    plain_weights: tuple[float, ...]
    plain_bias: float
    threshold: float = 0.5

    def probability(self, inliers: int, features: int | None, agreement: Agreement, colour: float) -> float:
        """How likely the template is where it is supposed, 0..1.

        inliers:   local features that agree; features: how many the template has, None: not looked at
        agreement: of grey values; colour: likeness of colours, 0..1
        """
        plain = features is None
        weights, logit = (self.plain_weights, self.plain_bias) if plain else (self.weights, self.bias)
        values = measures(inliers, features, agreement, colour)
        logit += sum(weight * value for weight, value in zip(weights, values, strict=True))
        return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))


# `resight calibrate` on 1,150 photographs of Corel-1k and ImageNet, 1,200 cases, seed 12 (docs/match.md); the weights
# before these decided what its searches tried.
CALIBRATION = Calibration(
    (0.265, 8.808, -0.135, 0.169, 0.126, 3.586, 6.008, 5.454, 7.42), -18.069,
    (2.281, 3.468, 6.808, 0.525, 3.106, 1.588), -13.861, 0.77,
)  # fmt: skip


def measures(inliers: int, features: int | None, agreement: Agreement, colour: float) -> tuple[float, ...]:
    """The numbers of NAMES; those of PLAIN if features were not looked at."""
    own = agreement
    seen = (own.full, own.median, own.share, own.best, own.known, colour)
    if features is None:
        return seen
    return (math.log1p(inliers), inliers / max(features, 10), math.log1p(features), *seen)
