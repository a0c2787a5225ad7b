"""Claim: scoring the rankings of 70 queries over 5,000 images in 3 settings takes under 0.1 s, and gives what the
revisited evaluator's loop gives. Beside it: 1,000,000 images, with the memory that scoring takes.

python benchmarks/evaluation.py [--quick]
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator

import numpy as np
from _common import interleaved, machine
from numpy.typing import NDArray

from resight.images.truth import Query, Setting, Truth
from resight.measure.protocols import ProtocolScores, name_index, score_rankings

QUERIES, KS = 70, (1, 5, 10)
SETTINGS = {
    "E": Setting(("easy",), ("junk", "hard")),
    "M": Setting(("easy", "hard"), ("junk",)),
    "H": Setting(("hard",), ("junk", "easy")),
}


def made_up(images: int, seed: int = 0) -> tuple[Truth, list[dict[str, NDArray[np.int64]]]]:
    """A truth in the proportions of Revisited Oxford: some 40 easy, 40 hard and 50 junk images a query."""
    random = np.random.default_rng(seed)
    names = np.array([f"image_{number:07d}" for number in range(images)])
    queries, gnd = [], []
    for number in range(QUERIES):
        rows = random.permutation(min(images, 5000))[:130]
        groups = dict(zip(("easy", "hard", "junk"), np.split(rows, [int(random.integers(0, 60)), 80])))
        gnd.append(groups)
        members = {group: frozenset(names[found].tolist()) for group, found in groups.items()}
        queries.append(Query(f"q{number}", f"query_{number}", None, members))
    return Truth("made up", tuple(queries), SETTINGS, tuple(names.tolist()), "absent"), gnd


def rankings_of(images: int, seed: int = 1) -> Iterator[NDArray[np.int64]]:
    """One ranking per query."""
    random = np.random.default_rng(seed)
    for _ in range(QUERIES):
        yield random.permutation(images)


def loop_ap(ranks: NDArray[np.int64], positives: int) -> float:
    """Trapezoids one after another, as the public evaluators do."""
    ap = 0.0
    for order, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else order / rank
        ap += (before + (order + 1) / (rank + 1)) / (2.0 * positives)
    return ap


def loop_evaluator(
    ranks: NDArray[np.int64], gnd: list[dict[str, NDArray[np.int64]]]
) -> dict[str, tuple[float, list[float]]]:
    """In the manner of the revisited sets' own Python evaluator: {setting: (mAP, mP@k)}; ranks (images, queries)."""
    result = {}
    for name, setting in SETTINGS.items():
        aps, precisions = [], []
        for number, groups in enumerate(gnd):
            positives = np.concatenate([groups[group] for group in setting.positive])
            ignored = np.concatenate([groups[group] for group in setting.ignored])
            if len(positives) == 0:
                continue
            found = np.arange(len(ranks))[np.isin(ranks[:, number], positives)]
            junk = np.arange(len(ranks))[np.isin(ranks[:, number], ignored)]
            passed = 0
            for order in range(len(found)):
                while passed < len(junk) and found[order] > junk[passed]:
                    passed += 1
                found[order] -= passed
            aps.append(loop_ap(found, len(positives)))
            depths = [min(found.max() + 1, k) for k in KS]
            precisions.append([(found + 1 <= depth).sum() / depth for depth in depths])
        result[name] = float(np.mean(aps)), np.mean(precisions, 0).tolist()
    return result


def largest_difference(ours: ProtocolScores, theirs: dict[str, tuple[float, list[float]]]) -> float:
    """Of all means that both give."""
    return max(
        abs(one - other)
        for name, (mean, precisions) in theirs.items()
        for one, other in zip(
            [ours.settings[name].map_trapezoid, *ours.settings[name].mp.values()], [mean, *precisions], strict=True
        )
    )


def main() -> None:
    """Prints times, ratio, the largest difference, and the peak memory for a million images."""
    print(machine())
    truth, gnd = made_up(5000)
    index = name_index(truth, truth.database or ())
    rankings = np.stack(list(rankings_of(5000)))
    ranks = rankings.T.copy()
    times = interleaved(
        {
            "ours": lambda: score_rankings(rankings, truth, index, ks=KS),
            "loop": lambda: loop_evaluator(ranks, gnd),
            "names": lambda: name_index(truth, truth.database or ()),
        },
        3 if "--quick" in sys.argv else 9,
    )
    difference = largest_difference(score_rankings(rankings, truth, index, ks=KS), loop_evaluator(ranks, gnd))
    print(f"  70 x 5,000, 3 settings: {times['ours'] * 1000:.1f} ms; "
          f"the evaluator's loop {times['loop'] * 1000:.1f} ms, "
          f"ratio {times['loop'] / times['ours']:.1f}x; names {times['names'] * 1000:.1f} ms; "
          f"largest difference {difference:.1e}")  # fmt: skip
    images = 100_000 if "--quick" in sys.argv else 1_000_000
    truth, _ = made_up(images)
    index = name_index(truth, truth.database or ())
    one = next(rankings_of(images))
    tracemalloc.start()
    score_rankings((one for _ in range(QUERIES)), truth, index, ks=KS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    times = interleaved({"large": lambda: score_rankings((one for _ in range(QUERIES)), truth, index, ks=KS)}, 1)
    print(f"  70 x {images:,}, 3 settings: {times['large']:.2f} s, {peak / 1e6:.0f} MB beside the rankings")


if __name__ == "__main__":
    main()
