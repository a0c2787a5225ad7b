"""Average precision of one ranking, by the two rules in use, which give different numbers for the same ranking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError, unknown

Ranks = NDArray[np.int64]


def average_precision(ranks: ArrayLike, positives: int, rule: str = "trapezoid") -> float:
    """Area under the precision-recall curve of one ranking.

    ranks:     (n_found,)   0-based ranks of the positives, ascending, counted without junk
    positives: number of ALL positives, also of those that were never retrieved
    rule:      "trapezoid" (Oxford and Paris) or "standard" (TREC, scikit-learn)
    ->         in [0, 1]

    Raises InputError for ranks out of order, more ranks than positives, no positive, or an unknown rule.

    >>> round(average_precision([0, 2, 4], 3), 6)
    0.711111
    >>> average_precision([1], 1), average_precision([1], 1, rule="standard")
    (0.25, 0.5)
    """
    if rule not in RULES:
        raise unknown("rule of average precision", rule, RULES)
    found = as_ranks(ranks)
    if positives < max(1, len(found)):
        raise InputError(f"positives must count all positives, at least 1 and the {len(found)} found, got {positives}")
    return float(RULES[rule](found).sum() / positives)


def trapezoid_terms(ranks: Ranks, order: Ranks | None = None) -> NDArray[np.float64]:
    """What each positive adds to the area, times the number of positives, by the trapezoid rule.

    ranks: (n,)   0-based
    order: (n,)   which positive of its ranking each one is, from 0; 0..n-1 if not given
    ->     (n,)

    (p0 + p1) / 2 with p1 = (i + 1) / (r_i + 1), p0 = i / r_i, or 1 where r_i = 0. Philbin 2007, `compute_ap.cpp`.

    >>> trapezoid_terms(np.array([0, 1, 3])).round(4).tolist()
    [1.0, 1.0, 0.7083]
    """
    order = np.arange(len(ranks)) if order is None else order
    before = np.where(ranks > 0, order / np.maximum(ranks, 1), 1.0)
    return np.asarray((before + (order + 1) / (ranks + 1)) / 2)


def standard_terms(ranks: Ranks, order: Ranks | None = None) -> NDArray[np.float64]:
    """The precision at each positive: (i + 1) / (r_i + 1). Their mean is TREC's and scikit-learn's AP.

    ranks, order: as in `trapezoid_terms`
    ->            (n,)

    >>> standard_terms(np.array([0, 1, 3])).tolist()
    [1.0, 1.0, 0.75]
    """
    order = np.arange(len(ranks)) if order is None else order
    return np.asarray((order + 1) / (ranks + 1))


RULES: dict[str, Callable[..., NDArray[np.float64]]] = {"trapezoid": trapezoid_terms, "standard": standard_terms}


def positive_ranks(ranking: Iterable[Hashable], positives: Iterable[Hashable], junk: Iterable[Hashable] = ()) -> Ranks:
    """Where the positives stand in a ranking once junk is taken out of it.

    ranking:   ids, best first, each once
    positives: ids
    junk:      ids that count neither for nor against
    ->         (n_found,)   0-based ranks, ascending

    Raises InputError if an id is both positive and junk, or ranked twice.

    >>> positive_ranks("axjbyc", positives="abc", junk="j").tolist()
    [0, 2, 4]
    """
    wanted, ignored = set(positives), set(junk)
    both = sorted(map(str, wanted & ignored))
    if both:
        raise InputError(f"{len(both)} ids are positive and junk at once, such as {both[0]!r}")
    kept = [item for item in ranking if item not in ignored]
    found = [rank for rank, item in enumerate(kept) if item in wanted]
    if len({kept[rank] for rank in found}) < len(found):
        raise InputError("a positive is ranked twice: a ranking names each image once")
    return np.array(found, np.int64)


def as_ranks(ranks: ArrayLike) -> Ranks:
    """Checked ranks: (n,) whole numbers from 0, strictly ascending. Raises InputError otherwise.

    >>> as_ranks([0, 3]).tolist()
    [0, 3]
    """
    found = np.asarray(ranks)
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(f"ranks must be whole numbers (n,), got {found.dtype} of shape {found.shape}")
    found = found.astype(np.int64)
    if found[0] < 0 or (np.diff(found) <= 0).any():
        raise InputError("ranks must start at 0 or above and ascend without repeats")
    return found
