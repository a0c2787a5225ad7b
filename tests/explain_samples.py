"""Small networks to explain, in double precision, with random weights; and sequences' counterpart."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from samples import picture
from torch import Tensor, nn

from resight.explain.listening import undisturbed
from resight.explain.methods import METHODS
from resight.explain.subject import Subject, module_subject
from resight.explain.work import Batch, Found
from resight.images.frame import fit_frame

SIDE = 12


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights drawn from a normal distribution, large enough that scores differ; double precision."""
    dice = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=dice, dtype=torch.float64) / parameter[0].numel() ** 0.5
    return module.double().eval()


def pooled_linear(channels: int = 5, classes: int = 4, seed: int = 0) -> nn.Module:
    """Convolution, ReLU ("1"), mean over places, linear ("4"): where class activation maps are exact."""
    layers = [nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return seeded(nn.Sequential(*layers, nn.Linear(channels, classes)), seed)


def bent(channels: int = 4, classes: int = 4, seed: int = 0) -> nn.Module:
    """As above with a second convolution and ReLU between "1" and the mean: gradients differ from place to place."""
    return seeded(nn.Sequential(
        nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 6, 3, 1, 1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes),
    ), seed)  # fmt: skip


def to_unit(pixels: Tensor) -> Tensor:
    """0..255 -> -1..1, double precision."""
    return pixels.double() / 127.5 - 1


def subject(module: nn.Module | None = None, size: int = SIDE, classes: tuple[str, ...] = ()) -> Subject:
    """A subject of a module on `to_unit` pixels."""
    return module_subject(bent() if module is None else module, to_unit, size, classes=classes, name="net")


def pixels(count: int = 2, size: int = SIDE) -> Tensor:
    """(count, 3, size, size) uint8."""
    return torch.from_numpy(np.stack([picture(n, size, size) for n in range(count)])).permute(0, 3, 1, 2).contiguous()


def found(method: str, who: Subject, batch: Tensor, classes: list[int], layer: str | None = None, **options) -> Found:
    """What a method makes of a batch, in the network's own precision."""
    with undisturbed(who.module):
        return METHODS[method](Batch(who, batch), lambda logits: classes, layer, **options)


def maps(method: str, who: Subject, batch: Tensor, target: int, layer: str | None = None, **options) -> Tensor:
    """(B, h, w) maps of one class."""
    return found(method, who, batch, [target], layer, **options).maps[0].by_branch[""]


class FrameScores(nn.Module):
    """Sequences: a convolution and ReLU on every frame, mean over places and frames, linear.

    one_by_one: frames go through in several calls
    """

    def __init__(self, one_by_one: bool = False) -> None:
        super().__init__()
        self.conv, self.head, self.one_by_one = nn.Conv2d(3, 4, 1), nn.Linear(4, 3), one_by_one
        self.relu = nn.ReLU()

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        flat = torch.cat([to_unit(one[:n]) for one, n in zip(frames, lengths.tolist())])
        parts = flat.split(1) if self.one_by_one else [flat]
        rows = torch.cat([self.relu(self.conv(part)).mean((2, 3)) for part in parts])
        return self.head(torch.stack([one.mean(0) for one in rows.split(lengths.tolist())]))


def frames_subject(one_by_one: bool = False, size: int = 6) -> Subject:
    """A subject that takes (T, 3, S, S) arrays as sequences."""
    module = seeded(FrameScores(one_by_one))
    return Subject(
        "clips", module, ("a", "b", "c"), size, lambda net, *given: net(*given), torch.as_tensor,
        partial(fit_frame, size=size, mode="squash"),
        frames=True,
    )  # fmt: skip
