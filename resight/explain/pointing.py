"""The pointing game: does the highest place of a map lie on an object of the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.explain.classes import named_classes
from resight.explain.heat import Heat, place_map

TOLERANCE = 15.0  # pixels of the image


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes around the objects of an image.

    corners  (n, 4) x1, y1, x2, y2 in its pixels
    labels   (n,) what each object is: a class's name, or its number as text; None: all are of the class explained

    Raises InputError unless corners are boxes, as `check_boxes` does, with a label for each.
    """

    corners: NDArray[np.float64]
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "corners", check_boxes(self.corners))
        if self.labels is not None and len(self.labels) != len(self.corners):
            raise InputError(f"expected a label for each of {len(self.corners)} boxes, got {len(self.labels)}")

    def of(self, target: int, classes: Sequence[str]) -> NDArray[np.float64]:
        """(m, 4) those around objects of a class, given by its number; m may be 0."""
        if self.labels is None:
            return self.corners
        meant = {label: labelled_classes(label, classes) for label in set(self.labels)}
        kept: NDArray[np.float64] = self.corners[[target in meant[label] for label in self.labels]]
        return kept


def labelled_classes(label: str, classes: Sequence[str]) -> frozenset[int]:
    """The numbers of the classes that a label may mean: by name, as printed ("3_cirrus"), or by number; mostly one.

    >>> labelled_classes("1_b", ("a", "b")), labelled_classes("0", ("a", "b")), labelled_classes("c", ("a", "b"))
    (frozenset({1}), frozenset({0}), frozenset())
    """
    text = label.strip()
    named = named_classes(text, classes)
    number, _, name = text.partition("_")
    if named or not (number.isascii() and number.isdecimal()) or len(number) > 9 or int(number) >= len(classes):
        return frozenset(named)
    return frozenset({int(number)} if name in ("", classes[int(number)]) and text[-1:] != "_" else ())


def pointing(heat: Heat, boxes: ArrayLike, tolerance: float = TOLERANCE) -> float:
    """Whether a heat's highest place is on one of the boxes, or at most `tolerance` pixels from it.

    boxes: (n, 4) x1, y1, x2, y2 in pixels of the image, all objects of the class
    ->     1 or 0; where several pixels are highest, the share of them that hits, so that a map of equal values gets
           the share of the image that boxes cover and not its corner's luck

    Zhang 2018, section 4.1. Raises InputError unless boxes are (n, 4) with x1 <= x2, y1 <= y2 and n >= 1.
    """
    known = check_boxes(boxes)
    x1, y1, x2, y2 = heat.box
    rows, columns = np.arange(heat.size[0]) + 0.5, np.arange(heat.size[1]) + 0.5
    spread = place_map(heat.map, heat.size, heat.box)
    spread[(rows < y1) | (rows > y2)] = -np.inf
    spread[:, (columns < x1) | (columns > x2)] = -np.inf
    found = np.argwhere(spread == spread.max()) + 0.5
    down, along = found[:, :1], found[:, 1:]
    beside = np.maximum(np.maximum(known[:, 0] - along, along - known[:, 2]), 0)
    above = np.maximum(np.maximum(known[:, 1] - down, down - known[:, 3]), 0)
    return float((np.hypot(beside, above) <= tolerance).any(1).mean())


def check_boxes(boxes: Any) -> NDArray[np.float64]:
    """The boxes as (n, 4) float64. Raises InputError unless each is one."""
    known = np.asarray(boxes, np.float64)
    if known.ndim != 2 or known.shape[1] != 4 or not len(known) or not np.isfinite(known).all():
        raise InputError(f"expected boxes (n, 4) as x1, y1, x2, y2 with n >= 1, got shape {known.shape}")
    if not (known[:, :2] <= known[:, 2:]).all():
        raise InputError("expected boxes with x1 <= x2 and y1 <= y2: are they x, y, width, height?")
    return known


def pointing_accuracy(hits: ArrayLike, labels: Sequence[str]) -> float:
    """The mean over the classes of each class's share of hits, so that a frequent class counts no more. Zhang 2018.

    hits: (n,); labels: (n,) the class of each

    >>> pointing_accuracy([1, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    0.8333333333333333
    """
    values, names = np.asarray(hits, np.float64), np.asarray(labels)
    if values.shape != names.shape or not len(names):
        raise InputError(f"expected a label for each hit, at least one, got {values.shape} and {names.shape}")
    return float(np.mean([values[names == name].mean() for name in np.unique(names)]))
