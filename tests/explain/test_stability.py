"""Rank correlation, beside scipy and by hand; halves of a draw that agree, and halves that cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.explain.stability import mean_ranks, rank_correlation, split_half
from resight.explain.surrogate import fit_surrogate


@pytest.mark.oracle
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=20))
def test_rank_correlation_with_ties_is_scipys(pairs):
    from scipy import stats

    first, second = np.array(pairs).T
    assert np.array_equal(mean_ranks(first), stats.rankdata(first))
    ours = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(1 - 6 * 2 / (4 * 15))


@given(st.lists(st.floats(-5, 5).map(lambda v: round(v, 2)), min_size=4, max_size=12, unique=True))
def test_ranks_do_not_care_for_scale(values):
    row = np.array(values)
    assert rank_correlation(row, 3 * row + 1) == pytest.approx(1)
    assert rank_correlation(row, -(row**3)) == pytest.approx(-1)


def masks_of(samples, parts=10, seed=0):
    masks = np.random.default_rng(seed).integers(0, 2, (samples, parts))
    masks[0] = 1
    return masks


def test_a_linear_score_is_stable_and_noise_is_not():
    masks = masks_of(400)
    linear = masks @ np.arange(10) / 45
    noise = np.random.default_rng(1).random((400, 20))
    found = split_half(masks, np.column_stack([linear, noise]))
    assert found[0] == pytest.approx(1)
    assert abs(found[1:].mean()) < 0.25 and found[1:].max() < 0.95


def test_halves_are_every_other_sample_and_both_hold_the_whole_image():
    masks, scores = masks_of(41), np.random.default_rng(2).random((41, 2))
    odd, even = [0, *range(1, 41, 2)], [0, *range(2, 41, 2)]
    one, two = (fit_surrogate(masks[half], scores[half]).coefficients for half in (odd, even))
    expected = [rank_correlation(a, b) for a, b in zip(one, two, strict=True)]
    assert split_half(masks, scores).tolist() == expected


def test_scores_that_do_not_vary_have_no_stability():
    masks = masks_of(60)
    found = split_half(masks, np.column_stack([np.full(60, 0.3), masks @ np.arange(10)]))
    assert np.isnan(found[0]) and found[1] > 0.9


def test_doors():
    with pytest.raises(InputError, match="two rows of equal length of 2 or more, got 2 and 3"):
        rank_correlation([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="two halves need 3 samples"):
        split_half(masks_of(2), np.zeros((2, 1)))
