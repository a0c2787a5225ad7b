"""The answer to a query: images in order, best first, frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.images import ImageLike

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Done:
    """A step that was taken after the first search: as it can be typed, seconds it took, and what it left undone."""

    step: str
    seconds: float
    note: str = ""

    def __str__(self) -> str:
        took = f"{self.seconds:.2f} s" if self.seconds >= 1 else f"{1000 * self.seconds:.0f} ms"
        return f"{self.step} ({took}{'; ' if self.note else ''}{self.note})"


@dataclass(frozen=True, eq=False)
class Matches:
    """Points that agree in the query and a result, in pixels of the originals: query (m, 2), result (m, 2)."""

    query: NDArray[np.float64]
    result: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Images in order of similarity to a query.

    ids     (k,) int64    their ids in the collection
    paths   k strings     absolute
    scores  (k,) float32  what the last step that placed an image gave it, higher is better: cosine similarity after a
                          plain search (then descending)
    labels  k strings or None
    query   the query's name;  box  the part of it that was searched for (x1, y1, x2, y2), box_on as in `Encoder.encode`

    What steps after the search add (`resight.search.after`), row by row where it belongs to a result:
    steps    what was done, in order
    vector   (d,) the query's descriptor in the search space, as the last step left it
    boxes    (k, 4) where in each result the query was found, in its pixels; NaN where that is not known
    matches  k `Matches` or None
    regions  (k, d) descriptors of `boxes`, which stand for the images from then on; NaN where there is none
    """

    ids: NDArray[np.int64]
    paths: tuple[str, ...]
    scores: NDArray[np.float32]
    labels: tuple[str | None, ...]
    query: str = ""
    box: tuple[float, float, float, float] | None = None
    image: ImageLike | None = field(default=None, repr=False)
    box_on: str = "pixels"
    steps: tuple[Done, ...] = ()
    vector: NDArray[np.float32] | None = field(default=None, repr=False)
    boxes: NDArray[np.float64] | None = field(default=None, repr=False)
    matches: tuple[Matches | None, ...] | None = field(default=None, repr=False)
    regions: NDArray[np.float32] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.paths) == len(self.scores) == len(self.labels):
            raise InputError(
                f"a ranking needs as many ids ({len(self.ids)}) as paths ({len(self.paths)}), scores "
                f"({len(self.scores)}) and labels ({len(self.labels)})"
            )
        for name in ("boxes", "matches", "regions"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.ids):
                raise InputError(f"a ranking of {len(self.ids)} needs as many {name}, got {len(rows)}")
        for name in ("ids", "scores", "boxes", "regions", "vector"):
            if getattr(self, name) is not None:
                own = np.array(getattr(self, name))
                own.flags.writeable = False
                object.__setattr__(self, name, own)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Ranking:
        """These rows in this order, with everything that belongs to them."""
        places = np.asarray(rows, np.int64)
        listed = places.tolist()
        return replace(
            self,
            ids=self.ids[places],
            paths=tuple(self.paths[i] for i in listed),
            scores=self.scores[places],
            labels=tuple(self.labels[i] for i in listed),
            boxes=None if self.boxes is None else self.boxes[places],
            matches=None if self.matches is None else tuple(self.matches[i] for i in listed),
            regions=None if self.regions is None else self.regions[places],
        )

    def found_in(self, row: int) -> tuple[float, float, float, float] | None:
        """The box of result `row` in its pixels, or None."""
        if self.boxes is None or np.isnan(self.boxes[row]).any():
            return None
        x1, y1, x2, y2 = self.boxes[row].tolist()
        return x1, y1, x2, y2

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranking):
            return NotImplemented
        mine, theirs = ((r.query, r.box, r.paths, r.labels) for r in (self, other))
        return mine == theirs and np.array_equal(self.ids, other.ids) and np.array_equal(self.scores, other.scores)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Pairs (path, score), best first."""
        return iter(zip(self.paths, self.scores.tolist()))

    def __repr__(self) -> str:
        best = f": {Path(self.paths[0]).name} {self.scores[0]:.3f}, ..." if self.paths else ""
        return f"Ranking of {len(self)} for {self.query}{best}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        results = []
        for row, (path, score) in enumerate(self):
            result: dict[str, Any] = {
                "rank": row + 1, "score": round(score, 6), "id": int(self.ids[row]), "path": path,
                "label": self.labels[row],
            }  # fmt: skip
            found = self.found_in(row)
            if found is not None:
                result["box"] = [round(side, 1) for side in found]
            matched = None if self.matches is None else self.matches[row]
            if matched is not None:
                result["matches"] = len(matched)
            results.append(result)
        steps = [{"step": d.step, "seconds": round(d.seconds, 4), "note": d.note} for d in self.steps]
        return {"query": self.query, "box": list(self.box) if self.box else None, "steps": steps, "results": results}

    def sheet(self, path: str | Path | None = None, *, columns: int = 5, side: int = 200) -> Image:
        """A contact sheet: the query, then the images with their scores; written to `path` (.png, .jpg) if given."""
        from resight.show import save_picture, sheet

        image = sheet(self._pictures(), columns=columns, side=side, title=Path(self.query).name)
        if path is not None:
            save_picture(image, path)
        return image

    def html(self, path: str | Path) -> None:
        """One self-contained HTML page with thumbnails, scores and links."""
        from resight.show import write_atomic
        from resight.show.rankings import ranking_report

        write_atomic(path, ranking_report([self]))

    def save(self, folder: str | Path) -> None:
        """Write ranking.json, sheet.png and ranking.html; the manifest (ranking.json) comes last, so it is complete."""
        from resight.show import write_atomic

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
        self.sheet(folder / "sheet.png")
        self.html(folder / "ranking.html")
        manifest = {**self.as_dict(), "files": ["sheet.png", "ranking.html"]}
        write_atomic(folder / "ranking.json", json.dumps(manifest, indent=1))

    def _repr_html_(self) -> str:
        from resight.show import inline

        return inline(self._pictures(), str(Path(self.query).name))

    def _pictures(self) -> list[Any]:
        from resight.show.rankings import pictures

        return pictures(self)
