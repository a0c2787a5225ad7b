"""Self-contained HTML: whole reports, and the fragment a notebook shows. No scripts, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.show.link import link
from resight.show.picture import Picture
from resight.show.text import elide, visible
from resight.show.thumbnail import jpeg_uri, tried

if TYPE_CHECKING:
    from jinja2 import Environment

SIDE, QUERY_SIDE, WIDE_SIDE = 320, 640, 1040  # pixels: about twice what the page shows, for sharp screens
NAME_LENGTH, PROBLEM_LENGTH, FULL_LENGTH = 44, 90, 1000  # characters
QUALITY = 80
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
FIGURE = re.compile(r"[+±-]?[\d.,]+( ?(%|ms|s|px|MB|GB|KB|x))?|-|–|")


@dataclass(frozen=True)
class Table:
    """Words in rows. Raises InputError unless every row is as long as `columns`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise InputError(f"expected {len(self.columns)} cells in each row, row {place} has {len(row)}")

    @property
    def aligned(self) -> tuple[bool, ...]:
        """True for each column of numbers only, to be set flush right."""
        columns = range(len(self.columns))
        return tuple(bool(self.rows) and all(FIGURE.fullmatch(row[c]) for row in self.rows) for c in columns)


@dataclass(frozen=True)
class Section:
    """One titled part of a report; whatever is empty is left out.

    pictures: in the order of the ranking, numbered from 1 unless ranked is False. Captions that are all plain numbers
    also get a bar: the caption's share of 1, or of the section's largest if that is more; nothing below 0. Wide ones,
    such as pairs of images, are shown two in a row.
    """

    title: str
    text: str = ""
    query: Picture | None = None
    pictures: tuple[Picture, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    ranked: bool = True
    wide: bool = False


@dataclass(frozen=True)
class Drawn:
    """What the template needs of one picture."""

    picture: Picture
    source: str
    size: tuple[int, int]
    problem: str
    short_problem: str
    rank: int | None
    caption: str
    bar: float | None
    alt: str
    name: str
    short_name: str
    href: str | None


def report(
    title: str,
    sections: Sequence[Section],
    *,
    summary: Sequence[tuple[str, str]] = (),
    intro: str = "",
    next_steps: Sequence[tuple[str, str]] = (),
    footer: str = "",
) -> str:
    """A whole HTML page, images inside; every word is escaped, and the page may load nothing and run nothing.

    summary: (value, label) headline numbers, ("23 / 24", "right answer first")
    next_steps: (explanation, command), the commands shown to be copied

    Blank lines in `intro` and in a section's text part paragraphs.
    """
    template = _environment().get_template("report.html.j2")
    return template.render(
        title=title,
        sections=[_laid_out(section) for section in sections],
        summary=summary,
        intro=intro,
        next_steps=next_steps,
        footer=footer,
        style_hash=_style_hash(),
    )


def inline(pictures: Sequence[Picture], title: str = "") -> str:
    """The fragment a notebook shows for a ranking (`_repr_html_`): the query, then the rest numbered from 1."""
    query = next((picture for picture in pictures if picture.mark == "query"), None)
    rest = tuple(picture for picture in pictures if picture is not query)
    template = _environment().get_template("inline.html.j2")
    return template.render(part=_laid_out(Section(title, query=query, pictures=rest)))


def _laid_out(section: Section) -> dict[str, object]:
    query = None if section.query is None else _drawn(replace(section.query, mark="query"), QUERY_SIDE, None, None)
    bars = _bars([picture.caption for picture in section.pictures])
    drawn = [
        _drawn(picture, SIDE, rank, bar)
        if section.ranked
        else _drawn(picture, WIDE_SIDE if section.wide else QUERY_SIDE, None, bar)
        for rank, (picture, bar) in enumerate(zip(section.pictures, bars, strict=True), 1)
    ]
    return {"section": section, "query": query, "drawn": drawn}


def _drawn(picture: Picture, side: int, rank: int | None, bar: float | None) -> Drawn:
    small, problem = tried(picture.image, side, picture.box)
    size = (side, side) if small is None else small.size
    name = elide(visible(picture.note), FULL_LENGTH)
    caption = "" if picture.caption == picture.mark else picture.caption  # the mark is shown as a word or glyph
    head = "Query" if picture.mark == "query" else f"Result {rank}" if rank else "Picture"
    said = [name, caption, picture.mark if picture.mark != "query" else "", "box drawn" if picture.box else ""]
    return Drawn(
        picture=picture,
        source="" if small is None else jpeg_uri(small, QUALITY),
        size=size,
        problem=problem,
        short_problem=elide(problem, PROBLEM_LENGTH),
        rank=rank,
        caption=caption,
        bar=bar,
        alt=", ".join([head, *filter(None, said)]),
        name=name,
        short_name=elide(name, NAME_LENGTH),
        href=link(picture.href),
    )


def _bars(captions: Sequence[str]) -> list[float | None]:
    """Each caption's bar in percent; none at all unless every caption is a plain number."""
    if not all(NUMBER.fullmatch(caption) for caption in captions):
        return [None] * len(captions)
    scores = [float(caption) for caption in captions]
    if not all(map(math.isfinite, scores)):
        return [None] * len(captions)
    whole = max([1.0, *scores])
    return [round(100 * max(0.0, min(1.0, score / whole)), 1) for score in scores]


def _paragraphs(text: str) -> list[str]:
    parts = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))
    return [" ".join(part.split()) for part in parts if part.strip()]


def _shown(value: object) -> object:
    """Applied by jinja to all that a template prints, before escaping: no character stays hidden."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("resight.show"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["lines"] = _lines
    return environment


def _lines(text: str) -> Iterable[str]:
    return text.replace("\r\n", "\n").expandtabs(4).strip("\n").split("\n")


@cache
def _style_hash() -> str:
    """The content security policy's name for the one style sheet allowed: CSP level 2, 4.2.5."""
    style = _environment().get_template("style.html.j2").render()
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
