"""Samples of a training of a mask network, side by side: image, query, truth, prediction."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.show.lettering import font

if TYPE_CHECKING:
    from resight.train.locate_engine import Seen

TITLES = ("image", "query", "truth", "prediction")
SIDE = 144  # pixels of a picture
GAP, HEAD, FOOT = 4, 20, 17
GREEN = (0, 158, 115)
PAPER, INK = "#ffffff", "#1b1b1a"
MARKED = 0.5


def panels_picture(samples: Sequence[Seen]) -> bytes:
    """A PNG of two samples a row, each as four pictures, its IoU below.

    The truth and the prediction lie over the image in green; the prediction is drawn as a map of its probability, its
    edge at 0.5 as a line.
    Raises InputError if there is no sample.
    """
    if not samples:
        raise InputError("expected at least one sample to draw, got none")
    from PIL import Image, ImageDraw

    columns = min(2, len(samples))
    rows = -(-len(samples) // columns)
    block = len(TITLES) * (SIDE + GAP)
    page = Image.new("RGB", (columns * (block + 3 * GAP) - 2 * GAP, HEAD + rows * (SIDE + FOOT + GAP)), PAPER)
    draw = ImageDraw.Draw(page)
    for column in range(columns):
        for place, title in enumerate(TITLES):
            left = GAP + column * (block + 3 * GAP) + place * (SIDE + GAP)
            draw.text((left, HEAD - 5), title, font=font(12), fill=INK, anchor="ls")
    for number, sample in enumerate(samples):
        row, column = divmod(number, columns)
        left, top = GAP + column * (block + 3 * GAP), HEAD + row * (SIDE + FOOT + GAP)
        for place, pixels in enumerate(_pictures(sample)):
            small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX if pixels.shape[0] > SIDE else
                                                   Image.Resampling.NEAREST)  # fmt: skip
            page.paste(small, (left + place * (SIDE + GAP), top))
        draw.text((left, top + SIDE + FOOT - 4), _words(sample), font=font(11), fill=INK, anchor="ls")
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _pictures(sample: Seen) -> list[NDArray[np.uint8]]:
    marked = sample.marked >= MARKED
    return [
        np.ascontiguousarray(sample.image), np.ascontiguousarray(sample.query),
        _overlaid(sample.image, sample.mask * 0.5, sample.mask),
        _overlaid(sample.image, sample.marked * 0.6, marked),
    ]  # fmt: skip


def _overlaid(image: NDArray[np.uint8], amount: NDArray[Any], area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image under green of an amount (S, S) in 0..1, the edge of the area in full green."""
    share = amount[:, :, None].astype(np.float32)
    found = image * (1 - share) + np.array(GREEN, np.float32) * share
    inner = np.zeros_like(area)
    inner[1:-1, 1:-1] = area[1:-1, 1:-1] & area[:-2, 1:-1] & area[2:, 1:-1] & area[1:-1, :-2] & area[1:-1, 2:]
    found[area & ~inner] = GREEN
    return np.asarray(np.clip(found + 0.5, 0, 255), np.uint8)


def _words(sample: Seen) -> str:
    marked = sample.marked >= MARKED
    either = int((marked | sample.mask).sum())
    if not sample.mask.any():
        return "absent: nothing marked" if not either else f"absent: {marked.mean():.1%} of the image marked"
    return f"IoU {int((marked & sample.mask).sum()) / either:.2f}"
