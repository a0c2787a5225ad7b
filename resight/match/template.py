"""The thing to find: an image of it, perhaps with a mask, prepared once and used for many scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.images import crop_box, read_image
from resight.images.read import ImageLike

LEAST = 4  # pixels of the shorter side
OPAQUE = 128  # of 255
COVER = 0.02  # share of the pixels that must belong to it

Made = TypeVar("Made")


class Template:
    """A picture of the thing to find.

    image: (H, W, 3) uint8 RGB
    mask:  (H, W) bool, which pixels belong to it; None: all

    What finders prepare of it is kept with it. Raises InputError if it has fewer than 4 pixels a side, the mask does
    not fit, or hardly anything is in the mask.
    """

    def __init__(self, image: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> None:
        self.image = read_image(image)
        self.image.setflags(write=False)
        self.size = (int(self.image.shape[0]), int(self.image.shape[1]))
        if min(self.size) < LEAST:
            raise InputError(f"expected a template of at least {LEAST} x {LEAST} pixels, got {_wide(self.size)}")
        self.mask = None if mask is None else _checked(mask, self.size)
        self._kept: dict[str, Any] = {}

    @classmethod
    def read(
        cls, source: ImageLike, *, box: Sequence[float] | None = None, polygon: ArrayLike | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> Template:  # fmt: skip
        """A template from a file, an array or a Pillow image; transparent pixels do not belong to it.

        box:     x1, y1, x2, y2: the part of the image that is the template
        polygon: (n, 2) x, y in pixels of the image: what lies inside belongs to it, and it is cut to its box
        mask:    (H, W) bool of the image

        Raises ImageError if the image cannot be read, InputError if box, polygon or mask do not fit it.
        """
        image, opaque = _with_alpha(source)
        if box is not None and polygon is not None:
            raise InputError("give a box or a polygon of the template, not both")
        size = (image.shape[0], image.shape[1])
        if mask is not None:
            opaque &= _checked(mask, size)
        if polygon is not None:
            inside, box = _polygon(polygon, size)
            opaque &= inside
        if box is not None:
            image = crop_box(image, box)
            opaque = crop_box(np.repeat(opaque[:, :, None].astype(np.uint8), 3, 2), box)[:, :, 0] > 0
        return cls(image, None if opaque.all() else opaque)

    def kept(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once under this name."""
        if name not in self._kept:
            self._kept[name] = make()
        return cast("Made", self._kept[name])

    def __repr__(self) -> str:
        masked = "" if self.mask is None else f", {self.mask.mean():.0%} in its mask"
        return f"<Template of {_wide(self.size)}{masked}>"


def as_template(source: Template | ImageLike) -> Template:
    """A template as it is, or read from what it is given as."""
    return source if isinstance(source, Template) else Template.read(source)


def _with_alpha(source: ImageLike) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The image, and which pixels are opaque; under the others lies their mean colour, so that they make no edge."""
    black = read_image(source, background=(0, 0, 0))
    white = read_image(source, background=(255, 255, 255))
    clear = (white.astype(np.int16) - black).max(2)  # 255 (1 - alpha)
    opaque = clear < OPAQUE
    if not clear.any() or not opaque.any():
        return black, opaque
    ground = black[opaque].mean(0)
    filled = black + clear[:, :, None] / 255 * ground
    return np.clip(filled.round(), 0, 255).astype(np.uint8), opaque


def _polygon(polygon: ArrayLike, size: tuple[int, int]) -> tuple[NDArray[np.bool_], list[float]]:
    from skimage.draw import polygon as inside  # exact at pixel centres; Pillow's grows by the pixels of the edge

    points: NDArray[Any] = np.asarray(polygon)
    shape_fits = points.ndim == 2 and points.shape[1] == 2 and len(points) >= 3 and points.dtype.kind in "fiu"
    if not shape_fits or not np.isfinite(points).all():
        raise InputError(f"expected a polygon of at least 3 points x, y, got shape {points.shape}")
    crossing = _crossing(points.astype(np.float64))
    if crossing is not None:
        raise InputError(f"the polygon crosses itself: sides {crossing[0] + 1} and {crossing[1] + 1} meet; give its "
                         "corners in the order in which they follow each other around the template")  # fmt: skip
    height, width = size
    kept = np.clip(points.astype(np.float64), 0, (width, height))
    (x1, y1), (x2, y2) = kept.min(0), kept.max(0)
    if x2 - x1 < 1 or y2 - y1 < 1:
        raise InputError(f"the polygon covers nothing of an image of {_wide(size)}")
    found = np.zeros(size, bool)
    rows, columns = inside(kept[:, 1] - 0.5, kept[:, 0] - 0.5, size)  # type: ignore[no-untyped-call]
    found[rows, columns] = True
    return found, [x1, y1, x2, y2]


def _crossing(corners: NDArray[np.float64]) -> tuple[int, int] | None:
    """Two sides of a polygon (n, 2), not neighbours, that cross each other, from 0; None if none do."""
    starts, ends = corners, np.roll(corners, -1, 0)

    def turns(p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64]) -> NDArray[np.float64]:
        found = (q - p)[..., 0] * (r - p)[..., 1] - (q - p)[..., 1] * (r - p)[..., 0]
        return np.asarray(np.sign(found))

    for side in range(len(corners) - 2):
        others = np.arange(side + 2, len(corners) - (side == 0))  # the last side is a neighbour of the first
        a, b, c, d = starts[side], ends[side], starts[others], ends[others]
        apart = (turns(a, b, c) * turns(a, b, d) < 0) & (turns(c, d, a) * turns(c, d, b) < 0)
        if apart.any():
            return side, int(others[apart.argmax()])
    return None


def _checked(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    found: NDArray[Any] = np.array(mask)
    if found.shape != size or found.dtype != bool:
        raise InputError(f"expected a mask (H, W) = {size} of bool, got {found.dtype} of shape {found.shape}")
    if found.mean() < COVER:
        raise InputError(
            f"the mask leaves {int(found.sum()):,} of {found.size:,} pixels of the template: too few to find"
        )
    return found


def _wide(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} (W x H)"
