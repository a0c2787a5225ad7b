"""The compiled loops: eight orientations of a pixel are one vector of the processor, from gradient to output.

The rows in work at a time, of votes and of pooled cells, are kept in rings that fit into the second-level cache; only
the output is ever written to memory. Every row is computed from the image alone, so results do not depend on the
number of threads. Argument types are fixed: one compilation.

planes:  (C, H, W)    values times `scale` are the image in [0, 1]
lanes:   (2, L)       where orientation k lies (Lowe, in row 0) or its cosine and sine (Liu); L: a multiple of 8
rows:    (R,)         image rows at which cells are needed; columns alike
row_of:  (ny, 4)      which of them a frame's four rows of cells are
col_of:  (nx * 4,)    the same for columns
taps:    (1 or 4, T)  the filter that pools, for all cells or for each place along an axis; `before` taps come first
weights: (4,)         of the cells along an axis, the same from both ends
out:     (ny * nx * D,)  a frame's values begin at `base` of its D
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import float32

from resight.features.dense_sift.lanes import (  # isort: skip
    N, add, fill, item, lane_sum, larger, load, magnitude, mul, put, smaller, spread, store, sub, write,
)  # fmt: skip

LANES = "f0ecc9bebcec"  # start of the SHA-256 of lanes.py: so its changes are changes here, and nothing stale is loaded
SMALLEST = np.float32(1.19209290e-07)
NO_GRADIENT = np.float32(1e-8)  # squared; VLFeat's fast root gives 0 below it

Loop = TypeVar("Loop", bound=Callable[..., Any])


def inlined(function: Loop) -> Loop:
    """A loop that is compiled into the kernels that call it."""
    return cast(Loop, numba.njit(inline="always", error_model="numpy")(function))


@inlined
def _vote_lowe(plane: Any, y: int, scale: Any, bins: Any, lanes: Any, across: Any, angle: Any, size: Any, votes: Any,
               at: int) -> None:  # fmt: skip
    """A row of votes: each gradient goes to the two orientations beside it. VLFeat's gradient and its fast angle."""
    height, width = plane.shape
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    half, turn = scale * float32(0.5), bins / float32(2 * np.pi)
    down = half if below - above == 2 else scale
    top, bottom, here, line = plane[above], plane[below], plane[y], across[:width]
    line[0], line[width - 1] = (here[min(1, width - 1)] - here[0]) * scale, (here[-1] - here[max(width - 2, 0)]) * scale
    line, left, right = line[1:], here[: max(width - 2, 0)], here[2:]
    for x in range(width - 2):
        line[x] = (right[x] - left[x]) * half
    for x in range(width):
        gx, gy = across[x], (bottom[x] - top[x]) * down
        square, tall = gx * gx + gy * gy, abs(gy) + SMALLEST
        size[x] = np.sqrt(square) if square >= NO_GRADIENT else float32(0)
        ratio = (abs(gx) - tall) / (abs(gx) + tall)
        a = float32(np.pi / 4) + (float32(0.1821) * ratio * ratio - float32(0.9675)) * ratio
        a = a if gx >= 0 else float32(np.pi) - a
        angle[x] = (a if gy >= 0 else float32(2 * np.pi) - a) * turn
    groups = lanes.shape[1] // N
    around, one, zero, row = fill(bins), fill(float32(1)), fill(float32(0)), lanes.ravel()
    for x in range(width):
        here, much = fill(angle[x]), fill(size[x])
        for g in range(groups):
            apart = magnitude(sub(here, load(row, N * g)))
            apart = smaller(apart, magnitude(sub(around, apart)))
            store(votes, at + (x * groups + g) * N, mul(larger(sub(one, apart), zero), much))


