"""Queries drawn anew and signs drawn at random, against naive loops."""

import itertools

import numpy as np
import pytest

from resight.errors import InputError
from resight.measure import resampling
from resight.measure.resampling import bootstrap_interval, drawn_means, randomisation_p


def test_means_are_those_of_a_loop():
    """The draws of one array of places are those of one draw after the other, so seeds keep their meaning."""
    for count in (12, 1001):
        random, values = np.random.default_rng(4), np.random.default_rng(5).normal(0, 0.1, count)
        naive = [np.mean([values[i] for i in random.integers(0, count, count)]) for _ in range(300)]
        np.testing.assert_allclose(drawn_means(values, 300, 4), naive)
        assert bootstrap_interval(values, 4, 300) == pytest.approx(np.percentile(naive, [2.5, 97.5]))


def test_blocks_do_not_change_the_draws(monkeypatch):
    values = np.random.default_rng(6).normal(size=10)
    whole, chance = drawn_means(values, 100), randomisation_p(values, 100)
    monkeypatch.setattr(resampling, "CELLS", 40)
    assert np.array_equal(drawn_means(values, 100), whole)
    assert randomisation_p(values, 100) == chance


def test_the_p_value_is_near_that_of_all_sign_patterns():
    values = np.array([0.3, -0.1, 0.2, 0.15, -0.05, 0.4, 0.1, -0.2])
    patterns = [abs(np.dot(signs, values)) for signs in itertools.product([-1, 1], repeat=8)]
    exact = np.mean(np.array(patterns) >= abs(values.sum()) - 1e-9)
    assert randomisation_p(values, 40_000) == pytest.approx(exact, abs=0.01)


def test_interval_covers_the_mean_as_the_normal_law_says():
    values = np.random.default_rng(0).standard_normal(400)
    low, high = bootstrap_interval(values, rounds=2000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap_interval(values, rounds=2000) == (low, high)
    assert bootstrap_interval(values, seed=1, rounds=2000) != (low, high)


def test_interval_of_one_value_and_door():
    assert bootstrap_interval([0.25]) == (0.25, 0.25)
    for values in ([], [np.nan], [[1.0]]):
        with pytest.raises(InputError, match="values must be finite numbers"):
            bootstrap_interval(values)
        with pytest.raises(InputError, match="values must be finite numbers"):
            randomisation_p(values, 10)
    with pytest.raises(InputError, match="rounds must be at least 1"):
        bootstrap_interval([1.0], rounds=0)
