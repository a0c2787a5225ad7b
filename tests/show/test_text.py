import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.show.text import elide, visible

ANY_TEXT = st.text(st.characters()) | st.binary().map(os.fsdecode)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("été 写真 \U0001f600.jpg", "été 写真 \U0001f600.jpg"),
        ("a\nb\tc\x00", r"a\nb\tc\x00"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("woman\u200dscientist", "woman\u200dscientist"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("half\ud83d", r"half\ud83d"),
        ("\uffff\U0001ffff\ufdd0", r"\uffff\U0001ffff\ufdd0"),
        ("two\u2028lines", r"two\u2028lines"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_encodes_and_is_one_line(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("length", "shown"),
    [(10, "abcdef.jpg"), (9, "abcd….jpg"), (8, "abcd…jpg"), (2, "a…"), (1, "…"), (0, ""), (-3, "")],
)
def test_elide_leaves_out_the_middle(length, shown):
    assert elide("abcdef.jpg", length) == shown


@given(ANY_TEXT, st.integers(1, 40))
def test_elide_keeps_to_its_length_and_both_ends(text, length):
    short = elide(text, length)
    assert len(short) == min(len(text), length)
    if len(text) > length:
        head, tail = short[: length - 1 - (length - 1) // 2], short[len(short) - (length - 1) // 2 :]
        assert text.startswith(head)
        assert text.endswith(tail)
