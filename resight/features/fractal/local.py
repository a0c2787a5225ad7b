"""A map of the local dimension: how fast the mass around each pixel grows with the box."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.fractal.counting import Plan, check_threads, make_plan, mass_rows
from resight.features.fractal.options import DEFAULT_SCALES, Scales, make_options
from resight.features.fractal.pixels import Channels, Pixels, check_pixels, choose_channels

BAND = 2**21  # masses held at a time by each thread


def local_dimension(
    image: NDArray[np.uint8],
    *,
    scales: Scales = DEFAULT_SCALES,
    rule: str = "hypercube",
    channels: Channels = None,
    distance: str = "chebyshev",
    threads: int | None = None,
) -> NDArray[np.float32]:
    """The slope of log mass over log L at every pixel, by least squares over all scales.

    image: (H, W) or (H, W, C) uint8; the options are those of `fractal`
    ->     (H, W) float32; 2 where the image is level, more or less by how the colour class of a pixel fills its boxes;
           NaN on the margin, where the largest box is not complete

    Raises InputError for an image or an option that cannot be, fewer than two scales, or a box that does not fit.

    >>> float(local_dimension(np.zeros((9, 9), np.uint8), scales="3:7:2")[4, 4])
    2.0
    """
    pixels, names = choose_channels(check_pixels(image), channels)
    options = make_options(scales, rule=rule, distance=distance, channels=names, centers="common")
    height, width = pixels.shape[:2]
    if len(options.scales) < 2:
        raise InputError(f"a slope needs at least two scales, got {options.scales[0]}")
    if options.scales[-1] > min(height, width):
        raise InputError(f"box {options.scales[-1]} does not fit into {width} x {height} pixels: take smaller scales")
    plan = make_plan(options, pixels.shape)
    slopes = np.full((height, width), np.nan, np.float32)
    edge, workers = plan.reach, check_threads(threads)
    rows = -(-(height - 2 * edge) // workers)
    starts = range(edge, height - edge, rows)
    if len(starts) == 1:
        _fill(slopes, pixels, plan, edge, height - edge)
        return slopes
    with ThreadPoolExecutor(len(starts)) as pool:
        stops = [min(start + rows, height - edge) for start in starts]
        list(pool.map(lambda start, stop: _fill(slopes, pixels, plan, start, stop), starts, stops))
    return slopes


def _fill(slopes: NDArray[np.float32], pixels: Pixels, plan: Plan, start: int, stop: int) -> None:
    """The slopes of rows start..stop - 1: sums of log m weighted by (log L - mean) / sum of squares, as a table."""
    edge, width = plan.reach, pixels.shape[1]
    x = np.log(2 * plan.half + 1.0)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    logs = np.log(np.maximum(1, np.arange((2 * edge + 1) ** 2 + 1)))
    rows = max(8, BAND // (len(x) * width))
    cut = pixels[start - edge : stop + edge]
    for first, masses in mass_rows(cut, plan, rows):
        total = np.zeros((len(masses), width - 2 * edge))
        for j, weight in enumerate(weights):
            total += (weight * logs)[masses[:, j, edge : width - edge]]
        slopes[first + start - edge : first + start - edge + len(masses), edge : width - edge] = total
