"""Words of ARFF: quoted, escaped, split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.tables.words import needs_quotes, quote, spell_name, split_words, unescape

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@given(TEXT)
def test_a_quoted_word_comes_back(text):
    assert list(split_words(quote(text))) == [(text, True, len(quote(text)))]
    assert "\n" not in quote(text) and "\r" not in quote(text)


@given(st.lists(TEXT.filter(bool), min_size=1), st.sampled_from([",", ", ", " ,", "\t", " "]))
def test_a_line_comes_back(words, separator):
    spelt = [quote(word) if needs_quotes(word) else word for word in words]
    assert [text for text, _, _ in split_words(separator.join(spelt))] == words


@given(TEXT.filter(bool))
def test_a_name_comes_back(name):
    words = [text for text, _, _ in split_words(f"{spell_name(name)} numeric")]
    assert words == [name, "numeric"]


@pytest.mark.parametrize(
    "text, meant",
    [(r"it\'s", "it's"), (r"\"a\"", '"a"'), (r"50\%", "50%"), (r"a\\b", r"a\b"), (r"\t\n\r", "\t\n\r"), (r"\041", "!"),
     (r"\0", "\0"), (r"\777", "\77" + "7"), (r"\u001E", "\x1e"), (r"\q", "q"), (r"\\n", r"\n")],
)  # fmt: skip
def test_escapes_as_weka_reads_them(text, meant):
    assert unescape(text) == meant


@pytest.mark.parametrize(
    "name, spelt",
    [("gem_0", "gem_0"), ("a b", "'a b'"), ("it's", '"it\'s"'), ("it's a b", r"'it\'s a b'"), ('a"b', "'a\"b'"),
     ("a\tb", "'a\tb'"), ("a\nb", r"'a\nb'"), ("", "''"), ("a\\b", r"'a\\b'"), ("日本", "日本"), ("?", "'?'")],
)  # fmt: skip
def test_names(name, spelt):
    assert spell_name(name) == spelt


@pytest.mark.parametrize(
    "line, message",
    [("1,,2", "nothing stands before"), (",1", "nothing stands before"), ("1,2,", "missing behind the last"),
     ("'a", "not closed"), ("'a\\'", "not closed"), ("'a'b,c", "expected a comma")],
)  # fmt: skip
def test_lines_that_cannot_be_split(line, message):
    with pytest.raises(ValueError, match=message):
        list(split_words(line))


def test_comments_and_blanks():
    assert [text for text, _, _ in split_words("  1 , 50% 'x%'  % rest, 'open")] == ["1", "50%", "x%"]
    assert list(split_words(" % all")) == []
