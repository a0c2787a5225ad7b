"""Verification: how well the scene, seen through a supposed place, is the template, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.match.planes import Matrix

if TYPE_CHECKING:
    from resight.match.template import Template

Floats = NDArray[np.floating[Any]]

SIDE = 96  # pixels of the longer side at which it is compared
BLOCKS, SMALLEST = 5, 4  # a side; pixels of one: of fewer a correlation says nothing
AGREES = 0.6  # correlation of a block that agrees
FLAT = 2.0  # grey levels: blocks with a smaller standard deviation have nothing to compare
FAINT = 0.25  # variance of a scene below which it agrees with nothing
INSIDE = 0.5  # of a block must be seen in the scene


@dataclass(frozen=True, eq=False)
class Agreement:
    """How a scene agrees with the template at a place.

    full:   correlation over all that is seen, -1..1
    median: of the blocks' correlations
    share:  of the blocks whose correlation is above 0.6
    best:   mean of the better half of the blocks, which something in front need not touch
    known:  share of the blocks that can be compared at all; of those within the scene if it cuts the template
    seen:   share of the template that lies in the scene
    blocks: (5, 5)  correlations, fewer of tiny templates, NaN where the template is flat or not seen
    """

    full: float
    median: float
    share: float
    best: float
    known: float
    seen: float
    blocks: Floats


@dataclass(frozen=True, eq=False)
class Face:
    """A template made small for comparison: grey (h, w) float32, mask (h, w) bool, scale (x, y) that made it small."""

    grey: NDArray[np.float32]
    mask: NDArray[np.bool_]
    scale: tuple[float, float]


def face(template: Template) -> Face:
    """The template's grey values, its longer side at most 96 pixels."""
    return template.kept("face", lambda: Face(*reduced(grey(template.image), template.mask, SIDE)))


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 of (H, W, 3) uint8 RGB."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def agreement(template: Template, scene: NDArray[np.uint8], homography: Matrix, *, cut: bool = False) -> Agreement:
    """How the scene agrees with the template if it lies so.

    scene: (H, W) uint8 grey; cut: blocks outside the scene are not missed, but a quarter of all at least must be known
    """
    own = face(template)
    seen, inside = look(own, scene, homography)
    valid = own.mask & inside
    blocks = _by_block(own, seen, valid)
    known = blocks[np.isfinite(blocks)]
    wanted = max(_blocks_within(inside, blocks.shape), blocks.size / 4) if cut else blocks.size
    full = correlation(own.grey, seen, valid)
    return Agreement(
        0.0 if np.isnan(full) else full,
        float(np.median(known)) if len(known) else 0.0,
        float((known > AGREES).mean()) if len(known) else 0.0,
        float(np.sort(known)[len(known) // 2 :].mean()) if len(known) else 0.0,
        min(1.0, len(known) / wanted),
        float(valid.sum() / own.mask.sum()),
        blocks,
    )


def _by_block(own: Face, seen: NDArray[np.float32], valid: NDArray[np.bool_]) -> Floats:
    """(n, n) correlations, n up to 5; NaN where too little is seen or the template is flat."""
    count = max(1, min(BLOCKS, min(own.grey.shape) // SMALLEST))
    edges = [np.linspace(0, length, count + 1).astype(int)[:-1] for length in own.grey.shape]
    weights = valid.astype(np.float64)
    x, y = (own.grey - own.grey.mean()) * weights, (seen - seen.mean()) * weights
    sums = np.add.reduceat(np.add.reduceat(np.stack([weights, x, y, x * x, y * y, x * y]), edges[0], 1), edges[1], 2)
    area = np.add.reduceat(np.add.reduceat(np.ones(own.grey.shape), edges[0], 0), edges[1], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        _, mx, my, xx, yy, xy = sums / sums[0]
        own_spread, spread = xx - mx**2, yy - my**2
        found = np.where(spread > FAINT, (xy - mx * my) / np.sqrt(own_spread * spread), 0.0)
    return np.where((sums[0] >= INSIDE * area) & (own_spread >= FLAT**2), found, np.nan)


def _blocks_within(inside: NDArray[np.bool_], shape: tuple[int, ...]) -> int:
    """How many blocks lie in the scene, with half of their pixels at least."""
    edges = [
        np.linspace(0, length, count + 1).astype(int)[:-1] for length, count in zip(inside.shape, shape, strict=True)
    ]
    sums = np.add.reduceat(np.add.reduceat(np.stack([inside * 1.0, np.ones(inside.shape)]), edges[0], 1), edges[1], 2)
    return int((sums[0] >= INSIDE * sums[1]).sum())


def look(own: Face, scene: NDArray[np.uint8], homography: Matrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The scene (H, W) or (H, W, 3) as the template would be seen in it, float32 of the face's size (h, w); and
    which of its pixels lie in the scene.

    Where the template is larger in the scene than in the face, the scene is averaged first, so that no detail between
    the pixels is compared.
    """
    import cv2

    height, width = own.grey.shape
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_face = np.diag([own.scale[0], own.scale[1], 1.0])
    matrix = homography @ np.linalg.inv(to_face)  # face -> scene, centres at +.5
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    places = corners @ matrix[:, :2].T + matrix[:, 2]
    places = places[:, :2] / places[:, 2:]
    # Only the part of the scene that is looked at, and averaged by whole factors.
    low = np.floor(places.min(0)).clip(0, (scene.shape[1], scene.shape[0])).astype(int)
    high = np.ceil(places.max(0)).clip(0, (scene.shape[1], scene.shape[0])).astype(int) + 1
    part: NDArray[Any] = scene[low[1] : high[1], low[0] : high[0]]
    if min(part.shape[:2]) < 2:
        return np.zeros((height, width, *scene.shape[2:]), np.float32), np.zeros((height, width), bool)
    x, y = places.T
    area = abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2))
    factor = int(np.clip(np.sqrt(area / (height * width)) + 0.3, 1, min(part.shape[:2])))
    if factor > 1:
        part = cv2.resize(part, (max(1, round(part.shape[1] / factor)), max(1, round(part.shape[0] / factor))),
                          interpolation=cv2.INTER_AREA)  # fmt: skip
    across = part.shape[1] / (min(high[0], scene.shape[1]) - low[0])
    down = part.shape[0] / (min(high[1], scene.shape[0]) - low[1])
    to_part = np.array([[across, 0, -low[0] * across], [0, down, -low[1] * down], [0, 0, 1]])
    map_ = np.linalg.inv(half) @ to_part @ matrix @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(part, map_, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    whole = np.full(part.shape[:2], 255, np.uint8)
    inside = cv2.warpPerspective(whole, map_, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT) > 127
    return seen.astype(np.float32), inside


def correlation(a: Floats, b: Floats, valid: NDArray[np.bool_]) -> float:
    """Of the valid values; NaN if the first is flat there, 0 if only the second is."""
    x, y = a[valid].astype(np.float64), b[valid].astype(np.float64)
    if len(x) < 4:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    own, other = float((x * x).mean()), float((y * y).mean())
    if own < FLAT**2:
        return float("nan")
    return float((x * y).mean() / np.sqrt(own * other)) if other > FAINT else 0.0


def reduced(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[float, float]]:
    """A picture with its longer side at most so many pixels: its pixels, its mask (h, w), and the scale (x, y)."""
    import cv2

    height, width = pixels.shape[:2]
    shrink = min(1.0, side / max(height, width))
    size = max(2, round(width * shrink)), max(2, round(height * shrink))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    inside = np.ones(small.shape[:2], bool)
    if mask is not None:
        inside = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    return small, inside, (size[0] / width, size[1] / height)
