"""A grid of support vector machines, linear and RBF, compared by cross-validation."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images.examples import Example
from resight.measure.watching import Watch

COSTS = (6.0, 10.0, 100.0)  # as sift-cnn-all-sky-images has them, and the gammas too
GAMMAS = (0.1, 0.5, 2.0, 4.0)
FOLDS = 5
MOST_VALUES = 50  # of C, and of gamma

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class SvmRow:
    """One machine of the grid, and its accuracy on the training images' folds.

    kernel  "linear" or "rbf";  cost: C;  gamma: of exp(-gamma |x - y|^2), None for linear
    mean, sd  of the accuracies of the folds
    """

    kernel: str
    cost: float
    gamma: float | None
    mean: float
    sd: float

    def __str__(self) -> str:
        return f"{self.kernel} C={self.cost:g}" + ("" if self.gamma is None else f" gamma={self.gamma:g}")


def parse_values(name: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them, as `--C` and `--gamma` take them.

    Raises InputError, naming the option, for anything else.

    >>> parse_values("C", "0.1,1, 1e2")
    (0.1, 1.0, 100.0)
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--{name} takes numbers with commas between them, such as 0.1,1,10, got {text!r}") from None
    return checked_values(name, values, 1)


def kernel(one: Rows, other: Rows, gamma: float | None) -> Rows:
    """(N, D), (M, D) -> (N, M): x . y, or with gamma exp(-gamma |x - y|^2).

    >>> kernel(np.eye(2), np.eye(2), 0.5).round(4).tolist()
    [[1.0, 0.3679], [0.3679, 1.0]]
    """
    products = one @ other.T
    if gamma is None:
        return np.asarray(products)
    apart = (one * one).sum(1)[:, None] + (other * other).sum(1)[None] - 2 * products
    return np.asarray(np.exp(-gamma * np.maximum(apart, 0)))


def try_grid(
    features: Rows, labels: NDArray[np.int64], folds: Sequence[tuple[Any, Any]], costs: Sequence[float],
    gammas: Sequence[float], watch: Watch,
) -> Iterator[SvmRow]:  # fmt: skip
    """Every machine of the grid: the linear ones, then those of each gamma.

    features: (N, D), of length 1;  labels: (N,);  folds: (places to fit on, places to check)
    """
    done = 0
    with watch("fitting", len(costs) * (1 + len(gammas)) * len(folds), "machines") as show:
        for gamma in (None, *gammas):
            pairs = kernel(features, features, gamma)
            for cost in costs:
                scores = []
                for fit, check in folds:
                    found = fit_predict(pairs[np.ix_(fit, fit)], labels[fit], pairs[np.ix_(check, fit)], cost)
                    scores.append(float((found == labels[check]).mean()))
                    done += 1
                    show(done, 0)
                name = "linear" if gamma is None else "rbf"
                yield SvmRow(name, cost, gamma, float(np.mean(scores)), float(np.std(scores)))


def fit_predict(pairs: Rows, labels: NDArray[np.int64], asked: Rows, cost: float) -> NDArray[np.int64]:
    """What a machine fitted on pairs (N, N) and labels (N,) says of asked (M, N): (M,)."""
    from sklearn.svm import SVC

    machine = SVC(C=cost, kernel="precomputed", cache_size=500)
    return np.asarray(machine.fit(pairs, labels).predict(asked))


def cut_folds(
    items: Sequence[Example], labels: NDArray[np.int64], seed: int
) -> tuple[list[tuple[Any, Any]], list[str]]:
    """(places to fit on, places to check) of each fold, and what is odd about them.

    Raises InputError if there is too little to be cut.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    grouped = any(item.group is not None for item in items)
    groups = [item.group or f"\0{place}" for place, item in enumerate(items)]
    units = Counter(label for label, _ in {*zip(labels.tolist(), groups)})
    fewest = min(units.values())
    if max(units.values()) < 2:
        raise InputError("one training example (or group) of each class cannot be cut into folds: add some")
    count = max(2, min(FOLDS, fewest))
    notes = [f"{count} folds instead of {FOLDS}: the smallest class has {fewest}"] if count < FOLDS else []
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with one image, which the note tells
        folds = list(kind(count, shuffle=True, random_state=seed).split(labels, labels, groups if grouped else None))
    usable = [(fit, check) for fit, check in folds if len(check) and len(set(labels[fit].tolist())) > 1]
    if not usable:
        raise InputError(f"{len(items):,} training examples in so few groups cannot be cut into folds: add some")
    return usable, notes


def checked_values(name: str, values: Sequence[float], least: int) -> tuple[float, ...]:
    """The numbers, each once, in their order.

    least: how many there must be. Raises InputError unless all are finite and above 0.
    """
    found = tuple(dict.fromkeys(float(value) for value in values))
    wrong = [value for value in found if not (math.isfinite(value) and value > 0)]
    if wrong or not least <= len(found) <= MOST_VALUES:
        got = f"{wrong[0]:g}" if wrong else f"{len(found)} of them"
        raise InputError(f"{name} takes {least} to {MOST_VALUES} numbers above 0, got {got}")
    return found
