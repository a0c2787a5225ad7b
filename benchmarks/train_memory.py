"""Does a training on a CPU gain by keeping the memory that a step gives back, instead of asking the system anew?

    python benchmarks/train_memory.py [rounds]

Steps of fine-tuning the default network (batch 32 at 224 pixels), inside and outside `memory_kept`, in turn in one
process; wall-clock and processor time of one step, the latter also as its share spent in the system.
"""

from __future__ import annotations

import resource
import sys
import time
from contextlib import nullcontext

import torch
from _common import machine, peak_memory_mb

from resight.train.networks import make_network
from resight.train.options import TrainOptions, resolved
from resight.train.surroundings import memory_kept

STEPS = 3  # in a row, of which the first fills the memory that is kept


def main() -> None:
    """Print the medians and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    network = make_network(resolved(TrainOptions(weights="random"), 224), 12).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    pixels = torch.randint(0, 256, (32, 3, 224, 224), dtype=torch.uint8)
    labels = torch.randint(0, 12, (32,))

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(pixels), labels).backward()
        optimiser.step()

    step()
    times: dict[str, list[tuple[float, float, float]]] = {"as glibc does": [], "kept": []}
    for _ in range(rounds):
        for name, rows in times.items():
            with memory_kept(torch.device("cpu")) if name == "kept" else nullcontext():
                step()
                before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
                for _ in range(STEPS):
                    step()
                after = resource.getrusage(resource.RUSAGE_SELF)
            wall = (time.perf_counter() - start) / STEPS
            rows.append((wall, (after.ru_utime - before.ru_utime) / STEPS, (after.ru_stime - before.ru_stime) / STEPS))
    print(machine())
    medians = {name: [sorted(column)[len(column) // 2] for column in zip(*rows)] for name, rows in times.items()}
    for name, (wall, user, system) in medians.items():
        print(f"{name:<14} {wall:.2f} s a step; processor {user:.2f} s + system {system:.2f} s")
    plain, kept = medians.values()
    print(f"kept is {plain[0] / kept[0]:.2f}x as fast; {sum(plain[1:]) / sum(kept[1:]):.2f}x by processor time; "
          f"peak {peak_memory_mb():,.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
