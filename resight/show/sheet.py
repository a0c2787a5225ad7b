"""Contact sheets: many pictures on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.show.lettering import fitted, font
from resight.show.picture import MARKS, Picture
from resight.show.thumbnail import thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAPER, TILE, INK, SOFT_INK = "#ffffff", "#f0f0ed", "#1b1b1a", "#62625e"
LEAST_SIDE = 32
MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class Grid:
    """Where everything on a sheet lies, in whole pixels.

    A tile is the thumbnail's square plus `rim` on each side; under it come the caption's and the note's lines.
    """

    count: int
    columns: int
    side: int
    titled: bool = False
    captioned: bool = False
    noted: bool = False

    @property
    def rim(self) -> int:
        return 2 * self.border

    @property
    def border(self) -> int:
        return max(2, round(self.side / 50))

    @property
    def gap(self) -> int:
        return max(8, round(self.side * 0.09))

    @property
    def margin(self) -> int:
        return round(self.gap * 1.5)

    @property
    def caption_size(self) -> int:
        return max(11, round(self.side * 0.085))

    @property
    def note_size(self) -> int:
        return max(10, round(self.side * 0.065))

    @property
    def title_size(self) -> int:
        return max(14, round(self.side * 0.12))

    @property
    def title_height(self) -> int:
        return round(self.title_size * 1.9) if self.titled else 0

    @property
    def tile(self) -> int:
        return self.side + 2 * self.rim

    @property
    def caption_height(self) -> int:
        return round(self.caption_size * 1.5) if self.captioned else 0

    @property
    def note_height(self) -> int:
        return round(self.note_size * 1.5) if self.noted else 0

    @property
    def row(self) -> int:
        return self.tile + self.caption_height + self.note_height

    @property
    def size(self) -> tuple[int, int]:
        across = min(self.columns, self.count)
        down = -(-self.count // self.columns)
        width = 2 * self.margin + across * self.tile + (across - 1) * self.gap
        return width, 2 * self.margin + self.title_height + down * self.row + (down - 1) * self.gap

    def corner(self, place: int) -> tuple[int, int]:
        """The tile's left top pixel."""
        line, column = divmod(place, self.columns)
        left = self.margin + column * (self.tile + self.gap)
        return left, self.margin + self.title_height + line * (self.row + self.gap)


def sheet(pictures: Sequence[Picture], *, columns: int = 5, side: int = 200, title: str = "") -> Image:
    """A contact sheet in reading order, the query first: thumbnails of at most side x side pixels with their words.

    A marked picture has a border and a badge (a tick, a cross, the word "query"). Thumbnails are made one at a time.
    Raises InputError if there is nothing to draw, or if the sheet would exceed 100 megapixels.
    """
    from PIL import Image, ImageDraw

    ordered = sorted(pictures, key=lambda picture: picture.mark != "query")
    grid = _planned(ordered, columns, side, title)
    page = Image.new("RGB", grid.size, PAPER)
    if title:
        line = fitted(title, grid.title_size, grid.size[0] - 2 * grid.margin)
        at = grid.margin, grid.margin
        ImageDraw.Draw(page).text(at, line, font=font(grid.title_size), fill=INK, anchor="lt")
    for place, picture in enumerate(ordered):
        _draw(page, picture, grid, *grid.corner(place))
    return page


def _planned(pictures: Sequence[Picture], columns: int, side: int, title: str) -> Grid:
    if not pictures:
        raise InputError("expected at least one picture for a contact sheet, got none")
    if columns < 1:
        raise InputError(f"expected at least 1 column, got {columns}")
    if side < LEAST_SIDE:
        raise InputError(f"expected thumbnails of at least {LEAST_SIDE} pixels, got side {side}")
    captioned, noted = any(picture.caption for picture in pictures), any(picture.note for picture in pictures)
    grid = Grid(len(pictures), columns, side, bool(title), captioned, noted)
    width, height = grid.size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"a sheet of {len(pictures)} pictures at side {side} would be {width} x {height} pixels, more than "
            f"{MOST_PIXELS // 1_000_000} megapixels; choose a smaller side or fewer pictures"
        )
    return grid


def _draw(page: Image, picture: Picture, grid: Grid, left: int, top: int) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(page)
    far = grid.tile - 1
    draw.rectangle((left, top, left + far, top + far), fill=TILE)
    small = thumbnail(picture.image, grid.side, box=picture.box)
    page.paste(small, (left + (grid.tile - small.width) // 2, top + (grid.tile - small.height) // 2))
    if picture.mark:
        draw.rectangle((left, top, left + far, top + far), outline=MARKS[picture.mark], width=grid.border)
        _draw_badge(page, picture.mark, grid, left, top)
    below = top + grid.tile
    for words, size, height, ink in (
        (picture.caption, grid.caption_size, grid.caption_height, INK),
        (picture.note, grid.note_size, grid.note_height, SOFT_INK),
    ):
        if words:
            at = left, below + height - round(size * 0.3)
            draw.text(at, fitted(words, size, grid.tile), font=font(size), fill=ink, anchor="ls")
        below += height


def _draw_badge(page: Image, mark: str, grid: Grid, left: int, top: int) -> None:
    """The word "query" in the left top corner, or a round tick or cross in the right top corner."""
    from PIL import Image, ImageDraw

    if mark == "query":
        size = grid.caption_size
        draw = ImageDraw.Draw(page)
        wide, high = round(font(size).getlength(mark)) + round(size * 0.9), round(size * 1.45)
        draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=MARKS[mark])
        draw.text((left + wide / 2, top + high * 0.7), mark, font=font(size), fill="white", anchor="ms")
        return
    fine = 4  # drawn four times as large, then reduced: Pillow's own lines are jagged
    across = max(14, round(grid.side * 0.13))
    badge = Image.new("RGB", (across * fine, across * fine), MARKS[mark])
    _draw_glyph(ImageDraw.Draw(badge), mark, across * fine)
    mask = Image.new("L", badge.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, badge.width - 1, badge.height - 1), fill=255)
    reduced = (across, across), Image.Resampling.LANCZOS
    inset = grid.border + round(grid.border / 2)
    page.paste(badge.resize(*reduced), (left + grid.tile - across - inset, top + inset), mask.resize(*reduced))


STROKES = {
    "right": [((0.27, 0.53), (0.44, 0.69), (0.74, 0.34))],
    "wrong": [((0.32, 0.32), (0.68, 0.68)), ((0.68, 0.32), (0.32, 0.68))],
}


def _draw_glyph(draw: ImageDraw, mark: str, size: int) -> None:
    width = round(size * 0.12)
    for stroke in STROKES[mark]:
        points = [(x * size, y * size) for x, y in stroke]
        draw.line(points, fill="white", width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill="white")
