"""`resight match` at work: scene by scene, lines or JSON out, pictures and videos into the folder of the results."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.cli.match_scenes import is_video
from resight.cli.match_text import counted, scene_lines
from resight.cli.match_video import search_video
from resight.cli.progress import progress
from resight.errors import ImageError
from resight.show.found_folder import FoundFolder, summary
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.match.finding import Finder


class MatchWork:
    """Searches scenes one after the other and tells what it finds.

    about:  for JSON and manifest: template, method ...
    out:    folder for the results, or None
    most:   find all, so many at most; None: the best one
    every:  of videos only every so-many-th frame
    panel:  of videos also pictures of four
    json:   one object at the end; with videos among the scenes (moving) a line for each image and frame
    """

    def __init__(
        self, finder: Finder, about: dict[str, Any], out: Path | None, most: int | None, every: int, panel: bool,
        json: bool, moving: bool,
    ) -> None:  # fmt: skip
        self.finder, self.about, self.out, self.most = finder, about, out, most
        self.every, self.panel, self.json, self.moving = every, panel, json, moving
        self.folder: FoundFolder | None = None
        self.images = self.videos = self.found = self.failed = 0
        self._ms = 0.0  # of searching images
        self._rows: list[dict[str, Any]] = []

    def run(self, places: list[Path | int], strict: bool) -> int:
        """All scenes; the exit code. What is done is kept when Ctrl-C ends it."""
        interrupted = False
        try:
            with self._opened(), self._progress(len(places)) as show:
                for done, place in enumerate(places, 1):
                    if is_video(place):
                        search_video(self, place)
                    else:
                        self._search_image(Path(str(place)))
                    show(done, self.failed)
        except KeyboardInterrupt:
            if not self.images + self.videos:
                raise
            interrupted = True
        self._tell(len(places), interrupted)
        if interrupted:
            return 130
        return 1 if not self.images + self.videos or (strict and self.failed) else 0

    def put(self, row: dict[str, Any]) -> None:
        """A row of JSON: printed at once with videos, else kept for the object at the end."""
        if self.moving:
            print(json_module.dumps(row), flush=True)
        else:
            self._rows.append(row)

    def skip(self, scene: str, reason: str) -> None:
        """A scene that could not be read, or not to its end."""
        self.failed += 1
        if self.folder is not None:
            self.folder.skip(scene, reason)
        if self.json:
            self.put({"scene": scene, "error": reason})
        print(f"  -   {visible(scene)}: {visible(reason)}", file=sys.stderr, flush=True)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """The folder of the results, while the work lasts."""
        if self.out is None:
            yield
            return
        with FoundFolder(self.out, self.about) as self.folder:
            yield

    def _progress(self, count: int) -> AbstractContextManager[Any]:
        # Lines are progress enough, and a video shows its own.
        quiet = not self.json or self.moving
        return nullcontext(lambda done, failed: None) if quiet else progress("matching", count)

    def _search_image(self, path: Path) -> None:
        from resight.images import read_image

        try:
            image = read_image(path)
        except ImageError as error:
            self.skip(str(path), error.reason)
            return
        start = time.perf_counter()
        matches = (self.finder.find(image),) if self.most is None else self.finder.find_all(image, self.most)
        ms = 1000 * (time.perf_counter() - start)
        self._ms += ms
        self.images += 1
        self.found += any(match.found for match in matches)
        if self.folder is not None:
            self.folder.add(str(path), image, matches, self.finder.template, ms)
        if self.json:
            self.put({"scene": str(path), "size": list(image.shape[:2]), **summary(matches), "ms": round(ms, 2)})
        else:
            print("\n".join(scene_lines(str(path), matches)), flush=True)

    def _tell(self, count: int, interrupted: bool) -> None:
        """The totals, and where the results are."""
        if self.json and not self.moving:
            print(json_module.dumps({**self.about, "complete": not interrupted, "scenes": self._rows}, indent=1))
        lines = []
        if self.images > 1 or (self.images and self.failed):
            lost = f"; {self.failed:,} could not be read" if self.failed else ""
            lines.append(f"found in {self.found:,} of {counted(self.images, 'image')}, "
                         f"{self._ms / self.images:.0f} ms each{lost}")  # fmt: skip
        if self.folder is not None:
            lines.append(f"wrote {visible(str(self.out))}: {self.folder.contents()}")
        for line in lines:
            print(line, file=sys.stderr if self.json else sys.stdout, flush=True)
        if interrupted:
            done = self.images + self.videos + self.failed
            kept = "; what is done is kept" if self.folder is not None else ""
            print(f"resight: interrupted in scene {done:,} of {count:,}{kept}", file=sys.stderr, flush=True)
