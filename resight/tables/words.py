"""Words of ARFF files: quoted so that Weka, liac-arff and scipy read them alike, and read back as Weka does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# What ends or changes an unquoted word for a reader; liac-arff splits at Unicode's blanks too.
_NEEDS = re.compile(r"""[\s,{}%'"\\?@\x00-\x20\x7f]|^$""")
_SPELT = {"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SPECIAL = re.compile(r"[\\'\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[0-3]?[0-7]{1,2}|.)", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}
# A word between separators: quoted by ' or ", or running to the next blank or comma.
_WORD = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"%][^ \t,]*)""", re.DOTALL)
_GAP = re.compile(r"[ \t]*")


def needs_quotes(text: str) -> bool:
    """Whether a word must be quoted.

    >>> needs_quotes("grass"), needs_quotes("tall grass"), needs_quotes("?")
    (False, True, True)
    """
    return _NEEDS.search(text) is not None


def quote(text: str) -> str:
    r"""The word in single quotes; ' and \ escaped, control characters as \t, \n, \r or octal, all else as it is.

    >>> print(quote("dog's"))
    'dog\'s'
    """
    return "'" + _SPECIAL.sub(lambda m: _SPELT.get(m[0]) or f"\\{ord(m[0]):03o}", text) + "'"


def spell_name(text: str) -> str:
    r"""The name of an attribute or relation.

    liac-arff does not take escapes out of names, so a tab stays, and a name with a ' goes in double quotes; but not if
    it also holds a blank, because scipy could not open the file.

    >>> print(spell_name("gem_0"), spell_name("a b"), spell_name("dog's"))
    gem_0 'a b' "dog's"
    """
    if not needs_quotes(text):
        return text
    marks = {"'", '"'} & set(text)
    if (
        len(marks) > 1
        or (marks == {"'"} and re.search(r"\s", text))
        or _SPECIAL.search(text.replace("'", "").replace("\t", ""))
    ):
        return quote(text)
    mark = '"' if marks == {"'"} else "'"
    return mark + text + mark


def spell_values(values: Iterable[str], always: bool) -> dict[str, str]:
    """How the values of nominal attributes are written; all in quotes if `always`.

    scipy takes the way of quoting from the first row: if one value of a file needs quotes, all must have them.
    """
    return {value: quote(value) if always or needs_quotes(value) else value for value in values}


def unescape(text: str) -> str:
    r"""What stands between quotes, escapes read as Weka's tokenizer does, and \u001e.

    >>> unescape(r"it\'s 50\%\t\041")
    "it's 50%\t!"
    """
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) == 5:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _NAMED.get(code, code)


def split_words(line: str, start: int = 0) -> Iterator[tuple[str, bool, int]]:
    """The words of a line: (text, whether it was quoted, where it ends), commas or blanks between; % ends the line.

    Raises ValueError, saying what is wrong, for an open quote, an empty place between commas, or text behind a quote.
    """
    position, after_comma, first = start, False, True
    while True:
        position = _end_of_gap(line, position)
        if position == len(line) or line[position] == "%":
            if after_comma:
                raise ValueError("a value is missing behind the last comma; a missing value is ?")
            return
        if line[position] == ",":
            if after_comma or first:
                raise ValueError("nothing stands before a comma; a missing value is ?")
            after_comma, position = True, position + 1
            continue
        match = _WORD.match(line, position)
        if match is None:
            raise ValueError(f"a quote is opened and not closed: {line[position : position + 30]!r}")
        quoted = match[3] is None
        position = match.end()
        if quoted and position < len(line) and line[position] not in " \t,":
            raise ValueError(f"expected a comma behind a quoted value, got {line[position : position + 20]!r}")
        text = unescape(match[1] if match[1] is not None else match[2]) if quoted else match[3]
        yield text, quoted, position
        after_comma = first = False


def _end_of_gap(line: str, position: int) -> int:
    match = _GAP.match(line, position)
    return match.end() if match else position
