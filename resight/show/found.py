"""What a template finder has found, drawn into the scene: outlines, the template beside it, a panel of four."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError

if TYPE_CHECKING:
    from resight.match.result import Match
    from resight.match.template import Template

Pixels = NDArray[np.uint8]

FILL, SHARE = (0, 200, 60), 0.5  # the predecessor's green half over what is found
LINE, RIM, CORNER = (64, 255, 112), (12, 20, 14), (255, 196, 0)
INK, PLATE, ABSENT = (255, 255, 255), (0, 82, 30), (70, 70, 68)
GROUND = (255, 255, 255)
FAR = 1e5  # pixels beyond the scene at which OpenCV's 32-bit coordinates are far from their end
BITS = 4  # of a pixel's fraction in OpenCV's drawing
CELL, SIDE = 640, 1600  # pixels of the longer side: of a panel's cell, and of a scene in a picture


def overlay(scene: Pixels, matches: Match | Sequence[Match], *, fill: bool = True) -> Pixels:
    """The scene with everything that is found in it.

    scene:   (H, W, 3) uint8 RGB, of the matches' scene_size
    matches: a Match, or those of a scene; of those that are not found only the score is written
    fill:    lay green, half transparent, over what is found
    ->       (H, W, 3) uint8, new memory

    The outline is the quadrangle in which the template lies, with a yellow dot at the template's top left corner; of a
    match without corners it goes around its mask. The score stands above it.
    Raises InputError if a match is of a scene of another size.
    """
    found = [matches] if not isinstance(matches, Sequence) else list(matches)
    drawn = np.array(scene, np.uint8, order="C")
    for match in found:
        if match.scene_size != drawn.shape[:2]:
            raise InputError(f"expected matches in a scene of (H, W) = {drawn.shape[:2]}, got {match.scene_size}")
    shown = [match for match in found if match.found]
    if fill:
        for match in shown:
            under = drawn[match.mask]
            drawn[match.mask] = np.round((1 - SHARE) * under + SHARE * np.array(FILL)).astype(np.uint8)
    for match in reversed(shown):  # the best one on top
        _outline(drawn, match)
        _tag(drawn, f"{match.score:.2f}", _top_left(match), PLATE)
    if not shown:
        score = f" {found[0].score:.2f}" if found else ""
        _tag(drawn, f"absent{score}", None, ABSENT)
    return drawn


def found_picture(scene: Pixels, matches: Match | Sequence[Match], template: Pixels, *, side: int = SIDE) -> Pixels:
    """The template on the left, the scene with what is found on the right.

    template: (h, w, 3) uint8 RGB
    side:     pixels of the scene's longer side at most; a larger one is reduced before it is drawn into
    ->        (H, W, 3) uint8
    """
    found = [matches] if not isinstance(matches, Sequence) else list(matches)
    small = reduced(scene, side)
    right = overlay(small, [scaled(match, small.shape[:2]) for match in found])
    height, width = right.shape[:2]
    # A template larger than half the scene is shown smaller, a tiny one as it is.
    left = _within(template, height, max(width // 2, 64))
    gap = max(8, side // 100)
    page = np.full((max(height, left.shape[0]), left.shape[1] + gap + width, 3), GROUND, np.uint8)
    page[: left.shape[0], : left.shape[1]] = left
    page[:height, left.shape[1] + gap :] = right
    return page


def panel(frame: Pixels, match: Match | Sequence[Match], template: Pixels, *, cell: int = CELL) -> Pixels:
    """Frame and template above, mask and overlay below: the predecessor's picture of four.

    template: (h, w, 3) uint8 RGB, shown in the middle of a black frame
    cell:     pixels of a cell's longer side at most
    ->        (2 h, 2 w, 3) uint8 for cells of (h, w)
    """
    found = [match] if not isinstance(match, Sequence) else list(match)
    small = reduced(frame, cell)
    height, width = small.shape[:2]
    own = [scaled(one, (height, width)) for one in found]
    middle = np.zeros_like(small)
    part = _within(template, height, width)
    top, left = (height - part.shape[0]) // 2, (width - part.shape[1]) // 2
    middle[top : top + part.shape[0], left : left + part.shape[1]] = part
    white = np.zeros((height, width), bool)
    for one in own:
        white |= one.mask if one.found else False
    mask = np.repeat((white * np.uint8(255))[:, :, None], 3, 2)
    return np.concatenate([np.concatenate([small, middle], 1), np.concatenate([mask, overlay(small, own)], 1)])


def template_picture(template: Template) -> Pixels:
    """(h, w, 3) uint8 of a template, white where pixels do not belong to it."""
    if template.mask is None:
        return template.image
    return np.where(template.mask[:, :, None], template.image, np.uint8(255))


def scaled(match: Match, size: tuple[int, ...]) -> Match:
    """The same match in the scene scaled to (H, W); itself if that is its scene's size."""
    height, width = size[0], size[1]
    if (height, width) == match.scene_size:
        return match
    across, down = width / match.scene_size[1], height / match.scene_size[0]
    matrix, outline = match.homography, match.outline
    if matrix is not None:
        matrix = np.diag([across, down, 1.0]) @ matrix
    if outline is not None:
        import cv2

        grey = cv2.resize(outline.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        outline = np.asarray(grey, bool)
    return replace(match, homography=matrix, outline=outline, scene_size=(height, width))


def _outline(drawn: Pixels, match: Match) -> None:
    import cv2

    line = max(1, round(max(drawn.shape[:2]) / 320))
    if match.corners is None or match.outline is not None:
        lines, _ = cv2.findContours(match.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        curves = [np.asarray(curve, np.int32) << BITS for curve in lines]
    else:
        curves = [_fixed(match.corners)]
    for colour, width in ((RIM, line + 2), (LINE, line)):
        cv2.polylines(drawn, curves, True, colour, width, cv2.LINE_AA, BITS)
    if match.corners is not None and match.outline is None:
        x, y = _fixed(match.corners[:1])[0].tolist()
        for colour, radius in ((RIM, 2 * line + 2), (CORNER, 2 * line + 0.5)):
            cv2.circle(drawn, (x, y), round(radius * 2**BITS), colour, -1, cv2.LINE_AA, BITS)


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    """Points (n, 2) as OpenCV draws them: pixel centres at whole numbers, times 2^BITS."""
    near = np.clip(np.asarray(points, np.float64) - 0.5, -FAR, FAR)
    return np.asarray(np.round(near * 2**BITS), np.int32)


def _top_left(match: Match) -> tuple[float, float] | None:
    if match.box is not None and match.outline is None:
        return match.box[0], match.box[1]
    rows, columns = np.nonzero(match.mask)
    return (float(columns.min()), float(rows.min())) if len(rows) else None


def _tag(drawn: Pixels, text: str, at: tuple[float, float] | None, ground: tuple[int, int, int]) -> None:
    """A plate with words whose lower left corner is at x, y, moved into the image; None: its upper left corner."""
    height, width = drawn.shape[:2]
    plate = _plate(text, max(11, round(max(height, width) / 42)), ground)[:height, :width]
    tall, wide = plate.shape[:2]
    x, y = (0.0, 0.0) if at is None else (at[0], at[1] - tall - 2)
    left, top = min(max(round(x), 0), width - wide), min(max(round(y), 0), height - tall)
    drawn[top : top + tall, left : left + wide] = plate


@lru_cache(maxsize=256)
def _plate(text: str, size: int, ground: tuple[int, int, int]) -> Pixels:
    from PIL import Image, ImageDraw

    from resight.show.lettering import font, spelt

    letters, inset = spelt(text), max(2, size // 4)
    wide = round(font(size).getlength(letters)) + 2 * inset
    image = Image.new("RGB", (wide, size + 2 * inset), ground)
    ImageDraw.Draw(image).text((wide / 2, size / 2 + inset), letters, font=font(size), fill=INK, anchor="mm")
    return np.asarray(image)


def reduced(image: Pixels, longest: int) -> Pixels:
    """The image, its longer side at most so many pixels."""
    return _within(image, longest, longest)


def _within(image: Pixels, height: int, width: int) -> Pixels:
    """The image in at most so many pixels, never enlarged."""
    scale = min(1.0, height / image.shape[0], width / image.shape[1])
    if scale == 1:
        return image
    import cv2

    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
