"""What many answers come to: a line for each method and tier, differences between methods, distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.measure.locating import Answer
from resight.measure.resampling import bootstrap_interval

ALL = "all"  # the line over every tier but those in APART
APART = ("absent", "several")
ALLOWED = 0.01  # of absent templates, at most, for the recall by the score
NAN = float("nan")


@dataclass(frozen=True)
class Line:
    """A method in a tier.

    cases       counted;  failed: of them those it could not do
    iou         mean overlap with the truth, interval: 95 %, by drawing the cases anew; nan on absent templates
    success     share of the instances found with an overlap of at least .5
    corner_px   median error of the corners of those, inside_px of the template's points within the scene
    false       share of absent templates that are called found; elsewhere, of cases with a place called found where
                nothing is
    recall_1    share found right if the threshold is set to let 1 % of the absent ones pass; in the line over all
    find_ms     median, find_90 the 90th percentile; prepare_ms, prepare_90 likewise
    """

    method: str
    tier: str
    cases: int
    failed: int
    iou: float
    interval: tuple[float, float]
    success: float
    corner_px: float
    inside_px: float
    false: float
    recall_1: float
    find_ms: float
    find_90: float
    prepare_ms: float
    prepare_90: float


@dataclass(frozen=True)
class Gain:
    """By how much a method's overlap is larger than another's on the same cases; interval: 95 %, paired bootstrap."""

    method: str
    other: str
    tier: str
    cases: int
    difference: float
    interval: tuple[float, float]
    better: int
    worse: int


@dataclass(frozen=True)
class Described:
    """The distribution of a quantity, as pandas' describe gives it: std with n - 1, percentiles interpolated."""

    method: str
    tier: str
    quantity: str
    count: int
    mean: float
    std: float
    min: float
    low: float
    median: float
    high: float
    max: float


def table_lines(answers: Sequence[Answer]) -> list[Line]:
    """A line for each method and tier, then for each method over all tiers but "several" and "absent".

    In that line `false` is of the absent templates and `success` the recall at the same threshold, the method's own.
    """
    methods, tiers = _names(answers)
    lines = [_line(method, tier, _of(answers, method, tier)) for tier in tiers for method in methods]
    if len([tier for tier in tiers if tier not in APART]) > 1:
        lines += [_overall(method, [one for one in answers if one.method == method]) for method in methods]
    return lines


def gains(answers: Sequence[Answer], seed: int = 0) -> list[Gain]:
    """The first method against each other one, for each tier with something to find, then over all of them.

    Paired bootstrap: cases are drawn anew with both answers (Efron 1979).
    """
    methods, tiers = _names(answers)
    present = [tier for tier in tiers if tier != "absent"]
    pooled = [(tier, (tier,)) for tier in present] + [(ALL, tuple(tier for tier in present if tier not in APART))]
    return [
        _gain(answers, methods[0], other, name, members, seed)
        for other in methods[1:] for name, members in pooled
        if members and (name != ALL or len(members) > 1)
    ]  # fmt: skip


def described(answers: Sequence[Answer]) -> list[Described]:
    """Overlap (of what is there), time to find and to prepare, of each method in each tier and over all cases."""
    methods, tiers = _names(answers)
    found = []
    for method in methods:
        for tier in (*tiers, ALL):
            own = [one for one in answers if one.method == method and tier in (one.tier, ALL)]
            for name in ("iou", "find_ms", "prepare_ms"):
                values = [getattr(one, name) for one in own if not math.isnan(getattr(one, name))]
                if values:
                    found.append(Described(method, tier, name, len(values), *describe(values).values()))
    return found


