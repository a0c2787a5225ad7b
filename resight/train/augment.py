"""Changes to training images, each decided by a seed alone: the same on every machine, worker and resumed run."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from resight.errors import InputError, unknown

Augmentation: TypeAlias = Callable[[Tensor, int], Tensor]

# Of "standard".
SCALE, SHIFT, TURN, COLOUR = 0.2, 0.1, 10.0, 0.2


def augmentation(name: str, size: int) -> Augmentation:
    """A function (images, seed) -> images that never changes its input.

    name:    a key of AUGMENTATIONS
    size:    S, the side of the images in pixels
    images:  (..., 3, S, S) uint8; with leading dimensions (frames of one clip) all are changed alike
    ->       the same shape, new memory

    none      a copy
    flip      left and right exchanged, for every other seed or so
    standard  flip; affine: turned by up to 10 degrees, scaled by 0.8 to 1.2 (1 on average: training sees objects at
              the size that testing does), shifted by up to 10 %, what comes in from outside being the image's
              reflection; brightness, contrast and saturation times 0.8 to 1.2
    deepsky   what the authors of SIFT-CNN (Tsourounis 2022) trained with, in their order: see `deepsky`

    No global random state is read or changed, so threads may share it; it can be pickled.
    Raises InputError for another name; the function, for images of another shape or type.
    """
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)
    return functools.partial(_augmented, name, size)


def circle_mask(images: Tensor) -> Tensor:
    """The images, black outside the largest centred circle, as an all-sky lens leaves them.

    images: (..., 3, H, W)
    ->      the same shape and type, new memory

    A pixel stays if its centre, (x + 0.5, y + 0.5), lies within min(H, W) / 2 of (W / 2, H / 2).

    >>> circle_mask(torch.ones(3, 4, 4, dtype=torch.uint8))[0].tolist()
    [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise InputError(f"expected images (..., 3, H, W), got shape {tuple(images.shape)}")
    inside = _circle(images.shape[-2], images.shape[-1]).to(images.device)
    return images * inside.to(images.dtype)


def standard(images: Tensor, draw: random.Random) -> Tensor:
    """The augmentation of that name; draw: where its random numbers come from."""
    flip = -1.0 if draw.random() < 0.5 else 1.0
    scale, turn = draw.uniform(1 - SCALE, 1 + SCALE), math.radians(draw.uniform(-TURN, TURN))
    shift = [2 * draw.uniform(-SHIFT, SHIFT) for _ in range(2)]  # the image is from -1 to 1
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    found = _affine(images, [[flip * cos, -flip * sin, shift[0]], [sin, cos, shift[1]]]) / 255
    # In floats to the end: of 8-bit values these cut off what is behind the point, each time.
    for change in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
        found = change(found, draw.uniform(1 - COLOUR, 1 + COLOUR))
    return (found * 255).round_().to(torch.uint8)


def deepsky(images: Tensor, draw: random.Random) -> Tensor:
    """The augmentation of that name; draw: where its random numbers come from.

    Colour jitter (0.2, 0.2, 0.2, 0.05) with probability 0.1; affine: 5 degrees, shear 5; turn by up to 90 degrees;
    with probability 1/2 each: sharpness 2, equalise, autocontrast; Gaussian blur, 3 wide and 5 high, sigma 0.1 to 2;
    flips. Turned by the nearest pixel, black from outside, as there.
    """
    if draw.random() < 0.1:
        images = _jitter(images, draw)
    images = F.affine(images, draw.uniform(-5, 5), [0, 0], 1.0, [draw.uniform(-5, 5), 0.0])
    images = F.rotate(images, draw.uniform(-90, 90))
    if draw.random() < 0.5:
        images = F.adjust_sharpness(images, 2.0)
    if draw.random() < 0.5:
        images = F.equalize(images)
    if draw.random() < 0.5:
        images = F.autocontrast(images)
    sigma = draw.uniform(0.1, 2)
    images = F.gaussian_blur(images, [3, 5], [sigma, sigma])
    if draw.random() < 0.5:
        images = F.horizontal_flip(images)
    return F.vertical_flip(images) if draw.random() < 0.5 else images


def _none(images: Tensor, draw: random.Random) -> Tensor:
    return images


def _flip(images: Tensor, draw: random.Random) -> Tensor:
    return F.horizontal_flip(images) if draw.random() < 0.5 else images


AUGMENTATIONS: dict[str, Callable[[Tensor, random.Random], Tensor]] = {
    "none": _none,
    "flip": _flip,
    "standard": standard,
    "deepsky": deepsky,
}


def _augmented(name: str, size: int, images: Tensor, seed: int) -> Tensor:
    if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-3:] != (3, size, size):
        raise InputError(
            f"expected uint8 images (..., 3, {size}, {size}), got {images.dtype} of shape {tuple(images.shape)}"
        )
    changed = AUGMENTATIONS[name](images, random.Random(int(seed)))
    return images.clone() if changed.data_ptr() == images.data_ptr() else changed.contiguous()


def _affine(images: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """(..., 3, S, S) resampled at matrix (x, y, 1), both from -1 to 1, as floats; outside is the image's reflection."""
    flat = images.reshape(1, -1, *images.shape[-2:]).float()
    grid = torch.nn.functional.affine_grid(
        torch.tensor([matrix], device=images.device), list(flat.shape), align_corners=False
    )
    # v2's affine fills with one colour only, whose edge a network would learn.
    found = torch.nn.functional.grid_sample(flat, grid, "bilinear", "reflection", align_corners=False)
    return found.reshape(images.shape)


def _jitter(images: Tensor, draw: random.Random) -> Tensor:
    steps: list[tuple[Callable[[Tensor, float], Tensor], float]] = [
        (F.adjust_brightness, draw.uniform(0.8, 1.2)),
        (F.adjust_contrast, draw.uniform(0.8, 1.2)),
        (F.adjust_saturation, draw.uniform(0.8, 1.2)),
        (F.adjust_hue, draw.uniform(-0.05, 0.05)),
    ]
    draw.shuffle(steps)
    for change, amount in steps:
        images = change(images, amount)
    return images


@functools.lru_cache(maxsize=8)
def _circle(height: int, width: int) -> Tensor:
    y, x = (torch.arange(side, dtype=torch.float64) + 0.5 - side / 2 for side in (height, width))
    return y[:, None] ** 2 + x[None] ** 2 <= (min(height, width) / 2) ** 2
