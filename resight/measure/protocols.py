"""Scores of rankings against a ground truth, by the rules of its protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resight.errors import InputError
from resight.images.truth import Query, Truth
from resight.measure.average_precision import standard_terms, trapezoid_terms
from resight.measure.names import NameIndex, name_index

__all__ = ["NameIndex", "ProtocolScores", "RankingScorer", "SettingScores", "name_index", "score_rankings"]

Ids = NDArray[np.int64]
_OUT = 1  # code of an image that is out of the ranking; a query's groups have the codes from 2


@dataclass(frozen=True, eq=False)
class SettingScores:
    """Scores of one setting; means are over the queries that have a positive in it, NaN if none has.

    map, map_trapezoid  mean average precision: standard rule, and the trapezoid rule of the Oxford family
    mp                  {k: mP@k of the revisited sets: positives within kq / kq, kq = min(k, rank of the last)}
    precision           {k: positives among the first k / k, or / the images left to rank if they are fewer}
    recall              {k: share of queries with any positive among the first k}
    queries, skipped    how many queries count, and how many have no positive in this setting
    ap, ap_trapezoid    (Q,)  of each query, NaN where it is left out
    """

    map: float
    map_trapezoid: float
    mp: dict[int, float]
    precision: dict[int, float]
    recall: dict[int, float]
    queries: int
    skipped: int
    ap: NDArray[np.float64]
    ap_trapezoid: NDArray[np.float64]

    def as_dict(self) -> dict[str, Any]:
        """The means as JSON knows them: text keys, None for NaN."""
        means = {"map_standard": _number(self.map), "map_trapezoid": _number(self.map_trapezoid)}
        depths = {
            name: {str(k): _number(value) for k, value in getattr(self, name).items()}
            for name in ("mp", "precision", "recall")
        }
        return {**means, **depths, "queries": self.queries, "skipped": self.skipped}


@dataclass(frozen=True, eq=False)
class ProtocolScores:
    """Scores of every setting of a protocol, and UKBench's N-S score (mean positives among the first four) or None."""

    protocol: str
    settings: dict[str, SettingScores]
    ns: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {name: scores.as_dict() for name, scores in self.settings.items()}
        return {"protocol": self.protocol, "settings": found, "ns": self.ns}

    def __repr__(self) -> str:
        means = ", ".join(
            f"{name} mAP {scores.map_trapezoid:.4f} (standard {scores.map:.4f}, {scores.queries} queries)"
            for name, scores in self.settings.items()
        )
        return f"<ProtocolScores {self.protocol}: {means}{'' if self.ns is None else f', N-S {self.ns:.3f}'}>"


