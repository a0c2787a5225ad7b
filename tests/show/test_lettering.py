import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.show.lettering import fitted, font, spelt, wrapped


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("IMG_0001.jpg", "IMG_0001.jpg"),
        ("São-Tomé", "Sao-Tome"),
        ("e\u0301te\u0301", "ete"),
        ("写真 1", "?? 1"),
        ("1 – 2 × 3 − 4", "1 - 2 x 3 - 4"),
        ("a\nb", r"a\nb"),
        (os.fsdecode(b"\xff"), r"\xff"),
    ],
)
def test_spelt_in_letters_the_typeface_has(text, drawn):
    assert spelt(text) == drawn


def test_fitted_takes_the_longest_that_fits():
    text, size = "holiday-in-lisbon-0001.jpg", 13
    for width in range(0, 200, 7):
        short = fitted(text, size, width)
        lengths = [font(size).getlength(fitted(text, size, wide)) for wide in (width, width + 14)]
        assert lengths[0] <= width or short == ""
        assert lengths[0] <= lengths[1]
    assert fitted(text, size, 1000) == text
    assert fitted(text, size, 100).endswith("jpg")


def test_fitted_does_not_measure_a_million_characters():
    assert fitted("x" * 1_000_000, 13, 100).count("x") < 30


def test_wrapped_fills_lines_then_elides():
    wide = font(12).getlength("no such file")
    assert wrapped("no such file", 12, wide, 1) == ["no such file"]
    assert wrapped("no such file", 12, wide - 1, 2) == ["no such", "file"]
    assert wrapped("one two three four five six", 12, font(12).getlength("one two"), 2)[0] == "one two"
    assert len(wrapped("word " * 100, 12, 80, 3)) == 3
    assert wrapped("words", 12, 80, 0) == []


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_any_text_can_be_measured(text):
    assert font(12).getlength(fitted(text, 12, 90)) <= 90
    assert all(font(12).getlength(row) <= 90 for row in wrapped(text, 12, 90, 3))
