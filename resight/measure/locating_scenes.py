"""Scenes to search in, made of photographs: plane warps without aliasing, changes of light and grain, covers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.images import resize
from resight.match.planes import Matrix, project

Image = NDArray[np.uint8]
Random = np.random.Generator
Size = tuple[int, int]
Box = tuple[int, int, int, int]

FINEST = 4  # samples a pixel and direction at most
FEATHER = 6.0  # pixels over which a cover fades in


def warp(photo: Image, matrix: Matrix, background: Image) -> Image:
    """A photograph, seen through a plane map, over a background.

    photo:      (h, w, 3) uint8 RGB
    matrix:     (3, 3) x, y, 1 in the photograph -> the scene, pixel centres at +.5
    background: (H, W, 3) uint8 RGB, which shows where the photograph does not reach
    ->          (H, W, 3) uint8 RGB

    Where the photograph shrinks, up to 4 x 4 cubic samples are averaged for each pixel, so that nothing aliases; its
    edge is blended by the share of the pixel that it covers. What lies behind the horizon does not show.
    """
    import cv2

    height, width = background.shape[:2]
    fine = _samples(matrix, (photo.shape[0], photo.shape[1]), (height, width))
    # OpenCV counts from pixel centres, here they are at +.5.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    onto = np.diag([fine, fine, 1.0]) @ matrix
    shifted = np.linalg.inv(half) @ onto @ half
    large = width * fine, height * fine
    colours = cv2.warpPerspective(photo, shifted, large, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    solid = np.full(photo.shape[:2], 255, np.uint8)
    cover = cv2.warpPerspective(solid, shifted, large, flags=cv2.INTER_LINEAR)
    cover[_behind(onto, (large[1], large[0]), photo.shape)] = 0
    seen = cover.astype(np.float32)[:, :, None] / 255
    parts = np.concatenate([colours * seen, seen], axis=2)
    if fine > 1:
        parts = cv2.resize(parts, (width, height), interpolation=cv2.INTER_AREA)
    mixed = parts[:, :, :3] + background * (1 - parts[:, :, 3:])
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _samples(matrix: Matrix, photo: Size, scene: Size) -> int:
    """How many samples a scene pixel needs in each direction: the photograph's pixels along its longer side."""
    x, y = np.meshgrid(np.linspace(0, scene[1], 9), np.linspace(0, scene[0], 9))
    inverse: Matrix = np.asarray(np.linalg.inv(matrix), np.float64)
    places = np.asarray(np.stack([x.ravel(), y.ravel()], 1), np.float64)
    depth = places @ inverse[2, :2] + inverse[2, 2]
    there = project(inverse, places)
    inside = ((there >= 0) & (there <= (photo[1], photo[0]))).all(1) & (np.abs(depth) > 1e-12)
    if not inside.any():
        return FINEST
    slopes = (inverse[:2, :2] - there[inside][:, :, None] * inverse[2, :2]) / depth[inside][:, None, None]
    largest = np.linalg.svd(slopes, compute_uv=False).max()
    return int(min(FINEST, max(1, math.ceil(largest - 0.05))))


def _behind(matrix: Matrix, size: Size, photo: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool: scene pixels whose source lies on the other side of the horizon than the photograph's centre."""
    inverse = np.linalg.inv(matrix)
    centre = np.array([photo[1] / 2, photo[0] / 2, 1.0]) @ matrix[2]
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    depth = inverse[2, 0] * x[None, :] + inverse[2, 1] * y[:, None] + inverse[2, 2]
    return np.asarray(depth * centre <= 0)


def filling(photo: Image, size: Size) -> Image:
    """A photograph scaled and cut to (H, W), keeping its aspect."""
    height, width = size
    grown = max(height / photo.shape[0], width / photo.shape[1])
    tall, wide = max(height, round(photo.shape[0] * grown)), max(width, round(photo.shape[1] * grown))
    scaled = resize(photo, (tall, wide))
    top, left = (tall - height) // 2, (wide - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def recoloured(scene: Image, random: Random) -> Image:
    """Another exposure and white balance: gamma .5-2, contrast .6-1.4, brightness +-40, channels x .75-1.25."""
    values = (scene / 255.0) ** 2 ** random.uniform(-1, 1)
    values = (values - 0.5) * random.uniform(0.6, 1.4) + 0.5 + random.uniform(-40, 40) / 255
    return _whole(255 * values * random.uniform(0.75, 1.25, 3))


def blurred(scene: Image, random: Random) -> Image:
    """Out of focus (Gaussian, sigma .5-2.5) or moved (a line of 3-11 pixels at any angle), each half of the time."""
    import cv2

    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(scene, (0, 0), random.uniform(0.5, 2.5)), np.uint8)
    length, angle = random.uniform(3, 11), random.uniform(0, math.pi)
    kernel = np.zeros((13, 13), np.float32)
    along = np.linspace(-length / 2, length / 2, 200)
    np.add.at(
        kernel, (np.rint(6 + along * math.sin(angle)).astype(int), np.rint(6 + along * math.cos(angle)).astype(int)), 1
    )
    return np.asarray(cv2.filter2D(scene, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), np.uint8)


