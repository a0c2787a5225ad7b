"""Dense SIFT as a layer: from the image on the device, so that only the image is moved there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.features.dense_sift.frames import Axis, Frames, check_shape, dense_sift_frames, make_axis
from resight.features.dense_sift.options import GREYS, Floats, Options, Rules, make_options, make_rules
from resight.features.dense_sift.pixels import LUMA, blur_taps

SMALLEST, NO_GRADIENT = 1.19209290e-07, 1e-8  # as in the kernels


class DenseSift(nn.Module):
    """Images (B, 3 or 1, H, W) -> descriptors (B, 128, ny, nx), channels in the order of `dense_sift`'s last axis.

    options: those of `dense_sift` but dtype, out and threads
    half:    float16 descriptors; gradients, pooling and norms stay float32

    Takes uint8, or floating values in [0, 1]; agrees with `dense_sift` to 1e-5 on any device, for one image or many.
    There is nothing to learn in it and no gradient passes. Raises InputError for an option or a shape that cannot be.

    >>> DenseSift(step=4)(torch.zeros(2, 3, 21, 29, dtype=torch.uint8)).shape
    torch.Size([2, 128, 3, 5])
    """

    def __init__(self, step: int = 1, cell: int | None = None, *, half: bool = False, **options: Any) -> None:
        super().__init__()
        self.options = make_options(step=step, cell=cell, **options)
        if self.options.dtype != "float32":
            raise InputError("dtype is an option of dense_sift: DenseSift gives float32, or float16 with half=True")
        self.half_precision = half
        self._given = {"step": step, "cell": cell, **options}

    @property
    def channels(self) -> int:
        """Channels of the result: what a network behind it takes in."""
        return self.options.channels

    def frames(self, shape: tuple[int, int]) -> Frames:
        """Where the descriptors of images of this (H, W) lie."""
        return dense_sift_frames(shape, **self._given)

    def extra_repr(self) -> str:
        """What it was made with."""
        return ", ".join(f"{name}={value!r}" for name, value in self._given.items() if value is not None)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, D, ny, nx) float32, or float16 with half."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise InputError(f"images must be (B, 3, H, W) or (B, 1, H, W), got {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise InputError(f"images must be uint8, or floating in [0, 1], got {images.dtype}")
        height, width = check_shape(tuple(images.shape[2:]), self.options)
        planes, unit = _planes(images, self.options)
        parts = []
        for cell in self.options.cells:
            rows, columns = make_axis(height, self.options, cell), make_axis(width, self.options, cell)
            rules = make_rules(self.options, cell)
            smooth = _blur(planes, cell) if self.options.smooth else planes
            votes = (_lowe if rules.lowe else _liu)(smooth, unit, rules, self.options.orientations)
            parts.append(
                _describe(votes, rules, rows, columns, torch.float16 if self.half_precision else torch.float32)
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _planes(images: Tensor, options: Options) -> tuple[Tensor, float]:
    """As `pixels.to_planes`, in the same order of operations: equal greys must stay equal."""
    unit, planes = 1 / 255 if images.dtype == torch.uint8 else 1.0, images.to(torch.float32)
    if images.shape[1] == 1:
        return planes, unit
    if options.grey == "luma" or (not options.grey and not options.preset):
        red, green, blue = planes.unbind(1)
        return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2])[:, None], unit / 1000
    if options.grey:
        at = GREYS.index(options.grey) - 1
        return planes[:, at : at + 1], unit
    return planes, unit


def _blur(planes: Tensor, cell: int) -> Tensor:
    taps = blur_taps(cell)
    if taps is None:
        return planes
    for dim in (2, 3):
        planes = _pool(planes, taps, np.arange(planes.shape[dim]), len(taps) // 2, dim)
    return planes


def _pool(values: Tensor, taps: Floats, places: Any, before: int, dim: int) -> Tensor:
    """sum of taps[k] * values at place - before + k along dim, the border replicated.

    No convolution: those round to TF32 on many GPUs, and would compute places that nobody needs.
    """
    total: Tensor | None = None
    for k in np.flatnonzero(taps).tolist():
        at = np.clip(places - before + k, 0, values.shape[dim] - 1)
        part = values.index_select(dim, torch.as_tensor(at, device=values.device))
        total = part.mul_(float(taps[k])) if total is None else total.add_(part, alpha=float(taps[k]))
    return values if total is None else total


def _slope(plane: Tensor, dim: int, unit: float) -> Tensor:
    """Half the difference of the neighbours; at the border the whole one of what there is."""
    n, slope = plane.shape[dim], torch.zeros_like(plane)
    if n > 1:
        inner = plane.narrow(dim, 2, n - 2) - plane.narrow(dim, 0, n - 2)
        slope.narrow(dim, 1, n - 2).copy_(inner.mul_(0.5 * unit))
        for to, a in ((0, 0), (n - 1, n - 2)):
            slope.narrow(dim, to, 1).copy_((plane.narrow(dim, a + 1, 1) - plane.narrow(dim, a, 1)).mul_(unit))
    return slope


def _lowe(planes: Tensor, unit: float, rules: Rules, bins: int) -> Tensor:
    """(B, bins, H, W): each gradient's votes for the two orientations beside it."""
    unit = float(np.float32(unit))
    gx, gy = _slope(planes, 3, unit), _slope(planes, 2, unit)
    square, tall = gx * gx + gy * gy, gy.abs() + SMALLEST
    size = torch.where(square >= NO_GRADIENT, square.sqrt(), 0)
    ratio = (gx.abs() - tall) / (gx.abs() + tall)
    angle = torch.pi / 4 + (0.1821 * ratio * ratio - 0.9675) * ratio
    angle = torch.where(gx >= 0, angle, torch.pi - angle)
    angle = torch.where(gy >= 0, angle, 2 * torch.pi - angle) * (bins / (2 * torch.pi))
    order = torch.as_tensor(rules.lanes[0, :bins], device=planes.device)[:, None, None]
    apart = (angle - order).abs_()
    apart = torch.minimum(apart, bins - apart)
    return apart.neg_().add_(1).clamp_(min=0).mul_(size)


