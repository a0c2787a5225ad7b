"""`resight match` in a video or what a camera sees: frame by frame, with frames a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resight.cli.match_text import place_words, video_line
from resight.cli.progress import SECONDS_BETWEEN_LINES, progress
from resight.errors import ImageError
from resight.show.found_folder import summary

if TYPE_CHECKING:
    from resight.cli.match_work import MatchWork
    from resight.images.frames import Frames
    from resight.match.tracking import Seen


@dataclass
class Tally:
    """What was seen of a video so far."""

    frames: int = 0
    found: int = 0
    best: float = 0.0
    first: float = 0.0  # seconds at which it was found
    last: float = 0.0
    here: bool | None = None  # in the last frame
    start: float = field(default_factory=time.perf_counter)

    def count(self, seen: Seen) -> bool:
        """One more frame; whether the template has come or gone with it."""
        before, self.here = self.here, any(match.found for match in seen.matches)
        self.frames += 1
        self.best = max([self.best, *(match.score for match in seen.matches)])
        if self.here:
            self.first = self.first if self.found else seen.seconds
            self.last = seen.seconds
            self.found += 1
        return self.here != before

    @property
    def rate(self) -> float:
        """Frames a second, reading and writing included."""
        return self.frames / max(time.perf_counter() - self.start, 1e-9)


def search_video(work: MatchWork, place: Path | int) -> None:
    """Go through a video, or a camera until Ctrl-C; what is done when something ends it is kept."""
    from resight.images.frames import frames

    try:
        source = frames(place)
    except ImageError as error:
        if isinstance(place, int):  # there is nothing else to search
            raise
        work.skip(str(place), error.reason)
        return
    tally = Tally()
    try:
        with source:
            _go_through(work, source, tally)
    except ImageError as error:
        work.skip(source.name, error.reason if not tally.frames else f"{error.reason}; searched up to there")
    except KeyboardInterrupt:
        if not isinstance(place, int):  # nothing else ends a camera
            raise
    finally:
        if tally.frames:
            work.videos += 1
            span = tally.first, tally.last
            words = video_line(source.name, tally.frames, tally.found, tally.best, span, tally.rate)
            print(words, file=sys.stderr if work.json else sys.stdout, flush=True)


def _go_through(work: MatchWork, source: Frames, tally: Tally) -> None:
    from resight.match.tracking import follow

    live = not source.expected and not work.json
    with ExitStack() as held:
        film = None
        if work.folder is not None:
            film = held.enter_context(work.folder.film(source.name, source.rate, work.panel))
        show = held.enter_context(_shown(source, work.every))
        for seen in follow(work.finder, source, every=work.every, most=work.most):
            changed = tally.count(seen)
            if film is not None:
                film.add(seen, work.finder.template)
            if work.json:
                work.put({"scene": source.name, "frame": seen.number, "seconds": round(seen.seconds, 4),
                          **summary(seen.matches), "ms": round(seen.ms, 2)})  # fmt: skip
            if changed and live:
                words = f"found{place_words(seen.matches[0])}" if tally.here else "absent"
                print(f"{seen.seconds:7.1f} s  {words}", flush=True)
            show(tally.frames, 0)


@contextmanager
def _shown(source: Frames, every: int) -> Iterator[Callable[[int, int], None]]:
    """Progress through a video; of a camera, which has no end, a line now and then."""
    if source.expected:
        with progress("following", -(-source.expected // every), "frames") as show:
            yield show
        return
    start = last = time.monotonic()

    def tell(done: int, failed: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            print(f"{source.name}: {done:,} frames, {done / (now - start):.3g} frames/s", file=sys.stderr, flush=True)

    yield tell
