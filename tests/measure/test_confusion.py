"""The confusion matrix and what follows from it, against scikit-learn and by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.confusion import Confusion, confusion

NAMES = ("a", "b", "c", "d")


def drawn(seed, images, classes=4):
    random = np.random.default_rng(seed)
    return random.integers(0, classes, images), random.integers(0, classes, images)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    from sklearn import metrics

    truth, predicted = drawn(seed, 40 if seed else 6)
    found = confusion(truth, predicted, NAMES)
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(truth, predicted, labels=range(4)))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that have no images
        assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    known = sorted(set(truth.tolist()))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, labels=known, average="macro"))
    p, r, f, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(4), zero_division=np.nan
    )  # fmt: skip
    np.testing.assert_allclose(found.precision, p)
    np.testing.assert_allclose(found.recall, r)
    np.testing.assert_array_equal(found.support, support)
    np.testing.assert_allclose(found.f1[known], f[known])


def test_by_hand():
    found = Confusion(("x", "y", "z"), np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found.recall.tolist()[:2] == [0.75, 1.0]
    assert np.isnan(found.recall[2])  # no image of z
    assert found.precision.tolist()[:2] == [1.0, 2 / 3]
    assert np.isnan(found.precision[2])  # never predicted
    assert found.f1.tolist()[:2] == pytest.approx([6 / 7, 0.8])
    assert found.balanced_accuracy == 0.875
    assert found.macro_f1 == pytest.approx((6 / 7 + 0.8) / 2)
    np.testing.assert_array_equal(found.shares, [[0.75, 0.25, 0], [0, 1, 0], [np.nan] * 3])
    assert found.interval == pytest.approx((0.4365, 0.9699), abs=1e-4)
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_class_without_images_that_is_predicted():
    found = Confusion(("x", "y"), np.array([[1, 3], [0, 0]]))
    assert found.precision.tolist() == [1.0, 0.0]
    assert np.isnan(found.f1[1])
    assert found.balanced_accuracy == 0.25


def test_most_frequent_mistakes():
    found = Confusion(("x", "y", "z"), np.array([[9, 2, 5], [0, 9, 2], [0, 0, 9]]))
    assert found.mistakes(9) == [("x", "z", 5), ("x", "y", 2), ("y", "z", 2)]
    assert found.mistakes(1) == [("x", "z", 5)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_every_image_is_counted_once(pairs):
    truth, predicted = (np.array(side) for side in zip(*pairs))
    found = confusion(truth, predicted, NAMES)
    assert found.total == len(pairs) == found.support.sum()
    assert found.right == sum(t == p for t, p in pairs)
    low, high = found.interval
    assert low <= found.accuracy <= high
    np.testing.assert_allclose(np.nansum(found.shares, 1), found.support > 0)


def test_the_counts_are_its_own():
    given_counts = np.eye(2, dtype=int)
    found = Confusion(("x", "y"), given_counts)
    given_counts[0, 1] = 5
    assert found.right == found.total == 2
    with pytest.raises(ValueError, match="read-only"):
        found.counts[0, 0] = 1


@pytest.mark.parametrize(
    ("classes", "counts", "message"),
    [
        (("x", "y"), np.eye(3, dtype=int), "for 2 classes, got int64 of shape \\(3, 3\\)"),
        (("x", "y"), np.eye(2), "got float64"),
        (("x", "y"), -np.eye(2, dtype=int), "counts"),
        (("x", "x"), np.eye(2, dtype=int), "named twice"),
        (("x", "y"), np.zeros((2, 2), int), "no image was tested"),
    ],
)
def test_door(classes, counts, message):
    with pytest.raises(InputError, match=message):
        Confusion(classes, counts)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 4], [0, 0], "truth must be class numbers 0 .. 3, got 0 .. 4"),
        ([0, 1], [0, -1], "predicted must be class numbers"),
        ([0, 1], [0], "as many as images"),
        ([0.5], [0], "truth must be class numbers"),
        ([], [], "no image was tested"),
    ],
)
def test_numbers_that_are_no_classes(truth, predicted, message):
    with pytest.raises(InputError, match=message):
        confusion(np.array(truth), np.array(predicted), NAMES)
