"""The slope of a log-log line, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from resight.errors import InputError
from resight.features.fractal import fit_dimension

SIZES = np.array([3, 5, 7, 9, 11])


@given(st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=5, unique=True))
def test_equals_scipy(counts):
    found, peer = fit_dimension(SIZES, counts), linregress(np.log(SIZES), np.log(counts))
    assert found.value == pytest.approx(-peer.slope, rel=1e-9, abs=1e-9)
    assert found.standard_error == pytest.approx(peer.stderr, rel=1e-6, abs=1e-7)
    assert found.intercept == pytest.approx(peer.intercept, rel=1e-9, abs=1e-9)
    if np.ptp(np.log(counts)) > 1e-6:
        assert found.r2 == pytest.approx(peer.rvalue**2, abs=1e-7)
    line = peer.intercept + peer.slope * np.log(SIZES)
    np.testing.assert_allclose(found.residuals, np.log(counts) - line, atol=1e-7)


def test_a_power_law_has_its_exponent_everywhere():
    found = fit_dimension(SIZES, 7.0 * SIZES**-2.5)
    np.testing.assert_allclose([found.value, *found.local_slopes, found.r2], [2.5] * 5 + [1.0], rtol=1e-12)
    assert found.standard_error < 1e-12 and found.fit_range == (3, 11) and found.note == ""
    assert repr(found) == "DimensionFit(2.5000 +- 0.0000, r2=1.0000, 3..11)"


def test_a_level_curve_has_dimension_zero():
    found = fit_dimension(SIZES, np.full(5, 0.3))
    assert (found.value, found.r2, found.standard_error) == (0, 1, 0)


def test_the_range_and_missing_values():
    counts = 2.0 * SIZES**-1.5
    counts[0], counts[-1] = 99, np.nan
    assert fit_dimension(SIZES, counts, (5, 41)).value == pytest.approx(1.5)
    assert fit_dimension(SIZES, counts, (5, 41)).fit_range == (5, 9)
    two = fit_dimension(SIZES, counts, (5, 7))
    assert np.isnan(two.standard_error) and two.value == pytest.approx(1.5)
    none = fit_dimension(SIZES, [1, *[np.nan] * 4], note="careful")
    assert np.isnan(none.value) and none.note == "careful; fewer than two scales, no line"


def test_equality_and_reading_only():
    a, b = fit_dimension(SIZES, 1.0 / SIZES), fit_dimension(SIZES, 1.0 / SIZES)
    assert a == b and hash(a) == hash(b) and a != fit_dimension(SIZES, 2.0 / SIZES) and a != "a"
    with pytest.raises(ValueError, match="read-only"):
        a.counts[0] = 1


@pytest.mark.parametrize("fit", [(5,), (3, 4), (9, 3), "ab", (3, 3), None])
def test_ranges_that_cannot_be(fit):
    if fit is None:
        return
    with pytest.raises(InputError, match="fit"):
        fit_dimension(SIZES, 1.0 / SIZES, fit)