class RankingScorer:
    """Scores rankings one query at a time, in any order; `scores` when all are there.

    truth: the ground truth
    index: of the collection that the rankings are of
    ks:    depths of precision, recall and mP

    Raises InputError for depths below 1 or an index of another ground truth.
    """

    def __init__(self, truth: Truth, index: NameIndex, ks: Sequence[int] = (1, 5, 10)) -> None:
        if len(index.queries) != len(truth.queries):
            raise InputError(f"the index is for {len(index.queries)} queries, the truth has {len(truth.queries)}")
        if any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in ks):
            raise InputError(f"k must be whole numbers of at least 1, got {list(ks)}")
        self.truth, self.index, self.ks = truth, index, sorted({int(k) for k in ks})
        self._depths = np.array(self.ks, np.int64)
        self._codes = np.where(index.database, 0, _OUT).astype(np.uint16)  # is put back after every query
        self._seen = np.zeros(len(index.database), np.bool_)  # likewise
        self._left = int(index.database.sum())
        self._rows_of: dict[int, Ids] = {}
        shape = (len(truth.queries), len(truth.settings))
        self._done = np.zeros(shape[0], np.bool_)
        self._ap = np.full((*shape, 2), math.nan)
        self._at = np.full((*shape, 3, len(self.ks)), math.nan)  # mp, precision, recall
        self._first_four = np.zeros(shape)

    def add(self, query: int, ids: ArrayLike) -> None:
        """Score one ranking.

        query: which query of the truth
        ids:   (n,)  rows of the collection, best first, each once; images that are not searched, ignored or the
               query's own if that is removed may be among them or not: they count neither way. Positives that are
               not among them count as never found

        Raises InputError for a query that is unknown or scored before, and for ids that are no ranking.
        """
        if not 0 <= query < len(self.truth.queries):
            raise InputError(f"query must be from 0 to {len(self.truth.queries) - 1}, got {query}")
        asked = self.truth.queries[query]
        if self._done[query]:
            raise InputError(f"query {asked.name!r} was scored before: use another scorer")
        ranking = self._checked(asked, ids)
        touched, groups = self._mark(asked, int(self.index.queries[query]))
        members = np.bincount(self._codes[touched], minlength=len(groups) + _OUT + 1)
        searched = self._left - int(self.index.database[touched[self._codes[touched] == _OUT]].sum())
        codes = self._codes[ranking]
        places = np.flatnonzero(codes)
        known = codes[places]
        for column, (name, setting) in enumerate(self.truth.settings.items()):
            positives = len(self.truth.positives(asked, name))
            if positives == 0:
                continue
            junk = [groups[group] for group in setting.ignored if group in groups]
            out, wanted = np.zeros(len(members), np.bool_), np.zeros(len(members), np.bool_)
            out[[_OUT, *junk]] = True
            wanted[[groups[group] for group in setting.positive if group in groups]] = True
            right = wanted[known]
            ranks = places[right] - np.cumsum(out[known])[right]
            self._score(query, column, ranks, positives, searched - int(members[junk].sum()))
        self._codes[touched] = np.where(self.index.database[touched], 0, _OUT)
        self._done[query] = True

    def scores(self) -> ProtocolScores:
        """The scores of all queries. Raises InputError if a query has no ranking yet."""
        if not self._done.all():
            first = self.truth.queries[int(np.argmin(self._done))].name
            raise InputError(f"{int((~self._done).sum())} queries have no ranking, such as {first!r}")
        settings = {name: self._setting(column) for column, name in enumerate(self.truth.settings)}
        ns = float(self._first_four[:, 0].mean()) if self.truth.name == "ukbench" else None
        return ProtocolScores(self.truth.name, settings, ns)

    def one(self, query: int) -> tuple[dict[str, float], dict[str, float]]:
        """Average precision of a query that was added, by setting: (standard, trapezoid), NaN where left out."""
        names = list(self.truth.settings)
        standard, trapezoid = self._ap[query].T.tolist()
        return dict(zip(names, standard)), dict(zip(names, trapezoid))

    def _checked(self, asked: Query, ids: ArrayLike) -> Ids:
        ranking = np.asarray(ids)
        count = len(self._codes)
        if ranking.ndim != 1 or (ranking.size and ranking.dtype.kind not in "iu"):
            raise InputError(f"a ranking must be whole numbers (n,), got {ranking.dtype} of shape {ranking.shape}")
        ranking = ranking.astype(np.int64, copy=False)
        if ranking.size and (ranking.min() < 0 or ranking.max() >= count):
            raise InputError(
                f"query {asked.name!r}: expected rows from 0 to {count - 1}, got {ranking.min()} to {ranking.max()}"
            )
        self._seen[ranking] = True
        distinct = int(np.count_nonzero(self._seen)) if ranking.size else 0
        self._seen[ranking] = False
        if distinct < ranking.size:
            raise InputError(f"query {asked.name!r}: {ranking.size - distinct} images are ranked twice")
        return ranking

    def _mark(self, asked: Query, own: int) -> tuple[Ids, dict[str, int]]:
        """Codes of the query's groups, written into the shared array; the rows that were changed."""
        groups: dict[str, int] = {}
        changed = []
        for code, (group, names) in enumerate(asked.groups.items(), _OUT + 1):
            rows = self._rows(names)
            rows = rows[self.index.database[rows]]
            self._codes[rows] = code
            groups[group] = code
            changed.append(rows)
        if own >= 0 and self.truth.own == "removed":
            self._codes[own] = _OUT
            changed.append(np.array([own]))
        touched = np.unique(np.concatenate(changed)) if changed else np.empty(0, np.int64)
        return touched, groups

    def _rows(self, names: frozenset[str]) -> Ids:
        if id(names) not in self._rows_of:
            rows = [self.index.rows[name] for name in names if name in self.index.rows]
            self._rows_of[id(names)] = np.array(sorted(rows), np.int64)
        return self._rows_of[id(names)]

    def _score(self, query: int, column: int, ranks: Ids, positives: int, left: int) -> None:
        found = len(ranks)
        for rule, terms in enumerate((standard_terms, trapezoid_terms)):
            self._ap[query, column, rule] = terms(ranks).sum() / positives
        hits = np.searchsorted(ranks, self._depths)
        # A positive that was never found stands behind everything, so that k is the smaller one.
        depth = np.minimum(self._depths, ranks[-1] + 1) if found == positives else self._depths
        self._at[query, column, 0] = np.searchsorted(ranks, depth) / depth
        self._at[query, column, 1] = hits / np.minimum(self._depths, max(left, 1))
        self._at[query, column, 2] = hits > 0
        self._first_four[query, column] = np.searchsorted(ranks, 4)

    def _setting(self, column: int) -> SettingScores:
        counted = ~np.isnan(self._ap[:, column, 0])
        queries = int(counted.sum())
        standard, trapezoid = self._ap[counted, column].mean(0).tolist() if queries else (math.nan, math.nan)
        at = self._at[counted, column].mean(0) if queries else np.full((3, len(self.ks)), math.nan)
        mp, precision, recall = (dict(zip(self.ks, row)) for row in at.tolist())
        ap, ap_trapezoid = self._ap[:, column, 0].copy(), self._ap[:, column, 1].copy()
        return SettingScores(
            standard, trapezoid, mp, precision, recall, queries, len(counted) - queries, ap, ap_trapezoid
        )


