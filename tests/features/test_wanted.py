"""Extractors as text: commas part them and their options alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.wanted import Wanted, parse_wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fractal", [Wanted("fractal")]),
        ("gem:resnet50", [Wanted("gem", "resnet50")]),
        ("gem:p=4", [Wanted("gem", "", (("p", "4"),))]),
        ("gem:resnet50,p=4,size=320", [Wanted("gem", "resnet50", (("p", "4"), ("size", "320")))]),
        ("fractal:set=gcc,layer:a.b.0", [Wanted("fractal", "", (("set", "gcc"),)), Wanted("layer", "a.b.0")]),
        (" GeM : resnet50 , fractal ", [Wanted("gem", "resnet50"), Wanted("fractal")]),
        ("gem:weights=/a=b:c.pth", [Wanted("gem", "", (("weights", "/a=b:c.pth"),))]),
    ],
)
def test_parts(text, expected):
    assert list(parse_wanted(text)) == expected


def test_several_texts_are_one_list():
    assert parse_wanted(["fractal", "gem,spoc"]) == parse_wanted("fractal,gem,spoc")


NAME = st.text("abcdefgh0123456789_", min_size=1, max_size=8)
WANTED = st.builds(
    Wanted,
    st.sampled_from(["gem", "layer", "fractal", "cam"]),
    st.one_of(st.just(""), NAME),
    st.dictionaries(NAME, NAME, max_size=3).map(lambda options: tuple(options.items())),
)


@given(st.lists(WANTED, min_size=1, max_size=4, unique=True))
def test_text_and_back(wanted):
    assert parse_wanted(",".join(map(str, wanted))) == tuple(wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gme:resnet50", r"unknown features 'gme', did you mean 'gem'"),
        ("", "nothing between two commas"),
        ("gem,,spoc", "nothing between two commas"),
        ("p=4,gem", "no extractor stands before it"),
        ("gem:p=4,p=5", "given more than once"),
        ("gem,gem", "asked for twice"),
        ("gem:p=", "expected option=value"),
    ],
)
def test_doors(text, message):
    with pytest.raises(InputError, match=message):
        parse_wanted(text)


def test_nothing_asked():
    with pytest.raises(InputError, match="no features asked for"):
        parse_wanted([])
