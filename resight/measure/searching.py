"""The searches of an evaluation: what is searched, what each query is, and what cannot be asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.images import list_images
from resight.images.truth import Query, Truth
from resight.measure.missing import MissingImages, some_of
from resight.measure.names import name_index, placed
from resight.measure.readable import check_boxes, look_at_files, unreadable_text
from resight.measure.watching import Watch, prepare, unwatched
from resight.search.after import parse_step
from resight.search.database import Database
from resight.search.ranking import Ranking

if TYPE_CHECKING:
    from resight.features.encoder import Encoder
    from resight.search import Collection
    from resight.search.after import After


class Search:
    """Full rankings of a protocol's queries, with the time that describing and searching took.

    index       which images the names of the ground truth mean; its `missing` has queries' images that are nowhere
    unreadable  paths of image files that are needed and cannot be read
    clipped     boxes that reach beyond their images

    Raises MissingImages unless `allow_missing`, InputError for an empty collection.
    """

    def __init__(
        self, photos: Collection, truth: Truth, crop: str, queries: str | Path | None, *, allow_missing: bool
    ) -> None:
        self.photos, self.truth, self.crop, self.allow_missing = photos, truth, crop, allow_missing
        self.items, self.vectors = photos.vectors()
        if not self.items:
            raise InputError(f"{photos.path.name} is empty: nothing to measure")
        self.index = name_index(truth, [item.path for item in self.items], allow_missing=allow_missing)
        rows = np.flatnonzero(self.index.database)
        among = [self.items[i] for i in rows]
        self._searched_paths = [item.path for item in among]
        self.searched = Database(
            np.array([item.id for item in among], np.int64), self.vectors[rows], self._searched_paths,
            [item.label for item in among],
        )  # fmt: skip
        self.after: After | None = None
        self.paths = self._paths(queries)
        self.unreadable: dict[str, str] = {}
        self.clipped = self.described = 0
        self.describing = self.searching = 0.0

    def _paths(self, folder: str | Path | None) -> list[str | None]:
        """Where the image of each query is; None where it is nowhere."""
        truth, rows = self.truth, self.index.queries.tolist()
        images = _find_images(folder)
        paths = [self.items[row].path if row >= 0 else _elsewhere(q, images) for q, row in zip(truth.queries, rows)]
        lost = list(dict.fromkeys(q.image for q, path in zip(truth.queries, paths) if path is None))
        if lost and not self.allow_missing:
            raise MissingImages(_nowhere([placed(truth, name) for name in lost], folder), lost)
        self.index = replace(self.index, missing=tuple(dict.fromkeys((*self.index.missing, *lost))))
        return paths

    def take_steps(self, then: Sequence[str], budget: float | None, watch: Watch) -> None:
        """Take these steps after every search: whether files and boxes will do is looked at, then they are prepared.

        Raises InputError for steps that cannot be, files that cannot be read (unless `allow_missing`), boxes outside.
        """
        if then:
            self.after = self.photos.after(then, budget=budget, database=self.searched)
        lookers = [step.name for step in map(parse_step, then) if step.looks_at_files]
        self._check(list(dict.fromkeys(lookers)), watch)
        if self.after is not None:
            prepare(self.after, watch)

    def _check(self, lookers: list[str], watch: Watch) -> None:
        items = {item.path: item for item in self.items}
        boxed = self.crop != "none"
        read = [
            path for query, path in zip(self.truth.queries, self.paths)
            if path is not None and (lookers or path not in items or (boxed and query.box is not None))
        ]  # fmt: skip
        needed = dict.fromkeys([*read, *(self._searched_paths if lookers else ())])
        files = look_at_files(list(needed), items, watch if lookers else unwatched)
        self.unreadable = dict(files.unreadable)
        if self.unreadable and not self.allow_missing:
            why = f"{' and '.join(lookers)} need{'s' if len(lookers) == 1 else ''}" if lookers else "queries need"
            raise MissingImages(unreadable_text(self.unreadable, why), unreadable=list(self.unreadable))
        asked = []
        for query, path in zip(self.truth.queries, self.paths) if boxed else ():
            if query.box is not None and path is not None and path not in self.unreadable:
                asked.append((query, path, files.sizes.get(path) or (items[path].width, items[path].height)))
        self.clipped = check_boxes(asked)
        self.paths = [None if path in self.unreadable else path for path in self.paths]

    def __call__(self, number: int) -> tuple[Ranking, float] | None:
        """The ranking of a query, and the seconds it took after it was described; None if its image is lost."""
        if self.paths[number] is None:
            return None
        try:
            return self._ask(number, str(self.paths[number]))
        except ImageError as error:  # it was there when it was looked at, or has the size and date it had
            if not self.allow_missing:
                raise
            self.unreadable[str(self.paths[number])] = error.reason
            return None

    def _ask(self, number: int, path: str) -> tuple[Ranking, float]:
        query, row = self.truth.queries[number], int(self.index.queries[number])
        box = query.box if self.crop != "none" else None
        encoder = None if row >= 0 and box is None else self.photos.encoder  # loaded before the time is taken
        start = time.perf_counter()
        vector = self.vectors[row] if encoder is None else self._describe(encoder, path, box)
        middle = time.perf_counter()
        # Hidden from every search, as the steps search again: so it is in no ranking of theirs.
        self.searched.hidden = self.items[row].id if self.truth.own == "removed" and row >= 0 else None
        ids, scores = self.searched.search(vector, len(self.searched))
        paths, labels = self.searched.named(ids)
        ranking = Ranking(
            ids, paths, scores, labels, query=path, box=box, image=path, vector=vector,
            box_on="map" if self.crop == "map" else "pixels",
        )  # fmt: skip
        if self.after is not None:
            ranking = self.after(ranking)
        seconds = time.perf_counter() - middle
        self.searching += seconds
        if encoder is not None:
            self.described += 1
            self.describing += middle - start
        return ranking, seconds

    def _describe(
        self, encoder: Encoder, path: str, box: tuple[float, float, float, float] | None
    ) -> NDArray[np.float32]:
        place = "map" if self.crop == "map" else "pixels"
        try:
            vector = encoder.encode(path, box=box, box_on=place)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if self.photos.whitening is not None:
            vector = self.photos.whitening.apply(vector[None])[0]
        return vector


def _find_images(folder: str | Path | None) -> dict[str, str]:
    """Name without suffix -> path, of the images in a folder."""
    if folder is None:
        return {}
    return {listing.path.stem: str(listing.path) for listing in list_images(str(folder))}


def _nowhere(lost: list[str], folder: str | Path | None) -> str:
    verb = "query image is" if len(lost) == 1 else "query images are"
    where = "" if folder is None else f", nor in {folder}"
    return (
        f"{len(lost):,} {verb} not in the collection{where}: {some_of(lost)}; give the folder of query images "
        "(--queries FOLDER), or say --allow-missing to count them with an average precision of 0"
    )


def _elsewhere(query: Query, images: dict[str, str]) -> str | None:
    name = query.image.rpartition("/")[2]
    return images.get(name) or images.get(name.rpartition(".")[0])
