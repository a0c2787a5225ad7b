"""Which queries of a test are worth a look: the best, the worst, and those that training has changed most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resight.measure.resampling import EQUAL

if TYPE_CHECKING:
    from resight.train.embed_report import EmbedReport

EACH = 3  # queries of a kind
SHOWN = 8  # results of a query


@dataclass(frozen=True)
class Told:
    """A query and what it finds with one encoder.

    title: why it is shown;  row: of the query;  found: (row of the database, similarity), best first
    group: the same for a query before and after
    """

    title: str
    row: int
    found: tuple[tuple[int, float], ...]
    group: int


def telling_queries(report: EmbedReport) -> list[Told]:
    """The queries with the highest and the lowest average precision after training, and those that training has raised
    and lowered most, these before and after.

    Of one class only one of a kind, as long as there are others. No query is shown twice.
    """
    after = report.trained
    name = report.before
    before = None if name is None else report.stages[name].scores
    told: list[Told] = []
    used: set[int] = set()
    gains = np.zeros(len(after)) if before is None else after.ap - before.ap
    # Changes first: a query that was rescued is to be seen before and after, not only among the best.
    kinds = (
        ("most raised", -gains, gains > EQUAL), ("most lowered", gains, gains < -EQUAL),
        ("worst", after.ap, np.ones(len(after), bool)), ("best", -after.ap, np.ones(len(after), bool)),
    )  # fmt: skip
    found: dict[str, list[int]] = {}
    for kind, order, eligible in kinds:
        found[kind] = _spread(report, np.argsort(order, kind="stable"), {*used, *np.flatnonzero(~eligible)})
        used |= set(found[kind])
    group = 0
    for kind in ("best", "worst", "most raised", "most lowered"):
        for place in found[kind]:
            group += 1
            stages = ["trained"] if name is None or not kind.startswith("most") else [name, "trained"]
            told += [_told(report, kind, stage, place, group) for stage in stages]
    return told


def _spread(report: EmbedReport, order: Iterable[int], used: set[int]) -> list[int]:
    """The first places of an order that are free, of different classes as far as there are any."""
    free = [int(place) for place in order if int(place) not in used]
    first: dict[str, int] = {}
    for place in free:
        first.setdefault(report.labels[report.trained.queries[place]], place)
    chosen = list(first.values())[:EACH]
    chosen += [place for place in free if place not in chosen][: EACH - len(chosen)]
    return sorted(chosen, key=free.index)


def _told(report: EmbedReport, kind: str, stage: str, place: int, group: int) -> Told:
    scores = report.stages[stage].scores
    rows, near = scores.nearest[place][:SHOWN], scores.similarities[place][:SHOWN]
    when = "after training" if stage == "trained" else f"before ({stage})"
    first = scores.first_right[place] + 1
    title = f"{kind}, {when}: average precision {scores.ap[place]:.3f}, first right image at rank {first}"
    found = tuple((int(row), float(one)) for row, one in zip(rows, near, strict=True) if row >= 0)
    return Told(title, int(scores.queries[place]), found, group)
