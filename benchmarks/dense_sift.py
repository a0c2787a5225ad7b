"""Claims, CPU time at 640 x 480, one thread, cells of 4: step 1 at least 50x kornia; step 4 at least 12x OpenCV on the
same grid; step 1 float32 into a given array under 28 ms, uint8 under 25 ms; two threads at least 1.7x one; extra memory
at most 1.3x the output.

python benchmarks/dense_sift.py [IMAGE]

VLFeat itself has no package that pip installs; its descriptors are compared in tests/features/dense_sift.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from _common import machine
from numpy.typing import NDArray
from PIL import Image

from resight.features.dense_sift import DenseSift, dense_sift, dense_sift_frames

ROUNDS, HEIGHT, WIDTH, CELL = 9, 480, 640, 4
Grey = NDArray[np.uint8]


def cpu_ms(actions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median CPU milliseconds of each action, of all threads, run in turn; other people's work does not count."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.process_time()
            action()
            times[name].append(1000 * (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def plain_numpy(image: Grey, step: int, b: int = CELL) -> NDArray[np.float32]:
    """The same descriptor as a careful person writes it in numpy: planes, separable sums, slices, norms."""
    grey = image.astype(np.float32) / 255
    gy, gx = np.gradient(grey)
    size, turn = np.hypot(gx, gy), np.arctan2(gy, gx) % (2 * np.pi) * np.float32(4 / np.pi)
    height, width = grey.shape
    ny, nx = (height - 1 - 3 * b) // step + 1, (width - 1 - 3 * b) // step + 1
    reach = np.arange(1 - b, b)
    centres = b * (np.arange(4) - 1.5)
    weights = np.exp(-0.5 * ((reach + centres[:, None]) / (2 * b)) ** 2).mean(1).astype(np.float32)
    found = np.empty((ny, nx, 4, 4, 8), np.float32)
    for k in range(8):
        apart = abs(turn - k)
        plane = np.pad(np.maximum(1 - np.minimum(apart, 8 - apart), 0) * size, b - 1, "edge")
        plane = sum(np.float32(1 - abs(r) / b) * plane[b - 1 + r : b - 1 + r + height] for r in reach)
        plane = sum(np.float32(1 - abs(r) / b) * plane[:, b - 1 + r : b - 1 + r + width] for r in reach)
        for j in range(4):
            for i in range(4):
                part = plane[j * b : j * b + step * ny : step, i * b : i * b + step * nx : step]
                found[:, :, j, i, k] = part[:ny, :nx] * (weights[j] * weights[i])
    flat = found.reshape(ny, nx, 128)
    for clip in (0.2, np.inf):
        flat /= np.linalg.norm(flat, axis=2, keepdims=True) + 1.19e-7
        np.minimum(flat, clip, out=flat)
    return flat


def opencv(image: Grey, step: int) -> Callable[[], object]:
    """cv2.SIFT.compute at the same places and size. It smooths the image and weighs each pixel anew."""
    cv2.setNumThreads(1)
    places = dense_sift_frames(image.shape, step=step, cell=CELL).centres.reshape(-1, 2) - 0.5
    points = [cv2.KeyPoint(float(x), float(y), CELL / 1.5, 0) for x, y in places]
    sift = cv2.SIFT_create()
    return lambda: sift.compute(image, points)


def kornia(image: Grey) -> Callable[[], object] | None:
    """kornia's DenseSIFTDescriptor with 4 x 4 cells of 4 pixels at every pixel, if kornia is installed."""
    if importlib.util.find_spec("kornia") is None:
        return None
    from kornia.feature import DenseSIFTDescriptor

    module = DenseSIFTDescriptor(num_ang_bins=8, num_spatial_bins=4, spatial_bin_size=CELL)
    batch = torch.from_numpy(image)[None, None].float() / 255

    def compute() -> object:
        with torch.no_grad():
            return module(batch)

    return compute


