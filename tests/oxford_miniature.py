"""A miniature of Oxford Buildings: pictures with known contents, and its ground truth in the published form.

A landmark is a part of a photograph, pasted through a known homography onto other content: queries (with a box that
is exactly the landmark), good and ok copies (smaller, turned, darker, blurred, recompressed), junk (a third of it),
and distractors (other photographs).
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from samples import picture

from resight.errors import WorkError
from resight.images import read_image

Pixels = NDArray[np.uint8]
NAMES = ("north_gate", "old_mill", "clock_tower", "bridge")
HEIGHT, WIDTH = 240, 320
PATCH = (150, 200)  # of a landmark, (h, w)
DISTRACTORS = 17


@dataclass
class Miniature:
    """Where it lies and what is in it.

    images, truth  folders;  queries {"bridge_1": (image name, box)};  groups {"bridge": {"good": [names] ...}}
    patches        {"bridge": the landmark's pixels};  places {image name: (landmark, 3 x 3 from patch to image)}
    """

    images: Path
    truth: Path
    queries: dict[str, tuple[str, tuple[float, float, float, float]]] = field(default_factory=dict)
    groups: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    patches: dict[str, Pixels] = field(default_factory=dict)
    places: dict[str, tuple[str, NDArray[np.float64]]] = field(default_factory=dict)
    distractors: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """The file of an image."""
        return self.images / f"{name}.jpg"

    def positives(self, query: str) -> set[str]:
        """Names of good and ok images of a query such as "bridge_1"."""
        groups = self.groups[query.rpartition("_")[0]]
        return {*groups["good"], *groups["ok"]}


@functools.cache
def photographs() -> list[Pixels]:
    """Photographs that come with the packages, those with much to see first; made-up pictures where there are none."""
    from resight.demo import packaged_photographs

    first = ("china.jpg", "motorcycle_left.png", "astronaut.png", "coffee.png")
    try:
        paths = packaged_photographs()
    except WorkError:
        return [textured(seed) for seed in range(24)]
    paths.sort(key=lambda path: (first.index(path.name) if path.name in first else len(first), path.name))
    return [read_image(path) for path in paths]


def photographed() -> bool:
    """Whether `photographs` are photographs: a network tells made-up pictures from one another less well."""
    return not np.array_equal(photographs()[0], textured(0))


def textured(seed: int) -> Pixels:
    """(240, 320, 3) a made-up picture with corners, for machines without photographs."""
    draw = np.random.default_rng(seed)
    image = picture(seed, HEIGHT, WIDTH).copy()
    for _ in range(60):
        x, y = draw.integers(0, (WIDTH, HEIGHT))
        w, h = draw.integers(4, 50, 2)
        colour = draw.integers(0, 256, 3).tolist()
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
    return image


def build(folder: Path, photos: Sequence[Pixels], *, landmarks: int = 4, distractors: int = DISTRACTORS) -> Miniature:
    """Write the images and the ground truth of `landmarks` of the photographs; the others are scenery."""
    made = Miniature(folder / "images", folder / "truth")
    made.images.mkdir(parents=True)
    made.truth.mkdir()
    photos = [*photos, *(textured(1000 + i) for i in range(landmarks + 4 - len(photos)))]
    scenery = [cut(photo, (HEIGHT, WIDTH)) for photo in photos[landmarks:]]
    for number, name in enumerate(NAMES[:landmarks]):
        made.patches[name] = cut(photos[number], PATCH)
        made.groups[name] = {"good": [], "ok": [], "junk": []}
        _landmark(made, name, [scenery[(3 * number + i) % len(scenery)][:, ::-1] for i in range(7)])
    for i in range(distractors):
        name = f"elsewhere_{i:02d}"
        image = scenery[i % len(scenery)] if i < len(scenery) else textured(i)
        made.distractors.append(name)
        save(made.path(name), image, 90)
    _write_truth(made)
    return made


def _landmark(made: Miniature, name: str, grounds: list[Pixels]) -> None:
    patch = made.patches[name]
    copies = [
        ("good", {"scale": 1.2, "at": (40, 30)}, {}, 90),
        ("good", {"scale": 1.0, "at": (90, 70)}, {"light": 0.85}, 90),
        ("good", {"scale": 1.3, "at": (30, 25), "lean": 0.12}, {"light": 1.15}, 80),
        ("good", {"scale": 1.15, "at": (60, 40), "turn": 8}, {}, 80),
        ("ok", {"scale": 0.8, "at": (30, 80), "turn": -14}, {"light": 0.7}, 60),
        ("ok", {"scale": 0.9, "at": (110, 60), "lean": -0.15}, {"blur": 1.2}, 40),
        ("junk", {"scale": 1.1, "at": (60, 50)}, {"shown": 0.3}, 80),
    ]
    for number, (group, place, change, quality) in enumerate(copies):
        matrix = homography(**place)
        image_name = f"{name}_{number:03d}"
        save(made.path(image_name), paste(patch, grounds[number], matrix, **change), quality)
        made.groups[name][group].append(image_name)
        made.places[image_name] = (name, matrix)
        if number < 2:  # upright, so that a box can be exactly the landmark
            corners = moved(matrix, np.array([[0, 0], [PATCH[1], PATCH[0]]], np.float64))
            made.queries[f"{name}_{number + 1}"] = (image_name, tuple(corners.ravel().tolist()))


def homography(scale: float, at: tuple[float, float], turn: float = 0.0, lean: float = 0.0) -> NDArray[np.float64]:
    """From a landmark's pixels (centres at +.5) to the image's: size, turned by degrees, one side shortened, moved."""
    h, w = PATCH
    t = np.radians(turn)
    centre = np.array([[1, 0, -w / 2], [0, 1, -h / 2], [0, 0, 1]])
    bent = np.array([[1, 0, 0], [0, 1, 0], [2 * lean / w, 0, 1]])
    sized = scale * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    x, y = at[0] + scale * w / 2, at[1] + scale * h / 2
    return np.array([[*sized[0], x], [*sized[1], y], [0, 0, 1]]) @ bent @ centre


def moved(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points through a homography."""
    there = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return there[:, :2] / there[:, 2:]


def paste(
    patch: Pixels,
    ground: Pixels,
    matrix: NDArray[np.float64],
    *,
    light: float = 1.0,
    blur: float = 0.0,
    shown: float = 1.0,
) -> Pixels:
    """(240, 320, 3) the patch, seen through `matrix`, on a ground; of its width only the share `shown`."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixel centres are whole numbers
    matrix = np.linalg.inv(half) @ matrix @ half
    mask = np.zeros(patch.shape[:2], np.float32)
    mask[:, : round(shown * patch.shape[1])] = 1
    size = (ground.shape[1], ground.shape[0])
    there = cv2.warpPerspective(patch, matrix, size, flags=cv2.INTER_AREA)
    share = cv2.warpPerspective(mask, matrix, size)[..., None]
    mixed = (share * there + (1 - share) * ground) * light
    if blur:
        mixed = cv2.GaussianBlur(mixed, (0, 0), blur)
    return np.clip(mixed.round(), 0, 255).astype(np.uint8)


def cut(photo: Pixels, shape: tuple[int, int]) -> Pixels:
    """The middle of a photograph in another shape (h, w)."""
    height, width = photo.shape[:2]
    scale = max(shape[0] / height, shape[1] / width)
    size = (max(shape[1], round(width * scale)), max(shape[0], round(height * scale)))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    y, x = (small.shape[0] - shape[0]) // 2, (small.shape[1] - shape[1]) // 2
    return small[y : y + shape[0], x : x + shape[1]]


def save(path: Path, image: Pixels, quality: int) -> None:
    """A JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    path.write_bytes(buffer.getvalue())


def _write_truth(made: Miniature) -> None:
    for query, (image, box) in made.queries.items():
        groups = made.groups[query.rpartition("_")[0]]
        line = f"oxc1_{image} {' '.join(f'{side:.1f}' for side in box)}\n"
        (made.truth / f"{query}_query.txt").write_text(line)
        for group, names in groups.items():
            (made.truth / f"{query}_{group}.txt").write_text("".join(f"{name}\n" for name in names))
