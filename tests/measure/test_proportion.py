"""The interval of a share: by its definition, and what it is never."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.proportion import Z95, wilson_interval


def by_bisection(hits, trials):
    """The ends of {p: |share - p| <= z sqrt(p (1 - p) / n)}."""
    share = hits / trials

    def inside(p):
        return abs(share - p) <= Z95 * math.sqrt(p * (1 - p) / trials)

    ends = []
    for far in (0.0, 1.0):
        near = share
        for _ in range(80):
            middle = (near + far) / 2
            near, far = (middle, far) if inside(middle) else (near, middle)
        ends.append(near)
    return ends


@pytest.mark.parametrize(("hits", "trials"), [(1, 10), (9, 10), (120, 240), (231, 240), (3000, 4000), (1, 2)])
def test_it_is_what_wilson_defines(hits, trials):
    assert wilson_interval(hits, trials) == pytest.approx(by_bisection(hits, trials), abs=1e-9)


def test_published_value():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_ends():
    assert wilson_interval(0, 20)[0] == 0
    assert wilson_interval(20, 20)[1] == 1
    assert wilson_interval(1, 1) == pytest.approx((1 / (1 + Z95**2), 1.0))


@given(st.integers(1, 500), st.data())
def test_it_holds_the_share_and_mirrors(trials, data):
    hits = data.draw(st.integers(0, trials))
    low, high = wilson_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
    assert wilson_interval(trials - hits, trials) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 4)])
def test_door(hits, trials):
    with pytest.raises(InputError, match=f"got {hits} of {trials}"):
        wilson_interval(hits, trials)
