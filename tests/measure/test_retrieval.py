"""Scores at k, and leave-one-out over a labelled set against loops that rank one query at a time."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure import (
    average_precision,
    coverage_at,
    evaluate_labels,
    precision_at,
    recall_at,
    revisited_precision_at,
)

ranks_of = st.lists(st.integers(0, 30), unique=True, max_size=10).map(sorted)


def labelled(count=60, width=8, labels=5, seed=0):
    random = np.random.default_rng(seed)
    names = [f"class {i}" for i in random.integers(0, labels, count)]
    vectors = random.standard_normal((count, width)).astype(np.float32)
    vectors += np.array([[int(name[-1]) == d for d in range(width)] for name in names])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), names


def corners(places):
    """Vectors of +-1/2 in 4 dimensions: their products are exact, so that ties are ties."""
    return np.array([[(place >> d & 1) - 0.5 for d in range(4)] for place in places], np.float32)


def naive(vectors, labels, ks):
    """One query at a time: sort, drop the query, score with the functions for one ranking."""
    rows = []
    for q in range(len(vectors)):
        others = [i for i in range(len(vectors)) if i != q]
        scores = {i: float(vectors[q].astype(np.float64) @ vectors[i].astype(np.float64)) for i in others}
        ranking = sorted(others, key=lambda i: (-scores[i], i))
        ranks = [rank for rank, i in enumerate(ranking) if labels[i] == labels[q]]
        if ranks:
            row = {"query": q, "label": labels[q]}
            row["ap"] = average_precision(ranks, len(ranks), "standard")
            row["trapezoid"] = average_precision(ranks, len(ranks), "trapezoid")
            row["precision"] = [precision_at(ranks, min(k, len(others))) for k in ks]
            row["recall"] = [recall_at(ranks, k) for k in ks]
            rows.append(row)
    return rows


def check(scores, rows, ks, count):
    assert scores.query_index.tolist() == [row["query"] for row in rows]
    np.testing.assert_allclose(scores.ap, [row["ap"] for row in rows])
    np.testing.assert_allclose(scores.ap_trapezoid, [row["trapezoid"] for row in rows])
    assert scores.map == pytest.approx(np.mean([row["ap"] for row in rows]))
    assert scores.map_trapezoid == pytest.approx(np.mean([row["trapezoid"] for row in rows]))
    for i, k in enumerate(ks):
        assert scores.precision[k] == pytest.approx(np.mean([row["precision"][i] for row in rows]))
        assert scores.recall[k] == pytest.approx(np.mean([row["recall"][i] for row in rows]))
    assert (scores.queries, scores.skipped) == (len(rows), count - len(rows))
    labels = sorted({row["label"] for row in rows})
    assert list(scores.per_label) == labels
    for label in labels:
        assert scores.per_label[label] == pytest.approx(np.mean([row["ap"] for row in rows if row["label"] == label]))


def test_at_k_by_hand():
    ranks = [0, 2, 7]
    assert [precision_at(ranks, k) for k in (1, 2, 5, 20)] == [1.0, 0.5, 0.4, 0.15]
    assert precision_at(ranks, 20, positives=4) == 0.75
    assert [revisited_precision_at(ranks, k) for k in (1, 5, 10)] == [1.0, 0.4, 3 / 8]
    assert [recall_at([2], k) for k in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert [coverage_at(ranks, k, 6) for k in (1, 3, 100)] == [1 / 6, 1 / 3, 0.5]
    assert precision_at([], 5) == revisited_precision_at([], 5) == recall_at([], 5) == coverage_at([], 5, 2) == 0.0


@given(ranks_of, st.integers(1, 40), st.integers(0, 4))
def test_at_k_equals_naive(ranks, k, missing):
    hits = sum(1 for rank in ranks if rank < k)
    positives = len(ranks) + missing or 1
    assert precision_at(ranks, k) == hits / k
    assert precision_at(ranks, k, positives=positives) == hits / min(k, positives)
    assert recall_at(ranks, k) == float(hits > 0)
    assert coverage_at(ranks, k, positives) == hits / positives
    if ranks:
        depth = min(max(rank + 1 for rank in ranks), k)
        assert revisited_precision_at(ranks, k) == sum(rank + 1 <= depth for rank in ranks) / depth


@given(ranks_of.filter(bool), st.integers(1, 40))
def test_at_k_stays_in_order(ranks, k):
    assert precision_at(ranks, k) <= revisited_precision_at(ranks, k) <= 1
    assert coverage_at(ranks, k, len(ranks)) <= recall_at(ranks, k) <= recall_at(ranks, k + 1)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3"])
def test_k_must_be_a_whole_number(k):
    for call in (precision_at, revisited_precision_at, recall_at):
        with pytest.raises(InputError, match="k must be a whole number of at least 1"):
            call([0], k)


def test_more_ranks_than_positives():
    with pytest.raises(InputError, match="the 2 found, got 1"):
        coverage_at([0, 1], 5, 1)
    with pytest.raises(InputError, match="the 2 found, got 1"):
        precision_at([0, 1], 5, positives=1)


def test_labels_by_hand():
    """Query 0 finds its pair second (AP 1/2, trapezoid 1/4), query 1 first, query 2 has no pair."""
    vectors = np.array([[1, 0], [0.6, 0.8], [0.8, -0.6]], np.float32)
    scores = evaluate_labels(vectors, ["cat", "cat", "dog"], ks=[1, 2])
    assert scores.ap.tolist() == [0.5, 1.0] and scores.ap_trapezoid.tolist() == [0.25, 1.0]
    assert (scores.map, scores.map_trapezoid) == (0.75, 0.625)
    assert scores.precision == {1: 0.5, 2: 0.5} and scores.recall == {1: 0.5, 2: 1.0}
    assert (scores.queries, scores.skipped, scores.per_label) == (2, 1, {"cat": 0.75})
    assert scores.query_index.tolist() == [0, 1]


@pytest.mark.parametrize("block", [1, 7, 256])
def test_labels_equal_naive(block):
    vectors, labels = labelled()
    labels[3] = "alone"
    ks = [1, 5, 10, 1000]
    check(evaluate_labels(vectors, labels, ks, block), naive(vectors, labels, ks), ks, 60)


@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab")), min_size=3, max_size=12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_lower_row(images, block):
    labels = [label for _, label in images]
    if len(set(labels)) == 1 or not any(labels.count(label) > 1 for label in labels):
        return
    vectors = corners([place for place, _ in images])
    check(evaluate_labels(vectors, labels, [1, 3], block), naive(vectors, labels, [1, 3]), [1, 3], len(images))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_order_of_images_does_not_matter(seed):
    vectors, labels = labelled(30, seed=seed)
    order = np.random.default_rng(seed).permutation(30)
    shuffled = evaluate_labels(vectors[order], [labels[i] for i in order])
    plain = evaluate_labels(vectors, labels)
    assert shuffled.map == pytest.approx(plain.map)
    assert shuffled.per_label == pytest.approx(plain.per_label)


@pytest.mark.oracle
def test_standard_map_equals_scikit_learn():
    from sklearn.metrics import average_precision_score

    vectors, labels = labelled()
    expected = []
    for q in range(60):
        keep = np.arange(60) != q
        truth = np.array([label == labels[q] for label in labels])[keep]
        expected.append(average_precision_score(truth, (vectors @ vectors[q])[keep]))
    np.testing.assert_allclose(evaluate_labels(vectors, labels).ap, expected, atol=1e-6)


def test_perfect_and_worst_set():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    assert evaluate_labels(vectors, ["a", "a", "b", "b"]).map == 1.0
    worst = evaluate_labels(vectors, ["a", "b", "a", "b"], ks=[1])
    assert worst.recall == {1: 0.0}


def test_zero_vectors_are_allowed_and_rank_by_row():
    vectors = np.zeros((4, 3), np.float32)
    assert evaluate_labels(vectors, ["a", "b", "a", "b"]).ap.tolist() == [1 / 2, 1 / 3, 1.0, 1 / 2]


def test_scores_compare_print_and_go_to_json():
    vectors, labels = labelled()
    scores, again = evaluate_labels(vectors, labels), evaluate_labels(vectors, labels, block=9)
    assert scores == again and scores != evaluate_labels(vectors, labels, ks=[1]) and scores != "scores"
    start = f"<RetrievalScores mAP {scores.map_trapezoid:.4f} (standard {scores.map:.4f})"
    assert "\n" not in str(scores) and str(scores).startswith(start)
    written = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert written["map_standard"] == scores.map and written["recall"]["5"] == scores.recall[5] and "ap" not in written
    assert len(json.loads(json.dumps(scores.as_dict(per_query=True)))["ap"]) == scores.queries
    with pytest.raises(TypeError):
        hash(scores)


@pytest.mark.parametrize(
    ("vectors", "labels", "options", "message"),
    [
        (np.eye(3), ["x"] * 3, {}, "all 3 images carry one label 'x': nothing to measure"),
        (np.eye(3), ["x", "y", "z"], {}, "no two of the 3 images share a label"),
        (np.eye(3), ["x", "y"], {}, "got 2 labels for 3 vectors"),
        (np.eye(3) * 2, ["x", "x", "y"], {}, "L2-normalised, row 0 of 3 has norm 2"),
        (np.full((3, 3), np.nan), ["x", "x", "y"], {}, "has norm nan"),
        (np.eye(3, dtype=int), ["x", "x", "y"], {}, r"must be floats \(N, D\), got int64"),
        (np.empty((0, 3)), [], {}, r"of shape \(0, 3\)"),
        (np.eye(3), ["x", "x", "y"], {"ks": [0]}, "k must be a whole number"),
        (np.eye(3), ["x", "x", "y"], {"block": 0}, "block must be at least 1"),
    ],
)
def test_labels_door(vectors, labels, options, message):
    with pytest.raises(InputError, match=message):
        evaluate_labels(vectors, labels, **options)
