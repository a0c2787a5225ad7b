"""Steps that use the neighbours of the images: k-reciprocal re-ranking and diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resight.errors import InputError
from resight.search.after import Clock
from resight.search.by_vector import query_vector, reordered
from resight.search.database import Database, Progress
from resight.search.neighbours import cosines
from resight.search.ranking import Ranking

if TYPE_CHECKING:
    from resight.search.diffusion import DiffusionGraph
    from resight.search.reciprocal import ReciprocalIndex


class Reciprocal:
    """k-reciprocal: the first `top` results are sorted by how many neighbours they share with the query (Zhong 2017).

    The score is 1 minus the paper's distance, (1 - weight) Jaccard + weight * original. Each query alone is compared
    with the database: its result does not depend on other queries.
    """

    def __init__(self, database: Database, *, top: int, k1: int, k2: int, weight: float) -> None:
        if k2 > k1:
            raise InputError(f"k2 of k-reciprocal must be at most k1, got k1={k1}, k2={k2}")
        self.database, self.depth, self.k1, self.k2, self.weight = database, top, k1, k2, weight
        self._index: ReciprocalIndex | None = None

    def prepare(self, progress: Progress | None = None) -> None:
        """Find every image's neighbours and what they share."""
        from resight.search.reciprocal import ReciprocalIndex

        if self._index is None and len(self.database) > 1:
            near = self.database.neighbours(self.k1, progress)
            self._index = ReciprocalIndex.build(self.database.vectors, self.k1, self.k2, neighbours=near)

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Sort the first results."""
        self.prepare()
        if self._index is None:
            return ranking, "left out: it takes two images or more"
        rows = self.database.places(ranking.ids[: self.depth])
        distances = self._index.distances(query_vector(ranking), rows, weight=self.weight)
        return reordered(ranking, np.asarray(1 - distances, np.float32), len(rows)), ""


class Diffuse:
    """diffusion: the query's similarity spreads along the neighbour graph of the first `top` results (Iscen 2017).

    With transductive "no" the query is not a node of the graph and its kq nearest results are the seeds; with "yes" it
    joins the graph, for its own ranking only, and is the seed: kq does not count. Results that nothing flows to keep
    their order, behind those that something does.
    """

    def __init__(
        self, database: Database, *, top: int, k: int, gamma: float, alpha: float, kq: int, iterations: int,
        transductive: str = "no",
    ) -> None:  # fmt: skip
        self.database, self.depth, self.k, self.gamma = database, top, k, gamma
        self.alpha, self.kq, self.iterations = alpha, kq, iterations
        self.transductive = transductive == "yes"
        self._graph: DiffusionGraph | None = None

    def prepare(self, progress: Progress | None = None) -> None:
        """Make the graph."""
        from resight.search.diffusion import DiffusionGraph

        if self._graph is None and len(self.database) > 1:
            near = self.database.neighbours(self.k, progress)
            self._graph = DiffusionGraph.build(self.database.vectors, self.k, self.gamma, neighbours=near)

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """Sort the first results by what reaches them."""
        self.prepare()
        if self._graph is None:
            return ranking, "left out: it takes two images or more"
        query = query_vector(ranking)
        rows = self.database.places(ranking.ids[: self.depth])
        cut = False

        def stop() -> bool:
            nonlocal cut
            cut = cut or not clock.allows()
            return cut

        sims = cosines(query[None], self.database.vectors, np.zeros(len(rows), np.intp), rows)
        flow = self._graph.scores(
            query, rows, sims, kq=self.kq, alpha=self.alpha, iterations=self.iterations,
            transductive=self.transductive, stop=stop,
        )  # fmt: skip
        if cut and not flow.any():
            return ranking, "left out: the budget was spent"
        note = "budget: fewer iterations" if cut else ""
        return reordered(ranking, np.asarray(flow, np.float32), len(rows)), note
