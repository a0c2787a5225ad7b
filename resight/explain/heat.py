"""A heat map over an image: what each place added to a score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError


@dataclass(frozen=True, eq=False)
class Heat:
    """What the places of an image did for a score.

    map          (h, w) float32, in units of the score, signed: above 0 is for the class, below against it;
                 read-only
    score        the class's logit, or what else was explained
    probability  its softmax share; nan where there is none
    target       the class's number; label  its name
    method       gradcam, lime ...;  layer  the layer it was made at, "" for methods that use none
    size         (H, W) of the image
    box          x1, y1, x2, y2 of the part of the image that the map covers, in its pixels
    part         "" or what of a whole this is: a branch of a fusion network ("rgb"), a frame ("frame 3")
    parts        the heats of which `map` is the sum, on a common grid; () for most
    """

    map: NDArray[np.float32]
    score: float
    probability: float
    target: int
    label: str
    method: str
    layer: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    part: str = ""
    parts: tuple[Heat, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.map.ndim != 2 or not self.map.size:
            raise InputError(f"a heat map is (h, w), got shape {self.map.shape}")
        if self.map.flags.writeable:
            own = self.map.copy()  # the caller's array stays the caller's to write to
            own.setflags(write=False)
            object.__setattr__(self, "map", own)

    def __repr__(self) -> str:
        high, wide = self.map.shape
        where = f" at {self.layer}" if self.layer else ""
        return f"<Heat {self.method}{where} of {self.label!r}, score {self.score:.3f}, {high} x {wide}>"

    @property
    def total(self) -> float:
        """The sum of the map. For cam on a network that pools by the mean it is the score less its bias."""
        return float(self.map.sum(dtype=np.float64))

    def spread(self) -> NDArray[np.float32]:
        """The map over the whole image: (H, W) float32, bilinear between the centres of cells, 0 outside `box`.

        Values stay those of the cells: the sum does not.
        """
        return place_map(self.map, self.size, self.box)

    def about(self) -> dict[str, Any]:
        """All but the map, as plain values for JSON."""
        return {
            "label": self.label, "target": self.target, "score": self.score,
            "probability": None if np.isnan(self.probability) else self.probability, "method": self.method,
            "layer": self.layer, "part": self.part, "size": list(self.size), "box": [float(v) for v in self.box],
            "grid": list(self.map.shape), "total": self.total,
        }  # fmt: skip


def place_map(
    values: NDArray[Any], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """A map laid over an image, bilinear between the centres of its cells, 0 outside the box it covers.

    values: (h, w); size: (H, W) of the image; box: x1, y1, x2, y2 in its pixels
    ->      (H, W) float32

    >>> place_map(np.array([[1.0, 3.0]]), (1, 4), (0, 0, 4, 1)).tolist()
    [[1.0, 1.5, 2.5, 3.0]]
    """
    rows = _weights(values.shape[0], size[0], box[1], box[3])
    columns = _weights(values.shape[1], size[1], box[0], box[2])
    return (rows @ np.asarray(values, np.float64) @ columns.T).astype(np.float32)


def _weights(cells: int, pixels: int, low: float, high: float) -> NDArray[np.float64]:
    """(pixels, cells): how much each cell gives to each pixel along one side."""
    centres = np.arange(pixels) + 0.5
    at = np.clip((centres - low) / (high - low) * cells - 0.5, 0, cells - 1)
    left = np.minimum(at.astype(int), max(cells - 2, 0))
    found = np.zeros((pixels, cells))
    rows = np.arange(pixels)
    found[rows, left] = 1 - (at - left)
    if cells > 1:
        found[rows, left + 1] = at - left
    found[(centres < low) | (centres > high)] = 0
    return found


def regrid(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """A map on another grid over the same area; each cell's value is shared out by area, so that the sum stays.

    >>> regrid(np.array([[4.0]]), (2, 2)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    rows, columns = _shares(values.shape[0], shape[0]), _shares(values.shape[1], shape[1])
    found: NDArray[np.float64] = rows @ np.asarray(values, np.float64) @ columns.T
    return found


def _shares(cells: int, wanted: int) -> NDArray[np.float64]:
    """(wanted, cells): the share of each cell's length that lies in each new one."""
    old, new = np.arange(cells) / cells, np.arange(wanted) / wanted
    overlap = np.minimum(new[:, None] + 1 / wanted, old + 1 / cells) - np.maximum(new[:, None], old)
    found: NDArray[np.float64] = np.maximum(overlap, 0) * cells
    return found


def add_heats(parts: tuple[Heat, ...]) -> Heat:
    """One heat of several over the same image or sequence: the sum of their maps on the finest of their grids.

    Of one it is that one.
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    shape = (max(one.map.shape[0] for one in parts), max(one.map.shape[1] for one in parts))
    total = np.sum([regrid(one.map, shape) for one in parts], axis=0).astype(np.float32)
    layers = ", ".join(dict.fromkeys(one.layer for one in parts))
    return Heat(
        total, first.score, first.probability, first.target, first.label, first.method, layers, first.size, first.box,
        parts=parts,
    )  # fmt: skip