def describe(values: ArrayLike) -> dict[str, float]:
    """mean, std (n - 1), min, low (25 %), median, high (75 %), max of (n,) values; std of one is nan.

    Raises InputError if there is none.

    >>> describe([1.0, 2.0, 6.0])["median"]
    2.0
    """
    given = np.asarray(values, np.float64)
    if given.ndim != 1 or not given.size:
        raise InputError(f"expected values (n,) with n >= 1 to describe, got shape {given.shape}")
    low, median, high = (float(value) for value in np.percentile(given, [25, 50, 75]))
    return {
        "mean": float(given.mean()), "std": float(given.std(ddof=1)) if given.size > 1 else NAN,
        "min": float(given.min()), "low": low, "median": median, "high": high, "max": float(given.max()),
    }  # fmt: skip


def recall_allowing(answers: Sequence[Answer], allowed: float = ALLOWED) -> float:
    """Share of templates that are there and found right when the threshold lets at most this share of absent ones pass.

    By `score` and the best candidate's overlap, whatever the method's own threshold. nan without absent templates.
    """
    absent = np.sort([one.score for one in answers if not one.present])[::-1]
    there = [one for one in answers if one.present == 1]
    if not len(absent) or not there:
        return NAN
    # The highest score that may not pass; what is above it does.
    barred = float(absent[min(len(absent) - 1, int(allowed * len(absent)))])
    return float(np.mean([one.score > barred and one.best_iou >= 0.5 for one in there]))


def _line(method: str, tier: str, own: Sequence[Answer], false: float | None = None, recall: float = NAN) -> Line:
    overlaps = [one.iou for one in own if one.present]
    right = [one for one in own if one.hits]
    absent = [one for one in own if not one.present]
    stray = float(np.mean([one.found for one in absent] if absent else [one.false > 0 for one in own]))
    find_ms, find_90 = _quantiles([one.find_ms for one in own if not one.error])
    prepare_ms, prepare_90 = _quantiles([one.prepare_ms for one in own if not one.error])
    return Line(
        method, tier, len(own), sum(bool(one.error) for one in own), float(np.mean(overlaps)) if overlaps else NAN,
        bootstrap_interval(overlaps) if overlaps else (NAN, NAN),
        sum(one.hits for one in own) / present if (present := sum(one.present for one in own)) else NAN,
        _median([one.corner_px for one in right]), _median([one.inside_px for one in right]),
        stray if false is None else false, recall, find_ms, find_90, prepare_ms, prepare_90,
    )  # fmt: skip


def _overall(method: str, own: Sequence[Answer]) -> Line:
    absent = [one for one in own if one.tier == "absent"]
    false = float(np.mean([one.found for one in absent])) if absent else NAN
    usual = [one for one in own if one.tier not in APART]
    return _line(method, ALL, usual, false, recall_allowing([*usual, *absent]))


def _gain(answers: Sequence[Answer], method: str, other: str, name: str, tiers: Sequence[str], seed: int) -> Gain:
    one, two = (
        {(a.tier, a.number): a.iou for a in answers if a.method == m and a.tier in tiers} for m in (method, other)
    )
    change = np.array([one[key] - two[key] for key in one if key in two])
    return Gain(
        method, other, name, len(change), float(change.mean()), bootstrap_interval(change, seed),
        int((change > 1e-9).sum()), int((change < -1e-9).sum()),
    )  # fmt: skip


def _names(answers: Sequence[Answer]) -> tuple[list[str], list[str]]:
    """Methods and tiers in the order in which they come."""
    if not answers:
        raise InputError("expected answers to make a table of, got none")
    return list(dict.fromkeys(one.method for one in answers)), list(dict.fromkeys(one.tier for one in answers))


def _of(answers: Sequence[Answer], method: str, tier: str) -> list[Answer]:
    return [one for one in answers if one.method == method and one.tier == tier]


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return NAN, NAN
    middle, high = np.percentile(values, [50, 90])
    return float(middle), float(high)


def _median(values: Sequence[float]) -> float:
    known: NDArray[np.float64] = np.array([value for value in values if not math.isnan(value)])
    return float(np.median(known)) if known.size else NAN
