"""The compiled loops: masses of all boxes by uint8 lanes along x, clusters by rows of bits.

Whole numbers only, so results depend neither on threads nor on the machine. Argument types are fixed: one compilation.

planes: (C, rows, stride) uint8   rows `first`.. of the image, zeros for `pad` columns on the left and more on the right
margin: (n,)     a box of scale j needs its centre at least so far from the border
bound:  (n,)     a pixel counts at scale j if its distance is at most bound[j]
mask:   (H, W)   centres that count are not 0; (0, 0): all
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import uint8, uint16, uint32, uint64

from resight.features.fractal.lanes import bits_within, distances, leading, lowest, njit, popcount, row

LANES = "c8b9c97c9f2a"  # start of the SHA-256 of lanes.py: so its changes are changes here, and nothing stale is loaded
CHUNK = 512  # pixels of a row in work at a time: with 20 scales everything stays in the first-level cache
BLOCK = 64  # rows are worked on in multiples of it, so that no loop has a slow tail
GROUP = 8  # offsets whose hits are added up before a counter is touched; (2K+1)^2 - (2k+1)^2 always divides by it
ONE = np.uint64(1)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _flush(sums: Any, counts: Any, active: int, n: int) -> None:
    for j in range(active):
        total, count = row(sums, j * CHUNK, n), row(counts, j * CHUNK, n)
        for i in range(n):
            total[i] += uint16(count[i])
            count[i] = 0


@njit(inline="always")  # type: ignore[untyped-decorator]
def _add_hits(counts: Any, d: Any, bound: Any, low: int, high: int, n: int) -> None:
    """counts[j, i] += how many of the GROUP distances d[:, i] are within bound[j], for low <= j < high."""
    a, b, c, e = row(d, 0, n), row(d, CHUNK, n), row(d, 2 * CHUNK, n), row(d, 3 * CHUNK, n)
    f, g, h, k = row(d, 4 * CHUNK, n), row(d, 5 * CHUNK, n), row(d, 6 * CHUNK, n), row(d, 7 * CHUNK, n)
    for j in range(low, high):
        t, count = bound[j], row(counts, j * CHUNK, n)
        for i in range(n):
            count[i] = uint8(
                count[i] + uint8(a[i] <= t) + uint8(b[i] <= t) + uint8(c[i] <= t) + uint8(e[i] <= t)
                + uint8(f[i] <= t) + uint8(g[i] <= t) + uint8(h[i] <= t) + uint8(k[i] <= t)
            )  # fmt: skip


def _masses(
    planes: Any, pad: int, first: int, start: int, stop: int, height: int, width: int, metric: int, margin: Any,
    bound: Any, offsets: Any, joins: Any, mask: Any, base: Any, histogram: Any, kept: Any,
) -> None:  # fmt: skip
    """Masses of the boxes centred in rows start..stop - 1.

    offsets:   (GROUP * g, 2)   dy, dx of all pixels of the largest box but its centre, smaller boxes first
    joins:     (g,)             the first scale that a group of offsets belongs to; it counts for all later ones too
    histogram: (sum of L^2,)    histogram[base[j] + m - 1] += 1 for each box of scale j with mass m
    kept:      (rows, n, W)     masses, for a map; nothing is kept if it has no rows
    """
    scales, edge = len(bound), margin[0]
    channels, rows, stride = planes.shape
    step = rows * stride
    d, wide = np.empty((GROUP, CHUNK), np.uint8), np.empty(CHUNK, np.int32)
    counts, sums = np.zeros((scales, CHUNK), np.uint8), np.zeros((scales, CHUNK), np.uint16)
    for y in range(start, stop):
        active = 0
        while active < scales and margin[active] <= y < height - margin[active]:
            active += 1
        for x in range(edge, width - edge if active else 0, CHUNK):
            n = (min(CHUNK, width - edge - x) + BLOCK - 1) // BLOCK * BLOCK
            sums[:active] = 1
            unflushed = 0
            for group in range(len(joins)):
                if joins[group] >= active:
                    break
                here = (y - first) * stride + pad + x
                for q in range(GROUP):
                    there = here + offsets[GROUP * group + q, 0] * stride + offsets[GROUP * group + q, 1]
                    out = row(d, q * CHUNK, n)
                    distances(out, wide, planes, here, step, planes, there, step, n, channels, metric)
                _add_hits(counts, d, bound, joins[group], active, n)
                unflushed += GROUP
                if unflushed > 255 - GROUP:
                    _flush(sums, counts, active, n)
                    unflushed = 0
            _flush(sums, counts, active, n)
            for j in range(active):
                low, high = max(x, margin[j]) - x, min(x + n, width - margin[j]) - x
                if len(kept):
                    kept[y - start, j, x + low : x + high] = sums[j, low:high]
                elif len(mask):
                    for i in range(low, high):
                        if mask[y, x + i]:
                            histogram[base[j] + sums[j, i] - 1] += 1
                else:
                    for i in range(low, high):
                        histogram[base[j] + sums[j, i] - 1] += 1


@njit(inline="always")  # type: ignore[untyped-decorator]
def _label(d: Any, reach: int, half: int, bound: Any, eight: Any, parent: Any, size: Any, above: Any, here: Any) -> Any:
    """(clusters, pixels of the largest) of a box whose rows of distances, 64 apart, are in d; up to 63 x 63.

    A row is one word of bits, cut into runs by a carry. A run takes the label of the first run it touches in the row
    above (found by its start bit), and the others it touches are joined to it. above, here: labels by start column.
    """
    window = ((ONE << uint64(2 * half + 1)) - ONE) << uint64(reach - half)
    labels, joined, largest = uint32(0), 0, uint32(0)
    previous, starts = uint64(0), uint64(0)
    for y in range(reach - half, reach + half + 1):
        line = bits_within(d, y * 64, bound) & window
        rest = line
        while rest:
            after = rest + (rest & -rest)
            run = rest & ~after
            column = lowest(rest)
            rest &= after
            pixels = uint32(popcount(run))
            touch = run | (run << eight) | (run >> eight)
            overlap = previous & touch
            if overlap == 0:
                label = labels
                parent[label] = label
                labels += uint32(1)
            else:
                upto = overlap ^ (overlap - ONE)
                label = above[uint64(63) - leading(starts & upto)]
                while parent[label] != label:
                    label = parent[label]
                pixels += size[label]
                others = starts & touch & ~upto
                while others:
                    other = above[lowest(others)]
                    others &= others - ONE
                    while parent[other] != other:
                        other = parent[other]
                    if other != label:
                        parent[other] = label
                        pixels += size[other]
                        joined += 1
            size[label] = pixels
            largest = max(largest, pixels)
            here[column] = label
        above, here = here, above
        previous, starts = line, line & ~(line << ONE)
    return np.int64(labels) - joined, np.int64(largest)


@njit  # type: ignore[untyped-decorator]
def _label_wide(d: Any, lanes: int, reach: int, half: int, bound: Any, eight: Any, parent: Any, size: Any) -> Any:
    """As `_label`, pixel by pixel, for boxes of any size; rows of d are `lanes` apart."""
    side, clusters, largest = 2 * half + 1, 0, 0
    for p in range(side * side):
        y, x = p // side, p % side
        parent[p] = -1
        if d[(y + reach - half) * lanes + x + reach - half] > bound:
            continue
        parent[p], size[p] = p, 1
        clusters += 1
        for k in range(4 if eight else 2):  # left, up, up left, up right
            ny, nx = y - (k > 0), x - (k == 0 or k == 2) + (k == 3)
            if ny < 0 or nx < 0 or nx >= side or parent[ny * side + nx] < 0:
                continue
            a, b = ny * side + nx, p
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                b = parent[b]
            if a != b:
                parent[b] = a
                size[a] += size[b]
                clusters -= 1
            largest = max(largest, size[a])
        largest = max(largest, 1)
    return np.int64(clusters), np.int64(largest)


def _clusters(
    planes: Any, pad: int, first: int, start: int, stop: int, height: int, width: int, metric: int, margin: Any,
    half: Any, bound: Any, eight: Any, mask: Any, totals: Any,
) -> None:  # fmt: skip
    """totals[j] += clusters, pixels of the largest, 1, for each box of scale j centred in rows start..stop - 1."""
    scales, reach = len(half), half[-1]
    channels, rows, stride = planes.shape
    lanes = (2 * reach + BLOCK) // BLOCK * BLOCK
    d, wide = np.zeros((2 * reach + 1) * lanes, np.uint8), np.empty(lanes, np.int32)
    centre = np.empty((channels, lanes), np.uint8)
    above, here = np.zeros(64, np.uint32), np.zeros(64, np.uint32)
    parent, size = np.zeros(2048, np.uint32), np.zeros(2048, np.uint32)
    area = (2 * reach + 1) ** 2 if lanes > 64 else 0
    wide_parent, wide_size = np.zeros(area, np.int32), np.zeros(area, np.int32)
    for y in range(start, stop):
        for x in range(margin[0], width - margin[0]):
            room, active = min(y, height - 1 - y, x, width - 1 - x), 0
            while active < scales and margin[active] <= room:
                active += 1
            if active == 0 or (len(mask) and not mask[y, x]):
                continue
            for k in range(channels):
                same = row(centre, k * lanes, lanes)
                same[:] = planes[k, y - first, pad + x]
            for dy in range(-half[active - 1], half[active - 1] + 1):
                out, there = row(d, (dy + reach) * lanes, lanes), (y - first + dy) * stride + pad + x - reach
                if lanes == 64 and channels == 3 and metric == 0:  # said as numbers: loops in it are unrolled
                    distances(out, wide, centre, 0, 64, planes, there, rows * stride, 64, 3, 0)
                elif lanes == 64:
                    distances(out, wide, centre, 0, 64, planes, there, rows * stride, 64, channels, metric)
                else:
                    distances(out, wide, centre, 0, lanes, planes, there, rows * stride, lanes, channels, metric)
            for j in range(active):
                if lanes > 64:
                    found = _label_wide(d, lanes, reach, half[j], bound[j], eight, wide_parent, wide_size)
                elif eight:
                    found = _label(d, reach, half[j], bound[j], uint64(1), parent, size, above, here)
                else:
                    found = _label(d, reach, half[j], bound[j], uint64(0), parent, size, above, here)
                totals[j, 0] += found[0]
                totals[j, 1] += found[1]
                totals[j, 2] += 1


_PLACE = "uint8[:,:,::1],int64,int64,int64,int64,int64,int64,int64,int64[::1]"
KERNELS: dict[str, tuple[Callable[..., None], str]] = {
    "masses": (
        _masses,
        f"void({_PLACE},uint8[::1],int64[:,::1],int64[::1],uint8[:,::1],int64[::1],int64[::1],uint16[:,:,::1])",
    ),
    "clusters": (_clusters, f"void({_PLACE},int64[::1],uint8[::1],uint64,uint8[:,::1],int64[:,::1])"),
}


@functools.cache
def kernel(name: str) -> Callable[..., None]:
    """A compiled kernel, from the cache on disk if it is there; it releases the interpreter's lock while it runs.

    The cache is in NUMBA_CACHE_DIR, beside this file or, if that is read-only, in the user's cache folder. Where
    there is no such place either, or it is full, the kernel is compiled for this process only.
    """
    function, signature = KERNELS[name]
    try:
        return njit(signature, nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except (RuntimeError, OSError) as error:
        if isinstance(error, RuntimeError) and "cache" not in str(error):
            raise
        return njit(signature, nogil=True)(function)  # type: ignore[no-any-return]
