"""Values from JSON, and where the complaint points."""

import math

import pytest

from resight.errors import InputError
from resight.measure.checking import box_or_none, fields_of, is_number, items_of, shares_of, text_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (0.5, True), (-(2**63) + 1, True), (2**63, False), (math.nan, False), (math.inf, False)]
    + [(True, False), ("1", False), (None, False)],
)
def test_numbers(value, expected):
    assert is_number(value) is expected


def test_what_fits_comes_back():
    assert fields_of({"a": 1, "b": 2}, "x", "a") == {"a": 1, "b": 2}
    assert list(items_of([5, 6], "x")) == [(5, "x[0]"), (6, "x[1]")]
    assert text_of("é", "x") == "é"
    shares = shares_of({"E": 1, "H": None}, "x")
    assert shares["E"] == 1.0 and math.isnan(shares["H"])
    assert box_or_none(None, "x") is None and box_or_none([1, 2, 3, 4], "x") == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda value: fields_of(value, "x", "a b c"), {"b": 1}, "x: lacks a, c"),
        (lambda value: items_of(value, "x"), "ab", "x: expected a list, got str"),
        (lambda value: text_of(value, "x"), b"a", "x: expected a text of at most 10,000 characters, got bytes"),
        (lambda value: shares_of(value, "x"), {"E": 2}, "x, E: expected a number from 0 to 1 or null"),
        (lambda value: box_or_none(value, "x"), [1], "x: expected a box of four numbers"),
    ],
)
def test_door(check, value, message):
    with pytest.raises(InputError, match=message):
        check(value)
