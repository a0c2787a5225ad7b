"""COCO's instances file, read once into a table of annotated objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images.gate import MAX_PIXELS
from resight.images.lines import read_bytes_of
from resight.images.rle import decode_coco_rle

MAX_BYTES = 768 * 2**20  # instances_train2017.json has 448 MB
Polygon = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Instance:
    """One annotated object.

    image:      the file's name as the annotations give it, which never leads out of the folder of images
    size:       (H, W) of that image
    annotation: id of the annotation
    label:      name of its category
    box:        x1, y1, x2, y2 in pixels of the image, cut at its edges
    polygons:   (n, 2) float32 x, y each; none where the object is given by run lengths
    crowd:      a box around several objects of the kind
    """

    image: str
    size: tuple[int, int]
    annotation: int
    label: str
    box: tuple[float, float, float, float]
    polygons: tuple[Polygon, ...] = ()
    crowd: bool = False
    rle: Mapping[str, Any] | None = field(default=None, repr=False)

    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool of its image: pixels whose centre lies in one of the polygons, or those of its run lengths.

        Raises InputError if the run lengths are damaged.
        """
        if self.rle is not None:
            return decode_coco_rle(self.rle)
        from skimage.draw import polygon as inside  # exact at pixel centres; Pillow's grows by the pixels of the edge

        found = np.zeros(self.size, bool)
        for points in self.polygons:
            rows, columns = inside(points[:, 1] - 0.5, points[:, 0] - 0.5, self.size)  # type: ignore[no-untyped-call]
            found[rows, columns] = True
        return found


def read_instances(path: Path) -> tuple[Instance, ...]:
    """All annotations of a COCO instances file (instances_val2017.json and its like), in the file's order.

    The file is plain JSON and read as such: {"images": [{id, file_name, height, width}], "annotations": [{id,
    image_id, category_id, bbox: [x, y, width, height], segmentation, iscrowd}], "categories": [{id, name}]}. Numbers
    are bounded and checked, names of files may not lead out of their folder.
    Raises InputError, naming the annotation, for what is none of this; WorkError if the file cannot be read.
    """
    content = _parsed(path)
    lists = {name: _list_of(content, name, path) for name in ("images", "annotations", "categories")}
    images = _by_id(lists["images"], "image", path)
    categories = _by_id(lists["categories"], "category", path)
    known = {number: _image(entry, f"{path}: image {number}") for number, entry in images.items()}
    names = {number: _text(entry, "name", f"{path}: category {number}") for number, entry in categories.items()}
    annotations = _by_id(lists["annotations"], "annotation", path)
    return tuple(
        _instance(number, entry, known, names, f"{path}: annotation {number}") for number, entry in annotations.items()
    )


def boxes(path: Path, least: float = 32, *, crowd: bool = True) -> tuple[Instance, ...]:
    """The annotations whose box is at least `least` pixels wide and high, within the image; without crowds on demand.

    Raises as `read_instances`, and InputError if none is left.
    """
    found = tuple(one for one in read_instances(path) if _is_large(one, least) and (crowd or not one.crowd))
    if not found:
        raise InputError(f"{path}: no annotation has a box of at least {least:g} x {least:g} pixels")
    return found


def _is_large(one: Instance, least: float) -> bool:
    x1, y1, x2, y2 = one.box
    return x2 - x1 >= least and y2 - y1 >= least


def _parsed(path: Path) -> dict[str, Any]:
    data = read_bytes_of(path, MAX_BYTES)
    try:
        content = json.loads(data)
    except RecursionError as error:
        raise InputError(f"{path}: nested too deep for COCO annotations") from error
    except ValueError as error:
        raise InputError(f"{path}: expected COCO annotations as JSON: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images, annotations and categories, got {_kind(content)}")
    return content


def _list_of(content: dict[str, Any], name: str, path: Path) -> list[Any]:
    found = content.get(name)
    if not isinstance(found, list):
        hint = (
            "" if name in content else "; the file of instances is wanted, not that of captions or keypoints' results"
        )
        raise InputError(f"{path}: expected a list under {name!r}, got {_kind(found)}{hint}")
    return found


def _by_id(entries: list[Any], kind: str, path: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(entries, 1):
        number = entry.get("id") if isinstance(entry, dict) else None
        if type(number) is not int:
            raise InputError(
                f"{path}: {kind} {place:,} of the list has no id: expected a whole number, got {_kind(number)}"
            )
        if number in found:
            raise InputError(f"{path}: two entries for {kind} {number}")
        found[number] = entry
    return found


def _image(entry: dict[str, Any], where: str) -> tuple[str, tuple[int, int]]:
    name = _text(entry, "file_name", where)
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts or "\0" in name:
            raise InputError(f"{where}: file_name leads out of the folder of images: {name[:80]!r}")
    height, width = entry.get("height"), entry.get("width")
    if not (type(height) is int and type(width) is int and height > 0 < width and height * width <= MAX_PIXELS):
        raise InputError(f"{where}: expected height and width of 1 to {MAX_PIXELS:,} pixels together, got "
                         f"{str(height)[:20]} and {str(width)[:20]}")  # fmt: skip
    return name, (height, width)


def _instance(
    number: int,
    entry: dict[str, Any],
    images: dict[int, tuple[str, tuple[int, int]]],
    names: dict[int, str],
    where: str,
) -> Instance:
    image, category = entry.get("image_id"), entry.get("category_id")
    if type(image) is not int or image not in images:
        raise InputError(f"{where}: its image_id {str(image)[:20]} is not among the images")
    if type(category) is not int or category not in names:
        raise InputError(f"{where}: its category_id {str(category)[:20]} is not among the categories")
    name, size = images[image]
    outline = entry.get("segmentation")
    polygons = tuple(_polygons(outline, where)) if isinstance(outline, list) else ()
    rle = {key: outline.get(key) for key in ("size", "counts")} if isinstance(outline, dict) else None
    if rle is not None and rle["size"] != list(size):
        raise InputError(f"{where}: the size of its run lengths is {str(rle['size'])[:30]}, its image has {list(size)}")
    box = _box(entry.get("bbox"), size, where)
    return Instance(name, size, number, names[category], box, polygons, bool(entry.get("iscrowd")), rle)


def _box(given: object, size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 within the image, from x, y, width, height."""
    if not isinstance(given, list) or len(given) != 4 or not all(map(_is_number, given)) or min(given[2:]) < 0:
        raise InputError(f"{where}: expected bbox as [x, y, width, height], got {str(given)[:60]}")
    (height, width), (x, y, wide, tall) = size, map(float, given)
    x1, x2 = (min(max(value, 0.0), float(width)) for value in (x, x + wide))
    y1, y2 = (min(max(value, 0.0), float(height)) for value in (y, y + tall))
    return x1, y1, x2, y2


def _polygons(outline: list[Any], where: str) -> Iterator[Polygon]:
    for points in outline:
        if not isinstance(points, list) or len(points) < 6 or len(points) % 2 or not all(map(_is_number, points)):
            raise InputError(f"{where}: expected polygons as lists x, y, x, y ... of at least 3 points, got "
                             f"{str(points)[:60]}")  # fmt: skip
        yield np.array(points, np.float32).reshape(-1, 2)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e7  # NaN is not


def _text(entry: dict[str, Any], name: str, where: str) -> str:
    found = entry.get(name)
    if not isinstance(found, str) or not found or len(found) > 4096:
        raise InputError(f"{where}: expected a text under {name!r}, got {_kind(found)}")
    return found


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
