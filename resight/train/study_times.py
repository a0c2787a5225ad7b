"""How long each row's network takes for an image, measured side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch

from resight.train.runs import Run

REPEATS, IMAGES = 7, 8


def times_per_image(runs: Mapping[str, Run], *, repeats: int = REPEATS, images: int = IMAGES) -> dict[str, float]:
    """Milliseconds from the pixels of an image to its scores, on one thread: {row: median}.

    The rows take turns, so that whatever else the machine does falls on all of them alike. Noise images of each run's
    own size: a network's time does not depend on what it sees.
    """
    before = torch.get_num_threads()
    found: dict[str, list[float]] = {name: [] for name in runs}
    draw = torch.Generator().manual_seed(0)
    batches = {}
    for name, run in runs.items():
        side = int(run.network.size)
        device = next(run.network.parameters()).device
        batches[name] = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8, generator=draw).to(device)
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for turn in range(repeats + 1):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run.network(batches[name]).cpu()
                    if turn:  # the first pass loads and compiles
                        found[name].append(1000 * (time.perf_counter() - start) / images)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(values) for name, values in found.items()}
