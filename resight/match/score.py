"""From evidence to a probability: a logistic model, calibrated on templates that are there and that are absent."""

from __future__ import annotations

import math

from resight.match.verify import Agreement

# What is measured, and its weights: logistic regression on 723 cases of `resight bench match` (docs/match.md). The
# first for a place at which local features were looked at, the second for one at which they were not.
NAMES = ("inliers", "inlier_share", "features", "correlation", "median_block", "blocks_agree", "best_blocks", "blocks")
WEIGHTS = (0.534, 6.752, -0.223, 0.628, -1.485, 3.81, 9.786, 4.377)
BIAS = -14.913
PLAIN_WEIGHTS = (3.506, 3.105, 4.393, 1.286, 4.414)
PLAIN_BIAS = -13.148

SURE = 0.95  # score at which nothing further is tried


def measures(inliers: int, features: int | None, agreement: Agreement) -> tuple[float, ...]:
    """The numbers of NAMES; the last five if features were not looked at."""
    own = agreement
    seen = (own.full, own.median, own.share, own.best, own.known)
    if features is None:
        return seen
    return (math.log1p(inliers), inliers / max(features, 10), math.log1p(features), *seen)


def probability(inliers: int, features: int | None, agreement: Agreement) -> float:
    """How likely the template is where it is supposed, 0..1; features: how many it has, None: not looked at."""
    weights, logit = (PLAIN_WEIGHTS, PLAIN_BIAS) if features is None else (WEIGHTS, BIAS)
    values = measures(inliers, features, agreement)
    logit += sum(weight * value for weight, value in zip(weights, values, strict=True))
    return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))
