"""Words on pixels, in the one typeface that comes with Pillow."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from resight.show.text import ELLIPSIS, elide, visible

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

LONGEST = 400  # characters measured at most: no sheet is wide enough for more
PLAINER = str.maketrans({"–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "\u00a0": " "})


@cache
def font(size: int) -> Font:
    """Pillow's built-in Aileron at this many pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def spelt(text: str) -> str:
    """The text in characters the typeface has: accents folded away, "?" for a script it lacks.

    >>> spelt("são-paulo 写真.jpg")
    'sao-paulo ??.jpg'
    """
    return "".join(map(_drawable, unicodedata.normalize("NFC", visible(text).translate(PLAINER))))


@cache
def _drawable(char: str) -> str:
    if _has(char):
        return char
    bare = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return bare if bare and all(map(_has, bare)) else ("" if unicodedata.combining(char) else "?")


def _has(char: str) -> bool:
    """A typeface without the character draws the same crossed box as for U+FFFF, which no typeface has."""
    return char == " " or bytes(font(24).getmask(char)) != bytes(font(24).getmask("\uffff"))


def fitted(text: str, size: int, width: float) -> str:
    """The text, its middle left out as far as needed to be at most `width` pixels long."""
    letters = elide(spelt(text), LONGEST)
    if font(size).getlength(letters) <= width:
        return letters
    low, high = 0, len(letters) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if font(size).getlength(elide(letters, middle)) <= width:
            low = middle
        else:
            high = middle - 1
    return elide(letters, low)


def wrapped(text: str, size: int, width: float, lines: int) -> list[str]:
    """The text on at most `lines` lines of at most `width` pixels; a word too long for one loses its middle."""
    if lines < 1:
        return []
    rows: list[str] = []
    words = elide(spelt(text), LONGEST).split()
    for place, word in enumerate(words):
        longer = f"{rows[-1]} {word}" if rows else ""
        if rows and font(size).getlength(longer) <= width:
            rows[-1] = longer
        elif len(rows) < lines:
            rows.append(fitted(word, size, width))
        else:
            rows[-1] = fitted(" ".join([rows[-1], *words[place:]]), size, width)
            break
    return [row for row in rows if row and row != ELLIPSIS]
