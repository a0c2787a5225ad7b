"""Query expansion by hand, against naive loops and scikit-learn's other solver, and its refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.expansion import (
    alpha_expansion,
    augment_database,
    average_expansion,
    discriminative_expansion,
)
from resight.search.neighbours import nearest_neighbours


def unit(count, width=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_average_by_hand():
    """(1, 0) and two (0, 1): the direction (1, 2)."""
    found = average_expansion(np.float32([1, 0]), np.float32([[0, 1], [0, 1]]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([1, 2]) / np.sqrt(5), atol=1e-7)


def test_alpha_by_hand():
    """Weights 1, 0.5^3 and, for a negative cosine, 0."""
    found = alpha_expansion(np.float32([1, 0, 0]), np.eye(3, dtype=np.float32)[1:], np.float32([0.5, -0.9]))
    np.testing.assert_allclose(found, np.array([1, 0.125, 0]) / np.hypot(1, 0.125), atol=1e-7)


def test_no_answers_leave_the_query():
    query, none = unit(1)[0], np.empty((0, 8), np.float32)
    np.testing.assert_allclose(average_expansion(query, none), query, atol=1e-7)
    np.testing.assert_allclose(alpha_expansion(query, none, np.empty(0)), query, atol=1e-7)


def test_opposites_cancel_to_zero():
    assert average_expansion(np.float32([1, 0]), np.float32([[-1, 0]])).tolist() == [0, 0]


@given(st.integers(0, 12), st.floats(0, 6), st.integers(0, 99))
def test_alpha_equals_a_loop(count, alpha, seed):
    query, *vectors = unit(count + 1, seed=seed)
    vectors = np.array(vectors, np.float32).reshape(count, 8)
    total = query.astype(np.float64)
    for vector in vectors:
        sim = float(np.dot(query, vector))
        total = total + (max(sim, 0) ** alpha if alpha else 1.0) * vector
    found = alpha_expansion(query, vectors, vectors @ query, alpha)
    np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=2e-5)


@given(st.integers(1, 12), st.integers(0, 99))
def test_alpha_zero_is_the_average_and_order_does_not_matter(count, seed):
    query, *vectors = unit(count + 1, seed=seed)
    vectors = np.array(vectors)
    sims = vectors @ query
    np.testing.assert_allclose(alpha_expansion(query, vectors, sims, 0), average_expansion(query, vectors), atol=1e-6)
    turned = alpha_expansion(query, vectors[::-1], sims[::-1])
    np.testing.assert_allclose(turned, alpha_expansion(query, vectors, sims), atol=1e-6)


def test_discriminative_by_hand():
    """One positive at (1, 0), one negative at (0, 1): the SVM's direction is their difference."""
    found = discriminative_expansion(np.float32([1, 0]), np.float32([[1, 0]]), np.float32([[0, 1]]))
    np.testing.assert_allclose(found, np.sqrt([0.5, 0.5]) * [1, -1], atol=1e-4)


@pytest.mark.oracle
def test_discriminative_is_near_the_solver_of_the_paper():
    """LIBSVM's C-SVC, which leaves the bias alone: within 5 degrees, and the same answers first."""
    from sklearn.svm import SVC

    centres = unit(2, 64, 1)
    positives = unit(9, 64, 2) * 0.5 + centres[0]
    positives /= np.linalg.norm(positives, axis=1, keepdims=True)
    negatives = unit(100, 64, 3)
    found = discriminative_expansion(positives[0], positives[1:], negatives)
    sample = np.concatenate([positives, negatives])
    peer = SVC(kernel="linear", C=1.0, tol=1e-6).fit(sample, np.arange(109) < 9).coef_[0]
    assert found @ peer / np.linalg.norm(peer) > np.cos(np.radians(5))
    assert (positives @ found).min() > (negatives @ found).max()


