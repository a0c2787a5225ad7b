import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.match.score import CALIBRATION, NAMES, PLAIN, measures
from resight.match.verify import Agreement

probability = CALIBRATION.probability


def agreement(full, median=0.5, share=0.5, best=0.6):
    return Agreement(full, median, share, best, 1.0, 1.0, np.zeros((5, 5)))


def test_every_measure_has_a_name_and_a_weight():
    assert len(measures(3, 40, agreement(0.4), 0.8)) == len(NAMES) == len(CALIBRATION.weights)
    assert measures(0, None, agreement(0.4), 0.8) == measures(3, 40, agreement(0.4), 0.8)[3:]
    assert len(PLAIN) == len(CALIBRATION.plain_weights) and NAMES[3:] == PLAIN


def test_the_probability_is_the_logistic_function_of_the_weighted_sum():
    values = measures(7, 50, agreement(0.8), 0.8)
    logit = CALIBRATION.bias + float(np.dot(CALIBRATION.weights, values))
    assert probability(7, 50, agreement(0.8), 0.8) == pytest.approx(1 / (1 + np.exp(-logit)))
    assert values[:3] == pytest.approx((np.log(8), 7 / 50, np.log(51)))


@given(st.integers(0, 2000), st.floats(-1, 1), st.floats(-1, 0.98))
def test_more_inliers_and_more_correlation_never_speak_against_it(inliers, full, best):
    base = probability(inliers, 2000, agreement(full, best=best), 0.8)
    assert 0 <= base <= 1
    assert probability(inliers + 1, 2000, agreement(full, best=best), 0.8) >= base
    assert probability(inliers, 2000, agreement(min(full + 0.1, 1), best=best), 0.8) >= base
    assert probability(inliers, 2000, agreement(full, best=best + 0.02), 0.8) >= base
