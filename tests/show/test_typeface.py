"""Fonts of figures: what is drawn as it is, what is spelt out, what nobody's machine has."""

from __future__ import annotations

import pytest

from resight.show import typeface
from resight.show.typeface import drawable, figure_style


@pytest.fixture
def base_only(monkeypatch):
    """A machine that has the fonts of matplotlib and no others."""
    monkeypatch.setattr(typeface, "_usable", tuple)
    typeface._fonts_for.cache_clear()
    yield
    typeface._fonts_for.cache_clear()


def test_what_the_base_font_has_stays(base_only):
    assert drawable("Gänse, Ромашка, γ", 99) == "Gänse, Ромашка, γ"
    assert drawable("e\u0301", 9) == "\u00e9"


def test_what_no_font_has_is_a_question_mark(base_only):
    assert drawable("a 雏菊 \U0001f338", 99) == "a ?? ?"


def test_nothing_hidden_and_nothing_long():
    assert drawable("a\u202eb\n", 99) == "a\\u202eb\\n"
    assert drawable("x" * 50, 9) == "xxxx…xxxx"
    assert drawable("\udcff", 9) == "\\xff"


def test_a_font_of_the_machine_is_found(monkeypatch):
    monkeypatch.setattr(typeface, "_usable", lambda: (("Poor", "p", 0), ("Rich", "r", 2)))
    monkeypatch.setattr(
        typeface, "_characters", lambda file, index: frozenset(map(ord, {"p": "雏", "r": "雏菊"}.get(file, "ab ")))
    )
    typeface._fonts_for.cache_clear()
    assert drawable("a 雏菊花", 9) == "a 雏菊?"
    assert typeface._fonts_for(frozenset("雏菊")) == (("Rich",), frozenset())
    typeface._fonts_for.cache_clear()


def test_style_ends_with_its_block():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with figure_style(["a"]):
        assert matplotlib.rcParams["text.parse_math"] is False
        assert matplotlib.rcParams["font.family"][0] == "DejaVu Sans"
    assert dict(matplotlib.rcParams) == before