@inlined
def _vote_liu(planes: Any, y: int, scale: Any, lanes: Any, ux: Any, uy: Any, size: Any, sums: Any, steps: Any,
              votes: Any, at: int) -> None:  # fmt: skip
    """A row of votes: a cosine to the ninth for each orientation, by the channel with the largest Sobel gradient."""
    channels, height, width = planes.shape
    above, below, size[:] = max(y - 1, 0), min(y + 1, height - 1), -1
    for c in range(channels):
        top, here, bottom, inner, slope = planes[c, above], planes[c, y], planes[c, below], sums[1:], steps[1:]
        for x in range(width):
            inner[x], slope[x] = (top[x] + bottom[x]) + 2 * here[x], bottom[x] - top[x]
        sums[0], sums[width + 1], steps[0], steps[width + 1] = sums[1], sums[width], steps[1], steps[width]
        right, after = sums[2:], steps[2:]
        for x in range(width):
            gx, gy = right[x] - sums[x], (steps[x] + after[x]) + 2 * slope[x]
            square = gx * gx + gy * gy
            larger_one = square > size[x]
            size[x] = square if larger_one else size[x]
            ux[x] = gx if larger_one else ux[x]
            uy[x] = gy if larger_one else uy[x]
    for x in range(width):
        size[x] = np.sqrt(size[x]) * scale
        unit = scale / (size[x] + float32(1e-10))
        ux[x], uy[x] = ux[x] * unit, uy[x] * unit
    length = lanes.shape[1]
    groups, zero, row = length // N, fill(float32(0)), lanes.ravel()
    for x in range(width):
        across, down, much = fill(ux[x]), fill(uy[x]), fill(size[x])
        for g in range(groups):
            first = larger(add(mul(load(row, N * g), across), mul(load(row, length + N * g), down)), zero)
            fourth = mul(mul(first, first), mul(first, first))
            store(votes, at + (x * groups + g) * N, mul(mul(mul(fourth, fourth), first), much))


@inlined
def _fetch(votes: Any, ring: int, upto: int, low: int, high: int, planes: Any, scale: Any, lowe: bool, bins: int,
           lanes: Any, lines: Any) -> Any:  # fmt: skip
    """Makes sure that votes of rows low..high are in the ring; -> the row after the last that was ever made."""
    width = planes.shape[2]
    for y in range(max(upto, low), high + 1):
        at = y % ring * width * lanes.shape[1]
        if lowe:
            _vote_lowe(planes[0], y, scale, float32(bins), lanes, lines[0], lines[1], lines[2], votes, at)
        else:
            _vote_liu(planes, y, scale, lanes, lines[0], lines[1], lines[2], lines[3], lines[4], votes, at)
    return max(upto, high + 1)


@inlined
def _four(values: Any, a: int, b: int, c: int, d: int, taps: Any, k: int) -> Any:
    first = add(mul(spread(taps, k), load(values, a)), mul(spread(taps, k + 1), load(values, b)))
    return add(first, add(mul(spread(taps, k + 2), load(values, c)), mul(spread(taps, k + 3), load(values, d))))


@inlined
def _pool_down(votes: Any, ring: int, row: int, height: int, width: int, length: int, taps: Any, first: int, n: int,
               before: int, at: Any, pooled: Any, base: int) -> None:  # fmt: skip
    """pooled = sum of taps[first + k] * votes of row + k, with replicated columns on both sides for the other axis."""
    line = width * length
    for k in range(n):
        at[k] = min(max(row + k, 0), height - 1) % ring * line
    start, (a, b, c, d) = base + before * length, (at[0], at[1], at[2], at[3])
    for i in range(0, line, N):
        total = _four(votes, a + i, b + i, c + i, d + i, taps, first)
        for k in range(4, n, 4):
            e, f, g, h = item(at, k), item(at, k + 1), item(at, k + 2), item(at, k + 3)
            total = add(total, _four(votes, e + i, f + i, g + i, h + i, taps, first + k))
        store(pooled, start + i, total)
    for i in range(0, length, N):
        left, right = load(pooled, start + i), load(pooled, start + line - length + i)
        for k in range(before):
            store(pooled, base + k * length + i, left)
        for k in range(before + width, width + n - 1):
            store(pooled, base + k * length + i, right)


@inlined
def _pool_across(pooled: Any, at: int, length: int, taps: Any, first: int, n: int) -> Any:
    total = _four(pooled, at, at + length, at + 2 * length, at + 3 * length, taps, first)
    for k in range(4, n, 4):
        a = at + k * length
        total = add(total, _four(pooled, a, a + length, a + 2 * length, a + 3 * length, taps, first + k))
    return total


