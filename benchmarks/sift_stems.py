"""Claims, forward and backward of a ResNet-18 at 224 pixels, against the same network on pixels: SIFT at every fourth
pixel through stem patch costs less; SIFT at every pixel through stem conv at most 2.4x (1.9x with 64 channels), through
stem full at most 3.4x; fusion of pixels and patch at most 2.1x; the descriptors themselves at most 0.15 of it.

python benchmarks/sift_stems.py [--backbone resnet18] [--device cpu] [--batch 8] [--rounds 5]

On the CPU: processor time of one thread; on a GPU: seconds. Descriptors are computed from the images in every pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from _common import machine

from resight.train.networks import ImageNetwork, make_network
from resight.train.options import make_options, resolved

SIZE, CLASSES = 224, 10
WAYS = {
    "pixels": {},
    "patch": {"input": "sift", "stem": "patch", "sift": "vlfeat:step=4"},
    "conv": {"input": "sift", "stem": "conv", "sift": "vlfeat:step=1"},
    "full": {"input": "sift", "stem": "full", "sift": "vlfeat:step=1"},
    "conv, deepsky": {"input": "sift", "stem": "conv", "sift": "deepsky"},
    "fusion, patch": {"input": "fusion", "stem": "patch", "sift": "vlfeat:step=4"},
    "fusion, conv": {"input": "fusion", "stem": "conv", "sift": "vlfeat:step=1"},
}


def training_step(network: ImageNetwork, pixels: torch.Tensor) -> Callable[[], object]:
    """Forward and backward of a batch; SGD's own step is left out."""
    truth = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(network(pixels), truth).backward()

    return step


def medians(actions: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median milliseconds of each action, run in turn after one pass to warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            _wait(device)
            start = clock()
            action()
            _wait(device)
            if turn:
                times[name].append(1000 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (asked.batch, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    pixels = pixels.to(asked.device)
    actions: dict[str, Callable[[], object]] = {}
    for name, given in WAYS.items():
        options = resolved(make_options(backbone=asked.backbone, weights="random", **given), SIZE)
        network = make_network(options, CLASSES).to(asked.device).train()
        actions[name] = training_step(network, pixels)
        if options.input == "sift":
            entry = network.branches["sift"].entry
            actions[f"descriptors of {name}"] = lambda entry=entry: entry(pixels)
    found = medians(actions, asked.rounds, asked.device)
    where = torch.cuda.get_device_name() if asked.device != "cpu" else machine()
    print(f"{where}\n{asked.backbone}, {SIZE} pixels, batches of {asked.batch}, {asked.rounds} rounds")
    print(f"{'forward + backward':28s} {'ms / image':>10s}  ratio")
    for name, value in found.items():
        print(f"{name:28s} {value / asked.batch:10.2f}  {value / found['pixels']:.2f}")


if __name__ == "__main__":
    main()
