"""The surrogate of LIME: a linear model of which parts are shown, fitted where most of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError

Floats = NDArray[np.float64]
WIDTH = 0.25  # of the kernel, in cosine distance
ALPHA = 1.0  # of the ridge


@dataclass(frozen=True, eq=False)
class Surrogate:
    """scores = intercept + masks @ coefficients, by weighted ridge regression.

    coefficients  (C, n) what showing each part adds to each score, in its units
    intercepts    (C,) the score of an image of which nothing is shown
    r2            (C,) weighted share of the scores' variance that the model explains; nan where they do not vary
    """

    coefficients: Floats
    intercepts: Floats
    r2: Floats


def proximity(masks: Any) -> Floats:
    """How much each sample counts: sqrt(exp(-d^2 / 0.25^2)), d its cosine distance to the whole image. Ribeiro 2016.

    masks: (N, n), 1 where a part is shown, 0 where it is hidden
    ->     (N,) in (0, 1]; with nothing shown d is 1

    >>> proximity([[1, 1, 1, 1], [1, 0, 0, 0]]).round(4).tolist()
    [1.0, 0.1353]
    """
    shown = np.asarray(masks, np.float64)
    # Of zeros and ones with k of n shown the cosine is k / sqrt(k n).
    distances = 1 - np.sqrt(shown.mean(1))
    found: Floats = np.sqrt(np.exp(-((distances / WIDTH) ** 2)))
    return found


def fit_surrogate(masks: Any, scores: Any, alpha: float = ALPHA) -> Surrogate:
    """The ridge regression of scores on masks, samples weighted by `proximity`, in closed form for all scores at once.

    masks:  (N, n) zeros and ones
    scores: (N, C)

    Minimises sum_i w_i (y_i - b - x_i c)^2 + alpha |c|^2; the intercept b is free. Raises InputError if they differ in
    number.

    >>> fit_surrogate([[0, 0], [1, 0], [0, 1], [1, 1]], [[1], [4], [3], [6]], alpha=1e-9).coefficients.round(3).tolist()
    [[3.0, 2.0]]
    """
    shown, given = np.asarray(masks, np.float64), np.asarray(scores, np.float64)
    if shown.ndim != 2 or given.ndim != 2 or len(shown) != len(given):
        raise InputError(f"expected masks (N, n) and scores (N, C), got {shown.shape} and {given.shape}")
    weights = proximity(shown)
    share = weights / weights.sum()
    middle, level = share @ shown, share @ given
    x, y = shown - middle, given - level
    weighted = (x * weights[:, None]).T
    solved = np.linalg.solve(weighted @ x + alpha * np.eye(x.shape[1]), weighted @ y)
    rest, whole = weights @ (y - x @ solved) ** 2, weights @ y**2
    varies = whole > 1e-20 * np.maximum(weights @ given**2, 1e-300)
    r2 = np.where(varies, 1 - rest / np.where(varies, whole, 1), np.nan)
    return Surrogate(solved.T, level - middle @ solved, r2)