@inlined
def _pool_frames(pooled: Any, base: int, length: int, cols: Any, col_of: Any, i: int, taps: Any, n: int, raw: Any,
                 to: int, stride: int) -> None:  # fmt: skip
    """One cell of all frames of a row, i its place along the row: eight taps at a time, which stay in registers."""
    for k in range(0, n, N):
        at = i * n + k
        a, b, c, d = spread(taps, at), spread(taps, at + 1), spread(taps, at + 2), spread(taps, at + 3)
        e, f, g, h = spread(taps, at + 4), spread(taps, at + 5), spread(taps, at + 6), spread(taps, at + 7)
        for frame in range(len(col_of) // 4):
            source = base + (item(cols, item(col_of, 4 * frame + i)) + k) * length
            for group in range(0, length, N):
                x, y = source + group, to + frame * stride + group
                one = add(mul(a, load(pooled, x)), mul(b, load(pooled, x + length)))
                two = add(mul(c, load(pooled, x + 2 * length)), mul(d, load(pooled, x + 3 * length)))
                one = add(one, add(mul(e, load(pooled, x + 4 * length)), mul(f, load(pooled, x + 5 * length))))
                two = add(two, add(mul(g, load(pooled, x + 6 * length)), mul(h, load(pooled, x + 7 * length))))
                store(raw, y, add(one, two) if k == 0 else add(load(raw, y), add(one, two)))


@inlined
def _finish(cells: Any, base: int, steps: Any, bins: int, clip: Any, eps: Any, gain: Any, out: Any, to: int) -> None:
    """What `write` does, from 16 * bins raw values from `base` on, for any number of orientations."""
    square = fill(float32(0))
    for i in range(0, 16 * bins, N):
        square = add(square, mul(load(cells, base + i), load(cells, base + i)))
    factor = float32(1) / (np.sqrt(lane_sum(square)) + eps)
    if bins == N and clip > 0:
        at = (base, base + 4 * N, base + 8 * N, base + 12 * N)
        write(cells, at, steps, 0, (factor, factor, factor), clip, eps, gain, out, to)
        return
    if clip > 0:
        square, much, most = fill(float32(0)), fill(factor), fill(clip)
        for i in range(0, 16 * bins, N):
            value = smaller(mul(load(cells, base + i), much), most)
            store(cells, base + i, value)
            square = add(square, mul(value, value))
        factor = float32(1) / (np.sqrt(lane_sum(square)) + eps)
    much = fill(factor * gain)
    for i in range(0, 16 * bins, N):
        put(out, to + i, mul(load(cells, base + i), much))


def _flat(
    planes: Any, scale: Any, lowe: bool, bins: int, lanes: Any, rows: Any, row_of: Any, cols: Any, col_of: Any,
    taps: Any, before: int, weights: Any, clip: Any, eps: Any, gain: Any, first: int, stop: int, out: Any, base: int,
    stride: int,
) -> None:  # fmt: skip
    """Descriptors of frame rows first..stop - 1, one filter for all cells: a cell is pooled once for all its frames."""
    height, width, length = planes.shape[1], planes.shape[2], lanes.shape[1]
    n, wide, frames = taps.shape[1], len(cols), len(col_of) // 4
    held = 1 + np.max(row_of[:, 3] - row_of[:, 0])
    taps, at, lines = taps.ravel(), np.empty(taps.shape[1], np.int64), np.empty((5, width + 2), np.float32)
    votes, pooled = np.empty(n * width * length, np.float32), np.empty((width + n) * length, np.float32)
    cells, energy = np.empty(held * wide * length, np.float32), np.empty(held * wide, np.float32)
    column, scratch = np.empty(wide, np.float32), np.empty(16 * bins + N, np.float32)
    norms = np.empty(frames, np.float32)
    steps, squares, upto, done = np.arange(4), weights * weights, 0, 0
    for y in range(first, stop):
        for p in range(max(done, row_of[y, 0]), row_of[y, 3] + 1):
            row = rows[p] - before
            low, high = min(max(row, 0), height - 1), min(max(row + n - 1, 0), height - 1)
            upto = _fetch(votes, n, upto, low, high, planes, scale, lowe, bins, lanes, lines)
            _pool_down(votes, n, row, height, width, length, taps, 0, n, before, at, pooled, 0)
            slot = p % held * wide
            strength = energy[slot : slot + wide]
            for c in range(wide):
                to, total = (slot + c) * length, fill(float32(0))
                for g in range(0, length, N):
                    value = _pool_across(pooled, cols[c] * length + g, length, taps, 0, n)
                    store(cells, to + g, value)
                    total = add(total, mul(value, value))
                strength[c] = lane_sum(total)
            done = p + 1
        r0, r1 = row_of[y, 0] % held * wide, row_of[y, 1] % held * wide
        r2, r3 = row_of[y, 2] % held * wide, row_of[y, 3] % held * wide
        for c in range(wide):
            column[c] = squares[0] * (energy[r0 + c] + energy[r3 + c]) + squares[1] * (energy[r1 + c] + energy[r2 + c])
        places, w0, w1 = (r0 * N, r1 * N, r2 * N, r3 * N), weights[0], weights[1]
        for k in range(frames):
            a, b, c, d = col_of[4 * k], col_of[4 * k + 1], col_of[4 * k + 2], col_of[4 * k + 3]
            norms[k] = squares[0] * (column[a] + column[d]) + squares[1] * (column[b] + column[c])
        for k in range(frames):
            norms[k] = float32(1) / (np.sqrt(norms[k]) + eps)
        for k in range(frames):
            factor = norms[k]
            scales = (factor * w0 * w0, factor * w0 * w1, factor * w1 * w1)
            to = (y * frames + k) * stride + base
            if bins != N:
                for cell in range(16):  # in this order: a cell's pads are written over by the next
                    j, i = cell // 4, cell % 4
                    source = (row_of[y, j] % held * wide + item(col_of, 4 * k + i)) * length
                    for g in range(0, length, N):
                        store(scratch, cell * bins + g, mul(load(cells, source + g), fill(weights[j] * weights[i])))
                _finish(scratch, 0, steps, bins, clip, eps, gain, out, to)
            elif clip > 0:
                write(cells, places, col_of, 4 * k, scales, clip, eps, gain, out, to)
            else:
                write(cells, places, col_of, 4 * k, scales, None, eps, gain, out, to)


def _windowed(
    planes: Any, scale: Any, lowe: bool, bins: int, lanes: Any, rows: Any, row_of: Any, cols: Any, col_of: Any,
    taps: Any, before: int, weights: Any, clip: Any, eps: Any, gain: Any, first: int, stop: int, out: Any, base: int,
    stride: int,
) -> None:  # fmt: skip
    """As `_flat`, with a filter for each place along an axis: sixteen poolings for each frame, and nothing to share."""
    height, width, length = planes.shape[1], planes.shape[2], lanes.shape[1]
    n, frames = taps.shape[1], len(col_of) // 4
    ring = n + np.max(rows[row_of[:, 3]] - rows[row_of[:, 0]])
    taps, at, lines = taps.ravel(), np.empty(taps.shape[1], np.int64), np.empty((5, width + 2), np.float32)
    line = (width + n) * length
    votes, pooled = np.empty(ring * width * length, np.float32), np.empty(4 * line, np.float32)
    stride_raw, steps, upto = 16 * bins + N, np.arange(4), 0
    raw = np.empty(frames * stride_raw, np.float32)
    for y in range(first, stop):
        low = min(max(rows[row_of[y, 0]] - before, 0), height - 1)
        high = min(max(rows[row_of[y, 3]] - before + n - 1, 0), height - 1)
        upto = _fetch(votes, ring, upto, low, high, planes, scale, lowe, bins, lanes, lines)
        for j in range(4):
            row = rows[row_of[y, j]] - before
            _pool_down(votes, ring, row, height, width, length, taps, j * n, n, before, at, pooled, j * line)
        for cell in range(16):  # in this order: a cell's pads are written over by the next
            j, i = cell // 4, cell % 4
            _pool_frames(pooled, j * line, length, cols, col_of, i, taps, n, raw, cell * bins, stride_raw)
        for k in range(frames):
            _finish(raw, k * stride_raw, steps, bins, clip, eps, gain, out, (y * frames + k) * stride + base)


def _moments(block: Any, sums: Any, squares: Any) -> None:
    """Adds each column's sum and sum of squares over the rows of block, (n, D) float32."""
    for k in range(block.shape[0]):
        for d in range(block.shape[1]):
            value = np.float64(block[k, d])
            sums[d] += value
            squares[d] += value * value


_TABLES = "float32[:,:,::1],float32,boolean,int64,float32[:,::1],int64[::1],int64[:,::1],int64[::1],int64[::1]"
_RULE = "float32[:,::1],int64,float32[::1],float32,float32,float32,int64,int64"
_BAND = f"void({_TABLES},{_RULE},OUT[::1],int64,int64)"
KERNELS: dict[str, tuple[Callable[..., None], str]] = {
    "flat to float32": (_flat, _BAND.replace("OUT", "float32")),
    "flat to uint8": (_flat, _BAND.replace("OUT", "uint8")),
    "gaussian to float32": (_windowed, _BAND.replace("OUT", "float32")),
    "gaussian to uint8": (_windowed, _BAND.replace("OUT", "uint8")),
    "moments": (_moments, "void(float32[:,::1],float64[::1],float64[::1])"),
}


@functools.cache
def kernel(name: str) -> Callable[..., None]:
    """A compiled kernel, from the cache on disk if it is there; it releases the interpreter's lock while it runs.

    The cache is beside this file or, if that is read-only, in NUMBA_CACHE_DIR or the user's cache folder; without such
    a place it is compiled for this process only.
    """
    function, signature = KERNELS[name]
    try:
        return numba.njit(signature, nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return numba.njit(signature, nogil=True, error_model="numpy")(function)
