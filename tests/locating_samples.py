"""Small textured photographs, and answers and methods made up, for the tests of the benchmark of template finders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from resight.match.result import Match
from resight.measure.locating import Answer
from resight.measure.locating_methods import Method


def photograph(seed: int, height: int = 120, width: int = 160):
    """(height, width, 3) patches of random colour, a little smooth: corners everywhere, no two places alike."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC))


def photographs(folder: Path, count: int = 6, labels: bool = False) -> Path:
    """A folder of such photographs as PNG; with labels in two folders."""
    for number in range(count):
        place = folder / "ab"[number % 2] if labels else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(number)).save(place / f"{number}.png")
    return folder


PLAIN = Answer(
    tier="identity", number=0, kind="", source="a.png", method="one", template=(40, 50), scene=(120, 160), present=1,
    found=True, score=0.9, hits=1, false=0, iou=0.9, best_iou=0.9, corner_px=1.0, inside_px=0.5, inliers=9,
    find_ms=10.0, prepare_ms=2.0, corners=(((1.0, 2.0), (30.0, 2.0), (30.0, 20.0), (1.0, 20.0)),),
)  # fmt: skip


def answer(**changes) -> Answer:
    """An answer that is right, but for these fields."""
    return replace(PLAIN, **changes)


def wrong(**changes) -> Answer:
    """Nothing found, though it is there."""
    nan = float("nan")
    return answer(**{"found": False, "score": 0.1, "hits": 0, "iou": 0.0, "best_iou": 0.0, "corner_px": nan,
                     "inside_px": nan, "corners": (), **changes})  # fmt: skip


def absent(**changes) -> Answer:
    """Nothing found where nothing is."""
    nan = float("nan")
    return wrong(**{"tier": "absent", "present": 0, "iou": nan, "best_iou": nan, **changes})


def saying(name: str, homography, found: bool = True, score: float = 0.9, log: list | None = None) -> Method:
    """A method that always says the same; `log` hears when it prepares and searches."""

    def prepare(template):
        def find(scene):
            if log is not None:
                log.append((name, "find"))
            return Match(found, score, homography, name, scene.shape[:2], template.size, 7)

        if log is not None:
            log.append((name, "prepare"))
        return find

    return Method(name, prepare)
