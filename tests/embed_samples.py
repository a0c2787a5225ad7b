"""Small labelled pictures whose classes a random network does not tell apart by itself, and small networks to train."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# One of timm's test networks: 32 pixels, a fraction of a second an epoch.
TINY: dict[str, Any] = {
    "backbone": "test_resnet", "weights": "random", "size": 32, "device": "cpu", "workers": 0, "epochs": 2,
    "batch": 8, "keep": 48, "per_pair": 5, "lr": 1e-3, "validation": 0.3, "augment": "none",
}  # fmt: skip


def tinted(number: int, of: int, seed: int) -> np.ndarray:
    """(32, 32, 3) uint8: noise of any brightness, whose tint is the class."""
    dice = np.random.default_rng((number, seed))
    angle = 2 * np.pi * number / of
    tint = 40 * np.array([np.cos(angle), np.cos(angle - 2.1), np.cos(angle + 2.1)])
    pixels = dice.uniform(70, 185) + tint + dice.normal(0, 30, (32, 32, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def tint_folders(root: Path, classes: int = 4, each: int = 12) -> Path:
    """`each` pictures of each tint in root/CLASS/0.png ..."""
    for number in range(classes):
        folder = root / f"tint{number:02}"
        folder.mkdir(parents=True)
        for one in range(each):
            Image.fromarray(tinted(number, classes, one)).save(folder / f"{one}.png")
    return root


def tiny_flags(**more: Any) -> list[str]:
    """TINY and more as words of a command line."""
    return [word for name, value in {**TINY, **more}.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def rows(run, name="metrics.csv", but=("seconds", "share_of_time")):
    """A table of the run, but for the times."""
    with (run.folder / name).open() as file:
        return [{key: value for key, value in row.items() if key not in but} for row in csv.DictReader(file)]


def outcome(run):
    """All that must be the same, whatever happened in between."""
    tables = [
        rows(run, name) for name in ("metrics.csv", "mining.csv", "validation.csv") if (run.folder / name).is_file()
    ]
    return tables, run.record["model"]["sha256"], run.record["before"], run.record["start"]


def of_part(run, part):
    """Paths and labels of a part of the run's split."""
    with run.split_file.open() as file:
        kept = [row for row in csv.DictReader(file) if row["part"] == part]
    return [row["path"] for row in kept], [row["label"] for row in kept]