def _liu(planes: Tensor, unit: float, rules: Rules, bins: int) -> Tensor:
    """(B, bins, H, W): cosines to the ninth of the channel whose Sobel gradient is the largest."""
    unit = float(np.float32(unit))
    height, width = planes.shape[2:]
    down, up = (_pool(planes, np.ones(1, np.float32), np.arange(height), by, 2) for by in (-1, 1))
    sums, steps = (up + down) + 2 * planes, down - up
    before, after = np.arange(width) - 1, np.arange(width) + 1

    def beside(values: Tensor, at: Any) -> Tensor:
        return values.index_select(3, torch.as_tensor(np.clip(at, 0, width - 1), device=values.device))

    gx = beside(sums, after) - beside(sums, before)
    gy = (beside(steps, before) + beside(steps, after)) + 2 * steps
    square = gx * gx + gy * gy
    best, bx, by = square[:, :1], gx[:, :1], gy[:, :1]
    for c in range(1, planes.shape[1]):  # the first of equals, which max does not promise
        more = square[:, c : c + 1] > best
        best = torch.where(more, square[:, c : c + 1], best)
        bx, by = torch.where(more, gx[:, c : c + 1], bx), torch.where(more, gy[:, c : c + 1], by)
    size = best.sqrt() * unit
    scaled = unit / (size + 1e-10)
    lanes = torch.as_tensor(rules.lanes[:, :bins], device=planes.device)[:, :, None, None]
    first = (lanes[0] * (bx * scaled) + lanes[1] * (by * scaled)).clamp_(min=0)
    fourth = (first * first).square_()
    return fourth.square_().mul_(first).mul_(size)


def _describe(votes: Tensor, rules: Rules, rows: Axis, columns: Axis, dtype: torch.dtype) -> Tensor:
    """(B, 16 * bins, ny, nx): cells pooled, gathered, clipped and normalised, one cell of all frames at a time."""
    batch, bins = votes.shape[:2]
    shape = (batch, 16 * bins, len(rows.cells), len(columns.cells))
    shared = len(rules.taps) == 1
    found = torch.empty(shape, dtype=dtype if shared else torch.float32, device=votes.device)
    cells = found.view(batch, 16, bins, *shape[2:])
    down, across = ([torch.as_tensor(axis.cells[:, k].copy(), device=votes.device) for k in range(4)]
                    for axis in (rows, columns))  # fmt: skip
    if shared:
        taps, before = rules.taps[0], rules.before
        pooled = _pool(_pool(votes, taps, rows.places, before, 2), taps, columns.places, before, 3)
        factor = _factor(pooled.square().sum(1, keepdim=True), down, across, rules)
    else:
        bands = [_pool(votes, rules.taps[j], rows.places[rows.cells[:, j]], rules.before, 2) for j in range(4)]
    square = torch.zeros((batch, 1, *shape[2:]), dtype=torch.float32, device=votes.device)
    for cell in range(16):
        j, i = divmod(cell, 4)
        if shared:
            value = pooled.index_select(2, down[j]).index_select(3, across[i])
            value.mul_(factor * float(rules.weights[j] * rules.weights[i]))
            if rules.clip:
                value.clamp_(max=rules.clip)
        else:
            value = _pool(bands[j], rules.taps[i], columns.places[columns.cells[:, i]], rules.before, 3)
        square += value.square().sum(1, keepdim=True)
        cells[:, cell] = value
    if not shared:
        found.mul_(1 / (square.sqrt() + rules.eps)).clamp_(max=rules.clip)
        square = found.square().sum(1, keepdim=True)
    return (found.mul_(1 / (square.sqrt() + rules.eps)) if rules.clip else found).to(dtype)


def _factor(energy: Tensor, down: list[Tensor], across: list[Tensor], rules: Rules) -> Tensor:
    """(B, 1, ny, nx): 1 / (norm + eps) of the unclipped descriptors, from the energy of the cells that they share."""
    for dim, at in ((2, down), (3, across)):
        parts = [energy.index_select(dim, at[k]).mul_(float(rules.weights[k]) ** 2) for k in range(4)]
        energy = (parts[0] + parts[3]) + (parts[1] + parts[2])
    return 1 / (energy.sqrt_() + rules.eps)
