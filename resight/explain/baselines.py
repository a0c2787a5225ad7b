"""Maps that know nothing of the network: what an explanation has to be better than."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

GRID = 7  # cells of a side: blobs of a seventh of the image, as the last layer of most convnets has them

Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def random_map(random: np.random.Generator) -> NDArray[np.float64]:
    """(7, 7) numbers drawn evenly from 0 to 1.

    Not pixel by pixel: noise of single pixels harms a network more than any hole, which flatters it in deletion.
    """
    return random.random((GRID, GRID))


def gaussian_map(random: np.random.Generator) -> NDArray[np.float64]:
    """(28, 28) a Gaussian at the centre, where photographers put things; its deviation is a quarter of the side."""
    del random
    along = (np.arange(4 * GRID) + 0.5) / (4 * GRID) - 0.5
    curve = np.exp(-(along**2) / (2 * 0.25**2))
    return np.outer(curve, curve)


def uniform_map(random: np.random.Generator) -> NDArray[np.float64]:
    """(7, 7) ones: the whole image. It has no order, so that nothing can be removed by it."""
    del random
    return np.ones((GRID, GRID))


BASELINES: dict[str, Draw] = {"random": random_map, "gaussian": gaussian_map, "uniform": uniform_map}
