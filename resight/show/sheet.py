"""Contact sheets: many pictures on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from resight.errors import InputError
from resight.show.lettering import fitted, font, wrapped
from resight.show.picture import MARKS, Picture
from resight.show.thumbnail import thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAPER, TILE, INK, SOFT_INK = "#ffffff", "#f0f0ed", "#1b1b1a", "#62625e"
LEAST_SIDE = 32
MOST_PIXELS = 100_000_000
TITLE_LINES = 4


@dataclass(frozen=True)
class Grid:
    """Where everything on a sheet lies, in whole pixels.

    A tile is the thumbnail's square with `rim` around it, at whose outer edge runs the mark's border; under it come
    the lines of the caption and of the note. A line that no picture needs has no height.
    """

    count: int
    columns: int
    border: int
    rim: int
    tile: int
    gap: int
    margin: int
    title_size: int
    title_height: int
    caption_size: int
    caption_height: int
    note_size: int
    note_height: int

    @property
    def size(self) -> tuple[int, int]:
        """The sheet's width and height."""
        across, down = min(self.columns, self.count), -(-self.count // self.columns)
        width = 2 * self.margin + across * self.tile + (across - 1) * self.gap
        return width, 2 * self.margin + self.title_height + down * self._row + (down - 1) * self.gap

    def corner(self, place: int) -> tuple[int, int]:
        """The left top pixel of a tile, numbered from 0 in reading order."""
        line, column = divmod(place, self.columns)
        top = self.margin + self.title_height + line * (self._row + self.gap)
        return self.margin + column * (self.tile + self.gap), top

    @property
    def _row(self) -> int:
        return self.tile + self.caption_height + self.note_height


def grid(count: int, columns: int, side: int, *, title: bool = False, caption: bool = True, note: bool = True) -> Grid:
    """The grid for so many pictures, all of its measures in proportion to the thumbnail's side.

    >>> grid(6, 5, 200).size
    (1206, 596)
    """
    border, gap = max(2, round(side / 50)), max(8, round(side * 0.09))
    title_size, caption_size, note_size = (
        max(least, round(side * share)) for least, share in ((14, 0.12), (11, 0.085), (10, 0.065))
    )
    return Grid(
        count=count,
        columns=columns,
        border=border,
        rim=2 * border,
        tile=side + 4 * border,
        gap=gap,
        margin=round(gap * 1.5),
        title_size=title_size,
        title_height=round(title_size * 1.9) * title,
        caption_size=caption_size,
        caption_height=round(caption_size * 1.5) * caption,
        note_size=note_size,
        note_height=round(note_size * 1.5) * note,
    )


def sheet(pictures: Sequence[Picture], *, columns: int = 5, side: int = 200, title: str = "") -> Image:
    """A contact sheet in reading order, the query first: thumbnails of at most side x side pixels with their words.

    A marked picture has a border and a badge (a tick, a cross, the word "query"). Thumbnails are made one at a time.
    Raises InputError if there is nothing to draw, or if the sheet would exceed 100 megapixels.
    """
    from PIL import Image, ImageDraw

    ordered = sorted(pictures, key=lambda picture: picture.mark != "query")
    plan = _planned(ordered, columns, side, title)
    page = Image.new("RGB", plan.size, PAPER)
    for row, line in enumerate(_title_lines(title, plan)):
        at = plan.margin, plan.margin + row * _line_height(plan)
        ImageDraw.Draw(page).text(at, line, font=font(plan.title_size), fill=INK, anchor="lt")
    for place, picture in enumerate(ordered):
        _draw(page, picture, plan, side, plan.corner(place))
    return page


def _planned(pictures: Sequence[Picture], columns: int, side: int, title: str) -> Grid:
    if not pictures:
        raise InputError("expected at least one picture for a contact sheet, got none")
    if columns < 1:
        raise InputError(f"expected at least 1 column, got {columns}")
    if side < LEAST_SIDE:
        raise InputError(f"expected thumbnails of at least {LEAST_SIDE} pixels, got side {side}")
    caption, note = any(picture.caption for picture in pictures), any(picture.note for picture in pictures)
    plan = grid(len(pictures), columns, side, title=bool(title), caption=caption, note=note)
    further = max(0, len(_title_lines(title, plan)) - 1) * _line_height(plan)
    plan = replace(plan, title_height=plan.title_height + further)
    width, height = plan.size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"a sheet of {len(pictures)} pictures at side {side} would be {width} x {height} pixels, more than "
            f"{MOST_PIXELS // 1_000_000} megapixels; choose a smaller side or fewer pictures"
        )
    return plan


def _title_lines(title: str, plan: Grid) -> list[str]:
    return wrapped(title, plan.title_size, plan.size[0] - 2 * plan.margin, TITLE_LINES) if title else []


def _line_height(plan: Grid) -> int:
    return round(plan.title_size * 1.3)


def _draw(page: Image, picture: Picture, plan: Grid, side: int, corner: tuple[int, int]) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(page)
    left, top = corner
    tile = left, top, left + plan.tile - 1, top + plan.tile - 1
    draw.rectangle(tile, fill=TILE)
    small = thumbnail(picture.image, side, box=picture.box)
    page.paste(small, (left + (plan.tile - small.width) // 2, top + (plan.tile - small.height) // 2))
    if picture.mark:
        draw.rectangle(tile, outline=MARKS[picture.mark], width=plan.border)
        _draw_badge(page, picture.mark, plan, left, top)
    below = top + plan.tile
    for words, size, height, ink in (
        (picture.caption, plan.caption_size, plan.caption_height, INK),
        (picture.note, plan.note_size, plan.note_height, SOFT_INK),
    ):
        if words:
            below += height
            line = fitted(words, size, plan.tile)
            draw.text((left, below - round(size * 0.3)), line, font=font(size), fill=ink, anchor="ls")


def _draw_badge(page: Image, mark: str, plan: Grid, left: int, top: int) -> None:
    """The word "query" in the left top corner, or a round tick or cross in the right top corner."""
    from PIL import Image, ImageDraw

    if mark == "query":
        size = plan.caption_size
        draw = ImageDraw.Draw(page)
        wide, high = round(font(size).getlength(mark)) + size, round(size * 1.5)
        draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=MARKS[mark])
        draw.text((left + wide / 2, top + round(high * 0.7)), mark, font=font(size), fill="white", anchor="ms")
        return
    fine = 4  # drawn four times as large, then reduced: Pillow's own lines are jagged
    across = max(14, round(plan.tile * 0.12))
    badge = Image.new("RGB", (across * fine, across * fine), MARKS[mark])
    _draw_glyph(ImageDraw.Draw(badge), mark, across * fine)
    mask = Image.new("L", badge.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, badge.width - 1, badge.height - 1), fill=255)
    disc, mask = (layer.resize((across, across), Image.Resampling.LANCZOS) for layer in (badge, mask))
    inset = plan.border + plan.border // 2
    page.paste(disc, (left + plan.tile - across - inset, top + inset), mask)


Stroke: TypeAlias = tuple[tuple[float, float], ...]
STROKES: dict[str, tuple[Stroke, ...]] = {
    "right": (((0.27, 0.53), (0.44, 0.69), (0.74, 0.34)),),
    "wrong": (((0.32, 0.32), (0.68, 0.68)), ((0.68, 0.32), (0.32, 0.68))),
}


def _draw_glyph(draw: ImageDraw, mark: str, size: int) -> None:
    width = round(size * 0.12)
    for stroke in STROKES[mark]:
        points = [(x * size, y * size) for x, y in stroke]
        draw.line(points, fill="white", width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill="white")
