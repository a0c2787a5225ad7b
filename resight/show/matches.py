"""Two images next to each other, with lines between the points that match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.show.picture import Box, Picture
from resight.show.sheet import LEAST_SIDE, PAPER
from resight.show.thumbnail import placeholder, thumbnail, tried

if TYPE_CHECKING:
    from PIL.Image import Image

    from resight.images import ImageLike

Points = NDArray[np.float64]

# The lighter part of viridis (Smith and van der Walt 2015): ordered in grey and for colour-blind eyes, and light
# enough to stand out from the dark rim that every line has.
RAMP = np.array([(31, 158, 137), (53, 183, 121), (94, 201, 98), (132, 212, 75), (181, 222, 43), (253, 231, 37)])
RIM = (16, 16, 16, 190)
FINE = 3  # drawn so many times as large, then reduced: Pillow's own lines are jagged
MOST_SIDE = 1600  # the fine drawing then takes 190 MB
FLATTEST = 3  # an image of w : h beyond this is lower than its neighbour
WHOLE = 1 << 30  # a side that no image reaches: nothing is reduced


def matches_picture(
    image_a: ImageLike | None,
    image_b: ImageLike | None,
    points_a: ArrayLike,
    points_b: ArrayLike,
    *,
    side: int = 640,
    box_a: Box | None = None,
    most: int = 60,
) -> Image:
    """Image a on the left, b on the right, and a line from each point to its match.

    points_a: (m, 2)   x, y in pixels of a; row i matches row i of points_b
    points_b: (m, 2)   x, y in pixels of b
    side:     32 to 1600 pixels, which neither image exceeds in either direction
    box_a:    x1, y1, x2, y2 in pixels of a, drawn: the part of a that was searched for
    most:     so many lines at most; of more matches, evenly many from the top of a to its bottom
    ->        RGB; both images equally high, the smaller enlarged if need be, unless one is very wide

    The colour tells a point's height in a: green at the top, yellow at the bottom. An image that cannot be read
    becomes a placeholder with the reason, and then there are no lines.
    Raises InputError if points are not (m, 2) or lie outside their image, or a setting is out of range.
    """
    a, b = _pairs(points_a, points_b)
    _check_settings(side, most)
    box = Picture(None, box=box_a).box
    (full_a, problem_a), (full_b, problem_b) = tried(image_a, WHOLE), tried(image_b, WHOLE)
    height = _common_height([full.size for full in (full_a, full_b) if full is not None], side)
    left = placeholder(problem_a, height) if full_a is None else _panel(full_a, height, side, box)
    right = placeholder(problem_b, height) if full_b is None else _panel(full_b, height, side, None)
    page, corners = _side_by_side(left, right, max(4, side // 80))
    if full_a is None or full_b is None:
        return page
    _check_inside(a, full_a.size, "points_a")
    _check_inside(b, full_b.size, "points_b")
    kept = _chosen(a, most)
    starts = a[kept] * np.divide(left.size, full_a.size) + corners[0]
    ends = b[kept] * np.divide(right.size, full_b.size) + corners[1]
    return _with_lines(page, starts, ends, side / 640)


def _common_height(sizes: list[tuple[int, int]], side: int) -> int:
    """What all (width, height) reach within side x side; never more than the highest has."""
    if not sizes:
        return side
    within = min(min(side, side * height / width) for width, height in sizes)
    return max(1, min(round(max(within, side / FLATTEST)), max(height for _, height in sizes)))


def _panel(full: Image, height: int, side: int, box: Box | None) -> Image:
    from PIL import Image

    scale = min(height / full.height, side / full.width)
    size = max(1, round(full.width * scale)), max(1, round(full.height * scale))
    small = full.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if box is None:
        return small
    x, y = size[0] / full.width, size[1] / full.height
    return thumbnail(small, WHOLE, box=(box[0] * x, box[1] * y, box[2] * x, box[3] * y))


def _side_by_side(left: Image, right: Image, gap: int) -> tuple[Image, list[tuple[int, int]]]:
    from PIL import Image

    page = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), PAPER)
    corners = [(0, (page.height - left.height) // 2), (left.width + gap, (page.height - right.height) // 2)]
    page.paste(left, corners[0])
    page.paste(right, corners[1])
    return page, corners


def _chosen(points: Points, most: int) -> NDArray[np.intp]:
    """Which points are drawn, from the top: all, or `most` at even steps of their order."""
    order = np.lexsort((points[:, 0], points[:, 1]))
    if len(order) <= most:
        return order
    return order[np.linspace(0, len(order) - 1, most).round().astype(np.intp)]


def _with_lines(page: Image, starts: Points, ends: Points, scale: float) -> Image:
    """The page with lines, rims under them and dots at their ends; `scale` 1 fits images of 640 pixels."""
    from PIL import Image, ImageDraw

    layer = Image.new("RGBA", (page.width * FINE, page.height * FINE), (*RIM[:3], 0))
    draw = ImageDraw.Draw(layer)
    scale = max(scale, 0.75)  # a line of less than a pixel is lost
    thick, rim, dot = (max(1, round(size * scale * FINE)) for size in (1.7, 0.65, 3.2))
    # Pillow's coordinates have pixel centres at whole numbers.
    lines = np.concatenate([starts, ends], 1) * FINE - 0.5
    for (x1, y1, x2, y2), colour in zip(lines.tolist(), _colours(starts[:, 1]), strict=True):
        for fill, width, radius in ((RIM, thick + 2 * rim, dot + rim), (colour, thick, dot)):
            draw.line((x1, y1, x2, y2), fill=fill, width=width)
            for x, y in ((x1, y1), (x2, y2)):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    # Pillow weighs colours by their opacity when it reduces, so rims do not darken what lies beside them.
    layer = layer.resize(page.size, Image.Resampling.BOX)
    page.paste(layer, (0, 0), layer)
    return page


def _colours(heights: Points) -> list[tuple[int, ...]]:
    """RGBA for each height, from the first of RAMP at the least to the last at the greatest."""
    low, high = (heights.min(), heights.max()) if len(heights) else (0.0, 0.0)
    places = (heights - low) / (high - low) if high > low else np.full(len(heights), 0.5)
    steps = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(places, steps, RAMP[:, channel]).round().astype(int).tolist() for channel in range(3)]
    return [(*rgb, 255) for rgb in zip(*channels, strict=True)]


def _pairs(points_a: ArrayLike, points_b: ArrayLike) -> tuple[Points, Points]:
    a, b = _points(points_a, "points_a"), _points(points_b, "points_b")
    if a.shape != b.shape:
        raise InputError(f"points_a and points_b must match row by row, got {a.shape} and {b.shape}")
    return a, b


def _points(points: ArrayLike, name: str) -> Points:
    found: NDArray[Any] = np.asarray(points)
    if found.size == 0:
        return np.empty((0, 2))
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise InputError(f"expected {name} as finite numbers (m, 2), got {found.dtype} of shape {found.shape}")
    return found.astype(np.float64)


def _check_inside(points: Points, size: tuple[int, int], name: str) -> None:
    outside = int((~((points >= 0) & (points <= size)).all(1)).sum())
    if outside:
        raise InputError(
            f"expected {name} inside their image of {size[0]} x {size[1]} (W x H), {outside} of {len(points)} are not: "
            "give x, y in pixels of the image as it was read"
        )


def _check_settings(side: int, most: int) -> None:
    if not LEAST_SIDE <= side <= MOST_SIDE:
        raise InputError(f"expected a side of {LEAST_SIDE} to {MOST_SIDE:,} pixels, got {side}")
    if most < 1:
        raise InputError(f"expected most as a number of lines from 1, got {most}")
