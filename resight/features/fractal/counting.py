"""Boxes counted over a whole image: bands of rows, one after the other or on several threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.fractal.options import DISTANCES, Options
from resight.features.fractal.pixels import Pixels, band

Integers: TypeAlias = NDArray[np.int64]

BAND_BYTES = 16 * 2**20  # of planes, for each thread
SMALL = 96 * 96  # fewer pixels than that are not worth a thread
GROUP = 8


@dataclass(frozen=True, eq=False)
class Plan:
    """Which boxes have their centres where, and how they are counted: what the kernels are told.

    margin:  (n,)      a centre's least distance from the border, for each scale
    half:    (n,)      (L - 1) / 2
    bound:   (n,)      uint8, largest distance that counts
    offsets: (8g, 2)   dy, dx of the pixels of the largest box but its centre, smaller boxes first
    joins:   (g,)      the first scale that each eight offsets belong to
    """

    metric: int
    eight: int
    margin: Integers
    half: Integers
    bound: Pixels
    offsets: Integers
    joins: Integers

    @property
    def reach(self) -> int:
        """How far the largest box reaches from its centre."""
        return int(self.half[-1])


def make_plan(options: Options, shape: tuple[int, ...]) -> Plan:
    """The plan for an image of this shape, of those scales that fit into it; at least one must."""
    fitting = [j for j, side in enumerate(options.scales) if side <= min(shape[:2])]
    half = np.array([options.halves[j] for j in fitting], np.int64)
    margin = half if options.centers == "each" else np.full_like(half, half[-1])
    reach = int(half[-1])
    dy, dx = (axis.ravel() for axis in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    ring = np.maximum(abs(dy), abs(dx))
    order = np.argsort(np.searchsorted(half, ring), kind="stable")
    order = order[ring[order] > 0]
    return Plan(
        metric=DISTANCES[options.distance],
        eight=int(options.connectivity == 8),
        margin=margin,
        half=half,
        bound=np.array([options.bounds[j] for j in fitting], np.uint8),
        offsets=np.ascontiguousarray(np.stack([dy, dx], 1)[order], np.int64),
        joins=np.ascontiguousarray(np.searchsorted(half, ring[order])[::GROUP], np.int64),
    )


def check_threads(threads: int | None) -> int:
    """How many threads to use; None: one for each core this process may run on. Raises InputError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads must be at least 1, or None for one a core, got {threads!r}")
    return threads


def mass_counts(pixels: Pixels, plan: Plan, mask: Pixels, threads: int) -> list[Integers]:
    """How many boxes have mass 1, 2, ... L^2, for each scale of the plan.

    pixels: (H, W, C) uint8
    ->      n arrays (L^2,)
    """
    areas = (2 * plan.half + 1) ** 2
    base = np.concatenate([[0], np.cumsum(areas)]).astype(np.int64)

    def count(start: int, stop: int) -> Integers:
        histogram = np.zeros(base[-1], np.int64)
        _run_masses(pixels, plan, start, stop, mask, base[:-1], histogram, np.empty((0, 0, 0), np.uint16))
        return histogram

    total = _sum_bands(count, pixels, plan, threads)
    return [total[a:b] for a, b in itertools.pairwise(base)]


def cluster_totals(pixels: Pixels, plan: Plan, mask: Pixels, threads: int) -> Integers:
    """(n, 3) sums over all boxes: clusters, pixels of the largest cluster, boxes."""
    from resight.features.fractal.kernels import kernel

    label = kernel("clusters")

    def count(start: int, stop: int) -> Integers:
        totals = np.zeros((len(plan.half), 3), np.int64)
        planes, first = band(pixels, start, stop, plan.reach)
        place = (planes, plan.reach, first, start, stop, *pixels.shape[:2], plan.metric, plan.margin)
        label(*place, plan.half, plan.bound, np.uint64(plan.eight), mask, totals)
        return totals

    return _sum_bands(count, pixels, plan, threads)


def mass_rows(pixels: Pixels, plan: Plan, rows: int) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """(first row, masses (rows, n, W)) of all rows that have centres; columns without are 0."""
    edge, nothing = int(plan.margin[0]), np.zeros(1, np.int64)
    for start in range(edge, len(pixels) - edge, rows):
        stop = min(start + rows, len(pixels) - edge)
        kept = np.zeros((stop - start, len(plan.half), pixels.shape[1]), np.uint16)
        _run_masses(pixels, plan, start, stop, np.empty((0, 0), np.uint8), nothing, nothing, kept)
        yield start, kept


def _run_masses(pixels: Pixels, plan: Plan, start: int, stop: int, mask: Pixels, *out: Any) -> None:
    from resight.features.fractal.kernels import kernel

    planes, first = band(pixels, start, stop, plan.reach)
    place = (planes, plan.reach, first, start, stop, *pixels.shape[:2], plan.metric, plan.margin)
    kernel("masses")(*place, plan.bound, plan.offsets, plan.joins, mask, *out)


def _sum_bands(count: Callable[[int, int], Integers], pixels: Pixels, plan: Plan, threads: int) -> Integers:
    """count(start, stop) summed over bands of rows. Whole numbers: the sum is the same however they are cut."""
    edge, height = int(plan.margin[0]), len(pixels)
    line = pixels.shape[2] * (pixels.shape[1] + 2 * plan.reach)
    most = max(16, BAND_BYTES // line - 2 * plan.reach)
    workers = 1 if pixels.shape[0] * pixels.shape[1] < SMALL else threads
    # Several bands for each thread, because rows near the border cost less; few enough to copy little twice.
    rows = min(most, max(16, -(-(height - 2 * edge) // (4 * workers)))) if workers > 1 else most
    starts = range(edge, height - edge, rows)
    stops = [min(start + rows, height - edge) for start in starts]
    if workers == 1 or len(starts) == 1:
        parts: Iterator[Integers] = map(count, starts, stops)
        return _total(parts)
    with ThreadPoolExecutor(min(workers, len(starts))) as pool:
        return _total(pool.map(count, starts, stops))


def _total(parts: Iterator[Integers]) -> Integers:
    total = next(parts)
    for part in parts:
        total += part
    return total
