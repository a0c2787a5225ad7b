"""Rankings of labelled queries: hand arithmetic, a plain loop, the measures of labelled sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure import evaluate_labels
from resight.measure.average_precision import average_precision
from resight.train.neighbour_scores import neighbour_scores


def vectors(count, seed=0, dim=5):
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def alone(count):
    """Each left out of its own ranking."""
    return [[place] for place in range(count)]


def angles(*degrees):
    """Unit vectors in the plane."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


def test_by_hand():
    # From 0 degrees: b (10), a (20), b (30), a (40). Right at ranks 2 and 4: AP (1/2 + 2/4) / 2.
    found = neighbour_scores(angles(0), ["a"], angles(10, 20, 30, 40), list("baba"))
    assert found.ap.tolist() == [0.5]
    assert found.ap_trapezoid == pytest.approx([((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2])
    assert found.first_right.tolist() == [1]
    assert {k: hits.tolist() for k, hits in found.hits.items()} == {1: [0], 5: [2], 10: [2]}
    assert found.nearest.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(found.similarities[0], np.cos(np.deg2rad([10, 20, 30, 40])), atol=1e-6)
    summary = found.summary()
    assert summary["recall"] == summary["hit"] == {"1": 0.0, "5": 1.0, "10": 1.0}
    assert summary["precision"] == {"1": 0.0, "5": 0.5, "10": 0.5}  # of the four that there are


def test_what_is_left_out_counts_neither_way():
    found = neighbour_scores(angles(0), ["a"], angles(10, 20, 30, 40), list("baba"), [[0, 3]])
    assert found.ap.tolist() == [1.0]
    assert found.first_right.tolist() == [0]
    assert found.searched.tolist() == [2]
    assert found.nearest.tolist() == [[1, 2, -1, -1]]
    assert np.isnan(found.similarities[0, 2:]).all()
    # What is left out with the only right image is no query.
    two = neighbour_scores(angles(0, 5), ["a", "b"], angles(10, 20, 30), list("bab"), [[1], []])
    assert two.queries.tolist() == [1]


@pytest.mark.oracle
@pytest.mark.parametrize("cells", [1, 7, 10_000])
def test_leave_one_out_is_evaluate_labels(cells):
    rows, labels = vectors(40), [f"{'abcdefg'[n % 7]}" for n in range(39)] + ["alone"]
    found = neighbour_scores(rows, labels, rows, labels, alone(40), cells=cells)
    expected = evaluate_labels(rows, labels)
    np.testing.assert_array_equal(found.queries, expected.query_index)
    np.testing.assert_allclose(found.ap, expected.ap, atol=1e-12)
    np.testing.assert_allclose(found.ap_trapezoid, expected.ap_trapezoid, atol=1e-12)
    summary = found.summary()
    assert summary["map_standard"] == pytest.approx(expected.map)
    assert summary["recall"] == {str(k): pytest.approx(value) for k, value in expected.recall.items()}
    assert summary["precision"] == {str(k): pytest.approx(value) for k, value in expected.precision.items()}


@pytest.mark.oracle
@given(st.integers(0, 200), st.integers(1, 8), st.integers(2, 12))
def test_a_plain_loop_agrees(seed, queries, base):
    random = np.random.default_rng(seed)
    own, theirs = [list(random.choice(list("abc"), count)) for count in (queries, base)]
    left_out = [sorted(random.choice(base, random.integers(0, base), replace=False)) for _ in range(queries)]
    points, others = vectors(queries, seed), vectors(base, seed + 1)
    expected = {}
    for place in range(queries):
        scored = sorted((-float(points[place] @ others[row]), row) for row in range(base) if row not in left_out[place])
        right = [theirs[row] == own[place] for _, row in scored]
        if any(right):
            ranks = np.flatnonzero(right)
            expected[place] = (
                average_precision(ranks, len(ranks), "standard"), average_precision(ranks, len(ranks)), ranks[0],
                sum(right[:1]), sum(right[:5]), [row for _, row in scored][:10],
            )  # fmt: skip
    if not expected:
        with pytest.raises(InputError, match="nothing to measure"):
            neighbour_scores(points, own, others, theirs, left_out)
        return
    found = neighbour_scores(points, own, others, theirs, left_out, cells=3)
    assert found.queries.tolist() == list(expected)
    for row, (standard, trapezoid, first, hit, five, nearest) in enumerate(expected.values()):
        assert found.ap[row] == pytest.approx(standard)
        assert found.ap_trapezoid[row] == pytest.approx(trapezoid)
        assert (found.first_right[row], found.hits[1][row], found.hits[5][row]) == (first, hit, five)
        assert [one for one in found.nearest[row] if one >= 0] == nearest


def test_a_choice_of_queries():
    rows, labels = vectors(12), list("aabbccaabbcc")
    found = neighbour_scores(rows, labels, rows, labels, alone(12))
    chosen = np.arange(12) < 4
    assert found.summary(chosen)["map_standard"] == pytest.approx(found.ap[:4].mean())
    assert found.summary(chosen)["queries"] == 4
    with pytest.raises(InputError, match="no query"):
        found.summary(np.zeros(12, bool))


def test_wrong_shapes():
    with pytest.raises(InputError, match=r"expected queries \(M, D\)"):
        neighbour_scores(vectors(2), ["a", "b"], vectors(2, dim=4), ["a", "b"])
    with pytest.raises(InputError, match="expected a label for each of 2 queries and 3"):
        neighbour_scores(vectors(2), ["a", "b"], vectors(3), ["a", "b"])
