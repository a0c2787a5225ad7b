"""Whether the scene has the template's colours at a place, block by block, whatever the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.match.planes import Matrix
from resight.match.verify import Face, look, reduced

if TYPE_CHECKING:
    from resight.match.template import Template

Floats = NDArray[np.floating[Any]]

SIDE, BLOCKS = 25, 5  # pixels of the longer side, blocks a side
ALIKE = 12.0  # distance of a*, b* (of 8 bits) at which a likeness falls to 1/e
GREY = 2.0  # mean distance from grey below which a picture has no colours to compare


@dataclass(frozen=True, eq=False)
class Tint:
    """A template's colours: ab (h, w, 2) float32, the a* and b* of CIELAB, and the face that says where they lie."""

    ab: NDArray[np.float32]
    face: Face


def colour_likeness(template: Template, scene: NDArray[np.uint8], homography: Matrix) -> float:
    """0..1: mean of exp(-distance / 12) over the better half of 5 x 5 blocks, which something in front need not touch.

    scene: (H, W, 3) uint8 RGB

    Lightness does not count. 1 if the template, or what is seen, is grey: then there is nothing to compare.
    """
    own = template.kept("tint", lambda: _tint(template))
    seen, inside = look(own.face, scene, homography)
    there = _ab(seen)
    valid = own.face.mask & inside
    if valid.sum() < BLOCKS or min(_chroma(own.ab[valid]), _chroma(there[valid])) < GREY:
        return 1.0
    alike = np.exp(-np.linalg.norm(own.ab - there, axis=2) / ALIKE) * valid
    count = min(BLOCKS, *valid.shape)
    edges = [np.linspace(0, length, count + 1).astype(int)[:-1] for length in valid.shape]
    sums, counts = (np.add.reduceat(np.add.reduceat(one, edges[0], 0), edges[1], 1) for one in (alike, valid * 1.0))
    blocks = np.sort((sums / np.maximum(counts, 1))[counts > 0])
    return float(blocks[len(blocks) // 2 :].mean())


def _tint(template: Template) -> Tint:
    small, mask, scale = reduced(template.image, template.mask, SIDE)
    return Tint(_ab(small), Face(np.zeros(mask.shape, np.float32), mask, scale))


def _ab(image: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.cvtColor(image / np.float32(255), cv2.COLOR_RGB2LAB)[:, :, 1:], np.float32)


def _chroma(ab: Floats) -> float:
    return float(np.linalg.norm(ab, axis=1).mean())
