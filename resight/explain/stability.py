"""How far a sampled explanation would come out the same again: the ranks of two halves of its samples compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.explain.surrogate import fit_surrogate


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's correlation of two rows of numbers, ties at their mean rank; nan if one of them does not vary.

    >>> rank_correlation([1, 2, 3, 4], [1, 4, 9, 7])
    0.8
    """
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if a.shape != b.shape or len(a) < 2:
        raise InputError(f"ranks need two rows of equal length of 2 or more, got {len(a)} and {len(b)}")
    x, y = mean_ranks(a), mean_ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / scale, -1, 1)) if scale > 0 else float("nan")


def mean_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """The rank of each number from 1, lowest first; equal ones share their mean rank.

    >>> mean_ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places.reshape(values.shape)]
    return ranks


def split_half(masks: Any, scores: Any) -> NDArray[np.float64]:
    """The rank correlation of the coefficients that two halves of the samples give.

    masks:  (N, n) zeros and ones, the first row the whole image, which both halves keep
    scores: (N, C)
    ->      (C,) from -1 to 1: near 1 the order of the parts is settled, near 0 it is chance; nan where scores do not
            vary. A half has half of the samples: the explanation of all is steadier, by about 2 r / (1 + r)
    """
    shown, given = np.asarray(masks), np.asarray(scores)
    if len(shown) < 3:
        raise InputError(f"two halves need 3 samples or more, got {len(shown)}")
    # Samples are independent draws: any halves do.
    halves = [np.r_[0, np.arange(start, len(shown), 2)] for start in (1, 2)]
    one, two = (fit_surrogate(shown[half], given[half]) for half in halves)
    found = [rank_correlation(a, b) for a, b in zip(one.coefficients, two.coefficients, strict=True)]
    # Where scores do not vary coefficients are what rounding left.
    return np.where(np.isnan(one.r2) | np.isnan(two.r2), np.nan, found)
