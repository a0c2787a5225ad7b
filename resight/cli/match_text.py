"""What `resight match` prints: a line for each scene, the totals, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resight.show.text import visible

if TYPE_CHECKING:
    from resight.match.result import Match


def scene_lines(scene: str, matches: Sequence[Match]) -> list[str]:
    """A line for each match in an image, or one that says it is absent."""
    shown = [match for match in matches if match.found]
    if not shown:
        # Rounded down: a score just below the threshold must not read as one that reaches it.
        score = f"{math.floor(matches[0].score * 100) / 100:.2f}" if matches else "  - "
        return [f"{score}  absent   {visible(scene)}"]
    return [f"{match.score:.2f}  found{place_words(match)}   {visible(scene)}" for match in shown]


def place_words(match: Match) -> str:
    """Where a match is, how it is turned (clockwise) and how large.

    " at 123,45 .. 345,260, turned 12 degrees, 1.3x"; of pixels marked by a network, which have no turn, the box alone.
    """
    if match.box is None:
        return ""
    x1, y1, x2, y2 = match.box
    words = f" at {x1:.0f},{y1:.0f} .. {x2:.0f},{y2:.0f}"
    if match.corners is None or match.outline is not None:
        return words
    a, b, c, d = match.corners
    across = (b - a) + (c - d)
    turn = round(math.degrees(math.atan2(across[1], across[0])))
    diagonals = c - a, d - b
    area = abs(float(diagonals[0][0] * diagonals[1][1] - diagonals[0][1] * diagonals[1][0])) / 2
    scale = math.sqrt(area / (match.template_size[0] * match.template_size[1]))
    return f"{words}, turned {turn if turn != -180 else 180} degrees, {scale:.3g}x"


def video_line(scene: str, frames: int, found: int, best: float, seconds: Sequence[float], rate: float) -> str:
    """The line of a video: in how many of the frames it was found, between when, and frames a second."""
    pace = f"{rate:.3g} frames/s"
    if not found:
        return f"{best:.2f}  absent in all {frames:,} frames, {pace}   {visible(scene)}"
    span = f"{seconds[0]:.1f} .. {seconds[-1]:.1f} s"
    return f"{best:.2f}  found in {found:,} of {frames:,} frames, {span}, {pace}   {visible(scene)}"


def counted(count: int, thing: str) -> str:
    """ "1 image", "2 images"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