def grained(scene: Image, random: Random, sigma: tuple[float, float] = (8, 30)) -> Image:
    """Gaussian noise of a standard deviation drawn from this range, in grey levels, for each pixel and channel."""
    return _whole(scene + random.normal(0, random.uniform(*sigma), scene.shape))


def shaded(scene: Image, random: Random) -> Image:
    """Light from one side: a gain that goes from .3-.7 to 1.1-1.6 across the scene, in any direction."""
    height, width = scene.shape[:2]
    angle = random.uniform(0, 2 * math.pi)
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    along = x * math.cos(angle) + y * math.sin(angle)
    along = (along - along.min()) / (along.max() - along.min())
    low, high = random.uniform(0.3, 0.7), random.uniform(1.1, 1.6)
    return _whole(scene * (low + (high - low) * along)[:, :, None])


def occluded(scene: Image, area: NDArray[np.bool_], other: Image, random: Random) -> Image:
    """30-50 % of an area covered by round and square pieces of another photograph.

    area: (H, W) bool, of the template in the scene; other: (H, W, 3), as large as the scene
    """
    rows, columns = np.nonzero(area)
    target, pixels = random.uniform(0.3, 0.5), len(rows)
    covered = np.zeros_like(area)
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    y, x = np.ogrid[: area.shape[0], : area.shape[1]]
    for step in range(60):
        share = (covered & area).sum() / pixels
        if share >= target:
            break
        place = random.integers(pixels)
        size = random.uniform(0.35, 0.7) * 0.94**step  # smaller and smaller, until the last piece fits
        down, across = (y - rows[place]) / (size * tall), (x - columns[place]) / (size * wide)
        piece = (down**2 + across**2 <= 1) if random.random() < 0.5 else (np.abs(down) <= 0.8) & (np.abs(across) <= 0.8)
        if ((covered | piece) & area).sum() <= 0.5 * pixels:
            covered |= piece
    return np.where(covered[:, :, None], other, scene)


def grown(box: Box, size: Size) -> Box:
    """A box and a sixth of its sides more all around, cut at the edges of (H, W)."""
    x1, y1, x2, y2 = box
    across, down = (x2 - x1) // 6 + 2, (y2 - y1) // 6 + 2
    return max(0, x1 - across), max(0, y1 - down), min(size[1], x2 + across), min(size[0], y2 + down)


def coverable(box: Box, size: Size) -> bool:
    """Whether what lies around a box, a sixth larger, is at least half of the photograph."""
    left, top, right, bottom = grown(box, size)
    return 2 * (right - left) * (bottom - top) <= size[0] * size[1]


def covered(photo: Image, box: Box, random: Random) -> Image:
    """A photograph from which the thing in a box is gone: another part of it lies there, a sixth larger, edges blended.

    box: x1, y1, x2, y2 in whole pixels. Where the photograph has no other part as large, the place is inpainted
    (Telea 2004).
    """
    import cv2

    height, width = photo.shape[:2]
    x1, y1, x2, y2 = box
    left, top, right, bottom = grown(box, (height, width))
    wide, tall = right - left, bottom - top
    inner = np.zeros((height, width), np.uint8)
    inner[y1:y2, x1:x2] = 255
    for _ in range(200):
        u, v = int(random.integers(0, width - wide + 1)), int(random.integers(0, height - tall + 1))
        if u >= right or u + wide <= left or v >= bottom or v + tall <= top:
            apart = cv2.distanceTransform(255 - inner, cv2.DIST_L2, 3)[top:bottom, left:right, None]
            weight = np.clip(1 - apart / FEATHER, 0, 1)
            made = photo.astype(np.float32)
            made[top:bottom, left:right] = (
                made[top:bottom, left:right] * (1 - weight) + photo[v : v + tall, u : u + wide] * weight
            )
            return _whole(made)
    hole = np.zeros((height, width), np.uint8)
    hole[top:bottom, left:right] = 255
    return np.asarray(cv2.inpaint(photo, hole, 5, cv2.INPAINT_TELEA), np.uint8)


def _whole(values: NDArray[np.floating[Any]]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
