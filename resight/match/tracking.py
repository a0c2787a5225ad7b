"""A template followed through a video: looked for where it was, searched for everywhere when it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.match.closely import look_closely
from resight.match.evidence import Evidence, better, gather
from resight.match.fine import LEVELS
from resight.match.nearby import look_nearby
from resight.match.planes import Matrix, area, moved, project, rectangle
from resight.match.result import Match
from resight.match.scene import Scene

if TYPE_CHECKING:
    from resight.match.finding import Finder

GROWN = 2.0  # times as large or small it may become, in area, from one frame to the next
HOPE = 0.2  # share of the blocks that must agree at the last place of what is lost, to be looked at closely
LEAST_GAP, MOST_GAP = 2, 16  # frames from one search to the next
FULL = 3  # each so-many-th search is by all methods
STEADY = 8  # frames on end in which it is followed, after which searches may come soon again


@dataclass(frozen=True, eq=False)
class Seen:
    """What is found in one frame.

    number:   of the frame in its video, from 1;  seconds: since the first
    image:    (H, W, 3) uint8
    matches:  those that are found, or the one that is not; with `most` perhaps none
    ms:       milliseconds that it took
    searched: whether the whole frame was searched
    """

    number: int
    seconds: float
    image: NDArray[np.uint8]
    matches: tuple[Match, ...]
    ms: float
    searched: bool


def follow(
    finder: Finder, frames: Iterable[tuple[float, NDArray[np.uint8]]], *, every: int = 1, most: int | None = None
) -> Iterator[Seen]:
    """What is found in the frames of a video, one after the other.

    frames: (seconds, image) as `resight.images.frames.frames` gives them
    every:  only the first and every so-many-th after it
    most:   find all of so many at most, which searches each frame; None: follow one

    Raises InputError if every or most is not a whole number from 1, and whatever `frames` raises.
    """
    for name, value in (("every", every), ("most", 1 if most is None else most)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"expected {name} as a whole number from 1, got {value!r}")
    return _followed(Tracker(finder), frames, every, most)


def _followed(
    tracker: Tracker, frames: Iterable[tuple[float, NDArray[np.uint8]]], every: int, most: int | None
) -> Iterator[Seen]:
    for place, (seconds, image) in enumerate(frames):
        if place % every:
            continue
        start = time.perf_counter()
        if most is None:
            matches: tuple[Match, ...] = (tracker.next(image),)
        else:
            matches = tracker.finder.find_all(image, most)
        ms = 1000 * (time.perf_counter() - start)
        yield Seen(place + 1, seconds, image, matches, ms, most is not None or tracker.searched)


class Tracker:
    """Follows a finder's template from frame to frame.

    Each frame is first looked at near where the template was last: fast, and held to the same evidence, score and
    threshold as all that the finder finds. Only if that fails is the whole frame searched, as the finder does. From
    one search to the next it takes at least 2, 4, 8, then 16 frames; once the template was followed through 8 frames on
    end the count begins anew. In the frames between, only the last place is looked at (what comes out from behind
    another thing is found again at once). Of a finder with method "auto" only each third search is by all methods, the
    others are by the one that has found it last.

    What a mask network finds has no corners to follow: then each frame is searched.

    finder:   a Finder
    searched: whether the whole of the last frame was searched
    """

    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self.searched = False
        self._last: Match | None = None  # the last that was found
        self._speed = np.zeros(2)  # of its centre, in pixels a frame
        self._gap, self._wait = LEAST_GAP, 0
        self._followed = 0  # frames on end
        self._searches = 0  # since it was followed so long
        self._here = False  # in the last frame
        self._level = LEVELS[0]  # of detail at which local features did last
        self._quick: dict[str, Finder] = {}

    def next(self, frame: NDArray[np.uint8]) -> Match:
        """Where the template is in the next frame, (H, W, 3) uint8 RGB."""
        size = (int(frame.shape[0]), int(frame.shape[1]))
        if self._last is not None and self._last.scene_size != size:
            self._last, self._gap, self._wait, self._searches = None, LEAST_GAP, 0, 0
        near = self._look(frame, size)
        follows = near is not None and near.found
        self._followed = self._followed + 1 if follows else 0
        if self._followed >= STEADY:
            self._gap, self._wait, self._searches = LEAST_GAP, 0, 0
        self.searched = not follows and self._wait == 0
        self._wait = max(0, self._wait - 1)
        found = self._searcher().find(frame) if self.searched else near
        if self.searched and found is not None and found.method != "mask":
            self._wait, self._gap = self._gap - 1, min(2 * self._gap, MOST_GAP)
        if found is None:
            found = Match(False, 0.0, None, "correlate", size, self.finder.template.size)
        self._speed = _centre(found) - _centre(self._last) if follows and self._last else np.zeros(2)
        self._last, self._here = (found, True) if found.found else (self._last, False)
        return found

    def _searcher(self) -> Finder:
        """Who searches the whole frame: while a template is lost that all methods may find, mostly the one that has."""
        from resight.match.finding import Finder

        self._searches += 1
        if self._last is None or self.finder.method != "auto" or self._searches % FULL == 0:
            return self.finder
        method = self._last.method
        if method not in self._quick:
            own = self.finder
            self._quick[method] = Finder(
                own.template, method=method, threshold=own.threshold, calibration=own.calibration
            )
        return self._quick[method]

    def _look(self, frame: NDArray[np.uint8], size: tuple[int, int]) -> Match | None:
        """The best near the last place; None if there is none to look at.

        Its correlation alone is weighed first, as the finder by correlation does; where that does not do, once more
        after alignment, and then, as where a part is hidden, with the local features around the place.
        """
        last = self._last
        if last is None or last.homography is None or last.outline is not None:
            return None
        template, scene = self.finder.template, Scene(frame)
        places = [
            (place, points)
            for place, points in look_nearby(template, scene.grey, moved(last.homography, self._speed))
            if 1 / GROWN < _area(place, last) / _area(last.homography, last) < GROWN
        ]
        best: Evidence | None = None
        for place, points in places:
            found = gather(template, scene, place, last.method, None)
            if self._holds(found):
                return self._match(found, points, size)
            best = found if best is None or found.score > best.score else best
        if best is None:
            return None
        # What is lost is looked at closely now and then only: it costs several times as much.
        if self._here or (best.agreement.share >= HOPE and self._wait % 3 == 0):
            best = better(template, scene, best, None)
            for level in self._levels():
                if not self._holds(best):
                    best, self._level = max((best, self._level), (look_closely(template, scene, best, level), level),
                                            key=lambda one: one[0].score)  # fmt: skip
        return self._match(best, 0, size)

    def _levels(self) -> tuple[int, ...]:
        """Levels of detail at which local features are looked at: that of the last time first, none besides it while
        the template is lost."""
        if self.finder.method == "correlate":
            return ()
        others = LEVELS if self.finder.method == "auto" and self._here else ()
        return (self._level, *(level for level in others if level != self._level))

    def _holds(self, found: Evidence) -> bool:
        return self.finder.scored(found).score >= self.finder.threshold

    def _match(self, found: Evidence, points: int, size: tuple[int, int]) -> Match:
        found = self.finder.scored(found)
        return Match(
            found.score >= self.finder.threshold, found.score, found.homography, found.method, size,
            self.finder.template.size, found.inliers, {**found.as_dict(), "points": float(points)},
            template_mask=self.finder.template.mask,
        )  # fmt: skip


def _centre(match: Match) -> NDArray[np.float64]:
    if match.homography is None:
        return np.zeros(2)
    return np.asarray(project(match.homography, [[match.template_size[1] / 2, match.template_size[0] / 2]])[0])


def _area(matrix: Matrix, match: Match) -> float:
    return max(area(project(matrix, rectangle(match.template_size))), 1e-9)
