"""Small versions of images; one that cannot be read becomes a grey card that says why."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING

from resight.errors import ImageError, InputError
from resight.show.lettering import font, wrapped
from resight.show.picture import Box
from resight.show.text import visible

if TYPE_CHECKING:
    from PIL.Image import Image

    from resight.images import ImageLike

NO_IMAGE = "no image"
GREY, GREY_INK = "#d8d8d5", "#4d4d4a"
AMBER = "#ffc400"


def thumbnail(image: ImageLike | None, side: int, *, box: Box | None = None) -> Image:
    """The image in at most side x side pixels: aspect kept, antialiased, never enlarged, its box drawn.

    An image that cannot be read gives `placeholder(reason, side)`, not an error.
    """
    small, problem = tried(image, side, box)
    return placeholder(problem, side) if small is None else small


def data_uri(image: ImageLike | None, side: int, quality: int = 80) -> str:
    """The thumbnail as a JPEG inside an address, `data:image/jpeg;base64,...`."""
    return jpeg_uri(thumbnail(image, side), quality)


def tried(image: ImageLike | None, side: int, box: Box | None = None) -> tuple[Image | None, str]:
    """The thumbnail and "", or None and the reason, in one line, why there is none."""
    if side < 1:
        raise InputError(f"expected a side of at least 1 pixel, got {side}")
    if image is None:
        return None, NO_IMAGE
    try:
        return _reduced(image, side, box), ""
    except ImageError as error:
        return None, visible(error.reason)
    except Exception as error:  # a page of 200 images must survive whatever one of them does to a decoder
        return None, visible(str(error) or type(error).__name__)


def placeholder(reason: str, side: int) -> Image:
    """A grey square of side x side pixels with the reason in its middle."""
    from PIL import Image, ImageDraw

    card = Image.new("RGB", (side, side), GREY)
    size = max(10, round(side * 0.065))
    step = round(size * 1.35)
    inset = max(2, round(side * 0.1))
    rows = wrapped(reason, size, side - 2 * inset, max(0, (side - 2 * inset) // step))
    draw = ImageDraw.Draw(card)
    top = side / 2 - step * (len(rows) - 1) / 2
    for line, row in enumerate(rows):
        draw.text((side / 2, top + line * step), row, font=font(size), fill=GREY_INK, anchor="mm")
    return card


def jpeg_uri(image: Image, quality: int) -> str:
    """The image as it is, as a JPEG inside an address."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _reduced(image: ImageLike, side: int, box: Box | None) -> Image:
    from PIL import Image

    from resight.images import read_image

    full = Image.fromarray(read_image(image))
    width, height = full.size
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = full if size == full.size else full.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if box is not None:
        across, down = size[0] / width, size[1] / height
        _draw_box(small, (box[0] * across, box[1] * down, box[2] * across, box[3] * down))
    return small


def _draw_box(image: Image, box: Box) -> None:
    """Draws the part of the box inside the image, amber within a dark line: seen on light and on dark."""
    from PIL import ImageDraw

    width, height = image.size
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2])) - 1, min(height, math.ceil(box[3])) - 1
    if left > right or top > bottom:
        return
    line = max(2, round(max(image.size) / 100))
    draw = ImageDraw.Draw(image)
    for inset in range(min(line + 1, (right - left) // 2 + 1, (bottom - top) // 2 + 1)):
        colour = "black" if inset == 0 else AMBER
        draw.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=colour)