def test_discriminative_does_not_depend_on_the_order():
    positives, negatives = unit(10, 32, 4), unit(80, 32, 5)
    found = discriminative_expansion(positives[0], positives[1:], negatives)
    again = discriminative_expansion(positives[0], positives[:0:-1], negatives[::-1])
    np.testing.assert_allclose(found, again, atol=1e-5)
    np.testing.assert_array_equal(found, discriminative_expansion(positives[0], positives[1:], negatives))
    np.testing.assert_allclose(np.linalg.norm(found), 1, atol=1e-6)


def test_discriminative_without_a_direction_is_the_query():
    query = np.float32([1, 0])
    assert discriminative_expansion(query, query[None], np.float32([[1, 0], [1, 0]])).tolist() == [1, 0]


@pytest.mark.parametrize("alpha", [0, 1, 3])
def test_augmentation_equals_a_loop(alpha, monkeypatch):
    vectors = unit(60)
    vectors[5] = 0
    ids, sims = nearest_neighbours(vectors, 4)
    naive = np.zeros((60, 8))
    for row in range(60):
        naive[row] = vectors[row]
        for place, sim in zip(ids[row], sims[row]):
            naive[row] += vectors[place] * (max(float(sim), 0) ** alpha if alpha else 1)
        naive[row] /= np.linalg.norm(naive[row]) or 1
    found = augment_database(vectors, ids, sims, alpha)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive, atol=1e-6)
    monkeypatch.setattr("resight.search.expansion.FLOATS", 50)
    np.testing.assert_array_equal(augment_database(vectors, ids, sims, alpha), found)


def test_augmentation_follows_a_permutation():
    vectors, order = unit(200), np.random.default_rng(2).permutation(200)
    plain = augment_database(vectors, *nearest_neighbours(vectors, 5))
    shuffled = augment_database(vectors[order], *nearest_neighbours(vectors[order], 5))
    np.testing.assert_allclose(shuffled, plain[order], atol=1e-6)


def test_augmentation_without_neighbours_changes_nothing():
    vectors = unit(3)
    found = augment_database(vectors, np.empty((3, 0), int), np.empty((3, 0)))
    np.testing.assert_allclose(found, vectors, atol=1e-7)


def test_query_door():
    query, vectors = unit(1)[0], unit(3)
    with pytest.raises(InputError, match=r"shape \(8,\) as the vectors, got \(7,\)"):
        average_expansion(query[:7], vectors)
    with pytest.raises(InputError, match="NaN"):
        average_expansion(query * np.nan, vectors)
    with pytest.raises(InputError, match=r"sims must be numbers of shape \(3,\).*got float64 \(2,\)"):
        alpha_expansion(query, vectors, np.ones(2))
    with pytest.raises(InputError, match="sims hold NaN"):
        alpha_expansion(query, vectors, np.full(3, np.nan))
    for alpha in (-1, np.nan, np.inf):
        with pytest.raises(InputError, match="alpha must be at least 0 and finite"):
            alpha_expansion(query, vectors, np.ones(3), alpha)


def test_discriminative_door():
    query, vectors = unit(1)[0], unit(3)
    with pytest.raises(InputError, match="at least one negative"):
        discriminative_expansion(query, vectors, vectors[:0])
    with pytest.raises(InputError, match=r"negatives must be \(m, 8\)"):
        discriminative_expansion(query, vectors, unit(3, 9))
    with pytest.raises(InputError, match="C must be above 0"):
        discriminative_expansion(query, vectors, vectors, C=0)


def test_augmentation_door():
    vectors, sims = unit(3), np.ones((3, 1))
    for ids, message in [
        (np.zeros((2, 1), int), r"whole numbers \(3, k\), got int64 of shape \(2, 1\)"),
        (np.zeros((3, 1)), "whole numbers"),
        (np.full((3, 1), -1), "rows from 0 to 2, got -1 to -1"),
        (np.full((3, 1), 3), "got 3 to 3"),
    ]:
        with pytest.raises(InputError, match=message):
            augment_database(vectors, ids, sims)
    with pytest.raises(InputError, match=r"sims must be numbers of shape \(3, 2\)"):
        augment_database(vectors, np.zeros((3, 2), int), sims)
