"""Small labelled pictures and small networks to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (200, 50, 40)}
# One of timm's test networks: 64 pixels, a fraction of a second an epoch.
TINY: dict[str, Any] = {"backbone": "test_resnet", "weights": "random", "size": 32, "device": "cpu", "workers": 0}


def class_folders(root: Path, each: int = 8, classes: tuple[str, ...] = ("blue", "green", "red")) -> Path:
    """`each` noisy pictures of each colour in root/COLOUR/0.png ...; nothing else tells the classes apart."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(each):
            dice = np.random.default_rng((len(name), number))
            noise = dice.normal(0, 60, (40, 48, 3))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def clip_folders(root: Path, each: int = 4, frames: tuple[int, ...] = (2, 3, 5)) -> Path:
    """Sequences of unequal length, each a folder of frames, of two colours."""
    for name in ("blue", "red"):
        for number in range(each):
            folder = root / name / f"clip-{number}"
            folder.mkdir(parents=True)
            for frame in range(frames[number % len(frames)]):
                dice = np.random.default_rng((len(name), number, frame))
                pixels = np.clip(np.array(COLOURS[name]) + dice.normal(0, 60, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{frame}.png")
    return root


def tiny_flags(**more: Any) -> list[str]:
    """TINY and more as words of a command line."""
    return [word for name, value in {**TINY, **more}.items() for word in (f"--{name.replace('_', '-')}", str(value))]
