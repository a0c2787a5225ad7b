"""A collection measured by a protocol: every query searched for, its steps taken, its ranking scored."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images import list_images
from resight.images.truth import Query, Truth
from resight.measure.fingerprint import CROPS, fingerprint, fingerprint_key
from resight.measure.leaks import refuse_leak, whitening_text
from resight.measure.names import NameIndex, name_index
from resight.measure.protocols import ProtocolScores, RankingScorer
from resight.measure.runs import Run, RunQuery, Shown
from resight.measure.watching import Watch, prepare, unwatched
from resight.search.database import Database
from resight.search.ranking import Ranking

if TYPE_CHECKING:
    from resight.search import Collection, Item
    from resight.search.after import After

SHOWN = 20


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What `evaluate_truth` found.

    scores     by setting
    protocol   the fingerprint: all that the numbers depend on; `key` names it
    run        per query: average precision, time, first results; for `run_files` and comparisons
    costs      seconds to prepare the steps, seconds per query to describe it and to search with all steps; bytes of an
               image's descriptor, seconds that indexing took per image, and `peak_memory` of the process
    missing    images of the ground truth that the collection lacks
    """

    scores: ProtocolScores
    protocol: dict[str, Any]
    run: Run
    costs: dict[str, float]
    missing: tuple[str, ...] = ()
    key: str = field(default="")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.scores.as_dict(), "fingerprint": self.protocol, "key": self.key,
                "costs": {name: round(value, 6) for name, value in self.costs.items()},
                "missing": list(self.missing)}  # fmt: skip


def evaluate_truth(
    photos: Collection,
    truth: Truth,
    *,
    crop: str = "pixels",
    then: Sequence[str] = (),
    budget: float | None = None,
    queries: str | Path | None = None,
    ks: Sequence[int] = (1, 5, 10),
    allow_missing: bool = False,
    allow_leak: bool = False,
    watch: Watch = unwatched,
    each: Callable[[Query, list[str]], None] | None = None,
) -> Evaluated:
    """Scores of a collection by a protocol, over full rankings.

    truth:   from `read_truth` or `truth_from_labels`
    crop:    what a query's box cuts: "pixels" (before resizing), "map" (the feature map) or "none" (the box is unused)
    then, budget: steps after the search and their time per query, as in `Collection.search`
    queries: folder with the query images that are not in the collection
    watch:   shows how far the preparation of the steps and the queries are, see `watching`
    each:    called with every query and the paths of its ranking, best first

    Raises InputError for images that are missing (unless `allow_missing`) or ambiguous, a whitening that was fitted on
    the images to be evaluated (unless `allow_leak`), a query image that is nowhere, or a box outside its image.
    """
    if crop not in CROPS:
        raise InputError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")
    if budget is not None and not then:
        raise InputError("a budget is for the steps after the search (--then), and none was given")
    leak = refuse_leak(photos, allow_leak)
    search = _search(photos, truth, crop, queries, allow_missing)
    search.take_steps(then, budget, watch)
    scorer = RankingScorer(truth, search.index, ks)
    found = _search_all(search, scorer, watch, each)
    protocol, scores = _protocol(search, leak), scorer.scores()
    run = Run(photos.path.name, protocol, scores.as_dict(), found)
    return Evaluated(scores, protocol, run, _costs(search), search.index.missing, fingerprint_key(protocol))


def _search(photos: Collection, truth: Truth, crop: str, queries: str | Path | None, allow_missing: bool) -> _Search:
    """The search among the images that the ground truth names, all of which are there."""
    items, vectors = photos.vectors()
    if not items:
        raise InputError(f"{photos.path.name} is empty: nothing to measure")
    index = name_index(truth, [item.path for item in items], allow_missing=allow_missing)
    lost = [] if allow_missing else [query for query in truth.queries if query.image in index.missing]
    if lost:
        raise InputError(f"query {lost[0].name!r}: its image {lost[0].image!r} is missing")
    return _Search(photos, truth, items, vectors, index, crop, _find_images(queries))


def _search_all(
    search: _Search, scorer: RankingScorer, watch: Watch, each: Callable[[Query, list[str]], None] | None
) -> tuple[RunQuery, ...]:
    """Every query searched for and scored; what a run keeps of it."""
    truth, index = search.truth, search.index
    ids = np.array([item.id for item in search.items], np.int64)
    found: list[RunQuery] = []
    with watch("searching", len(truth.queries), "queries") as progress:
        for number, query in enumerate(truth.queries):
            ranking, seconds = search(number)
            places = np.searchsorted(ids, ranking.ids)
            scorer.add(number, places)
            found.append(_run_query(query, ranking, scorer, number, truth, index, places, seconds))
            if each is not None:
                each(query, list(ranking.paths))
            progress(number + 1, 0)
    return tuple(found)


