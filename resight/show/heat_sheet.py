"""A contact sheet of a folder of explained images: each image, and beside it what speaks for its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError
from resight.show.heat import HeatStyle, draw_heat
from resight.show.picture import Picture
from resight.show.sheet import sheet
from resight.show.thumbnail import placeholder

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
Row = Mapping[str, Any]
SIDE = 200  # pixels of a thumbnail
MOST_IMAGES, MOST_CLASSES, MOST_FRAMES = 24, 8, 8
MOST_TILES = 480  # a sheet of 30 megapixels
BLANK = Picture(np.full((1, 1, 3), 0xF0, np.uint8))  # of the tile's own colour


@dataclass(frozen=True, eq=False)
class HeatSheet:
    """What a contact sheet shows of a folder.

    picture  the sheet
    images   how many of them are on it, the first
    classes  how many of an image's are, the first;  most  how many there are of an image
    """

    picture: Image
    images: int
    classes: int
    most: int


def heat_sheet(
    rows: Sequence[Row], folder: Path, pixels_of: Callable[[str], Pixels], style: HeatStyle, title: str = ""
) -> HeatSheet:
    """The first images, a line for each: the image, then an overlay for each class with its probability and name.

    rows:      the images of a manifest, at least one;  folder: where their maps are
    pixels_of: path -> (H, W, 3) uint8, or of a sequence the frames (T, S, S, 3) that were explained

    A sequence has a line for its frames, at most 8, evenly spread, and a line of overlays for each class and branch.
    An image that is no longer there, or a map, is a grey tile. Drawn from the files alone, so that a folder that was
    made in several goes has the same sheet as one made at once.
    """
    most = max(len(row["maps"]) for row in rows)
    classes = min(MOST_CLASSES, most)
    frames = max(_frames(row) for row in rows)
    columns = min(MOST_FRAMES, frames) if frames else 1 + classes
    lines = [_lines(row, classes) for row in rows[:MOST_IMAGES]]
    fitting = int((np.cumsum(lines) * columns <= MOST_TILES).sum())
    shown = rows[: max(1, fitting)]
    tiles: list[Picture] = []
    for row in shown:
        drawn = _of_sequence if _frames(row) else _of_image
        for line in drawn(row, folder, pixels_of, style, classes):
            tiles += [*line, *[BLANK] * (columns - len(line))]
    return HeatSheet(sheet(tiles, columns=columns, side=SIDE, title=title), len(shown), classes, most)


def _frames(row: Row) -> int:
    """Frames that were taken of a sequence; 0 of an image."""
    return max((int(part.get("frames", 0)) for one in row["maps"] for part in _parts(one)), default=0)


def _lines(row: Row, classes: int) -> int:
    return 1 + sum(len(_branches(one)) for one in row["maps"][:classes]) if _frames(row) else 1


def _parts(one: Row) -> Sequence[Row]:
    """A map's parts, or the map itself where it has none, as the only frame of a sequence."""
    return one.get("parts") or [one]


def _branches(one: Row) -> dict[str, list[Row]]:
    """{branch: a part for each frame}; of a network without branches the name is ""."""
    found: dict[str, list[Row]] = {}
    for part in _parts(one):
        found.setdefault(part["part"].rpartition("frame ")[0].strip(), []).append(part)
    return found


def _of_image(
    row: Row, folder: Path, pixels_of: Callable[[str], Pixels], style: HeatStyle, classes: int
) -> Iterator[list[Picture]]:
    pixels = _pixels(pixels_of, row["path"])
    image = pixels if isinstance(pixels, str) else _reduced(pixels)
    line = [_tile(image, PurePath(row["path"]).name)]
    for one in row["maps"][:classes]:
        line.append(_tile(_overlay(image, one, folder, style), _caption(one)))
    yield line


def _of_sequence(
    row: Row, folder: Path, pixels_of: Callable[[str], Pixels], style: HeatStyle, classes: int
) -> Iterator[list[Picture]]:
    from resight.images.clips import spread

    count = _frames(row)
    pixels = _pixels(pixels_of, row["path"])
    if not isinstance(pixels, str) and len(pixels) != count:
        pixels = f"of {count} frames {len(pixels)} are there now"
    chosen = spread(count, MOST_FRAMES)
    images = [pixels if isinstance(pixels, str) else _reduced(pixels[place]) for place in chosen]
    branches = [(one, name, parts) for one in row["maps"][:classes] for name, parts in _branches(one).items()]
    names = [PurePath(row["path"]).name, *[" "] * len(chosen)]
    notes = [_frame(branches[0][2][place]) for place in chosen]
    yield [_tile(image, name, note) for image, name, note in zip(images, names, notes)]
    for one, name, parts in branches:
        words = ", ".join(filter(None, (_caption(one), name)))
        overlays = [_overlay(image, parts[place], folder, style) for image, place in zip(images, chosen, strict=True)]
        yield [_tile(overlay, words, note) for overlay, note in zip(overlays, notes, strict=True)]


def _frame(part: Row) -> str:
    which = part.get("file") or (f"no. {part['place']} of the video" if "place" in part else "")
    return f"frame {part['frame']}: {which}" if which else f"frame {part['frame']} of {part['frames']}"


def _caption(one: Row) -> str:
    """ "0.992 cirrus"; ImageNet's numbers before the names would leave no room for these."""
    from resight.explain.classes import plain_name

    return f"{one['probability']:.3f} {plain_name(one['label'])}"


def _pixels(pixels_of: Callable[[str], Pixels], path: str) -> Pixels | str:
    """An image's pixels, or why they cannot be had any more."""
    try:
        return pixels_of(path)
    except ImageError as error:
        return error.reason


def _reduced(image: Pixels) -> Pixels:
    from resight.images.resize import fit

    return fit(image, SIDE, "longest") if max(image.shape[:2]) > SIDE else image


def _overlay(image: Pixels | str, one: Row, folder: Path, style: HeatStyle) -> Pixels | str:
    """The image with a map over it, in the colours and on the scale of its picture; or why there is none."""
    from resight.explain.heat import Heat

    if isinstance(image, str):
        return image
    try:
        values = np.load(folder / one["map"], allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return f"{one['map']} is gone or damaged"
    if list(values.shape) != one["grid"]:
        return f"{one['map']} is not the map that was written"
    (high, wide), (x1, y1, x2, y2) = one["size"], one["box"]
    heat = Heat(values, one["score"], one["probability"], one["target"], one["label"], one["method"], one["layer"],
                (high, wide), (x1, y1, x2, y2))  # fmt: skip
    largest = one["brightest"] * values.size
    return draw_heat(heat, image, "overlay", largest=largest, signed=style.signed, colors=style.colors)


def _tile(image: Pixels | str, caption: str, note: str = "") -> Picture:
    """A picture, or a grey card with the reason why there is none."""
    return Picture(np.asarray(placeholder(image, SIDE)) if isinstance(image, str) else image, caption, note)
