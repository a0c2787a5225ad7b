"""The weighted ridge of LIME: by hand, beside scikit-learn and beside the lime package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.explain.surrogate import fit_surrogate, proximity


def drawn(samples=200, parts=12, classes=3, seed=0):
    """Masks with the whole image first, and scores that depend on them, not quite linearly."""
    random = np.random.default_rng(seed)
    masks = random.integers(0, 2, (samples, parts), np.uint8)
    masks[0] = 1
    logits = masks @ random.normal(size=(parts, classes)) + random.normal(size=(samples, classes)) * 0.1
    return masks, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_proximity_is_the_kernel_of_the_cosine_distance():
    masks, _ = drawn()
    for row, weight in zip(masks.astype(float), proximity(masks), strict=True):
        cosine = row @ np.ones(12) / (np.linalg.norm(row) * np.sqrt(12))
        assert weight == pytest.approx(np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2)), rel=1e-12)
    assert proximity(np.zeros((1, 5)))[0] == pytest.approx(np.exp(-8))  # nothing shown: distance 1


@pytest.mark.oracle
def test_coefficients_intercept_and_r2_are_those_of_scikit_learn():
    from sklearn.linear_model import Ridge

    masks, scores = drawn()
    ours, weights = fit_surrogate(masks, scores), proximity(masks)
    for place in range(3):
        theirs = Ridge(alpha=1).fit(masks, scores[:, place], sample_weight=weights)
        assert ours.coefficients[place] == pytest.approx(theirs.coef_, abs=1e-12)
        assert ours.intercepts[place] == pytest.approx(theirs.intercept_, abs=1e-12)
        assert ours.r2[place] == pytest.approx(theirs.score(masks, scores[:, place], sample_weight=weights), abs=1e-12)


@pytest.mark.oracle
def test_coefficients_are_those_of_the_lime_package_for_its_own_distances():
    from lime.lime_base import LimeBase
    from sklearn.metrics import pairwise_distances

    masks, scores = drawn(seed=1)
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    distances = pairwise_distances(masks, masks[:1], metric="cosine").ravel()
    ours = fit_surrogate(masks, scores)
    for place in range(3):
        intercept, pairs, r2, _ = base.explain_instance_with_data(masks, scores, distances, place, 100_000)
        assert [ours.coefficients[place][part] for part, _ in pairs] == pytest.approx([c for _, c in pairs], abs=1e-10)
        assert (ours.intercepts[place], ours.r2[place]) == pytest.approx((intercept, r2), abs=1e-10)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_without_a_penalty_a_linear_score_gives_its_own_weights(seed, parts):
    random = np.random.default_rng(seed)
    truth, level = random.normal(size=(2, parts)), random.normal(size=2)
    masks = np.array(np.meshgrid(*[[0, 1]] * parts)).reshape(parts, -1).T
    found = fit_surrogate(masks, masks @ truth.T + level, alpha=1e-12)
    assert found.coefficients == pytest.approx(truth, abs=1e-6)
    assert found.intercepts == pytest.approx(level, abs=1e-6)
    assert found.r2 == pytest.approx(1, abs=1e-6)


def test_scores_that_do_not_vary_have_no_r2_and_no_coefficients():
    masks, scores = drawn()
    scores[:, 1] = 0.25
    found = fit_surrogate(masks, scores)
    assert np.isnan(found.r2).tolist() == [False, True, False]
    assert found.coefficients[1] == pytest.approx(0, abs=1e-15) and found.intercepts[1] == pytest.approx(0.25)


def test_masks_and_scores_of_different_numbers_are_refused():
    with pytest.raises(InputError, match=r"masks \(N, n\) and scores \(N, C\), got \(200, 12\) and \(199, 3\)"):
        masks, scores = drawn()
        fit_surrogate(masks, scores[1:])
    with pytest.raises(InputError, match="expected masks"):
        fit_surrogate(masks, scores[:, 0])
