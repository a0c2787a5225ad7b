"""What a search for a template in a scene gives: where it is, or that it is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.match.planes import project, rectangle

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Match:
    """Where a template is in a scene.

    found:         whether it is there: score at or above the threshold
    score:         0..1   how likely it is there, calibrated (docs/match.md)
    homography:    (3, 3) float64, x, y, 1 in the template -> the scene (pixel centres at +.5), last entry 1; where
                   nothing is found that of the best candidate, None if there is none
    method:        which finder has found it: sift, correlate or mask
    inliers:       local features that agree on it; 0 where it was found without
    scene_size:    (H, W) of the scene;  template_size: (H, W) of the template
    evidence:      what the score is made of, by name
    outline:       (H, W) bool, of a finder that marks pixels itself; otherwise the template's area as it lies
    template_mask: (H, W) bool of the template: which of its pixels belong to it; None: all
    """

    found: bool
    score: float
    homography: Matrix | None
    method: str
    scene_size: tuple[int, int]
    template_size: tuple[int, int]
    inliers: int = 0
    evidence: Mapping[str, float] = field(default_factory=dict)
    outline: NDArray[np.bool_] | None = None
    template_mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", MappingProxyType(dict(self.evidence)))
        if self.homography is None:
            return
        matrix = np.array(self.homography, np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise InputError(f"expected homography as finite numbers (3, 3), got shape {matrix.shape}")
        matrix.setflags(write=False)
        object.__setattr__(self, "homography", matrix)

    @cached_property
    def corners(self) -> Matrix | None:
        """(4, 2) x, y in the scene of the template's corners, clockwise from its top left; None without a place."""
        return None if self.homography is None else project(self.homography, rectangle(self.template_size))

    @cached_property
    def box(self) -> tuple[float, float, float, float] | None:
        """x1, y1, x2, y2 around the corners, cut at the scene's edges; None without a place in the scene."""
        if self.corners is None:
            return None
        height, width = self.scene_size
        seen = np.clip(self.corners, 0, (width, height))
        (x1, y1), (x2, y2) = seen.min(0), seen.max(0)
        return (float(x1), float(y1), float(x2), float(y2)) if x1 < x2 and y1 < y2 else None

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) of the scene: pixels whose centre lies in the template's area, of a masked one in its mask; or those
        that the finder has marked."""
        if self.outline is not None:
            return self.outline
        height, width = self.scene_size
        found = np.zeros((height, width), bool)
        if self.homography is None or self.box is None:
            return found
        x1, y1, x2, y2 = (int(value) for value in self.box)
        columns, rows = np.meshgrid(np.arange(x1, min(x2 + 1, width)), np.arange(y1, min(y2 + 1, height)))
        centres = np.stack([columns.ravel(), rows.ravel()], 1) + 0.5
        inverse = np.linalg.inv(self.homography)
        depth = centres @ inverse[2, :2] + inverse[2, 2]
        x, y = ((centres @ row[:2] + row[2]) / np.where(depth == 0, np.inf, depth) for row in inverse[:2])
        tall, wide = self.template_size
        # In front of the horizon is the side of the template's middle; the scene's origin may lie beyond it.
        front = self.homography[2] @ (wide / 2, tall / 2, 1)
        inside = (depth * front > 0) & (x >= 0) & (x < wide) & (y >= 0) & (y < tall)
        if self.template_mask is not None:
            inside[inside] = self.template_mask[y[inside].astype(int), x[inside].astype(int)]
        found[rows.ravel()[inside], columns.ravel()[inside]] = True
        return found

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold: everything but the mask."""
        return {
            "found": self.found, "score": round(self.score, 4), "method": self.method, "inliers": self.inliers,
            "corners": None if self.corners is None else self.corners.round(2).tolist(),
            "box": None if self.box is None else [round(value, 2) for value in self.box],
            "homography": None if self.homography is None else self.homography.tolist(),
            "evidence": {name: round(value, 4) for name, value in self.evidence.items()},
        }  # fmt: skip

    def __repr__(self) -> str:
        if self.box is None:
            return f"<Match absent, score {self.score:.2f}, by {self.method}>"
        x1, y1, x2, y2 = self.box
        what = "found" if self.found else "absent, best candidate"
        return f"<Match {what} at {x1:.0f},{y1:.0f},{x2:.0f},{y2:.0f}, score {self.score:.2f}, by {self.method}>"
