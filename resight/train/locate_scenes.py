"""The images that locating is learned from: any, those of COCO annotations with their boxes, or synthetic ones."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.features.pipeline import work_stream
from resight.images import list_images, read_image, resize
from resight.images.identical import identical
from resight.images.places import is_file, is_folder
from resight.measure.watching import Watch, unwatched
from resight.train.data import CHUNK, KEPT_BYTES
from resight.train.locate_options import LocateOptions
from resight.train.locate_poses import Box
from resight.train.locate_samples import LEAST, Pool
from resight.train.locate_synthetic import COUNT, Drawn

Image = NDArray[np.uint8]
SYNTHETIC = "synthetic"
SPLIT_SEED = 3  # what a seed is for, beside those of samples
LONGEST = 640  # pixels: longer images are kept smaller, or at twice the side that the network sees


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images by their place, and the boxes of the things in them, in pixels of the files.

    source: folder, COCO file, or SYNTHETIC;  folder: of the images, None of synthetic ones
    paths:  one file each, none of them with the bytes of another
    boxes:  {place: boxes};  None: boxes are drawn by chance
    sizes:  {place: (H, W)} that the annotations give
    notes:  what the reader should know about them
    """

    source: str
    folder: str | None
    paths: tuple[Path, ...]
    boxes: Mapping[int, tuple[Box, ...]] | None = None
    sizes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether they are made by chance."""
        return self.source == SYNTHETIC

    @property
    def digest(self) -> str:
        """SHA-256 in hex over each image's path below the folder, its size in bytes, and its boxes."""
        digest = hashlib.sha256(b"scenes\n")
        for place, path in enumerate(self.paths):
            name = os.path.relpath(path, self.folder) if self.folder is not None else str(path)
            size = 0 if self.synthetic else _bytes(path)
            boxes = None if self.boxes is None else self.boxes[place]
            digest.update(repr((os.fsencode(name), size, boxes)).encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Ready:
    """Pools to train on and to validate with, and why images cannot be used, by their place."""

    train: Pool
    val: Pool
    skipped: dict[int, str]


class Decoded(Mapping[int, Image]):
    """Pictures that are read anew whenever they are asked for."""

    def __init__(self, paths: Mapping[int, Path], longest: int) -> None:
        self.paths, self.longest = paths, longest

    def __getitem__(self, place: int) -> Image:
        return shortened(read_image(self.paths[place]), self.longest)

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def list_scenes(data: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> Scenes:
    """What there is to learn from.

    data:   a folder, glob or CSV of images, as `list_images` takes them; a .json of COCO instances; or SYNTHETIC
    images: of annotations the folder that their names of files are below; default: the annotations' own, or `images`
            beside them

    Files with the bytes of another are left out: they would be in two parts, or nothing to be found where it is.
    Raises InputError if there is nothing, or the annotations are none.
    """
    place = os.path.expanduser(os.fspath(data))
    if place == SYNTHETIC:
        if images is not None:
            raise InputError(f"images has no effect on {SYNTHETIC} data: leave it out")
        return Scenes(SYNTHETIC, None, tuple(Path(f"{SYNTHETIC}-{number:03}") for number in range(COUNT)))
    if place.lower().endswith(".json"):
        return _annotated(Path(os.path.abspath(place)), images)
    if images is not None:
        raise InputError("images is for COCO annotations (.json): leave it out, the data names the images")
    paths = [one.path for one in list_images(place)]
    if not paths:
        raise InputError(f"{place}: no images, nothing to learn from")
    again = {other for group in identical(paths) for other in group[1:]}
    notes = (f"{len(again):,} images have the bytes of another and are left out",) if again else ()
    root = os.path.abspath(place)
    return Scenes(root, root if is_folder(root) else os.path.dirname(root),
                  tuple(path for number, path in enumerate(paths) if number not in again), notes=notes)  # fmt: skip


def split_places(scenes: Scenes, options: LocateOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places to train on and to validate with, by the seed; at least two of each, so that a query may be of another.

    Raises InputError if there are fewer than four images.
    """
    count = len(scenes.paths)
    if count < 4:
        raise InputError(f"{scenes.source}: expected at least 4 different images, two to train on and two to validate "
                         f"with, got {count}")  # fmt: skip
    held = min(count - 2, max(2, round(count * options.validation)))
    order = np.random.default_rng((options.seed, SPLIT_SEED)).permutation(count)
    val, train = sorted(order[:held].tolist()), sorted(order[held:].tolist())
    return tuple(train), tuple(val)


def read_scenes(
    scenes: Scenes, parts: tuple[tuple[int, ...], tuple[int, ...]], options: LocateOptions, *,
    limit: int = KEPT_BYTES, watch: Watch = unwatched,
) -> Ready:  # fmt: skip
    """Every image read once: those that cannot be used are told now, the others are kept in memory if they fit.

    parts: places to train on, and to validate with;  limit: bytes that are kept

    Raises WorkError if too few of a part can be used.
    """
    if scenes.synthetic:
        drawn = Drawn()
        pictures: Mapping[int, Image] = {place: drawn[place] for place in drawn}
        return Ready(Pool(pictures, parts[0]), Pool(pictures, parts[1]), {})
    longest = max(LONGEST, 2 * options.size)
    found, sizes, skipped = _read(scenes, sorted((*parts[0], *parts[1])), longest, limit, watch)
    annotated = scenes.boxes
    things = {} if annotated is None else {
        place: _kept_boxes(annotated[place], size, min(1.0, longest / max(size))) for place, size in sizes.items()
    }  # fmt: skip
    pools = []
    for name, part in zip(("train on", "validate with"), parts, strict=True):
        left = tuple(place for place in part if place in sizes and (annotated is None or things[place]))
        if len(left) < 2:
            why = f", such as {next(iter(skipped.values()))}" if skipped else ""
            raise WorkError(f"{scenes.source}: {len(left)} images to {name} can be used, expected two at least{why}")
        pools.append(Pool(found, left, tuple((place, box) for place in left for box in things.get(place, ()))))
    return Ready(pools[0], pools[1], skipped)


def shortened(image: Image, longest: int) -> Image:
    """The image, reduced if its long side is longer than so many pixels.

    >>> shortened(np.zeros((10, 40, 3), np.uint8), 20).shape
    (5, 20, 3)
    """
    height, width = image.shape[:2]
    shrink = longest / max(height, width)
    if shrink >= 1:
        return image
    return resize(image, (max(1, round(height * shrink)), max(1, round(width * shrink))), "bilinear")


def split_text(scenes: Scenes, parts: tuple[tuple[int, ...], tuple[int, ...]], folder: Path) -> str:
    """split.csv of a run in `folder`: path and part of every image; paths below the folder are relative to it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "part"])
    for part, places in zip(("train", "val"), parts, strict=True):
        for path in (scenes.paths[place] for place in places):
            own = path.relative_to(folder) if path.is_relative_to(folder) else path
            writer.writerow([own.as_posix(), part])
    return out.getvalue()


def _annotated(file: Path, images: str | os.PathLike[str] | None) -> Scenes:
    from resight.images.coco import boxes

    instances = boxes(file, LEAST, crowd=False)
    places: dict[str, list[Box]] = {}
    sizes = {one.image: one.size for one in instances}
    for one in instances:
        places.setdefault(one.image, []).append(one.box)
    folder = _images_of(file, images, next(iter(places)))
    names = list(places)
    return Scenes(str(file), str(folder), tuple(folder / name for name in names),
                  {number: tuple(places[name]) for number, name in enumerate(names)},
                  {number: sizes[name] for number, name in enumerate(names)})  # fmt: skip


def _images_of(file: Path, images: str | os.PathLike[str] | None, name: str) -> Path:
    """The folder that has the first of the annotated images. Raises InputError if that is not the one given."""
    choices = [Path(os.path.abspath(os.path.expanduser(images)))] if images is not None else [
        file.parent, file.parent / "images", file.parent.parent / "images",
    ]  # fmt: skip
    for folder in choices:
        if is_file(folder / name):
            return folder
    where = ", ".join(map(str, choices))
    raise InputError(f"{file}: its images are not in {where} ({name!r} is not there): give their folder by --images")


def _read(
    scenes: Scenes, places: list[int], longest: int, limit: int, watch: Watch
) -> tuple[Mapping[int, Image], dict[int, tuple[int, int]], dict[int, str]]:
    """Pictures by place, (H, W) of their files, and why others cannot be used."""
    keep = len(places) * 3 * longest * longest * 3 // 4 <= limit  # at 4 : 3
    nothing = np.empty((0, 0, 3), np.uint8)
    pictures: dict[int, Image] = {}
    sizes: dict[int, tuple[int, int]] = {}
    skipped: dict[int, str] = {}

    def prepare(place: int) -> tuple[Image, tuple[int, int]]:
        path = scenes.paths[place]
        image = read_image(path)
        size = (int(image.shape[0]), int(image.shape[1]))
        if scenes.sizes.get(place, size) != size:
            raise ImageError(str(path), f"it has {size[1]} x {size[0]} pixels, its annotations are for "
                                        f"{scenes.sizes[place][1]} x {scenes.sizes[place][0]}")  # fmt: skip
        small = shortened(image, longest)
        if min(small.shape[:2]) < LEAST:
            raise ImageError(str(path), f"of {size[1]} x {size[0]} pixels there is too little, at most {longest} long, "
                                        f"for a box of {LEAST:g}")  # fmt: skip
        return (small if keep else nothing), size

    with watch("reading" if keep else "checking", len(places), "images") as show:
        for done, result in enumerate(work_stream(places, prepare, list, chunk=CHUNK, together=True), 1):
            if result.error is None:
                pictures[result.item], sizes[result.item] = result.vector
            else:
                skipped[result.item] = result.error.reason
            show(done, len(skipped))
    kept: Mapping[int, Image] = pictures if keep else Decoded({place: scenes.paths[place] for place in sizes}, longest)
    return kept, sizes, skipped


def _kept_boxes(boxes: tuple[Box, ...], size: tuple[int, int], shrink: float) -> tuple[Box, ...]:
    """Boxes in whole pixels of the picture that is kept; of files that are reduced much, those that are left."""
    height, width = (max(1, round(side * shrink)) for side in size)
    across, down = width / size[1], height / size[0]
    found = []
    for x1, y1, x2, y2 in boxes:
        left, top = math.floor(x1 * across + 1e-6), math.floor(y1 * down + 1e-6)
        right, bottom = min(width, math.ceil(x2 * across - 1e-6)), min(height, math.ceil(y2 * down - 1e-6))
        if right - left >= 8 and bottom - top >= 8:
            found.append((float(left), float(top), float(right), float(bottom)))
    return tuple(found)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
