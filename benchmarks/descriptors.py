"""Claims: R-MAC at least 5x region loops, CAM pooling of 64 classes at least 20x a loop over channels, and encoding
with 64 CAMs at most 1.15x the plain forward pass.

python benchmarks/descriptors.py
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from _common import interleaved, machine
from numpy.typing import NDArray
from torch.nn import functional as F

from resight import Encoder
from resight.features import class_maps, class_vectors, rmac

ROUNDS = 9


def rmac_loops(maps: torch.Tensor, levels: int = 3, lists: bool = True) -> torch.Tensor:
    """R-MAC as the public PyTorch toolboxes write it: a cut, a pooling call and a normalisation per region.

    lists: cut by lists of rows and columns, as cirtorch does; otherwise by slices, which is kinder
    """
    overlap, steps, eps = 0.4, torch.tensor([2.0, 3, 4, 5, 6, 7]), 1e-6
    height, width = maps.shape[2:]
    side = min(height, width)
    b = (max(height, width) - side) / (steps - 1)
    index = int(torch.argmin(torch.abs((side**2 - side * b) / side**2 - overlap)))
    down, across = (0, index + 1) if height < width else (index + 1, 0) if height > width else (0, 0)
    total = F.max_pool2d(maps, (height, width))
    total = total / (torch.norm(total, p=2, dim=1, keepdim=True) + eps).expand_as(total)
    for level in range(1, levels + 1):
        wide = int(2 * side / (level + 1))
        half = wide // 2 - 1
        bx = (width - wide) / (level + across - 1) if level + across > 1 else 0
        by = (height - wide) / (level + down - 1) if level + down > 1 else 0
        lefts = [int(half + i * bx) - half for i in range(level + across)]
        tops = [int(half + i * by) - half for i in range(level + down)]
        for top in tops:
            for left in lefts:
                if lists:
                    region = maps[:, :, (top + torch.Tensor(range(wide)).long()).tolist(), :]
                    region = region[:, :, :, (left + torch.Tensor(range(wide)).long()).tolist()]
                else:
                    region = maps[:, :, top : top + wide, left : left + wide]
                one = F.max_pool2d(region, (region.size(-2), region.size(-1)))
                total = total + one / (torch.norm(one, p=2, dim=1, keepdim=True) + eps).expand_as(one)
    return F.normalize(total.flatten(1), dim=1)


def cam_loops(maps: NDArray[np.float32], cams: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class vectors as the predecessor writes them: for each class and each channel, the sum of a product."""
    channels = maps.shape[0]
    share = np.array([(maps[k] > 0).mean() for k in range(channels)])
    weight = np.where(share > 0, np.log(share.sum() / np.where(share > 0, share, 1)), 0)
    rows = np.zeros((len(cams), channels), np.float32)
    for c in range(len(cams)):
        for k in range(channels):
            rows[c, k] = (maps[k] * cams[c]).sum() * weight[k]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def regions() -> None:
    layouts = {"channels last, as networks here": torch.channels_last, "channels first": torch.contiguous_format}
    sizes = ((2048, 7, 7), (2048, 16, 24), (512, 45, 64))
    for (layout, memory), (channels, height, width) in itertools.product(layouts.items(), sizes):
        maps = torch.rand(1, channels, height, width).to(memory_format=memory)
        ours, theirs = rmac(maps, include_global=True), rmac_loops(maps)
        error = float((ours - theirs).abs().max())
        times = interleaved(
            {
                "ours": lambda m=maps: rmac(m, include_global=True),
                "lists": lambda m=maps: rmac_loops(m),
                "slices": lambda m=maps: rmac_loops(m, lists=False),
            },
            ROUNDS,
        )
        print(
            f"R-MAC {channels} x {height} x {width}, {layout}: {1000 * times['ours']:.2f} ms; loops as cirtorch "
            f"{1000 * times['lists']:.2f} ms: {times['lists'] / times['ours']:.1f}x; loops over slices "
            f"{1000 * times['slices']:.2f} ms: {times['slices'] / times['ours']:.1f}x (largest difference {error:.1e})"
        )


def class_pooling() -> None:
    for channels, height, width in ((1280, 7, 7), (2048, 7, 7), (512, 45, 64)):
        draw = torch.Generator().manual_seed(0)
        maps = torch.rand(1, channels, height, width, generator=draw)
        head = torch.randn(1000, channels, generator=draw)
        cams = class_maps(maps, head, torch.arange(64))
        plain, weights = maps[0].numpy(), cams[0].numpy()
        error = float(np.abs(class_vectors(maps, cams)[0].numpy() - cam_loops(plain, weights)).max())
        times = interleaved({"ours": lambda m=maps, c=cams: class_vectors(m, c),
                             "loops": lambda m=plain, c=weights: cam_loops(m, c)}, 5)  # fmt: skip
        print(f"CAM pooling, 64 classes, {channels} x {height} x {width}: {1000 * times['ours']:.2f} ms, loops "
              f"{1000 * times['loops']:.0f} ms: {times['loops'] / times['ours']:.0f}x "
              f"(largest difference {error:.1e})")  # fmt: skip


def encoding() -> None:
    cases = [
        ("tf_efficientnet_lite0", "package", 224, 4),
        ("resnet50", "random", 224, 4),
        ("resnet50", "random", 512, 1),
        ("densenet161", "random", 224, 4),
        ("vgg16_cam", "random", 512, 1),
    ]
    for name, weights, size, batch in cases:
        cam = Encoder(name, weights=weights, descriptor="cam:count=64", size=size)
        pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)

        def forward(encoder: Encoder = cam, pixels: torch.Tensor = pixels) -> object:
            with torch.inference_mode():
                return encoder.backbone.maps(encoder.backbone.normalise(pixels))

        times = interleaved({"forward": forward, "cam": lambda c=cam, p=pixels: c.forward(p)}, ROUNDS)
        print(f"encoding {name} {size} x {batch}: cam of 64 classes "
              f"{1000 * times['cam']:.0f} ms, forward pass {1000 * times['forward']:.0f} ms: "
              f"{times['cam'] / times['forward']:.2f}x")  # fmt: skip


if __name__ == "__main__":
    print(machine())
    with torch.inference_mode():
        regions()
        class_pooling()
    encoding()
