"""Names and captions made safe to show: nothing hidden, nothing that turns the line around, nothing too long."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
JOINERS = "\u200c\u200d"  # Persian and Indic spelling, emoji families: invisible, yet part of honest names


def visible(text: str) -> str:
    r"""The text on one line, every control, direction-changing or undecodable character spelt as an escape.

    The result always encodes as UTF-8. Undecodable bytes of file names (surrogates U+DC80..U+DCFF, PEP 383) come
    back as their byte.

    >>> print(visible("a\u202egpj.exe\n\udcff"))
    a\u202egpj.exe\n\xff
    """
    return text if text.isprintable() else "".join(map(_spell, text))


def _spell(char: str) -> str:
    code, kind = ord(char), unicodedata.category(char)
    if kind == "Cs":
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
    hidden = kind in ("Cc", "Cf", "Zl", "Zp") and char not in JOINERS
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    if hidden or noncharacter:
        return char.encode("unicode_escape").decode("ascii")
    return char


def elide(text: str, length: int) -> str:
    """The text in at most `length` characters; what is left out is the middle, so that a file's ending stays.

    >>> elide("holiday-in-lisbon-0001.jpg", 13)
    'holida…01.jpg'
    """
    if len(text) <= length:
        return text
    if length < 1:
        return ""
    tail = (length - 1) // 2
    return text[: length - 1 - tail] + ELLIPSIS + text[len(text) - tail :]
