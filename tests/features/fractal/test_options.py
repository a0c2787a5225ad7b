"""Scales and options: what they become, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.fractal.options import LARGEST, Options, make_options, parse_scales


@pytest.mark.parametrize(
    ("scales", "sides"),
    [
        ("3:41:2", tuple(range(3, 42, 2))),
        ("3:9", (3, 5, 7, 9)),
        (" 5 : 14 : 4 ", (5, 9, 13)),
        ([3, 11, 31], (3, 11, 31)),
        (np.array([3, 7]), (3, 7)),
        (range(3, 8, 2), (3, 5, 7)),
        ((s for s in (3, 5)), (3, 5)),
    ],
    ids=lambda value: "generator" if hasattr(value, "send") else str(value),
)
def test_forms_of_scales(scales, sides):
    assert parse_scales(scales) == sides


@given(st.lists(st.integers(1, LARGEST // 2), min_size=1, unique=True))
def test_any_ascending_odd_list_is_taken(halves):
    sides = sorted(2 * k + 1 for k in halves)
    assert parse_scales(sides) == tuple(sides)
    options = make_options(sides)
    assert options.halves == tuple(sorted(halves)) == options.bounds
    assert make_options(sides, rule="glidingbox").bounds == tuple(sides)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ("3:42:1", "scale 4 is even"),
        ("3", "first:last:step"),
        ("3:x", "first:last:step"),
        ("-3:9:2", "first:last:step"),
        ("3:9:0", "step 0"),
        ("9:3:2", "no scales"),
        ([], "no scales"),
        ([5, 3], "ascend, each once, got 5, 3"),
        ([3, 3], "ascend"),
        ([1, 3], r"scale 1 is outside 3\.\.253"),
        ("3:999999999999:2", "scale 255 is outside"),
        ([2.5], "whole numbers"),
        ([True], "whole numbers"),
        (7, "whole numbers"),
    ],
    ids=str,
)
def test_scales_that_cannot_be(scales, message):
    with pytest.raises(InputError, match=message):
        parse_scales(scales)


def test_preset_says_the_rule_and_holds_to_it():
    assert make_options(preset="gcc").rule == "glidingbox"
    assert make_options().rule == "hypercube"
    assert make_options(preset="gcc", rule="glidingbox") == Options(
        tuple(range(3, 42, 2)), "glidingbox", "each", "chebyshev", 4, "all", "gcc"
    )
    for other in ({"distance": "manhattan"}, {"centers": "common"}, {"connectivity": 8}, {"rule": "hypercube"}):
        with pytest.raises(InputError, match="preset 'gcc' has"):
            make_options(preset="gcc", **other)