def score_rankings(
    rankings: Iterable[ArrayLike], truth: Truth, index: NameIndex, *, ks: Sequence[int] = (1, 5, 10)
) -> ProtocolScores:
    """Scores of the rankings of all queries.

    rankings: (Q, n)  rows of the collection, best first, in the order of truth.queries; or an iterable of (n_q,)
    index:    from `name_index`
    ks:       depths of precision, recall and mP

    AP counts all positives; give full rankings, as those that are missing count as never found. Ignored images and
    those that are not searched are taken out first, wherever they stand (Philbin 2007; Radenovic 2018).
    Raises InputError if there is not one ranking per query, or one is no ranking.

    >>> from resight.images.truth import Query, Setting, Truth
    >>> query = Query("q", "q", None, {"good": frozenset("abc"), "junk": frozenset("j")})
    >>> truth = Truth("toy", (query,), {"all": Setting(("good",), ("junk",))}, tuple("axjbyc"), "absent")
    >>> score_rankings([range(6)], truth, name_index(truth, list("axjbyc")))
    <ProtocolScores toy: all mAP 0.7111 (standard 0.7556, 1 queries)>
    """
    scorer = RankingScorer(truth, index, ks)
    given = 0
    for query, ids in enumerate(rankings):
        given += 1
        if query >= len(truth.queries):
            raise InputError(f"more rankings than the {len(truth.queries)} queries")
        scorer.add(query, ids)
    if given < len(truth.queries):
        raise InputError(f"expected one ranking per query, got {given} for {len(truth.queries)} queries")
    return scorer.scores()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
