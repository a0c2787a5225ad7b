"""Both rules of average precision, and the ranks they are computed from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure import RULES, average_precision, positive_ranks


def naive_trapezoid(ranks, positives):
    """The Oxford evaluator's loop: precision before and after each positive."""
    area, old_recall, old_precision, seen = 0.0, 0.0, 1.0, 0
    for place in range(max(ranks, default=-1) + 1):
        seen += place in ranks
        recall, precision = seen / positives, seen / (place + 1)
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def naive_standard(ranks, positives):
    total = 0.0
    for place in ranks:
        total += len([other for other in ranks if other <= place]) / (place + 1)
    return total / positives


NAIVE = {"trapezoid": naive_trapezoid, "standard": naive_standard}
rankings = st.lists(st.integers(0, 40), unique=True, max_size=15).map(sorted)


def test_golden_oxford():
    ranks = positive_ranks(["a", "x", "j", "b", "y", "c"], {"a", "b", "c"}, {"j"})
    assert ranks.tolist() == [0, 2, 4]
    assert average_precision(ranks, 3) == pytest.approx(0.711111, abs=1e-6)


@pytest.mark.parametrize(
    ("ranks", "positives", "trapezoid", "standard"),
    [
        ([1], 1, 0.25, 0.5),
        ([0], 1, 1.0, 1.0),
        ([0, 1, 2], 3, 1.0, 1.0),
        ([0], 2, 0.5, 0.5),
        ([], 4, 0.0, 0.0),
        ([0, 2], 2, (1 + (1 / 2 + 2 / 3) / 2) / 2, (1 + 2 / 3) / 2),
    ],
)
def test_by_hand(ranks, positives, trapezoid, standard):
    assert average_precision(ranks, positives) == pytest.approx(trapezoid)
    assert average_precision(ranks, positives, rule="standard") == pytest.approx(standard)


@pytest.mark.parametrize("rule", RULES)
@given(ranks=rankings, missing=st.integers(0, 5))
def test_equals_naive_loop(rule, ranks, missing):
    positives = len(ranks) + missing or 1
    value = average_precision(ranks, positives, rule)
    assert value == pytest.approx(NAIVE[rule](ranks, positives))
    assert 0 <= value <= 1


@pytest.mark.oracle
@given(ranks=rankings.filter(bool), extra=st.integers(0, 10))
def test_standard_equals_scikit_learn(ranks, extra):
    from sklearn.metrics import average_precision_score

    truth = np.zeros(max(ranks) + 1 + extra)
    truth[ranks] = 1
    expected = average_precision_score(truth, -np.arange(len(truth)))
    assert average_precision(ranks, len(ranks), rule="standard") == pytest.approx(expected)


@given(ranks=rankings)
def test_trapezoid_is_never_above_standard(ranks):
    positives = max(len(ranks), 1)
    assert average_precision(ranks, positives) <= average_precision(ranks, positives, rule="standard") + 1e-12


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.lists(st.integers(0, 12), max_size=5))
def test_where_junk_stands_never_matters(ranking, positives, places):
    ranking = list(ranking)
    expected = positive_ranks(ranking, positives).tolist()
    junk = [100 + i for i in range(len(places))]
    for item, place in zip(junk, places, strict=True):
        ranking.insert(place, item)
    assert positive_ranks(ranking, positives, junk).tolist() == expected


@given(st.permutations(range(10)), st.sets(st.integers(0, 14), min_size=1), st.permutations(range(15)))
def test_names_of_images_do_not_matter(ranking, positives, names):
    renamed = positive_ranks([names[i] for i in ranking], {names[i] for i in positives})
    assert renamed.tolist() == positive_ranks(ranking, positives).tolist()
    assert renamed.tolist() == [i for i, item in enumerate(ranking) if item in positives]


def test_arrays_as_ranking():
    assert positive_ranks(np.array([3, 1, 2]), np.array([2]), np.array([1])).tolist() == [1]
    assert positive_ranks([], {"a"}).tolist() == []


@pytest.mark.parametrize(
    ("ranks", "positives", "rule", "message"),
    [
        ([0, 2], 1, "standard", "at least 1 and the 2 found, got 1"),
        ([], 0, "standard", "at least 1 and the 0 found, got 0"),
        ([2, 0], 2, "standard", "ascend"),
        ([1, 1], 2, "standard", "ascend"),
        ([-1], 1, "standard", "at 0 or above"),
        ([0.5], 1, "standard", "whole numbers"),
        ([[0]], 1, "standard", r"shape \(1, 1\)"),
        ([0], 1, "trapezoids", "did you mean 'trapezoid'"),
    ],
)
def test_door(ranks, positives, rule, message):
    with pytest.raises(InputError, match=message):
        average_precision(ranks, positives, rule)


def test_ids_that_contradict():
    with pytest.raises(InputError, match="1 ids are positive and junk at once, such as 'b'"):
        positive_ranks("abc", "ab", "bc")
    with pytest.raises(InputError, match="ranked twice"):
        positive_ranks("aba", "a")
