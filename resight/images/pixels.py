"""From an opened Pillow image of any mode to upright 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resight.errors import ImageError

# EXIF orientation -> the turn that puts the stored rows upright, on (H, W, C).
TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
_DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
_STRIP = 256


def to_rgb(image: Image.Image, name: str, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The pixels of a Pillow image's current frame.

    background: the colour laid under transparent pixels
    ->          (H, W, 3) uint8 RGB, C-contiguous, upright by its EXIF orientation

    16-bit grey becomes round(v / 257), where Pillow's own convert would saturate it at 255.
    Raises ImageError if the image is of floats or of integers beyond 16 bits, and whatever Pillow raises.
    """
    image.load()
    if image.mode == "F":
        low, high = image.getextrema()
        raise ImageError(
            name,
            f"32-bit float image (values {low:g} to {high:g}): scale it to 8 or 16 bits first, to 0..255 or 0..65535",
        )
    if image.mode in _DEEP:
        image = _shallow(image, name)
    elif image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGBa":
        image = image.convert("RGBA")
    if image.has_transparency_data:
        rgb = _over(image, background)
    else:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    return upright(_rows(rgb), orientation(image))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; 1 when there is none or the block is broken. Call it inside quiet().

    After image.load(): Pillow turns TIFF itself while loading, and PNG may keep EXIF behind its pixels.
    """
    try:
        found: Any = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # A broken block raises nearly anything, and the pixels are good all the same.
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def upright(stored: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """The rows as stored, (H, W, C), turned by EXIF orientation `turn`; C-contiguous.

    >>> upright(np.array([[[1], [2]]], np.uint8), 6).ravel().tolist()
    [1, 2]
    """
    return np.ascontiguousarray(TURNS[turn](stored))


def _rows(image: Image.Image) -> NDArray[np.uint8]:
    """The stored rows of an RGB image, taken in strips: all at once, Pillow needs two more copies of a large image."""
    rows = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP):
        rows[top : top + _STRIP] = np.asarray(image.crop((0, top, image.width, min(top + _STRIP, image.height))))
    return rows


def _over(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    layers = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(layers.convert("RGB"), mask=layers.getchannel("A"))
    return canvas


def _shallow(image: Image.Image, name: str) -> Image.Image:
    """Integer grey of 9 to 16 bits as L, or LA where a tRNS chunk names one value as transparent."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            name, f"32-bit integer image (values {low} to {high}): scale it to 8 or 16 bits first, to 0..65535"
        )
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    peak = (1 << bits) - 1 if 8 < bits < 16 and high < 1 << bits else 65535
    scaled = ((values.astype(np.uint32) * 255 + peak // 2) // peak).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    grey = Image.fromarray(scaled)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    # Pillow keeps the orientation with the image, not with its pixels.
    grey.getexif()[_ORIENTATION] = orientation(image)
    return grey
