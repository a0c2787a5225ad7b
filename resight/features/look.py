"""What a network saw in images, kept so that it can be aggregated in more than one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from resight.features.activation import class_maps, class_vectors, head_logits, top_classes
from resight.features.descriptor import Descriptor, fitting_head
from resight.features.maps import unit
from resight.features.regions import region_vectors
from resight.features.whitening import Whitening


@dataclass(frozen=True, eq=False)
class Look:
    """Feature maps of a batch, and what class activation maps are made of.

    maps    (B, K, h, w)     what is pooled
    source  (B, K2, h2, w2)  what the linear head pools; the same tensor as maps unless a stage was chosen; or None
    head    (C, K2)          the head's weight, or None
    logits  (B, C)           the head's scores, with its bias, or None
    """

    maps: torch.Tensor
    source: torch.Tensor | None = None
    head: torch.Tensor | None = None
    logits: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, place: int) -> Look:
        """One image's look, still a batch."""
        part = slice(place, place + 1)
        source = None if self.source is None else self.maps[part] if self.source is self.maps else self.source[part]
        maps = source if source is not None and self.source is self.maps else self.maps[part]
        return replace(self, maps=maps, source=source, logits=None if self.logits is None else self.logits[part])

    def best_classes(self, count: int) -> torch.Tensor:
        """(B, min(count, C)) the classes with the highest scores, highest first. Raises InputError without a head."""
        weight = fitting_head(self._source, self.head)
        return top_classes(head_logits(self._source, weight) if self.logits is None else self.logits, count)

    @property
    def _source(self) -> torch.Tensor:
        return self.maps if self.source is None else self.source

    def class_maps(self, classes: torch.Tensor) -> torch.Tensor:
        """(B, n, h, w) class activation maps at the size of `maps`; classes (B, n) or (n,)."""
        found = class_maps(self._source, fitting_head(self._source, self.head), classes)
        if found.shape[2:] != self.maps.shape[2:]:
            found = F.interpolate(found, self.maps.shape[2:], mode="bilinear", align_corners=False)
        return found

    def crop(self, cells: Sequence[int], classes: torch.Tensor | None = None) -> Look:
        """The part of the maps within (x1, y1, x2, y2) cells of `maps`, ends excluded; the scores stay the image's."""
        x1, y1, x2, y2 = cells
        maps = self.maps[..., y1:y2, x1:x2]
        if self.source is None or self.source is self.maps:
            return replace(self, maps=maps, source=None if self.source is None else maps)
        across, down = self.source.shape[3] / self.maps.shape[3], self.source.shape[2] / self.maps.shape[2]
        left, top = int(x1 * across), int(y1 * down)
        right, bottom = max(left + 1, round(x2 * across)), max(top + 1, round(y2 * down))
        return replace(self, maps=maps, source=self.source[..., top:bottom, left:right])


def parts(look: Look, descriptor: Descriptor, classes: torch.Tensor | None = None) -> torch.Tensor:
    """The vectors that are summed into the descriptor: class vectors of cam, regions of rmac.

    classes: for cam, (B, n) or (n,); default: the descriptor's fixed classes, or else each image's own best
    ->       (B, n, K)   each of length 1, or 0 where a class or region has nothing
    """
    if descriptor.name == "rmac":
        settings = descriptor.settings
        return unit(region_vectors(look.maps, int(settings["levels"]), bool(settings["include_global"])))
    if classes is None:
        fixed = descriptor.fixed_classes
        classes = look.best_classes(int(descriptor.settings["count"])) if fixed is None else torch.tensor(fixed)
    return class_vectors(look.maps, look.class_maps(classes))


def describe(
    look: Look,
    descriptor: Descriptor,
    *,
    classes: torch.Tensor | None = None,
    part_whitening: Whitening | None = None,
) -> torch.Tensor:
    """The descriptors of a batch, (B, D), each of length 1, or 0 for a dead map.

    classes:        as in `parts`
    part_whitening: applied to each part, which is then brought to length 1, before the sum. Jimenez 2017; Tolias 2016
    """
    if descriptor.name not in ("cam", "rmac"):
        return descriptor.pool(look.maps)
    found = parts(look, descriptor, classes)
    if part_whitening is not None:
        found = whiten_parts(found, part_whitening)
    return unit(found.sum(1))


def whiten_parts(vectors: torch.Tensor, whitening: Whitening) -> torch.Tensor:
    """(..., K) -> (..., d): whitened, length 1; a part that is zero (a class without evidence) stays zero."""
    mean, projection = (torch.from_numpy(np.array(a)).to(vectors) for a in (whitening.mean, whitening.projection))
    alive = vectors.abs().amax(-1, keepdim=True) > 0
    return unit((vectors - mean) @ projection) * alive


def box_cells(box: NDArray[np.float64], fitted: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int, int, int]:
    """The cells of a map that a box of the fitted image touches: x1, y1, x2, y2, ends excluded, at least one cell.

    box: (4,) in pixels of the fitted image; fitted: its (h, w) in pixels; cells: (h, w) of the map

    >>> box_cells(np.array([30.0, 0.0, 70.0, 31.0]), (224, 224), (7, 7))
    (0, 0, 3, 1)
    """
    across, down = fitted[1] / cells[1], fitted[0] / cells[0]
    x1, y1 = (int(np.clip(np.floor(v + 1e-9), 0, most - 1)) for v, most in
              ((box[0] / across, cells[1]), (box[1] / down, cells[0])))  # fmt: skip
    x2, y2 = (int(np.clip(np.ceil(v - 1e-9), low + 1, most)) for v, low, most in
              ((box[2] / across, x1, cells[1]), (box[3] / down, y1, cells[0])))  # fmt: skip
    return x1, y1, x2, y2
