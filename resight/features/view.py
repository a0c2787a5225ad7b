"""One image as the network saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resight.features.look import Look, box_cells
from resight.images.frame import Frame


@dataclass(frozen=True, eq=False)
class View:
    """One image as the network saw it: its look, and where its cells lie in the original.

    look    a batch of one
    frame   from the original image (or the box that was cut out of it) to the fitted one
    fitted  (h, w) of the fitted image in pixels
    shape   (H, W) of the original (or of the box) in pixels
    """

    look: Look
    frame: Frame
    fitted: tuple[int, int]
    shape: tuple[int, int]

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of the map."""
        return int(self.look.maps.shape[2]), int(self.look.maps.shape[3])

    def crop(self, box: Sequence[float]) -> Look:
        """The look at a box (x1, y1, x2, y2 in pixels of the original), cut out of the map."""
        return self.look.crop(box_cells(self.frame.to_fitted(box), self.fitted, self.cells))
