"""Does fine-tuning a descriptor help on classes it has never seen? Pooling x miner x seeds, before and after.

    python benchmarks/embed_study.py DATA --out FOLDER [--pools gem spoc] [--miners ranked batch-hard] [--seeds 0 1 2]
                                     [--project whiten] [--set name=value ...]

DATA: class folders, folders of parts (taken together) or a CSV. For each seed half of the classes are held out, the
same for every row; the rest is trained on, 15 % of its images choose the epoch. Each run is kept in FOLDER and not made
twice; an interrupted one goes on. FOLDER/table.csv and table.txt have the means.

before: the frozen encoder, without and with the projection fitted on the training images. Intervals: 95 %, of the mean
over all queries of all seeds, drawn in pairs and with replacement, classes first, then their queries; and the smallest
and largest of the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from resight.cli.progress import progress
from resight.cli.train import print_line
from resight.images.examples import read_examples
from resight.train.class_splits import deal
from resight.train.embed_testing import test_embedder
from resight.train.embed_training import train_embedder

ROUNDS = 2000
STAGES = ("frozen", "start", "trained")


@dataclass(frozen=True)
class Row:
    """One cell of the study: a pooling, a miner (or a loss that needs none), a way to begin the projection."""

    pool: str
    miner: str
    project: str

    @property
    def name(self) -> str:
        return "-".join((self.pool, self.miner, self.project)).replace(":", "_").replace("=", "")


def main() -> None:
    asked = _asked()
    data = read_examples(asked.data)
    rows = [Row(*cell) for cell in product(asked.pools, asked.miners, asked.project)]
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        split = asked.out / f"split-{seed}.csv"
        if not split.exists():
            deal(data, "class", validation=0.0, test=0.5, seed=seed, anew=True).write(split)
        for row in rows:
            file = asked.out / f"{row.name}-{seed}.json"
            if not file.exists():
                _measure(row, seed, split, asked, file)
            _table(asked.out, rows, asked.seeds)
    print((asked.out / "table.txt").read_text())


def _measure(row: Row, seed: int, split: Path, asked: argparse.Namespace, file: Path) -> None:
    """Train and test one cell with one seed; leaves the average precision of each query in a file."""
    print_line(f"{row.name}, seed {seed}")
    given = {"validation": 0.15, "by": "image", "seed": seed, **_options(asked.set)}
    given |= {"loss": row.miner} if row.miner not in ("ranked", "hardest", "batch-hard", "semi-hard") else {
        "miner": row.miner
    }  # fmt: skip
    run = train_embedder(
        split, asked.out / f"{row.name}-{seed}", pool=row.pool, project=row.project, resume=True, progress=progress,
        tell=print_line, report=lambda line: print_line(f"  epoch {line.epoch}: mAP {line.val:.4f}"), **given,
    )  # fmt: skip
    report = test_embedder(run, split, progress=progress)
    labels = [report.labels[query] for query in report.trained.queries]
    found = {
        "labels": labels, "seconds": run.record["seconds"], "options": run.record["options"],
        **{stage: report.stages[stage].scores.ap.tolist() for stage in STAGES},
    }  # fmt: skip
    file.with_suffix(".part").write_text(json.dumps(found))
    file.with_suffix(".part").replace(file)


def _table(out: Path, rows: list[Row], seeds: list[int]) -> None:
    lines = []
    for row in rows:
        files = [file for seed in seeds if (file := out / f"{row.name}-{seed}.json").exists()]
        if files:
            lines.append(_line(row, [json.loads(file.read_text()) for file in files]))
    with (out / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    widths = {name: max(len(name), *(len(str(line[name])) for line in lines)) for name in lines[0]}
    text = "\n".join(
        "  ".join(str(cell).rjust(widths[name]) for name, cell in cells.items())
        for cells in ({name: name for name in lines[0]}, *lines)
    )
    (out / "table.txt").write_text(text + "\n")


def _line(row: Row, runs: list[dict]) -> dict[str, object]:
    means = {stage: [float(np.mean(run[stage])) for run in runs] for stage in STAGES}
    line: dict[str, object] = {"pool": row.pool, "miner": row.miner, "project": row.project, "seeds": len(runs)}
    line |= {stage: f"{np.mean(means[stage]):.3f}" for stage in STAGES}
    for stage in ("start", "frozen"):
        gains = np.subtract(means["trained"], means[stage])
        low, high = _interval(runs, stage)
        line[f"trained-{stage}"] = f"{gains.mean():+.3f} ({low:+.3f}, {high:+.3f})"
        line[f"seeds-{stage}"] = " ".join(f"{gain:+.3f}" for gain in gains)
    return {**line, "minutes": f"{np.mean([run['seconds'] for run in runs]) / 60:.1f}"}


def _interval(runs: list[dict], stage: str) -> tuple[float, float]:
    """Of the mean gain over seeds: in each, classes are drawn anew, and of each class its queries."""
    random = np.random.default_rng(0)
    drawn = np.zeros(ROUNDS)
    for run in runs:
        gains, labels = np.subtract(run["trained"], run[stage]), np.array(run["labels"])
        classes = [gains[labels == label] for label in sorted(set(run["labels"]))]
        for turn in range(ROUNDS):
            chosen = random.integers(0, len(classes), len(classes))
            values = [random.choice(classes[one], len(classes[one])) for one in chosen]
            drawn[turn] += np.concatenate(values).mean() / len(runs)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _options(pairs: list[str]) -> dict[str, object]:
    return {name: _value(text) for name, _, text in (pair.partition("=") for pair in pairs)}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pools", nargs="+", default=["gem"])
    parser.add_argument("--miners", nargs="+", default=["ranked"], help="or losses of pytorch-metric-learning")
    parser.add_argument("--project", nargs="+", default=["whiten"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="options of every training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
