"""Batch normalisation made ready for what a new first convolution gives, before the first step of a training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

IMAGES = 256  # enough for statistics of channels; more would only take time


def settle(branch: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every batch normalisation by those of these images; weights stay as they are.

    branch:  (B, 3, S, S) uint8 -> features
    batches: of such images; no more than IMAGES of them are looked at
    ->       how many were

    Pretrained statistics are of the maps that pixels made. Behind a new first convolution they are wrong by factors,
    and since training normalises by the batch and only validation by these, a network that learns would stay at chance
    in validation until they have caught up (some ten epochs of a small set). AdaBN: Li 2016. No random number is drawn.
    """
    layers = [one for one in branch.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]
    if not layers:
        return 0
    was, momenta = branch.training, [one.momentum for one in layers]
    branch.eval()
    for one in layers:
        one.reset_running_stats()
        one.momentum = None  # the plain mean over all batches
        one.train()
    seen = 0
    try:
        with torch.no_grad():
            for pixels in batches:
                if seen >= IMAGES:
                    break
                branch(pixels)
                seen += len(pixels)
    finally:
        for one, momentum in zip(layers, momenta, strict=True):
            one.momentum = momentum
        branch.train(was)
    return seen
