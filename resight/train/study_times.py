"""How long each row's network takes for an image, or a sequence, measured side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from resight.train.runs import Run

REPEATS, IMAGES, SEQUENCES = 7, 8, 2


def times_per_image(runs: Mapping[str, Run], *, repeats: int = REPEATS) -> dict[str, float]:
    """Milliseconds from the pixels of an image, or the frames of a sequence, to its scores: {row: median}.

    One pass of 8 images, or 2 sequences, on one thread of the CPU or on the run's device. The rows take turns, so that
    whatever else the machine does falls on all of them alike. Noise of each run's own size: a network's time does not
    depend on what it sees.
    """
    before = torch.get_num_threads()
    found: dict[str, list[float]] = {name: [] for name in runs}
    draw = torch.Generator().manual_seed(0)
    inputs = {name: _inputs(run, draw) for name, run in runs.items()}
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for turn in range(repeats + 1):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run.network(*inputs[name]).cpu()
                    if turn:  # the first pass loads and compiles
                        found[name].append(1000 * (time.perf_counter() - start) / len(inputs[name][0]))
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(values) for name, values in found.items()}


def _inputs(run: Run, draw: torch.Generator) -> tuple[Tensor, ...]:
    """What the run's network takes, on its device."""
    shape: tuple[int, ...] = (3, run.fitting.size, run.fitting.size)
    count = IMAGES
    if run.options.sequences:
        count, shape = SEQUENCES, (run.fitting.frames, *shape)
    noise = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=draw)
    device = next(run.network.parameters()).device
    lengths = (torch.full((count,), run.fitting.frames, device=device),) if run.options.sequences else ()
    return noise.to(device), *lengths
