"""Nearest neighbours against a full sort in float64: ties, blocks, permutations, equal and empty vectors, refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.neighbours import as_neighbours, as_query, cosines, nearest_neighbours


def unit(count, width=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def naive(vectors, k):
    """Every cosine in float64, rounded as the result is; a full sort per row."""
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    ids = []
    for row, line in enumerate(exact.astype(np.float32)):
        others = [place for place in range(len(line)) if place != row]
        ids.append(sorted(others, key=lambda place: (-line[place], place))[:k])
    ids = np.array(ids, int).reshape(len(vectors), -1)
    return ids, np.take_along_axis(exact, ids, 1)


@pytest.mark.parametrize(("count", "k"), [(2, 1), (7, 3), (200, 5), (1200, 1), (1200, 20)])
def test_equals_a_full_sort(count, k):
    vectors = unit(count)
    ids, sims = nearest_neighbours(vectors, k)
    expected, exact = naive(vectors, k)
    assert ids.dtype == np.int32 and sims.dtype == np.float32
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(sims, exact, atol=1e-7)


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 70), st.integers(0, 9))
def test_ties_go_to_the_lower_row_in_any_block(count, k, block, seed):
    """Vectors on the axes, and zeros: nearly every cosine is tied at 1 or 0."""
    vectors = np.eye(5, 4, dtype=np.float32)[np.random.default_rng(seed).integers(0, 5, count)]
    ids, sims = nearest_neighbours(vectors, k, block=block)
    expected, exact = naive(vectors, k)
    assert ids.shape == (count, min(k, count - 1))
    np.testing.assert_array_equal(ids, expected.reshape(ids.shape))
    np.testing.assert_array_equal(sims, exact.reshape(ids.shape))


def test_many_equal_and_empty_vectors():
    vectors = np.repeat(unit(40), 50, axis=0)
    vectors[::7] = 0
    ids, _ = nearest_neighbours(vectors, 60, block=300)
    np.testing.assert_array_equal(ids, naive(vectors, 60)[0])


def test_blocks_change_nothing_at_all():
    vectors = unit(1500, 64)
    whole = nearest_neighbours(vectors, 10)
    for block in (1, 7, 100, 1499, 5000):
        for once, again in zip(whole, nearest_neighbours(vectors, 10, block=block)):
            np.testing.assert_array_equal(once, again)


def test_order_of_the_database_does_not_matter():
    vectors = unit(2500, 48)
    order = np.random.default_rng(3).permutation(2500)
    ids, sims = nearest_neighbours(vectors, 8)
    shuffled_ids, shuffled_sims = nearest_neighbours(vectors[order], 8)
    np.testing.assert_array_equal(order[shuffled_ids], ids[order])
    np.testing.assert_array_equal(shuffled_sims, sims[order])


def test_small_differences_are_kept():
    """Cosines that a float32 product may confuse: 40 vectors within 1e-3 of each other."""
    vectors = unit(1, 256) + 1e-4 * unit(40, 256, 1)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids, sims = nearest_neighbours(vectors, 39)
    np.testing.assert_array_equal(ids, naive(vectors, 39)[0])
    assert (np.diff(sims) <= 0).all()


def test_progress_counts_rows_and_may_interrupt():
    seen = []
    nearest_neighbours(unit(25), 2, block=10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 25), (20, 25), (25, 25)]

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_neighbours(unit(25), 2, block=10, progress=interrupt)


def test_one_or_no_vector_has_no_neighbours():
    assert nearest_neighbours(unit(1), 5)[0].shape == (1, 0)
    assert nearest_neighbours(np.empty((0, 4), np.float32), 5)[1].shape == (0, 0)


def test_cosines_equal_a_loop_and_are_symmetric(monkeypatch):
    left, right = unit(9, 30), unit(11, 30, 1)
    rows, columns = np.array(list(itertools.product(range(9), range(11)))).T
    found = cosines(left, right, rows, columns)
    expected = [np.dot(left[r].astype(float), right[c].astype(float)) for r, c in zip(rows, columns)]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_array_equal(found, cosines(right, left, columns, rows))
    monkeypatch.setattr("resight.search.neighbours.PAIR_FLOATS", 70)
    np.testing.assert_array_equal(found, cosines(left, right, rows, columns))


@pytest.mark.parametrize(
    ("vectors", "k", "block", "message"),
    [
        (unit(4), 0, None, "neighbours must be at least 1, got 0"),
        (unit(4), 1, 0, "block must have at least 1 row, got 0"),
        (unit(4)[0], 1, None, r"must be numbers \(N, d\), got float32 of shape \(16,\)"),
        (np.array([["a"]]), 1, None, "must be numbers"),
        (np.empty((3, 0), np.float32), 1, None, r"shape \(3, 0\)"),
        (np.full((3, 2), np.nan), 1, None, "NaN or infinity"),
        (np.float32([[1, 0], [3, 4]]), 1, None, r"must have length 1 \(or 0\), row 1 has 5"),
    ],
)
def test_door(vectors, k, block, message):
    with pytest.raises(InputError, match=message):
        nearest_neighbours(vectors, k, block=block)


def test_neighbours_given_are_checked():
    ids, sims = nearest_neighbours(unit(6), 4)
    cut, _ = as_neighbours((ids.astype(np.int64), sims), 6, 2)
    assert cut.dtype == np.int32 and cut.tolist() == ids[:, :2].tolist()
    for bad, message in [
        ((ids, sims[:, :2]), r"got \(6, 4\) and \(6, 2\)"),
        ((ids[:, :2], sims[:, :2]), r"\(6, 3 or more\), got \(6, 2\)"),
        ((ids + 3, sims), "whole numbers from 0 to 5"),
        ((ids.astype(float), sims), "whole numbers"),
        ((ids, sims * np.nan), "NaN or infinity"),
        ((np.arange(6)[:, None] + np.zeros((6, 4), int), sims), "among its own neighbours"),
    ]:
        with pytest.raises(InputError, match=message):
            as_neighbours(bad, 6, 3)
    with pytest.raises(InputError, match=r"shape \(3,\) as the vectors, got \(2,\)"):
        as_query(np.zeros(2), 3)
