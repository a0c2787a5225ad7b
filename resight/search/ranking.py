"""The answer to a query: images in order, best first, frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.images import ImageLike

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Ranking:
    """Images in order of similarity to a query.

    ids     (k,) int64    their ids in the collection
    paths   k strings     absolute
    scores  (k,) float32  cosine similarity, higher is better, descending
    labels  k strings or None
    query   the query's name;  box  the part of it that was searched for (x1, y1, x2, y2)
    """

    ids: NDArray[np.int64]
    paths: tuple[str, ...]
    scores: NDArray[np.float32]
    labels: tuple[str | None, ...]
    query: str = ""
    box: tuple[float, float, float, float] | None = None
    image: ImageLike | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.paths) == len(self.scores) == len(self.labels):
            raise InputError(
                f"a ranking needs as many ids ({len(self.ids)}) as paths ({len(self.paths)}), scores "
                f"({len(self.scores)}) and labels ({len(self.labels)})"
            )
        for name in ("ids", "scores"):
            own = np.array(getattr(self, name))
            own.flags.writeable = False
            object.__setattr__(self, name, own)

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
        results = [
            {"rank": rank, "score": round(score, 6), "id": int(i), "path": path, "label": label}
            for rank, (i, path, score, label) in enumerate(
                zip(self.ids, self.paths, self.scores.tolist(), self.labels), 1)
        ]  # fmt: skip
        return {"query": self.query, "box": list(self.box) if self.box else None, "results": results}

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
