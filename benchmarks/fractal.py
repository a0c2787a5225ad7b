"""The gliding box, 20 scales: mass pass on 512 x 512 RGB at most 130 ms of CPU on one thread, 1.7x with two threads;
percolation on 256 x 256 at most 0.45 s. Against shifted copies in plain NumPy, and naive loops on a small image.

python benchmarks/fractal.py [IMAGE ...]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from _common import machine
from numpy.typing import NDArray
from PIL import Image

from resight.features.fractal import fractal
from resight.features.fractal.counting import cluster_totals, make_plan, mass_counts
from resight.features.fractal.options import make_options

SCALES = tuple(range(3, 42, 2))
EVERYWHERE = np.empty((0, 0), np.uint8)
Pixels = NDArray[np.uint8]


def smooth(size: int, cells: int) -> Pixels:
    """Bicubic clouds of random colours."""
    small = np.random.default_rng(0).integers(0, 256, (cells, cells, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def texture(size: int) -> Pixels:
    """Clouds with noise on them: boxes hold many clusters, as in photos of cloth or foil."""
    noise = np.random.default_rng(1).normal(0, 12, (size, size, 1))
    return np.clip(smooth(size, 12) + noise, 0, 255).astype(np.uint8)


def masses(image: Pixels, threads: int = 1) -> list[NDArray[np.int64]]:
    plan = make_plan(make_options(SCALES, rule="glidingbox"), image.shape)
    return mass_counts(image, plan, EVERYWHERE, threads)


def clusters(image: Pixels, threads: int = 1) -> NDArray[np.int64]:
    plan = make_plan(make_options(SCALES, rule="glidingbox"), image.shape)
    return cluster_totals(image, plan, EVERYWHERE, threads)


def shifted(image: Pixels) -> list[NDArray[np.int64]]:
    """Plain NumPy: for every offset, the distance to a shifted copy counts at all scales that it is within."""
    height, width = image.shape[:2]
    reach = SCALES[-1] // 2
    sums = np.ones((len(SCALES), height, width), np.uint16)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            ring = max(abs(dy), abs(dx))
            if ring == 0:
                continue
            inner = (slice(ring, height - ring), slice(ring, width - ring))
            centre = image[inner]
            other = image[ring + dy : height - ring + dy, ring + dx : width - ring + dx]
            distance = (np.maximum(centre, other) - np.minimum(centre, other)).max(axis=2)
            for j in range(ring - 1, len(SCALES)):
                sums[j][inner] += distance <= SCALES[j]
    found = []
    for j, side in enumerate(SCALES):
        k = side // 2
        found.append(np.bincount(sums[j, k : height - k, k : width - k].ravel(), minlength=side * side + 1)[1:])
    return found


def naive(image: Pixels) -> list[NDArray[np.int64]]:
    """Loops over scales, boxes and pixels, as the method is told."""
    rows = image.tolist()
    height, width = image.shape[:2]
    found = []
    for side in SCALES:
        k, counts = side // 2, np.zeros(side * side, np.int64)
        for y in range(k, height - k):
            for x in range(k, width - k):
                red, green, blue = rows[y][x]
                mass = 0
                for line in rows[y - k : y + k + 1]:
                    for r, g, b in line[x - k : x + k + 1]:
                        mass += max(abs(r - red), abs(g - green), abs(b - blue)) <= side
                counts[mass - 1] += 1
        found.append(counts)
    return found


def interleaved(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median (CPU of the whole process, wall) seconds of each action, run in turn."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            cpu, wall = time.process_time(), time.perf_counter()
            action()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(statistics.median, zip(*rows))) for name, rows in times.items()}  # type: ignore[misc]


def show(name: str, times: tuple[float, float], note: str = "") -> None:
    print(f"  {name:44} {1000 * times[0]:10.1f} ms CPU {1000 * times[1]:10.1f} ms wall   {note}")


def main() -> None:
    print(machine() + f", load {os.getloadavg()[0]:.1f}")
    start = time.perf_counter()
    fractal(smooth(64, 8), threads=1)
    print(f"  first call: {time.perf_counter() - start:.2f} s (compiles, or loads from the cache on disk)")

    small, middle, large = smooth(48, 8), smooth(256, 32), smooth(512, 64)
    for ours, theirs, loops in zip(masses(small), shifted(small), naive(small)):
        if not ((ours == theirs).all() and (ours == loops).all()):
            sys.exit("results differ")
    times = interleaved({"ours": lambda: masses(small), "naive": lambda: naive(small)}, 3)
    print(f"masses, 48 x 48: {times['naive'][0] / times['ours'][0]:,.0f} x the naive loops (CPU), same numbers")

    for image in (middle, large):
        against = {"one": lambda i=image: masses(i), "numpy": lambda i=image: shifted(i)}
        times = interleaved(against, 3)
        more = interleaved({"one": lambda i=image: masses(i), "two": lambda i=image: masses(i, 2)}, 15)
        print(f"masses, {len(image)} x {len(image)} RGB, 20 scales")
        show("resight, one thread", more["one"], f"{times['numpy'][0] / times['one'][0]:.0f} x plain NumPy (CPU)")
        show("resight, two threads", more["two"], f"{more['one'][1] / more['two'][1]:.2f} x one thread (wall)")
        show("plain NumPy, shifted copies", times["numpy"])

    print("clusters and largest cluster, 256 x 256 RGB, 20 scales")
    images = {"clouds": smooth(256, 32), "texture": texture(256), "level": np.zeros((256, 256, 3), np.uint8)}
    for path in sys.argv[1:]:
        images[path[-40:]] = np.asarray(Image.open(path).convert("RGB").resize((256, 256)))
    for name, image in images.items():
        times = interleaved({"one": lambda i=image: clusters(i), "two": lambda i=image: clusters(i, 2)}, 5)
        show(name, times["one"], f"two threads {times['one'][1] / times['two'][1]:.2f} x (wall)")


if __name__ == "__main__":
    main()
