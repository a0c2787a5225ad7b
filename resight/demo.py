"""The demonstration: photographs, altered copies of them with known right answers, an index, queries, a report.

Every query is an altered copy that is NOT in the collection; its right answers are the photograph it was made from
and the four other altered copies of that photograph.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from resight.errors import ImageError, InputError, WorkError
from resight.features.encoder import Encoder
from resight.images import list_images, read_image
from resight.search import Collection, Ranking
from resight.search.adding import AddReport, Progress
from resight.show import save_picture

# Photographs that come with the packages; drawings, test patterns and masks are left out, and so is motorcycle_right,
# a second view of motorcycle_left that would be no wrong answer.
PACKAGED = {
    "skimage": (
        "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
        "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png", "moon.png",
        "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}  # fmt: skip
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
MOST_PHOTOS = 2000
MOST_QUERIES = 24
LARGEST_SIDE = 1200
SMALLEST_SIDE = 48
FIRST = 3


@dataclass(frozen=True)
class Trial:
    """One query: the photograph it was made from, the ranking, and which results are right (k,) bool."""

    photo: Path
    ranking: Ranking
    right: tuple[bool, ...]

    @property
    def first_right(self) -> int | None:
        """1-based rank of the first right answer, None if there is none among the results."""
        return self.right.index(True) + 1 if any(self.right) else None


@dataclass(frozen=True)
class Demonstration:
    """What the demo did: the collection's folder, what was added, every trial, and how many answers each has."""

    collection: Path
    report: AddReport
    images: int
    trials: tuple[Trial, ...]
    answers: int
    skipped: tuple[str, ...]

    def within(self, k: int) -> int:
        """Number of queries with a right answer among the first k results."""
        return sum(t.first_right is not None and t.first_right <= k for t in self.trials)

    @property
    def found(self) -> float:
        """Mean share of a query's right answers among its first `answers` results."""
        return float(np.mean([sum(t.right[: self.answers]) / self.answers for t in self.trials]))


def packaged_photographs() -> list[Path]:
    """The photographs installed with scikit-image and scikit-learn."""
    found = []
    for package, names in PACKAGED.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / FOLDERS[package]
            found += [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise WorkError("the photographs of scikit-image and scikit-learn are not installed: give a folder of your own")
    return found


def crop(image: Image.Image) -> Image.Image:
    """The lower right part: 70 % of each side."""
    w, h = image.size
    return image.crop((int(w * 0.25), int(h * 0.2), int(w * 0.95), int(h * 0.9)))


def rotate(image: Image.Image, degrees: float = 12) -> Image.Image:
    """Turned, and cut so that no corner is empty."""
    w, h = image.size
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    t = np.radians(abs(degrees))
    # The largest rectangle of the same shape inside the turned one, less the pixel that was blended with the outside.
    share = 1 / (np.cos(t) + np.sin(t) * max(w / h, h / w))
    cw, ch = w * share / 2 - 2, h * share / 2 - 2
    return turned.crop((int(w / 2 - cw), int(h / 2 - ch), int(w / 2 + cw), int(h / 2 + ch)))


def relight(image: Image.Image, gamma: float = 1.9, warmth: float = 1.15) -> Image.Image:
    """Darker by a gamma curve and warmer, as in evening light."""
    x = np.linspace(0, 1, 256) ** gamma
    tables = [np.clip(x * gain * 255, 0, 255).round().astype(int).tolist() for gain in (warmth, 1.0, 1 / warmth)]
    return image.point(tables[0] + tables[1] + tables[2])


def shrink(image: Image.Image) -> Image.Image:
    """A third of the size; saved at JPEG quality 15 by VARIANTS."""
    return image.resize((max(24, image.width // 3), max(24, image.height // 3)), Image.Resampling.LANCZOS)


def mix(image: Image.Image) -> Image.Image:
    """The query: cropped, turned the other way, brighter and paler, all at once."""
    w, h = image.size
    part = image.crop((int(w * 0.06), int(h * 0.1), int(w * 0.86), int(h * 0.9)))
    return ImageEnhance.Color(relight(rotate(part, -9), 0.6, 0.92)).enhance(0.6)


VARIANTS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "cropped": (crop, 90),
    "rotated": (rotate, 90),
    "relit": (relight, 90),
    "recompressed": (shrink, 15),
}
QUERY: tuple[Callable[[Image.Image], Image.Image], int] = (mix, 60)


def make_variants(photo: Path, folder: Path, name: str) -> Path:
    """Write the altered copies of a photograph below `folder` and return its query; what is newer than it stays."""
    query = folder / "queries" / f"{name}.jpg"
    copies = {folder / "variants" / name / f"{name}-{kind}.jpg": how for kind, how in VARIANTS.items()}
    date = photo.stat().st_mtime if photo.exists() else 0.0
    everything = {**copies, query: QUERY}
    wanted = {p: how for p, how in everything.items() if not p.exists() or p.stat().st_mtime < date}
    if wanted:
        image = Image.fromarray(read_image(photo))
        if min(image.size) < SMALLEST_SIDE:
            raise ImageError(str(photo), f"too small to alter ({image.width} x {image.height} pixels)")
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
        for path, (change, quality) in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_picture(change(image), path, quality=quality)
    return query


def choose(photos: str | os.PathLike[str] | None) -> tuple[list[Path], str]:
    """The photographs to show, and a name for the folder that the demo works in."""
    if photos is None:
        return packaged_photographs(), "packaged"
    folder = Path(photos).expanduser().absolute()
    found = [listing.path for listing in islice(list_images(folder), MOST_PHOTOS)]
    if not found:
        raise InputError(f"no images in {str(folder)!r}: give another folder of photographs")
    return found, f"{folder.name}-{_digest(folder)[:8]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def demonstrate(
    photos: str | os.PathLike[str] | None, to: str | os.PathLike[str], progress: Progress | None = None, *, k: int = 8
) -> Demonstration:
    """Run the demonstration in the folder `to` on a folder of photographs (default: the packaged ones).

    Running it again goes on from what is there. Raises InputError if there are no images, WorkError if none
    is readable.
    """
    paths, name = choose(photos)
    folder = Path(to).absolute() / name
    chosen = paths[:: max(1, -(-len(paths) // MOST_QUERIES))]
    queries: list[tuple[Path, str, Path]] = []
    skipped = []
    for photo in chosen:
        stem = photo.stem if photos is None else f"{photo.stem[:50]}-{_digest(photo)[:4]}"
        try:
            queries.append((photo, stem, make_variants(photo, folder, stem)))
        except ImageError as error:
            skipped.append(str(error))
    if not queries:
        raise WorkError(f"none of the photographs could be read; the first: {skipped[0]}")
    where = folder / "photos.resight"
    with Collection.open(where) if Collection.exists(where) else Collection.create(where, Encoder()) as collection:
        everything: list[Path] = [*paths, folder / "variants"]
        report = collection.add(everything, progress=progress)
        rankings = collection.search_many([query for _, _, query in queries], k)
        total = len(collection)
    trials = []
    for (photo, stem, _), ranking in zip(queries, rankings):
        copies = str(folder / "variants" / stem)
        right = tuple(path == str(photo) or os.path.dirname(path) == copies for path in ranking.paths)
        trials.append(Trial(photo, ranking, right))
    return Demonstration(where, report, total, tuple(trials), len(VARIANTS) + 1, tuple(skipped))
