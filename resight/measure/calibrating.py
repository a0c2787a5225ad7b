"""The score of the finder, calibrated: a logistic model fitted on cases, and how far it can be trusted on others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.match.score import NAMES, PLAIN, Calibration
from resight.measure.calibrating_places import Asked, Place
from resight.measure.calibration import Calibration as Reliability
from resight.measure.calibration import calibration as reliability
from resight.measure.calibration import log_loss
from resight.measure.locating import limited
from resight.measure.proportion import wilson_interval

FOLDS = 5
LEAST = 10  # cases of each kind, see `check_enough`
BINS = 10
USUAL = 0.5  # the threshold that a calibrated score is expected to do with
PENALTY = 10.0  # of the ridge: a standard deviation of 3.2 of each weight
FREE = ("features",)  # how many a template has is no evidence by itself

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """What a threshold does.

    false, absent: absent templates that are called found, and all of them; interval: 95 % of that share (Wilson 1927)
    recall:        tier -> (found and right, cases)
    """

    threshold: float
    false: int
    absent: int
    interval: tuple[float, float]
    recall: dict[str, tuple[int, int]]

    @property
    def rate(self) -> float:
        """Share of the absent templates that are called found."""
        return self.false / self.absent

    @property
    def found(self) -> tuple[int, int]:
        """Found and right, and cases, of all tiers."""
        return sum(right for right, _ in self.recall.values()), sum(count for _, count in self.recall.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "threshold": self.threshold, "false_alarms": self.rate, "false": self.false, "absent": self.absent,
            "interval": list(self.interval), "recall": {name: list(pair) for name, pair in self.recall.items()},
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration, and what it does in cases that it was not fitted on (cross-validation by case).

    calibration: fitted on all cases, with the threshold of `chosen`
    tiers:       (N,) of the cases
    scores:      (N,) of the best place that a search returns, 0 if there is none
    right:       (N,) whether that place is right; never if the template is absent
    reliability: how often it is right, against the score
    log_loss:    in nats;  brier: mean squared difference of score and right
    usual, chosen: what the thresholds .5 and the calibration's own do
    """

    calibration: Calibration
    tiers: tuple[str, ...]
    scores: Floats
    right: NDArray[np.bool_]
    reliability: Reliability
    log_loss: float
    brier: float
    usual: Point
    chosen: Point

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,) whether the template is in the scene."""
        return np.array([tier != "absent" for tier in self.tiers], bool)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "cases": len(self.tiers), "absent": self.chosen.absent, "log_loss": self.log_loss, "brier": self.brier,
            "at_half": self.usual.as_dict(), "at_threshold": self.chosen.as_dict(),
            "reliability": self.reliability.as_dict(),
        }  # fmt: skip

    def __repr__(self) -> str:
        one = self.chosen
        return (f"<Calibrated on {len(self.tiers):,} cases: from {one.threshold:.3f} "
                f"found are {one.false} of {one.absent} absent, {one.found[0]} of {one.found[1]} there>")  # fmt: skip


def calibrate(cases: Sequence[Asked], *, false_alarms: float = 0.02) -> Calibrated:
    """A calibration for the finder, from cases like those it is meant for.

    false_alarms: share of the absent templates that may be called found; the threshold is the smallest at which, in
                  cross-validation, no more are

    The same cases give the same calibration. Raises InputError if the share is not between 0 and 1 or there are too
    few cases, see `check_enough`; WorkError if no threshold keeps the absent ones out.
    """
    if not 0 <= false_alarms < 1:
        raise InputError(f"expected false alarms as a share from 0 to below 1, got {false_alarms!r}")
    check_enough(cases)
    with limited(1):
        fitted = fit([place for case in cases for place in case.proposed])
        best = [_best(case, model) for case, model in zip(cases, _held_out(cases, fitted), strict=True)]
    scores, right = np.array([score for score, _ in best]), np.array([true for _, true in best], bool)
    tiers = tuple(case.tier for case in cases)
    threshold = least_threshold(scores[[not case.present for case in cases]], false_alarms)
    return Calibrated(
        replace(fitted, threshold=threshold), tiers, scores, right, reliability(scores, right, BINS),
        log_loss(np.stack([1 - scores, scores], 1), right.astype(np.int64)), float(((scores - right) ** 2).mean()),
        _point(tiers, scores, right, USUAL), _point(tiers, scores, right, threshold),
    )  # fmt: skip


def check_enough(cases: Sequence[Asked]) -> None:
    """Raises InputError, which says how many are needed, unless 10 cases have each of what the fit learns from.

    Those are absent templates, and right and wrong places, both with local features and of copies without.
    """
    kinds = {"in which the template is absent": sum(not case.present for case in cases)}
    for plain, name in ((True, "by plain correlation"), (False, "by local features")):
        for right, how in ((True, "right"), (False, "wrong")):
            kinds[f"with a {how} place {name}"] = sum(
                any((one.plain, one.right) == (plain, right) for one in case.proposed) for case in cases
            )
    name, count = min(kinds.items(), key=lambda pair: pair[1])
    if count >= LEAST:
        return
    advice = (f"about {math.ceil(1.2 * LEAST * len(cases) / count):,} cases in all would do" if count
              else "ask for other tiers, or more cases")  # fmt: skip
    raise InputError(f"too few cases to calibrate: {count} of {len(cases):,} are such {name}, at least {LEAST} are "
                     f"needed; {advice}")  # fmt: skip


def fit(places: Sequence[Place]) -> Calibration:
    """The logistic models of whether a place is right, by maximum likelihood with a weak ridge; threshold .5.

    Raises InputError unless right and wrong places are among those with local features, and among those without.
    """
    weights, bias = _weights([one for one in places if not one.plain], NAMES)
    plain_weights, plain_bias = _weights([one for one in places if one.plain], PLAIN)
    return Calibration(weights, bias, plain_weights, plain_bias)


def probabilities(model: Calibration, places: Sequence[Place]) -> Floats:
    """(n,) `Calibration.probability` of places whose measures are known."""
    logits = [
        (model.plain_bias if one.plain else model.bias)
        + sum(a * b for a, b in zip(model.plain_weights if one.plain else model.weights, one.measures, strict=True))
        for one in places
    ]
    return np.asarray(1 / (1 + np.exp(-np.clip(np.array(logits, np.float64), -50, 50))))


def least_threshold(absent: Floats, rate: float) -> float:
    """The smallest score from which at most this share of the absent templates' scores counts as found.

    absent: (n,) their scores, in 0..1

    Raises WorkError if even a score of 1 is too common.

    >>> least_threshold(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.30000000000000004
    """
    # A share like .29 of 100 is 28.999999999999996 in binary.
    allowed = math.floor(rate * len(absent) + 1e-9)
    if allowed >= len(absent):
        return 0.0
    first = float(np.sort(absent)[::-1][allowed])
    if first >= 1:
        raise WorkError(f"more than {allowed:,} of {len(absent):,} absent templates score 1: is the same thing on "
                        "several photographs? Leave out near copies")  # fmt: skip
    return float(np.nextafter(first, 1))


def _weights(places: Sequence[Place], names: Sequence[str]) -> tuple[tuple[float, ...], float]:
    """Weights of at least 0, so that more evidence never speaks against a place, but for FREE ones; and the bias."""
    from scipy.optimize import minimize
    from scipy.special import expit

    right = np.array([one.right for one in places], np.float64)
    if not right.any() or right.all():
        raise InputError(f"expected right and wrong places to fit {len(names)} weights, got {int(right.sum())} right "
                         f"of {len(right)}: more cases are needed")  # fmt: skip
    rows = np.column_stack([[one.measures for one in places], np.ones(len(places))])
    ridge = np.append(np.full(len(names), 1 / PENALTY), 0.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = rows @ weights
        value = np.logaddexp(0, logits).sum() - right @ logits + (ridge * weights**2).sum() / 2
        return float(value), np.asarray(rows.T @ (expit(logits) - right) + ridge * weights)

    bounds = [(None if name in FREE else 0, None) for name in names] + [(None, None)]
    start = np.zeros(rows.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 5000, "ftol": 1e-12})
    *weights, bias = found.x.tolist()
    return tuple(weights), bias


def _held_out(cases: Sequence[Asked], fitted: Calibration) -> list[Calibration]:
    """For each case the model of the folds that it is not in; of one without places, in no fold, that of all."""
    from sklearn.model_selection import GroupKFold

    rows = [(case, place) for case, asked in enumerate(cases) for place in asked.proposed]
    groups = np.array([case for case, _ in rows])
    models = [fitted] * len(cases)
    for learned, tested in GroupKFold(FOLDS).split(groups[:, None], groups=groups):
        model = fit([rows[one][1] for one in learned])
        for case in np.unique(groups[tested]):
            models[case] = model
    return models


def _best(case: Asked, model: Calibration) -> tuple[float, bool]:
    """Score of the most convincing place that the search returns, and whether it is right."""
    if not case.answers:
        return 0.0, False
    scores = probabilities(model, case.answers)
    best = int(scores.argmax())
    return float(scores[best]), case.answers[best].right


def _point(tiers: Sequence[str], scores: Floats, right: NDArray[np.bool_], threshold: float) -> Point:
    found, there = scores >= threshold, np.array([tier != "absent" for tier in tiers])
    false, absent = int((found & ~there).sum()), int((~there).sum())
    recall = {}
    for name in dict.fromkeys(tier for tier in tiers if tier != "absent"):
        own = np.array([tier == name for tier in tiers])
        recall[name] = int((found & right & own).sum()), int(own.sum())
    return Point(threshold, false, absent, wilson_interval(false, absent), recall)
