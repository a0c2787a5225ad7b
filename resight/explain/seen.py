"""An image as a search sees it: its descriptor as a sum over places, and where these places lie in its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resight.errors import ImageError, InputError
from resight.explain.heat import Heat, add_heats
from resight.explain.similarity import Terms, describe_places, fuse_places, whiten_places
from resight.features.encoder import Encoder, check_box_on
from resight.features.look import Look, box_cells
from resight.features.whitening import Whitening
from resight.images import ImageLike, crop_box, read_image

Box = tuple[float, float, float, float]
METHOD = "similarity"


@dataclass(frozen=True, eq=False)
class Wanted:
    """An image, or a part of it, that is to be seen.

    image    path, (H, W, 3) uint8 array or Pillow image
    box      x1, y1, x2, y2 in its pixels, or all of it;  box_on  as in `Encoder.encode`
    classes  (n,) those of cam; default: the descriptor's, or the image's own best
    """

    image: ImageLike
    box: Sequence[float] | None = None
    box_on: str = "pixels"
    classes: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """An image's descriptor as a sum over places.

    terms   of its descriptor in the space that is searched
    size    (H, W) of the image in pixels
    box     x1, y1, x2, y2 of what the places cover, in these pixels
    scales  at which it was seen, one for each of `terms.places`
    """

    terms: Terms
    size: tuple[int, int]
    box: Box
    scales: tuple[float, ...]

    @property
    def vector(self) -> Tensor:
        """(d,) its descriptor, float64, of length 1."""
        return self.terms.vector

    def heat(self, direction: Tensor, label: str) -> tuple[Heat, float]:
        """What its places add to the inner product with a descriptor (d,), and the constant: together the score."""
        maps, constant = self.terms.towards(direction)
        score = float(sum(float(one.sum()) for one in maps)) + constant
        parts = [
            Heat(one.cpu().numpy().astype(np.float32), score, math.nan, -1, label, METHOD, "", self.size, self.box,
                 f"scale {scale:g}" if len(maps) > 1 else "")
            for one, scale in zip(maps, self.scales, strict=True)
        ]  # fmt: skip
        return add_heats(tuple(parts)), constant


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A wanted image made ready: `area` is the part of it that was fitted, `within` the box to be cut from the map."""

    wanted: Wanted
    pixels: NDArray[np.uint8]
    cut: NDArray[np.uint8] | None
    size: tuple[int, int]
    area: Box
    within: Sequence[float] | None


def see_each(
    encoder: Encoder, images: Iterable[Wanted], whitening: Whitening | None = None
) -> Iterator[Seen | ImageError]:
    """Each image as a search with this encoder and whitening sees it, in order; the error of one that cannot be read.

    Raises InputError for a box outside its image.
    """
    from resight.features.pipeline import work_stream

    def prepare(wanted: Wanted) -> _Fitted:
        return _fitted(encoder, wanted)

    def finish(ready: list[_Fitted]) -> list[Seen]:
        looks = encoder.in_batches([one.pixels for one in ready], lambda pixels: _looks(encoder, pixels))
        return [_seen(encoder, one, seen, whitening) for one, seen in zip(ready, looks, strict=True)]

    together = encoder.backbone.device.type == "cpu"
    for found in work_stream(images, prepare, finish, chunk=4, together=together):
        yield found.vector if found.error is None else found.error


def see(encoder: Encoder, wanted: Wanted, whitening: Whitening | None = None) -> Seen:
    """One image as a search sees it. Raises ImageError if it cannot be read, InputError for a box outside it."""
    ready = _fitted(encoder, wanted)
    looks = encoder.in_batches([ready.pixels], lambda pixels: _looks(encoder, pixels))
    return _seen(encoder, ready, looks[0], whitening)


def _fitted(encoder: Encoder, wanted: Wanted) -> _Fitted:
    check_box_on(wanted.box_on)
    pixels = read_image(wanted.image)
    size = (pixels.shape[0], pixels.shape[1])
    whole = (0.0, 0.0, float(size[1]), float(size[0]))
    if wanted.box is None:
        return _Fitted(wanted, encoder.fit(pixels), None, size, whole, None)
    part = crop_box(pixels, wanted.box)
    if wanted.box_on == "map":
        if encoder.config.scales != (1.0,):
            raise InputError(f"a box is cut out of the map at one scale only, this encoder has {encoder.config.scales}")
        # The classes of cam come from the cut-out image.
        cut = encoder.fit(part) if _with_head(encoder) and wanted.classes is None else None
        return _Fitted(wanted, encoder.fit(pixels), cut, size, whole, wanted.box)
    left, top = max(0, math.floor(wanted.box[0])), max(0, math.floor(wanted.box[1]))
    area = (float(left), float(top), float(left + part.shape[1]), float(top + part.shape[0]))
    return _Fitted(wanted, encoder.fit(part), None, size, area, None)


def _with_head(encoder: Encoder) -> bool:
    return encoder.descriptor.name == "cam"


def _looks(encoder: Encoder, pixels: Tensor) -> list[list[Look]]:
    """For each image of a batch its looks at all scales."""
    looks = encoder.look_at_scales(pixels, head=_with_head(encoder))
    return [[look[place] for look in looks] for place in range(len(pixels))]


def _seen(encoder: Encoder, ready: _Fitted, looks: list[Look], whitening: Whitening | None) -> Seen:
    high, wide = ready.pixels.shape[:2]
    covered = np.array([0.0, 0.0, wide, high])
    frame = encoder.frame((round(ready.area[3] - ready.area[1]), round(ready.area[2] - ready.area[0])))
    if ready.within is not None:
        look, covered = _cropped(encoder, ready, looks[0], frame.to_fitted(ready.within))
        looks = [look]
    terms = fuse_places(
        [
            describe_places(
                look, encoder.descriptor, classes=ready.wanted.classes, part_whitening=encoder.part_whitening
            )
            for look in looks
        ],
        encoder.descriptor.power,
    )
    for linear in (encoder.projection, whitening):
        if linear is not None:
            terms = whiten_places(terms, linear)
    # Rounding may leave 399.99999999999994 of 400.
    x1, y1, x2, y2 = np.round(frame.to_original(covered) + np.tile(ready.area[:2], 2), 9).tolist()
    return Seen(terms, ready.size, (x1, y1, x2, y2), encoder.config.scales)


def _cropped(
    encoder: Encoder, ready: _Fitted, look: Look, box: NDArray[np.float64]
) -> tuple[Look, NDArray[np.float64]]:
    """The look within a box of the fitted image, as `Encoder.view` cuts it, and the pixels that its cells cover."""
    high, wide = ready.pixels.shape[:2]
    down, across = look.maps.shape[2:]
    cells = box_cells(box, (high, wide), (down, across))
    found = look.crop(cells)
    if ready.cut is not None:
        found = replace(found, logits=encoder.look_fitted([ready.cut])[0].logits)
    return found, np.array(cells) * np.array([wide / across, high / down] * 2)
