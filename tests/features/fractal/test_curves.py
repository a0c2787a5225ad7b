"""Descriptors of a curve, against the definition in plain loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skew

from resight.errors import InputError
from resight.features.fractal import describe_curve

LACUNARITY = [0.3082964066714967, 0.23777973118640858, 0.1905820992002934, 0.13601104851688936, 0.10617131200550403]
SIDES = [3, 5, 7, 9, 11]


def old_area(x, y):
    """The predecessors' area: width / 2n times the sum of neighbours' sums."""
    return (x[-1] - x[0]) / (2 * len(x)) * sum(y[i] + y[i + 1] for i in range(len(x) - 1))


def test_golden_curve():
    plain, biased = describe_curve(SIDES, LACUNARITY), describe_curve(SIDES, LACUNARITY, biased=True)
    assert abs(plain.area - 1.5432134764841834) < 1e-12
    assert abs(biased.area - 1.2345707811873468) < 1e-12
    for curve in (plain, biased):
        assert abs(curve.skewness - 0.30111297089607164) < 1e-12
        assert abs(curve.area_ratio - 0.7200681067668581) < 1e-12
        assert curve.maximum == LACUNARITY[0]


@given(st.lists(st.floats(0.01, 100), min_size=4, max_size=24))
def test_equals_plain_loops(values):
    x, half = list(range(3, 3 + 2 * len(values), 2)), len(values) // 2
    found, biased = describe_curve(x, values), describe_curve(x, values, biased=True)
    assert found.area == pytest.approx(np.trapezoid(values, x))
    assert biased.area == pytest.approx(old_area(x, values))
    assert biased.area == pytest.approx(found.area * (len(x) - 1) / len(x))
    assert found.area_ratio == pytest.approx(old_area(x[:half], values[:half]) / old_area(x[half:], values[half:]))
    if np.ptp(values) > 1e-3:
        assert found.skewness == pytest.approx(skew(values), abs=1e-6)
    assert found.maximum == max(values)


def test_curves_without_much_in_them():
    assert describe_curve([3, 5, 7, 9], [0.1] * 4).skewness == 0
    zero = describe_curve([3, 5, 7, 9], [0.0] * 4)
    assert zero.area == 0 and np.isnan(zero.area_ratio)
    assert np.isnan(describe_curve([3, 5, 7], [1, 2, np.nan]).area_ratio)
    assert describe_curve([3, 5, 7], [1, 3, np.nan]).area == 4
    assert np.isnan(describe_curve([3, 5], [np.nan] * 2).maximum)
    assert describe_curve([3], [2.0]).area == 0
    with pytest.raises(InputError, match=r"shapes \(2,\) and \(3,\)"):
        describe_curve([3, 5], [1, 2, 3])
