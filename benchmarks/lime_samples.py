"""LIME beside the lime package: time, and how far their explanations agree.

    python benchmarks/lime_samples.py FOLDER [images] [superpixels]

The packaged classifier on photographs, slic superpixels of ours given to both (the lime package never hides the last
one of scikit-image's own, which count from 1). In turn for each image: ours with as many samples as it takes by
default, and the lime package with its 1,000; at the end, for the first image, two draws of 1,000, to show how far those
agree. Both call the same network in one process. Wall-clock, and processor time, which other load moves less.
Goal: at most 0.6x the lime package's time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from _common import machine
from lime import lime_image
from numpy.typing import NDArray

from resight.explain.lime import lime
from resight.explain.listening import undisturbed
from resight.explain.stability import rank_correlation
from resight.explain.subject import Subject, open_subject

T = TypeVar("T")
Numbers = NDArray[Any]


def timed(action: Callable[[], T]) -> tuple[NDArray[np.float64], T]:
    """Seconds of wall-clock and of the processor, and what was made."""
    start, worked = time.perf_counter(), time.process_time()
    made = action()
    return np.array([time.perf_counter() - start, time.process_time() - worked]), made


def by_peer(subject: Subject, square: Numbers, segments: Numbers, target: int) -> Numbers:
    """The lime package's coefficients of one class."""

    def score(images: Numbers) -> Numbers:
        with undisturbed(subject.module), torch.no_grad():
            return subject.forward(torch.from_numpy(images).permute(0, 3, 1, 2)).softmax(1).numpy()

    lime_image.tqdm = lambda rows: rows  # no bar
    made = lime_image.LimeImageExplainer(random_state=0).explain_instance(
        square, score, labels=(target,), top_labels=None, num_samples=1000, segmentation_fn=lambda _: segments
    )
    known = dict(made.local_exp[target])
    return np.array([known[part] for part in range(len(known))])


def study(subject: Subject, photo: Path, superpixels: int) -> dict[str, float]:
    """The figures of one image."""
    ours_time, ours = timed(lambda: lime(photo, subject, "top:1", count=superpixels))
    time_of_lime, theirs = timed(lambda: by_peer(subject, ours.square, ours.segments, ours.targets[0]))
    wall, worked = ours_time / time_of_lime
    return {
        "superpixels": ours.coefficients.shape[1], "samples": ours.samples, "ours (s)": ours_time[0],
        "lime (s)": time_of_lime[0], "ratio": wall, "by processor time": worked,
        "agreement": rank_correlation(ours.coefficients[0], theirs), "stability": float(ours.stability[0]),
        "r2": float(ours.r2[0]),
    }  # fmt: skip


def agreement_of_equals(subject: Subject, photo: Path, superpixels: int) -> float:
    """The rank correlation of two explanations of 1,000 samples each, of different draws."""
    first, second = (
        lime(photo, subject, "top:1", count=superpixels, samples=1000, seed=seed).coefficients[0] for seed in (1, 2)
    )
    return rank_correlation(first, second)


def main() -> None:
    """Print a line for each image, and the medians."""
    photos = sorted(path for path in Path(sys.argv[1]).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    superpixels = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    photos = photos[:: max(1, len(photos) // wanted)][:wanted]
    subject = open_subject("tf_efficientnet_lite0")
    lime(photos[0], subject, samples=16)  # warm
    print(machine(), f"{torch.get_num_threads()} threads", sep="; ", flush=True)
    rows = []
    for photo in photos:
        rows.append(study(subject, photo, superpixels))
        print(f"{photo.name:<36}", "  ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    print(f"{'median':<36}", "  ".join(f"{name} {value:.3g}" for name, value in middle.items()))
    print(f"by default {middle['ratio']:.2f}x the lime package's time at 1,000 samples (goal 0.6x; by processor time "
          f"{middle['by processor time']:.2f}x); rank agreement {middle['agreement']:.2f}", flush=True)  # fmt: skip
    print(f"two runs of 1,000 samples, {photos[0].name}: {agreement_of_equals(subject, photos[0], superpixels):.2f}")


if __name__ == "__main__":
    main()
