"""Dealing out groups: shares by hand, the greedy step against trying all parts, and against scikit-learn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.train.partition import fill, partition


def badness(units, shares, where):
    """Sum over classes and parts of (n_pc - share_p N_c)^2 / N_c, and the same of the totals."""
    total = sum(map(Counter, units), Counter())
    rows = [(total.total(), [sum(sum(u.values()) for u, w in zip(units, where) if w == p) for p in range(len(shares))])]
    for label, count in total.items():
        rows.append((count, [sum(u.get(label, 0) for u, w in zip(units, where) if w == p) for p in range(len(shares))]))
    return sum((have - share * count) ** 2 / count for count, found in rows for have, share in zip(found, shares))


def test_equal_classes_get_exact_shares():
    units = [{label: 1} for label in "abc" for _ in range(20)]
    found = Counter((unit.popitem()[0], part) for unit, part in zip(units, partition(units, (0.7, 0.2, 0.1), 0)))
    assert found == {(label, part): n for label in "abc" for part, n in enumerate((14, 4, 2))}


@settings(max_examples=100)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.floats(0.05, 0.9), st.integers(0, 99))
def test_single_examples_end_within_one_of_each_class_share(counts, share, seed):
    units = [{str(label): 1} for label, count in enumerate(counts) for _ in range(count)]
    where = partition(units, (1 - share, share), seed)
    for label, count in enumerate(counts):
        held = sum(part for part, unit in zip(where, units) if str(label) in unit)
        assert abs(held - share * count) <= 1 + 1e-9
    assert where == partition(units, (1 - share, share), seed)


def test_seeds_differ_and_parts_without_a_share_stay_empty():
    units = [{"a": size} for size in range(1, 30)]
    cuts = {tuple(partition(units, (0.8, 0, 0.2), seed)) for seed in range(10)}
    assert len(cuts) > 5 and all(set(cut) == {0, 2} for cut in cuts)


@settings(max_examples=30)
@given(st.data())
def test_the_last_unit_goes_where_the_sum_is_least(data):
    labels = st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1)
    units = [*data.draw(st.lists(labels, max_size=6)), {"a": 1}]
    shares = data.draw(st.sampled_from([(0.5, 0.5), (0.8, 0.2), (0.6, 0.3, 0.1)]))
    where = partition(units, shares, 3)
    small = [place for place, unit in enumerate(units) if sum(unit.values()) == 1]
    if small == [len(units) - 1] and all(sum(unit.values()) > 1 for unit in units[:-1]):  # certainly dealt last
        options = [badness(units, shares, [*where[:-1], part]) for part in range(len(shares))]
        assert options[where[-1]] == pytest.approx(min(options))


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_folds_of_groups_are_as_even_as_scikit_learns(seed):
    from sklearn.model_selection import StratifiedGroupKFold

    random = np.random.default_rng(seed)
    groups = random.zipf(1.6, 60).clip(1, 40).repeat(1)
    labels, names = [], []
    for name, size in enumerate(groups):
        favourite = random.integers(5)
        labels += [int(favourite if random.random() < 0.7 else random.integers(5)) for _ in range(size)]
        names += [name] * size
    units = [Counter(str(label) for label, owner in zip(labels, names) if owner == name) for name in range(len(groups))]
    theirs = [0] * len(units)
    peer = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(peer.split(np.zeros(len(labels)), labels, names)):
        for row in held:
            theirs[names[row]] = fold
    ours = np.mean([badness(units, [0.2] * 5, partition(units, [0.2] * 5, s)) for s in range(5)])
    assert ours <= 1.1 * badness(units, [0.2] * 5, theirs) + 0.1


def test_fill_by_hand():
    units = [{"a": 3}, {"a": 1, "b": 1}, {"a": 2}, {"b": 1}, {"c": 1}]
    where = [0, 0, 0, 0, 0]
    fill(units, where, 1, (0,))
    # b comes first (two units), its smaller goes; c has one unit, which train keeps; a's smallest left is the pair,
    # without which train would lose b.
    assert where == [0, 0, 1, 1, 0]
    fill(units, where, 2, (0, 1), robbing=True)
    assert {label for unit, part in zip(units, where) if part == 2 for label in unit} == {"a", "b", "c"}


@settings(max_examples=100)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1), min_size=1, max_size=10),
    st.data(),
)
def test_fill_only_adds_and_never_robs_unless_told(units, data):
    before = data.draw(st.lists(st.integers(0, 1), min_size=len(units), max_size=len(units)))

    def classes(where, part):
        return {label for unit, place in zip(units, where) if place == part for label in unit}

    where = list(before)
    fill(units, where, 1, (0,))
    assert classes(where, 0) == classes(before, 0) and classes(where, 1) >= classes(before, 1)
    where = list(before)
    fill(units, where, 0, (1,), robbing=True)
    assert classes(where, 0) == {label for unit in units for label in unit}
