"""The grid of support vector machines: kernels, folds, and the values that may be asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from resight.errors import InputError
from resight.images.examples import Example
from resight.train.svm_grid import COSTS, GAMMAS, MOST_VALUES, SvmRow, checked_values, cut_folds, kernel, parse_values


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [None, 0.1, 4.0])
def test_kernels_are_those_of_scikit_learn(gamma):
    from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

    random = np.random.default_rng(0)
    one, other = random.normal(size=(5, 7)), random.normal(size=(4, 7))
    expected = linear_kernel(one, other) if gamma is None else rbf_kernel(one, other, gamma=gamma)
    np.testing.assert_allclose(kernel(one, other, gamma), expected)
    assert kernel(one, one, 2.0).diagonal().tolist() == pytest.approx([1] * 5)


def test_groups_stay_in_one_fold():
    items = [Example(Path(f"{n}.png"), "ab"[n % 2], None, f"group {n // 4}") for n in range(40)]
    labels = np.array([n % 2 for n in range(40)])
    folds, notes = cut_folds(items, labels, 0)
    assert len(folds) == 5
    assert notes == []
    for fit, check in folds:
        assert not {items[n].group for n in fit} & {items[n].group for n in check}
    assert Counter(n for _, check in folds for n in check) == Counter(range(40))


def test_one_example_of_each_class_cannot_be_cut():
    items = [Example(Path(f"{n}.png"), "abc"[n]) for n in range(3)]
    with pytest.raises(InputError, match=r"one training example .* of each class cannot be cut into folds"):
        cut_folds(items, np.arange(3), 0)
    folds, notes = cut_folds([*items, items[0]], np.array([0, 1, 2, 0]), 0)
    assert len(folds) == 2
    assert notes == ["2 folds instead of 5: the smallest class has 1"]


def test_values():
    assert parse_values("C", "0.1,1, 10,1e2,1") == (0.1, 1, 10, 100)
    assert parse_values("C", "6,10,100") == COSTS
    assert parse_values("gamma", "0.1,0.5,2,4") == GAMMAS
    assert checked_values("gamma", (), 0) == ()
    for text in ("", "1,,2", "a", "1;2"):
        with pytest.raises(InputError, match=r"--C takes numbers with commas between them, such as 0\.1,1,10, got '"):
            parse_values("C", text)
    for text, got in (("0", "0"), ("1,-2", "-2"), ("nan", "nan"), ("inf", "inf"), ("1,1e999", "inf")):
        with pytest.raises(InputError, match=rf"gamma takes 1 to 50 numbers above 0, got {got}"):
            parse_values("gamma", text)
    with pytest.raises(InputError, match="C takes 1 to 50 numbers above 0, got 51 of them"):
        checked_values("C", range(1, MOST_VALUES + 2), 1)
    with pytest.raises(InputError, match="C takes 1 to 50 numbers above 0, got 0 of them"):
        checked_values("C", [], 1)


def test_names_of_machines():
    assert str(SvmRow("rbf", 6.0, 0.1, 0.5, 0.0)) == "rbf C=6 gamma=0.1"
    assert str(SvmRow("linear", 100.0, None, 0.5, 0.0)) == "linear C=100"
