"""Calibration: the expected error by a plain loop, the log loss by scikit-learn, and the ends of the bins."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.calibration import calibration, log_loss


def naive_error(confidence, right, bins):
    """Guo 2017, equation 3, one bin after another."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        members = [i for i, c in enumerate(confidence) if low < c <= high or (b == 0 and c == 0)]
        if members:
            accuracy = sum(right[i] for i in members) / len(members)
            sure = sum(confidence[i] for i in members) / len(members)
            total += len(members) / len(confidence) * abs(accuracy - sure)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_error_is_that_of_a_plain_loop(bins):
    random = np.random.default_rng(bins)
    confidence = random.random(300) ** 0.5
    right = random.random(300) < confidence**2
    found = calibration(confidence, right, bins)
    assert found.error == pytest.approx(naive_error(confidence.tolist(), right.tolist(), bins), abs=1e-12)
    assert found.counts.sum() == 300
    assert found.mean_confidence == pytest.approx(confidence.mean())


def test_by_hand():
    found = calibration(np.array([0.9, 0.9, 0.8, 0.3]), np.array([True, False, True, True]), bins=2)
    # (0, .5]: one, sure .3, right 1; (.5, 1]: three, sure 2.6 / 3, right 2 / 3
    assert found.counts.tolist() == [1, 3]
    assert found.accuracy.tolist() == pytest.approx([1, 2 / 3])
    assert found.confidence.tolist() == pytest.approx([0.3, 2.6 / 3])
    assert found.error == pytest.approx(0.25 * 0.7 + 0.75 * 0.2)
    assert str(found) == "<Calibration: ECE 0.3250, 4 images in 2 bins>"


def test_a_bin_holds_its_upper_end():
    found = calibration(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), bins=2)
    assert found.counts.tolist() == [2, 1]


def test_empty_bins_are_null_in_json():
    text = json.dumps(calibration(np.array([0.95]), np.array([True])).as_dict(), allow_nan=False)
    assert json.loads(text)["accuracy"] == [None] * 14 + [1.0]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_error_lies_between_the_overall_gap_and_one(pairs):
    confidence, right = (np.array(side) for side in zip(*pairs))
    found = calibration(confidence, right)
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= found.error <= 1


@pytest.mark.oracle
def test_log_loss_is_that_of_scikit_learn():
    from sklearn import metrics

    random = np.random.default_rng(2)
    scores = random.dirichlet(np.full(5, 0.3), 80).astype(np.float32)
    truth = random.integers(0, 5, 80)
    assert log_loss(scores, truth) == pytest.approx(metrics.log_loss(truth, scores, labels=range(5)), rel=1e-5)


def test_a_probability_of_zero_is_finite():
    assert log_loss(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(-np.log(2.0**-23))


@pytest.mark.parametrize(
    ("confidence", "right", "message"),
    [
        ([], [], "N >= 1"),
        ([0.5], [True, False], r"got \(1,\) and \(2,\)"),
        ([1.5], [True], "in \\[0, 1\\]"),
        ([float("nan")], [True], "in \\[0, 1\\]"),
    ],
)
def test_door(confidence, right, message):
    with pytest.raises(InputError, match=message):
        calibration(np.array(confidence), np.array(right))
