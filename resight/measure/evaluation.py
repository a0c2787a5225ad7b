"""A collection measured by a protocol: every query searched for, its steps taken, its ranking scored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.images.truth import Query, Truth
from resight.measure.collections import collection_fingerprint
from resight.measure.fingerprint import CROPS, fingerprint_key
from resight.measure.leaks import refuse_leak
from resight.measure.names import NameIndex
from resight.measure.protocols import ProtocolScores, RankingScorer
from resight.measure.runs import Run, RunQuery, Shown
from resight.measure.searching import Search
from resight.measure.watching import Watch, unwatched
from resight.search.ranking import Ranking

if TYPE_CHECKING:
    from resight.search import Collection

SHOWN = 20


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What `evaluate_truth` found.

    scores     by setting
    protocol   the fingerprint: all that the numbers depend on; `key` names it
    run        per query: average precision, time, first results; for `run_files` and comparisons
    costs      seconds to prepare the steps, seconds per query to describe it and to search with all steps; bytes of an
               image's descriptor, seconds that indexing took per image, and `peak_memory` of the process
    missing    images of the ground truth that the collection lacks, and of queries that are nowhere
    unreadable image files that a step or a query needed and that are gone or damaged: {path: why}
    clipped    query boxes that reach beyond their images
    """

    scores: ProtocolScores
    protocol: dict[str, Any]
    run: Run
    costs: dict[str, float]
    missing: tuple[str, ...] = ()
    key: str = field(default="")
    unreadable: Mapping[str, str] = field(default_factory=dict)
    clipped: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.scores.as_dict(), "fingerprint": self.protocol, "key": self.key,
            "costs": {name: round(value, 6) for name, value in self.costs.items()},
            "missing": list(self.missing), "unreadable": dict(self.unreadable), "clipped": self.clipped,
        }  # fmt: skip


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

    A query whose image is missing counts with an average precision of 0 if `allow_missing`.
    Raises MissingImages for images that are missing, or whose files a step or query needs and cannot have (unless
    `allow_missing`); InputError for ambiguous names, a whitening that was fitted on the images to be evaluated (unless
    `allow_leak`), or boxes outside their images. All of this is found before the first search.
    """
    if crop not in CROPS:
        raise InputError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")
    if budget is not None and not then:
        raise InputError("a budget is for the steps after the search (--then), and none was given")
    leak = refuse_leak(photos, allow_leak)
    search = Search(photos, truth, crop, queries, allow_missing=allow_missing)
    search.take_steps(then, budget, watch)
    scorer = RankingScorer(truth, search.index, ks)
    found = _search_all(search, scorer, watch, each)
    protocol, scores = _protocol(search, leak), scorer.scores()
    run = Run(photos.path.name, protocol, scores.as_dict(), found)
    return Evaluated(
        scores, protocol, run, _costs(search), search.index.missing, fingerprint_key(protocol), search.unreadable,
        search.clipped,
    )  # fmt: skip


def _search_all(
    search: Search, scorer: RankingScorer, watch: Watch, each: Callable[[Query, list[str]], None] | None
) -> tuple[RunQuery, ...]:
    """Every query searched for and scored; what a run keeps of it."""
    truth, index = search.truth, search.index
    ids = np.array([item.id for item in search.items], np.int64)
    found: list[RunQuery] = []
    with watch("searching", len(truth.queries), "queries") as progress:
        for number, query in enumerate(truth.queries):
            answer = search(number)
            places = np.searchsorted(ids, answer[0].ids) if answer else np.empty(0, np.int64)
            scorer.add(number, places)
            if answer is None:
                found.append(RunQuery(query.name, query.image, query.box, *scorer.one(number)))
            else:
                found.append(_run_query(query, answer[0], scorer, number, truth, index, places, answer[1]))
            if each is not None:
                each(query, list(answer[0].paths) if answer else [])
            progress(number + 1, 0)
    return tuple(found)


def _protocol(search: Search, leak: bool | str) -> dict[str, Any]:
    after = search.after
    return collection_fingerprint(
        search.photos, search.truth, search.index, leak=leak, unreadable=len(search.unreadable),
        crop=search.crop if any(query.box for query in search.truth.queries) else "none",
        after=after.steps if after else (), budget=after.budget if after else None,
    )  # fmt: skip


def _costs(search: Search) -> dict[str, float]:
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