def _protocol(search: _Search, leak: bool) -> dict[str, Any]:
    photos, truth, index, after = search.photos, search.truth, search.index, search.after
    config, space = photos.config, photos.encoder_space
    return fingerprint(
        truth, index, crop=search.crop if any(q.box for q in truth.queries) else "none", backbone=config.backbone,
        weights=space.get("weights", ""), descriptor=config.descriptor, size=space.get("size"), fit=config.fit,
        scales=config.scales, stage=config.stage, precision=config.precision, space=photos.space,
        whitening=whitening_text(photos), whitening_key=photos.whitening.key if photos.whitening else "", leak=leak,
        after=after.steps if after else (), budget=after.budget if after else None,
    )  # fmt: skip


def _costs(search: _Search) -> dict[str, float]:
    costs = {
        "prepare_seconds": search.after.prepared if search.after else 0.0,
        "describe_seconds": search.describing / max(search.described, 1),
        "search_seconds": search.searching / len(search.truth.queries),
        "bytes_per_image": 4.0 * search.vectors.shape[1],
        "index_seconds": search.photos.seconds_per_image or 0.0,
    }
    peak = peak_memory()
    return costs if peak is None else {**costs, "peak_bytes": float(peak)}


def peak_memory() -> int | None:
    """Peak resident memory of this process so far, in bytes, all it ever did included; None where nobody counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


class _Search:
    """Full rankings of a protocol's queries, with the time that describing and searching took."""

    def __init__(
        self, photos: Collection, truth: Truth, items: list[Item], vectors: NDArray[np.float32], index: NameIndex,
        crop: str, images: dict[str, str],
    ) -> None:  # fmt: skip
        self.photos, self.truth, self.items, self.vectors, self.index = photos, truth, items, vectors, index
        rows = np.flatnonzero(index.database)
        self.searched = Database(
            np.array([items[i].id for i in rows], np.int64), vectors[rows], [items[i].path for i in rows],
            [items[i].label for i in rows],
        )  # fmt: skip
        self.after: After | None = None
        self.crop, self.images = crop, images
        self.describing = self.searching = 0.0
        self.described = 0

    def take_steps(self, then: Sequence[str], budget: float | None, watch: Watch) -> None:
        """Prepare these steps, to be taken after every search."""
        if then:
            self.after = self.photos.after(then, budget=budget, database=self.searched)
            prepare(self.after, watch)

    def __call__(self, number: int) -> tuple[Ranking, float]:
        """The ranking of a query, and the seconds it took after it was described."""
        query, row = self.truth.queries[number], int(self.index.queries[number])
        box = query.box if self.crop != "none" else None
        path = self.items[row].path if row >= 0 else self._elsewhere(query)
        start = time.perf_counter()
        vector = self.vectors[row] if row >= 0 and box is None else self._describe(path, box)
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
        if row < 0 or box is not None:
            self.described += 1
            self.describing += middle - start
        return ranking, seconds

    def _describe(self, path: str, box: tuple[float, float, float, float] | None) -> NDArray[np.float32]:
        place = "map" if self.crop == "map" else "pixels"
        try:
            vector = self.photos.encoder.encode(path, box=box, box_on=place)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if self.photos.whitening is not None:
            vector = self.photos.whitening.apply(vector[None])[0]
        return vector

    def _elsewhere(self, query: Query) -> str:
        name = query.image.rpartition("/")[2]
        path = self.images.get(name) or self.images.get(name.rpartition(".")[0])
        if path is None:
            raise InputError(
                f"query {query.name!r}: its image {query.image!r} is not in the collection; "
                "give the folder of query images (--queries FOLDER)"
            )
        return path


def _find_images(folder: str | Path | None) -> dict[str, str]:
    """Name without suffix -> path, of the images in a folder."""
    if folder is None:
        return {}
    return {listing.path.stem: str(listing.path) for listing in list_images(str(folder))}


def _run_query(
    query: Query, ranking: Ranking, scorer: RankingScorer, number: int, truth: Truth, index: NameIndex,
    places: NDArray[np.intp], seconds: float,
) -> RunQuery:  # fmt: skip
    """What is kept of a query: its scores, and its first results with whether they are right."""
    setting = next(iter(truth.settings)) if len(truth.settings) == 1 else None
    names = {index.rows[name]: name for name in query.answers(*query.groups) if name in index.rows}
    shown = []
    for row, place in enumerate(places[:SHOWN].tolist()):
        name = names.get(place)
        right: bool | None = name is not None and any(
            name in truth.positives(query, one) for one in ([setting] if setting else truth.settings)
        )
        if not right and name is not None:
            right = None  # junk, or the query's own image
        shown.append(Shown(ranking.paths[row], float(ranking.scores[row]), right, ranking.found_in(row)))
    standard, trapezoid = scorer.one(number)
    return RunQuery(query.name, ranking.query, query.box, standard, trapezoid, seconds, tuple(shown))


def with_distractors(truth: Truth, wanted: bool) -> Truth:
    """The same ground truth, searching images that its database does not name as well if `wanted`."""
    return replace(truth, distractors=True) if wanted else truth