def against_peers(image: Grey) -> None:
    for step in (1, 2, 4, 8):
        out = dense_sift(image, step, threads=1)
        actions: dict[str, Callable[[], object]] = {
            "resight, out=": lambda step=step, out=out: dense_sift(image, step, out=out, threads=1),
            "numpy": lambda step=step: plain_numpy(image, step),
        }
        if step > 2:
            actions["cv2.SIFT on a grid"] = opencv(image, step)
        times = cpu_ms(actions, 3 if step < 4 else ROUNDS)
        peer = kornia(image) if step == 1 else None
        if peer is not None:
            times["kornia DenseSIFTDescriptor"] = cpu_ms({"peer": peer}, 1)["peer"]
        elif step == 1:
            print("kornia is not installed: pip install kornia to compare with its DenseSIFTDescriptor")
        ours = times.pop("resight, out=")
        rest = "; ".join(f"{name} {value:.1f} ms: {value / ours:.1f}x" for name, value in times.items())
        print(f"step {step}: {ours:.2f} ms ({out.shape[0] * out.shape[1] / ours / 1000:.1f} M descriptors/s); {rest}")


def variants(image: Grey, colour: Grey) -> None:
    cases = {
        "float32": {}, "uint8": {"dtype": "uint8"}, "gaussian": {"window": "gaussian"}, "cell 8": {"cell": 8},
        "siftflow, RGB": {"preset": "siftflow"}, "deepsky, RGB": {"preset": "deepsky"}, "step 4": {"step": 4},
        "step 4 gaussian": {"step": 4, "window": "gaussian"},
    }  # fmt: skip
    for name, options in cases.items():
        seen = colour if "RGB" in name else image
        out = dense_sift(seen, threads=1, **options)
        times = cpu_ms({
            "into out=": lambda s=seen, o=out, k=options: dense_sift(s, out=o, threads=1, **k),
            "fresh": lambda s=seen, k=options: dense_sift(s, threads=1, **k),
            "writing zeros": lambda o=out: o.fill(0),
        })  # fmt: skip
        print(f"{name}: " + ", ".join(f"{what} {value:.2f} ms" for what, value in times.items()))


def two_threads(image: Grey) -> None:
    out, best = dense_sift(image), {1: np.inf, 2: np.inf}
    for _ in range(4 * ROUNDS):
        for threads in best:
            start = time.perf_counter()
            dense_sift(image, out=out, threads=threads)
            best[threads] = min(best[threads], 1000 * (time.perf_counter() - start))
    work = cpu_ms({str(n): lambda n=n: dense_sift(image, out=out, threads=n) for n in best})
    bound = 2 * work["1"] / work["2"]
    print(f"wall time, best: one thread {best[1]:.1f} ms, two {best[2]:.1f} ms: {best[1] / best[2]:.2f}x; "
          f"CPU time of both allows {bound:.2f}x where both cores are free")  # fmt: skip


def layer(image: Grey) -> None:
    batch = torch.from_numpy(image)[None, None]
    times = cpu_ms({f"step {step}": lambda step=step: DenseSift(step)(batch) for step in (1, 4)}, 3)
    print("torch layer on the CPU: " + ", ".join(f"{name} {value:.1f} ms" for name, value in times.items()))


def extra_memory(image: Grey) -> None:
    """Peak memory of one call above what the process held before; Linux only."""
    dense_sift(image[:40, :40])
    for step in (4, 1):
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")  # forget the highest so far
        before = _status("VmRSS")
        found = dense_sift(image, step, threads=2)
        extra = _status("VmHWM") - before
        share = extra / found.nbytes
        print(f"memory at step {step}: {extra / 1e6:.1f} MB for {found.nbytes / 1e6:.1f} MB of output: {share:.2f}x")
        del found


def _status(name: str) -> int:
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(name))


def read(path: str) -> Grey:
    if path:
        return np.asarray(Image.open(path).convert("RGB").resize((WIDTH, HEIGHT)))
    small = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else ""
    colour = read(path)
    image = np.ascontiguousarray(colour[:, :, 1])
    print(machine())
    torch.set_num_threads(1)
    extra_memory(image)
    against_peers(image)
    variants(image, colour)
    two_threads(image)
    layer(image)


if __name__ == "__main__":
    main()
