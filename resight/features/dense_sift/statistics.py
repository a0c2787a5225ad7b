"""Mean and standard deviation of dense SIFT over an image, a block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.features.dense_sift.descriptors import Image, check_threads, fill, prepare
from resight.features.dense_sift.options import make_options
from resight.features.dense_sift.pixels import check_image

Floats: TypeAlias = NDArray[np.float64]

BLOCK_BYTES = (
    16 * 2**20
)  # of descriptors held at a time; a block computes the rows that it shares with the last one again


@dataclass(frozen=True, eq=False)
class SiftStatistics:
    """mean and std (D,) of the channels over all frames, std with n in the denominator; how many frames there were."""

    mean: Floats
    std: Floats
    frames: int

    def features(self) -> dict[str, float]:
        """siftmean_0 .. siftmean_127, siftstd_0 .. siftstd_127."""
        values = [*self.mean.tolist(), *self.std.tolist()]
        return dict(zip(statistic_names(len(self.mean)), values))


def statistic_names(channels: int) -> tuple[str, ...]:
    """The names of the numbers: all means, then all standard deviations."""
    return tuple(f"sift{kind}_{number}" for kind in ("mean", "std") for number in range(channels))


def sift_statistics(image: Image, *, threads: int | None = None, **options: Any) -> SiftStatistics:
    """Mean and standard deviation of each channel of `dense_sift(image, **options)` over its frames.

    image:   (H, W) or (H, W, 3) RGB; uint8, or floating in [0, 1]
    options: those of `dense_sift` but dtype and out
    threads: None: one a core; results do not depend on it

    At most 16 MB of descriptors, or one row of frames, are held at a time.
    Raises InputError for an image or an option that cannot be.

    >>> sift_statistics(np.zeros((20, 20), np.uint8), step=4).features()["siftmean_0"]
    0.0
    """
    from resight.features.dense_sift.kernels import kernel

    checked, workers = make_options(**options, dtype="float32"), check_threads(threads)
    scales = prepare(check_image(image), checked)
    rows, columns = len(scales[0].rows.cells), len(scales[0].columns.cells)
    high = min(rows, max(1, BLOCK_BYTES // (4 * columns * checked.channels)))
    block = np.empty((high, columns, checked.channels), np.float32)
    sums, squares = np.zeros(checked.channels), np.zeros(checked.channels)
    for start in range(0, rows, high):
        part = block[: min(high, rows - start)]
        fill(scales, checked, part, start, start + len(part), workers)
        kernel("moments")(part.reshape(-1, checked.channels), sums, squares)
    mean = sums / (rows * columns)
    std = np.sqrt(np.maximum(squares / (rows * columns) - mean**2, 0))
    return SiftStatistics(mean, std, rows * columns)
