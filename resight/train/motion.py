"""How a picture moves from frame to frame, by region, without anything learned.

The mean of a frame's features says what is there, not where, so it cannot tell a camera that pans left from one that
pans right. Here each frame becomes a small map of its edges, and neighbouring maps are compared under displacements:
the correlation layer of FlowNet (Dosovitskiy 2015, eq. 1), summed over the 3 x 3 regions of the image so that panning,
zooming and turning look different; of each region's correlation the peak is kept, as MotionSqueeze does (Kwon 2020).
Edges and not a network's maps: they follow a motion as well as those of a trained network and better than those of an
untrained one, and are the same for every backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from resight.errors import InputError

REGIONS = 3  # a side
REACH = 4  # cells to each side that a displacement may have
GRIDS = (27, 12)  # cells a side of the maps: precise for slow motion, far-reaching for fast
DETAIL = 3  # pixels to a cell's side, of which the edges are taken
QUIET = 5e-4  # of full scale: where edges are weaker than this, there is nothing to follow
LEAST = 0.1  # cells: a region that holds less holds nothing
OVERLAP = 0.3  # of what a region holds that must be inside the image after a displacement
CHANNELS = len(GRIDS) * REGIONS**2 * 3
LUMA = (0.299, 0.587, 0.114)


def motion(frames: Tensor, lengths: Tensor) -> Tensor:
    """The motion that leads to each frame, coarse and fine, in each region of the image.

    frames:  (B, T, 3, H, W)  uint8; those behind a sequence's length do not count
    lengths: (B,)             frames of each sequence
    ->       (B, T, 54)       float32: for both GRIDS, for the 3 x 3 regions row by row: x, y, likeness.
             x, y: where the region's content went, right and down, from -1 to 1 = REACH cells of the grid (at 27 cells
             15 % of the side, at 12 a third); likeness: 0 to 1, the cosine there between the two frames' edges.

    The first frame has the motion that leads to the second. Alone, or behind its length, a frame has zeros.
    No gradient passes. Raises InputError for other shapes.
    """
    if frames.ndim != 5 or frames.shape[2] != 3 or frames.dtype != torch.uint8:
        raise InputError(f"frames must be (B, T, 3, H, W) uint8, got {tuple(frames.shape)} {frames.dtype}")
    batch, count = frames.shape[:2]
    if count == 1:
        return torch.zeros(batch, 1, CHANNELS, device=frames.device)
    with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
        lit = grey(frames.flatten(0, 1))
        found = torch.cat([_between(edges(lit, side), batch) for side in GRIDS], 2)
        there = torch.arange(1, count, device=frames.device) < lengths[:, None]
        found = found * there[..., None]
        return torch.cat([found[:, :1], found], 1)


def _between(maps: Tensor, batch: int) -> Tensor:
    """Edges of the frames of B sequences, (B T, 4, g, g) -> (B, T - 1, 27)."""
    each = maps.reshape(batch, -1, *maps.shape[1:])
    found = peaks(correlate(each[:, :-1].flatten(0, 1), each[:, 1:].flatten(0, 1)))
    return found.reshape(batch, each.shape[1] - 1, -1)


def grey(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 81, 81) float32, the luma from 0 to 1, no larger than the finest grid needs."""
    weights = torch.tensor(LUMA, device=images.device) / 255
    luma = (weights @ images.flatten(2).float()).reshape(-1, *images.shape[2:])
    return scale(luma, DETAIL * GRIDS[0])


def edges(lit: Tensor, side: int) -> Tensor:
    """Edges by the side to which it gets brighter, in cells.

    lit: (B, h, w) from 0 to 1
    ->   (B, 4, side, side): right, left, down, up; of length 1 in each cell, shorter where there is little

    Each cell takes from its neighbours too, with triangular weights, so that a peak of the correlation is smooth.
    """
    wide = functional.pad(scale(lit, DETAIL * side), (1, 1, 1, 1), mode="replicate")
    x, y = wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2], wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]
    strength = scale(torch.stack([x, -x, y, -y], 1).clamp(min=0), side)
    return strength / (strength.square().sum(1, keepdim=True).sqrt() + QUIET)


