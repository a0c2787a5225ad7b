"""Fonts and style of figures: any name is drawn as it is written, where this machine has a font with its characters."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from resight.show.text import elide, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by all kinds of colour vision.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
BASE = "DejaVu Sans"  # comes with matplotlib
WIDE_RANGING = re.compile(
    "cjk|noto sans|yahei|hiragino|wenquanyi|simhei|malgun|nanum|gothic|(?<!non)unicode", re.IGNORECASE
)
STYLE: Any = {
    "font.size": 8, "axes.titlesize": 9, "axes.labelsize": 8, "legend.fontsize": 7.5, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.3, "lines.markersize": 3.2, "legend.frameon": False, "axes.titlelocation": "left",
    "text.parse_math": False,  # a class may be called $x$
}  # fmt: skip


@contextmanager
def figure_style(texts: Iterable[str] = ()) -> Iterator[None]:
    """The style of figures while they are made and encoded, with fonts for the characters of `texts`."""
    import matplotlib

    families = [BASE, *_fonts_for(frozenset("".join(texts)))[0]]
    with matplotlib.rc_context({**STYLE, "font.family": families}):
        yield


def encode_png(figure: Figure, dpi: float = 150) -> bytes:
    """The figure, cut to what is drawn, as the content of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def drawable(text: str, length: int) -> str:
    """The text on one line in at most `length` characters, "?" for each that no font of this machine has.

    >>> drawable("a\\tb", 10), drawable("cumulonimbus capillatus", 9)
    ('a\\\\tb', 'cumu…atus')
    """
    shown = elide(visible(unicodedata.normalize("NFC", text)), length)
    _, lost = _fonts_for(frozenset(shown))
    return "".join("?" if char in lost else char for char in shown)


@cache
def _fonts_for(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed families that have what the base font lacks, as few as greed finds, and the characters none has."""
    from matplotlib.font_manager import FontProperties, findfont

    base = _characters(findfont(FontProperties(family=BASE)), 0)
    lost, chosen = {char for char in characters if ord(char) not in base}, []
    fonts = _usable() if lost else ()
    while lost and fonts:
        best = max(fonts, key=lambda font: sum(ord(char) in _characters(*font[1:]) for char in lost))
        found = {char for char in lost if ord(char) in _characters(*best[1:])}
        if not found:
            break
        lost -= found
        chosen.append(best[0])
    return tuple(chosen), frozenset(lost)


@cache
def _usable() -> tuple[tuple[str, str, int], ...]:
    """(family, file, number in the file) of installed upright fonts that are known to hold many scripts."""
    from matplotlib.font_manager import fontManager

    families: dict[str, tuple[str, str, int]] = {}
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if WIDE_RANGING.search(font.name) and font.style == "normal" and str(font.weight) in ("400", "normal"):
            families.setdefault(font.name, (font.name, font.fname, int(getattr(font, "index", 0))))
    return tuple(families.values())[:64]


@cache
def _characters(file: str, index: int) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file, face_index=index).get_charmap())  # type: ignore[call-arg, unused-ignore]
    except TypeError:  # an older matplotlib reads the first font of a collection only
        return frozenset(FT2Font(file).get_charmap())
