"""How many frames a second a template is followed at, in videos.

    python benchmarks/tracking.py FOLDER [--size 640x480] [--threads 2]

FOLDER has tree.avi and Megamind.avi of OpenCV's samples. Frames are scaled to the size before the clock starts; the
template is a box of the first frame that is looked at. Searches of the whole frame are counted in. Claim: at least 15.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from _common import machine

from resight.images.frames import frames
from resight.match.finding import Finder
from resight.match.tracking import Tracker

# Name, video, box in 640 x 480, first frame and the one behind the last.
CASES = (
    ("branches", "tree.avi", (240, 160, 400, 300), 0, 999),
    ("leaves", "tree.avi", (200, 60, 330, 170), 0, 999),
    ("lamp", "Megamind.avi", (390, 330, 520, 470), 20, 96),
    ("head that turns", "Megamind.avi", (230, 160, 340, 260), 20, 96),
    ("man, hidden half of the time", "Megamind.avi", (380, 90, 500, 290), 20, 96),
    ("hand, soon gone", "Megamind.avi", (90, 270, 220, 470), 20, 96),
)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    wide, tall = map(int, given.size.split("x"))
    cv2.setNumThreads(given.threads)
    print(f"{machine()}; {wide} x {tall}, {given.threads} threads of OpenCV")
    print(f"{'':<30}{'frames':>8}{'a second':>10}{'median ms':>11}{'found':>7}{'searches':>10}")
    for name, video, box, first, end in CASES:
        print_case(name, given.folder / video, box, (first, end), (wide, tall))


def print_case(name: str, video: Path, box: tuple[int, ...], span: tuple[int, int], size: tuple[int, int]) -> None:
    """Follow one template and print how fast."""
    tracker, times, found, searches = None, [], 0, 0
    for place, (_, image) in enumerate(frames(video)):
        if not span[0] <= place < span[1]:
            continue
        frame = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
        if tracker is None:
            x1, y1, x2, y2 = (round(side * full / known) for side, full, known in zip(box, size * 2, (640, 480) * 2))
            tracker = Tracker(Finder(frame[y1:y2, x1:x2].copy()))
        start = time.perf_counter()
        match = tracker.next(frame)
        times.append(time.perf_counter() - start)
        found, searches = found + match.found, searches + tracker.searched
    print(f"{name:<30}{len(times):>8}{len(times) / sum(times):>10.1f}{1000 * np.median(times):>11.1f}"
          f"{found / len(times):>7.2f}{searches:>10}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