def scale(maps: Tensor, side: int) -> Tensor:
    """(..., h, w) -> (..., side, side) by triangular weights: the bilinear rule, with an area where it gets smaller."""
    if tuple(maps.shape[-2:]) == (side, side):
        return maps
    rows, columns = (_triangles(length, side).to(maps) for length in maps.shape[-2:])
    return rows @ maps @ columns.T


def correlate(one: Tensor, other: Tensor) -> Tensor:
    """Mean likeness of two maps under each displacement, for each region.

    one, other: (B, K, g, g)        of length 1 or less along K, g divisible by 3
    ->          (B, 3, 3, 9, 9)     region's row and column; displacement down and right, from -REACH to REACH

    c[d] = sum of one[p] . other[p + d] over what was in the region (p in it) and what is in it now (p + d in it), where
    both are in the map, divided by the sum of |one[p]|^2 over the former and |other[p + d]|^2 over the latter: cells
    that hold nothing do not count. So a map and itself have a peak of 1 at exactly 0, and exchanging the two turns the
    displacements around. -1 where less than OVERLAP of what the region holds stays in the map, 0 if it holds nothing.
    """
    side, span = one.shape[-1], 2 * REACH + 1
    padded = functional.pad(other, (REACH,) * 4)
    columns = torch.stack([padded[..., right : right + side] for right in range(span)], 2)
    products = torch.stack(
        [(one[:, :, None] * columns[..., down : down + side, :]).sum(1) for down in range(span)], 1
    )  # (B, down, right, g, g)
    moved = _regions(side).to(one)
    home = moved[REACH]
    sums = home @ products @ home.T + moved[:, None] @ products @ moved.mT
    stays = home * moved.sum(1)[:, None]  # (9, 3, g): p in the region and p + d in the map
    was, now = (maps.square().sum(1)[:, None, None] for maps in (one, other))
    back = stays.flip(0)
    held = stays[:, None] @ was @ stays.mT + back[:, None] @ now @ back.mT
    enough = held >= OVERLAP * held[:, REACH : REACH + 1, REACH : REACH + 1]
    return torch.where(enough, sums / held.clamp(min=LEAST), sums.new_tensor(-1.0)).permute(0, 3, 4, 1, 2)


def _regions(side: int) -> Tensor:
    """(9, 3, g) of 1 and 0: whether cell p, displaced by d, is in region r of its axis."""
    place = torch.arange(side) + torch.arange(-REACH, REACH + 1)[:, None]
    region = torch.div(place, side // REGIONS, rounding_mode="floor")
    return (region[:, None] == torch.arange(REGIONS)[:, None]).float()


def peaks(correlation: Tensor) -> Tensor:
    """Where each region's correlation is greatest, and how great.

    correlation: (..., 9, 9)   by displacement down and right
    ->           (..., 3)      x, y in units of REACH, -1 to 1, and the value

    Between the cells by the parabola through the peak and its two neighbours on each axis. A peak of 0 has x = y = 0.
    """
    span = 2 * REACH + 1
    # A hair for staying: where nothing can be followed, all displacements are equal, and the first would win.
    stay = torch.zeros(span, span, device=correlation.device)
    stay[REACH, REACH] = 1e-5
    flat = (correlation + stay).flatten(-2)
    value, place = flat.max(-1)
    down, right = place // span, place % span
    found = []
    for along, step in ((right, 1), (down, span)):
        inner = (along > 0) & (along < span - 1)
        near = torch.stack([flat.gather(-1, (place + way * step).clamp(0, span**2 - 1)[..., None])[..., 0]
                            for way in (-1, 1)])  # fmt: skip
        bend = 2 * value - near.sum(0)
        inner = inner & (near.amin(0) >= 0) & (bend > 1e-6)
        part = torch.where(inner, (near[1] - near[0]) / (2 * bend.clamp(min=1e-6)), torch.zeros_like(value))
        found.append((along - REACH + part) / REACH)
    return torch.stack([*found, value.clamp(min=0)], -1)


def _triangles(length: int, side: int) -> Tensor:
    """(side, length) weights of the pixels for each cell; every row sums to 1."""
    step = length / side
    centres = (torch.arange(side) + 0.5) * step
    away = (torch.arange(length) + 0.5 - centres[:, None]).abs()
    weights = (1 - away / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
