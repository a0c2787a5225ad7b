"""What chance does to a mean over queries: the queries drawn anew, and the signs of paired differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError

EQUAL = 1e-9  # differences of average precision below this are a tie
CELLS = 1 << 21  # numbers drawn at a time: memory is bounded, the result does not depend on it


def drawn_means(values: ArrayLike, samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Means of n values drawn with replacement from n, again and again.

    values: (n,)
    ->      (samples,)

    Raises InputError if values is empty or not finite, or samples is below 1.

    >>> drawn_means([0.5, 0.5], 3)
    array([0.5, 0.5, 0.5])
    """
    scores, random = _scores(values, samples), np.random.default_rng(seed)
    return np.concatenate([
        scores[random.integers(0, scores.size, (rows, scores.size))].mean(1) for rows in _rows(samples, scores.size)
    ])  # fmt: skip


def interval_of(means: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of drawn means: the percentile bootstrap's 95 % interval. Efron 1979."""
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_interval(values: ArrayLike, seed: int = 0, rounds: int = 1000) -> tuple[float, float]:
    """95 % interval of a mean: how far it moves when the queries are drawn anew.

    values: (n,)   one score per query
    rounds: how many times n values are drawn, with replacement
    ->      the 2.5th and 97.5th percentile of the drawn means

    Efron 1979, percentile method. The same seed gives the same interval.
    Raises InputError if values is empty or not finite, or rounds is below 1.

    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    return interval_of(drawn_means(values, rounds, seed))


def randomisation_p(values: ArrayLike, samples: int, seed: int = 0) -> float:
    """How often the mean of paired differences is this far from zero when their signs are drawn at random.

    values: (n,)   differences, one per query
    ->      in (0, 1]: (1 + draws at least as far) / (1 + samples), so that it is never 0 by luck

    Fisher 1935; Smucker 2007, section 3.1.
    Raises InputError if values is empty or not finite, or samples is below 1.
    """
    scores, random = _scores(values, samples), np.random.default_rng(seed)
    least, far = abs(float(scores.mean())) - EQUAL, 0
    for rows in _rows(samples, scores.size):
        signs = random.integers(0, 2, (rows, scores.size), dtype=np.int8) * 2.0 - 1.0
        far += int((np.abs(signs @ scores / scores.size) >= least).sum())
    return (1 + far) / (1 + samples)


def _scores(values: ArrayLike, samples: int) -> NDArray[np.float64]:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
        raise InputError(f"values must be finite numbers (n,) with n >= 1, got shape {scores.shape}")
    if samples < 1:
        raise InputError(f"rounds must be at least 1, got {samples}")
    return scores


def _rows(samples: int, width: int) -> Iterator[int]:
    step = max(1, CELLS // width)
    yield from (min(step, samples - start) for start in range(0, samples, step))
