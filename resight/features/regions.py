"""R-MAC: maxima over a grid of square regions at several scales (Tolias 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise

import torch

from resight.errors import InputError
from resight.features.maps import as_maps, unit

OVERLAP = Fraction(2, 5)
EXTRA = range(1, 7)
SMALL_MAP = 100  # cells
POOLED_SIDE = 16  # up to this side of a region one pooling of all is faster than bands of rows, then of columns


def rmac(maps: torch.Tensor, levels: int = 3, include_global: bool = False) -> torch.Tensor:
    """Sum of the L2-normalised maxima of all regions.

    maps:           (B, K, H, W)
    levels:         at least 1; regions of level l have the side floor(2 min(H, W) / (l + 1))
    include_global: add the maximum over the whole map as one more region, as cirtorch does
    ->              (B, K)         L2-normalised

    Tolias 2016. The PCA between the regions' normalisation and their sum is left to the caller:
    apply it to `region_vectors`.
    Raises InputError if maps is not (B, K, H, W) of floats or levels is below 1.

    >>> rmac(torch.tensor([[[[3.0]], [[4.0]]]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    return unit(unit(region_vectors(maps, levels, include_global)).sum(1))


def region_vectors(maps: torch.Tensor, levels: int = 3, include_global: bool = False) -> torch.Tensor:
    """The maximum of each channel in each region, not normalised.

    maps: (B, K, H, W)
    ->    (B, R, K)      regions in the order of `rmac_regions`, the whole map last if include_global

    A level's regions form a grid, so the maximum is taken over bands of rows first and then over bands of
    columns in those: as many passes as the grid has sides, not cells.
    Raises InputError as `rmac` does.

    >>> region_vectors(torch.arange(4.0).view(1, 1, 2, 2), levels=2).flatten().tolist()
    [3.0, 0.0, 1.0, 2.0, 3.0]
    """
    maps = as_maps(maps)
    found = []
    interleaved = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    if not interleaved and maps.shape[2] * maps.shape[3] <= SMALL_MAP:
        maps, interleaved = maps.contiguous(memory_format=torch.channels_last), True  # the copy is soon made up for
    for tops, lefts, side in _grids(maps.shape[2], maps.shape[3], levels):
        down, right = _step(tops), _step(lefts)
        if interleaved and side <= POOLED_SIDE and down and right:  # as networks here lay out their maps
            seen = maps[:, :, : tops[-1] + side, : lefts[-1] + side]
            found.append(torch.nn.functional.max_pool2d(seen, side, (down, right)).flatten(2))
            continue
        bands = torch.stack([_window_max(maps, 2, top, side) for top in tops], 2)
        cells = torch.stack([_window_max(bands, 3, left, side) for left in lefts], 3)
        found.append(cells.flatten(2))
    if include_global:
        found.append(maps.amax((2, 3))[..., None])
    return torch.cat(found, 2).transpose(1, 2)


def rmac_regions(height: int, width: int, levels: int = 3) -> list[tuple[int, int, int]]:
    """The regions of R-MAC on a map: (top row, left column, side) each, in cells.

    -> level by level, row by row; 14 on a square map, 20 on 45 x 64, at 3 levels

    Level l has l regions along the shorter side and l + d along the longer, with the d in 1..6 whose overlap of
    neighbours at level 1 is nearest to 40 % (d = 0 on a square). Levels whose side is under one cell are left out.
    Tolias 2016. Fractions are exact; floating point differs by a cell, or where two d are equally near: cirtorch's
    float32 on 24 of the 2,304 maps up to 48 x 48 (all at least 3.6 : 1), the same in float64 on others, such as 5 x 9.
    Raises InputError if a size or levels is below 1.

    >>> rmac_regions(2, 3, levels=1)
    [(0, 0, 2), (0, 1, 2)]
    """
    return [(top, left, side) for tops, lefts, side in _grids(height, width, levels) for top in tops for left in lefts]


def _step(starts: Sequence[int]) -> int | None:
    """How far apart regions begin, if that is the same everywhere and they begin at 0; else None."""
    apart = {b - a for a, b in pairwise(starts)} or {1}
    return apart.pop() if len(apart) == 1 and starts[0] == 0 and min(apart) > 0 else None


def _window_max(maps: torch.Tensor, axis: int, start: int, side: int) -> torch.Tensor:
    """Maximum along one axis of `side` slices from `start`. Slice by slice, which is several times as fast as amax."""
    return reduce(torch.maximum, maps.narrow(axis, start, side).unbind(axis))


def _grids(height: int, width: int, levels: int) -> list[tuple[list[int], list[int], int]]:
    """Per level: top rows, left columns, side."""
    if min(height, width, levels) < 1:
        raise InputError(f"R-MAC needs a map and levels of at least 1, got {height} x {width} and levels={levels}")
    short, long = min(height, width), max(height, width)
    extra = 0 if short == long else min(EXTRA, key=lambda d: abs(1 - Fraction(long - short, d * short) - OVERLAP))
    grids = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            break
        tops = _starts(height, side, level + (extra if height > width else 0))
        lefts = _starts(width, side, level + (extra if width > height else 0))
        grids.append((tops, lefts, side))
    return grids


def _starts(length: int, side: int, count: int) -> list[int]:
    """Where `count` windows of `side` cells start, evenly from border to border."""
    return [0] if count == 1 else [i * (length - side) // (count - 1) for i in range(count)]
