"""The photographs that cases are made of: read on demand, of bounded size, with boxes to cut templates from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images import fit, list_images, read_image
from resight.images.coco import Instance, boxes

LONGEST = 640  # pixels of a photograph's longest side; larger ones are reduced
LEAST = 32  # pixels of a template's shorter side
KEPT = 16  # photographs held in memory
PLAINEST = 4.0  # standard deviation of a template's grey levels: what has less looks like any other plain place
TRIES = 60

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Random = np.random.Generator


@dataclass(frozen=True)
class Photograph:
    """A file, its label (a folder or a CSV column) and annotated objects, if there are any."""

    path: Path
    label: str | None = None
    objects: tuple[Instance, ...] = ()


class Pool:
    """Photographs to make cases of.

    photographs: in a fixed order, on which cases depend
    objects:     every annotated object with its photograph
    unread:      what could not be read so far, with the reason: others are taken in their place
    """

    def __init__(self, photographs: Sequence[Photograph]) -> None:
        if len(photographs) < 2:
            raise InputError(f"cases are made of at least 2 photographs, got {len(photographs)}")
        self.photographs = tuple(photographs)
        self.unread: dict[Path, str] = {}
        self._held: OrderedDict[Path, Image] = OrderedDict()
        self.objects = tuple((photo, one) for photo in self.photographs for one in photo.objects)

    @classmethod
    def read(cls, source: str | Path, annotations: Path | None = None) -> Pool:
        """The images of a folder, glob or CSV file; with COCO annotations those of them that are annotated.

        Raises InputError if there are fewer than two, or an annotation's image is not in the folder.
        """
        if annotations is None:
            return cls([Photograph(one.path, one.label) for one in list_images([source])])
        folder, found = Path(source), OrderedDict[str, list[Instance]]()
        if not folder.is_dir():
            raise InputError(f"{folder}: expected the folder of the annotated images")
        for one in boxes(annotations, LEAST):
            found.setdefault(one.image, []).append(one)
        there = {name: objects for name, objects in found.items() if (folder / name).is_file()}
        if not there:
            raise InputError(
                f"{folder}: none of the {len(found):,} annotated images is here, the first is {next(iter(found))!r}"
            )
        return cls([Photograph(folder / name, None, tuple(objects)) for name, objects in there.items()])

    def image(self, photo: Photograph) -> Image:
        """(H, W, 3) uint8 RGB, the longest side at most 640 pixels. Raises ImageError if it cannot be read."""
        if photo.path not in self._held:
            self._held[photo.path] = fit(read_image(photo.path), LONGEST, "longest")
            if len(self._held) > KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(photo.path)
        return self._held[photo.path]

    def another(self, random: Random, than: Photograph, *, label: str | None = None) -> tuple[Photograph, Image]:
        """Another photograph, of this label if one is given. Raises WorkError if none can be read."""
        choices = [one for one in self.photographs if one.path != than.path and (label is None or one.label == label)]
        for _ in range(TRIES):
            if choices:
                photo = choices[int(random.integers(len(choices)))]
                image = self._tried(photo)
                if image is not None:
                    return photo, image
        raise WorkError(f"no photograph beside {than.path.name} can be read{self._reason()}")

    def cut(self, random: Random) -> tuple[Photograph, Image, Box]:
        """A photograph, and the box of a template in it.

        The box is that of an annotated object, if there are any; otherwise its sides are drawn from 32 pixels to half
        the photograph's short side, aspect 1:2 to 2:1. Plain places (grey levels that hardly vary) are passed over.
        Raises WorkError if no photograph can be read, or none has such a place.
        """
        for _ in range(TRIES):
            if self.objects:
                photo, one = self.objects[int(random.integers(len(self.objects)))]
                image = self._tried(photo)
                box = None if image is None else _large_enough(object_box(one, image))
            else:
                photo = self.photographs[int(random.integers(len(self.photographs)))]
                image = self._tried(photo)
                box = None if image is None else _drawn_box(random, image)
            if image is not None and box is not None and not _is_plain(image, box):
                return photo, image, box
        raise WorkError(f"no photograph has a place to cut a template of {LEAST} pixels a side from{self._reason()}")

    def _tried(self, photo: Photograph) -> Image | None:
        if photo.path in self.unread:
            return None
        try:
            return self.image(photo)
        except ImageError as error:
            self.unread[photo.path] = error.reason
            return None

    def _reason(self) -> str:
        if not self.unread:
            return ""
        path, reason = next(iter(self.unread.items()))
        return f"; {len(self.unread):,} could not be read, the first is {path.name}: {reason}"


def has_labels(pool: Pool, photo: Photograph) -> bool:
    """Whether another photograph has the label of this one."""
    return photo.label is not None and any(
        one.label == photo.label and one.path != photo.path for one in pool.photographs
    )


def object_box(one: Instance, image: Image) -> Box:
    """An object's box in whole pixels of its photograph as it was read, reduced or not; cut at the edges."""
    down, across = image.shape[0] / one.size[0], image.shape[1] / one.size[1]
    x1, y1, x2, y2 = (round(value * scale) for value, scale in zip(one.box, (across, down, across, down), strict=True))
    return max(0, x1), max(0, y1), min(image.shape[1], x2), min(image.shape[0], y2)


def _large_enough(box: Box) -> Box | None:
    x1, y1, x2, y2 = box
    return box if x2 - x1 >= LEAST and y2 - y1 >= LEAST else None


def _drawn_box(random: Random, image: Image) -> Box | None:
    height, width = image.shape[:2]
    most = min(height, width) // 2
    if most < LEAST:
        return None
    side, aspect = random.uniform(LEAST, most), 2 ** random.uniform(-0.5, 0.5)
    tall, wide = (int(np.clip(round(value), LEAST, most)) for value in (side * aspect, side / aspect))
    left, top = int(random.integers(0, width - wide + 1)), int(random.integers(0, height - tall + 1))
    return left, top, left + wide, top + tall


def _is_plain(image: Image, box: Box) -> bool:
    x1, y1, x2, y2 = box
    return float(image[y1:y2, x1:x2].mean(2).std()) < PLAINEST
