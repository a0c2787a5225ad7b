"""A folder of searched scenes: overlay pictures and videos, a table of all matches, and a manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import WorkError, advice
from resight.show.files import write_atomic
from resight.show.folders import check_free
from resight.show.found import found_picture, overlay, panel, reduced, scaled, template_picture
from resight.show.heat_folder import file_name
from resight.show.movie import Movie
from resight.show.saving import save_picture
from resight.show.text import visible
from resight.tables.atomic import AtomicFiles

if TYPE_CHECKING:
    from resight.match.result import Match
    from resight.match.template import Template
    from resight.match.tracking import Seen

MANIFEST, TABLE, FORMAT = "manifest.json", "matches.csv", "resight-match-1"
MOVIE_SIDE = 4096  # pixels: players' limits of H.264
CORNERS = tuple(f"{axis}{corner}" for corner in range(1, 5) for axis in "xy")
COLUMNS = ("scene", "frame", "seconds", "found", "score", *CORNERS, "box", "method", "inliers", "ms", "error")


class FoundFolder:
    """Writes searched scenes one by one into a folder; what is done stays, whatever ends the work.

    matches.csv has a row for each match, or for a scene or frame without one. It and manifest.json appear at the end,
    also after an error or Ctrl-C, and then the manifest says `"complete": false`.

    folder: must not exist yet, or be empty
    about:  what the manifest says first: template, method ...

    A context. Raises InputError if something is in the folder already, WorkError if the disk refuses.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any] | None = None) -> None:
        check_free(folder)
        self.folder = folder
        self.pictures = self.videos = 0
        self._about = dict(about or {})
        self._scenes: list[dict[str, Any]] = []
        self._taken = {Path(name).stem for name in (MANIFEST, TABLE)}
        self._files = AtomicFiles()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot write {visible(str(folder))}: {advice(error)}") from error
        self._table = self._files.open(folder / TABLE)
        self._put([COLUMNS])

    def __enter__(self) -> FoundFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._scenes and kind is not None:
            self._files.__exit__(kind, error, None)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
            return
        self._files.__exit__(None, None, None)
        manifest = {"format": FORMAT, **self._about, "complete": kind is None, "scenes": self._scenes}
        write_atomic(self.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")

    def add(
        self, scene: str, image: NDArray[np.uint8], matches: Sequence[Match], template: Template, ms: float
    ) -> None:
        """One image that was searched: its picture, the template beside it, and its rows.

        matches: those that are found, or the one that is not; ms: milliseconds that it took
        """
        from PIL import Image

        name = f"{self._free(scene)}.jpg"
        save_picture(Image.fromarray(found_picture(image, matches, template_picture(template))), self.folder / name)
        self.pictures += 1
        self.write(scene, matches, ms)
        self.note(scene, {**summary(matches), "picture": name})

    def write(
        self, scene: str, matches: Sequence[Match], ms: float, frame: int | None = None, seconds: float | None = None
    ) -> None:
        """The rows of one image or frame."""
        self._put(rows_of(scene, matches, ms, frame, seconds))

    def skip(self, scene: str, reason: str) -> None:
        """A scene that could not be read, or not to its end."""
        self._put([[scene, *[""] * (len(COLUMNS) - 2), reason]])
        self.note(scene, {"error": reason})

    def film(self, scene: str, rate: float | None, panel: bool = False) -> FoundFilm:
        """A video that is searched, to which frames are added; rate: of its frames a second, None if not known."""
        return FoundFilm(self, scene, self._free(scene), rate, panel)

    def note(self, scene: str, facts: Mapping[str, Any]) -> None:
        """What the manifest says of a scene."""
        self._scenes.append({"scene": scene, **facts})

    def contents(self) -> str:
        """What is in the folder, in words."""
        made = {"picture": self.pictures, "video": self.videos}
        words = [f"{count:,} {thing}{'' if count == 1 else 's'}" for thing, count in made.items() if count]
        return ", ".join([*words, f"{TABLE} and {MANIFEST}"])

    def _put(self, rows: Sequence[Sequence[Any]]) -> None:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        try:
            self._table.write(buffer.getvalue().encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise WorkError(f"cannot write {visible(str(self.folder / TABLE))}: {advice(error)}") from error

    def _free(self, scene: str) -> str:
        """A file's name for a scene that no other has: capitals do not count."""
        name = found = file_name(Path(scene).stem)
        number = 1
        while found.casefold() in self._taken:
            number += 1
            found = f"{name}-{number}"
        self._taken |= {found.casefold(), f"{found}-panel".casefold()}
        return found


class FoundFilm:
    """The files of one video: NAME.mp4 with what is found, NAME-panel.mp4 of four pictures if wanted, and its rows.

    A context. Whatever ends it, there are playable files of the frames so far, and the manifest says how many.
    """

    def __init__(self, folder: FoundFolder, scene: str, name: str, rate: float | None, panel: bool) -> None:
        self._folder, self._scene = folder, scene
        self._movie = Movie(folder.folder / f"{name}.mp4", rate)
        self._panel = Movie(folder.folder / f"{name}-panel.mp4", rate) if panel else None
        self._found = 0
        self._held = ExitStack()

    def __enter__(self) -> FoundFilm:
        for movie in self._all():
            self._held.enter_context(movie)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)
        if self._movie.frames:
            self._folder.videos += len(self._all())
            facts: dict[str, Any] = {"frames": self._movie.frames, "found_in": self._found}
            names = [movie.path.name for movie in self._all()]
            self._folder.note(self._scene, {**facts, **dict(zip(("video", "panel"), names, strict=False))})

    def add(self, seen: Seen, template: Template) -> None:
        """One more frame."""
        self._folder.write(self._scene, seen.matches, seen.ms, seen.number, seen.seconds)
        frame = reduced(seen.image, MOVIE_SIDE)
        drawn = overlay(frame, [scaled(match, frame.shape) for match in seen.matches])
        self._movie.add(drawn, seen.seconds)
        if self._panel is not None:
            self._panel.add(panel(seen.image, seen.matches, template_picture(template)), seen.seconds)
        self._found += any(match.found for match in seen.matches)

    def _all(self) -> list[Movie]:
        return [self._movie] if self._panel is None else [self._movie, self._panel]


def summary(matches: Sequence[Match]) -> dict[str, Any]:
    """found, score and the matches that are found, as JSON can hold them; the score is None where all were asked for
    and there is none."""
    shown = [match for match in matches if match.found]
    score = round(max(match.score for match in matches), 4) if matches else None
    return {"found": bool(shown), "score": score, "matches": [match.as_dict() for match in shown]}


def rows_of(
    scene: str, matches: Sequence[Match], ms: float, frame: int | None = None, seconds: float | None = None
) -> list[list[Any]]:
    """The rows of matches.csv for one image or frame: a row for each match that is found, else one without a place."""
    first = [scene, "" if frame is None else frame, "" if seconds is None else f"{seconds:.4f}"]
    shown = [match for match in matches if match.found]
    if not shown:
        score, method = (f"{matches[0].score:.4f}", matches[0].method) if matches else ("", "")
        inliers = matches[0].inliers if matches else ""
        return [[*first, "false", score, *[""] * 9, method, inliers, f"{ms:.1f}", ""]]
    rows = []
    for match in shown:
        corners = [""] * 8 if match.corners is None else [f"{value:.2f}" for value in match.corners.ravel()]
        box = "" if match.box is None else ",".join(f"{value:.2f}" for value in match.box)
        rows.append([*first, "true", f"{match.score:.4f}", *corners, box, match.method, match.inliers, f"{ms:.1f}", ""])
    return rows
