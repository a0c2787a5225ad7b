"""Rankings as pictures and pages."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.show.picture import Picture
from resight.show.report import Section, report

if TYPE_CHECKING:
    from resight.demo import Demonstration, Trial
    from resight.search import Ranking


def pictures(ranking: Ranking, right: Sequence[bool] | None = None) -> list[Picture]:
    """The query and then the results, best first, marked right or wrong where that is known."""
    marks = ["" if right is None else "right" if good else "wrong" for good in (right or [False] * len(ranking))]
    results = [
        Picture(path, caption=f"{score:.3f}", note=_name(path, label), mark=mark, href=path)
        for (path, score), label, mark in zip(ranking, ranking.labels, marks)
    ]
    return [_query(ranking), *results]


def _name(path: str, label: str | None) -> str:
    return f"{label}/{Path(path).name}" if label else Path(path).name


def _query(ranking: Ranking) -> Picture:
    is_path = isinstance(ranking.image, (str, os.PathLike))
    return Picture(
        ranking.image, caption="query", note=Path(ranking.query).name, mark="query", box=ranking.box,
        href=os.path.abspath(ranking.query) if is_path else None,
    )  # fmt: skip


def ranking_section(
    ranking: Ranking, right: Sequence[bool] | None = None, *, title: str = "", text: str = ""
) -> Section:
    """One query and its results as a part of a report; the title is the query's name if not given."""
    query, *results = pictures(ranking, right)
    return Section(title=title or Path(ranking.query).name, text=text, query=query, pictures=tuple(results))


def ranking_report(rankings: Sequence[Ranking], intro: str = "") -> str:
    """One self-contained HTML page for the rankings of some queries; `intro` says what was searched and how."""
    if len(rankings) == 1:
        section = ranking_section(rankings[0], title=f"The {len(rankings[0])} most similar")
        return report(f"Images like {Path(rankings[0].query).name}", [section], intro=intro)
    return report(f"{len(rankings)} queries", [ranking_section(ranking) for ranking in rankings], intro=intro)


def demo_report(demo: Demonstration) -> str:
    """The page that the demonstration ends with."""
    trials, number = demo.trials, len(demo.trials)
    made = demo.report
    summary = [
        (f"{demo.within(1)} / {number}", "right answer first"),
        (f"{demo.within(3)} / {number}", "right answer in the first 3"),
        (f"{100 * demo.found:.0f} %", f"of each query's {demo.answers} right answers in its first {demo.answers}"),
        (f"{demo.images:,}", "images searched"),
    ]
    if made.encoded:
        summary.append((f"{made.encoded / max(made.seconds, 1e-9):.0f} / s", "images described"))
    intro = (
        "Each query is an altered copy of a photograph - cropped, turned, re-lit, paled and recompressed - that is not "
        "in the collection. Its right answers are the photograph itself and its four other altered copies."
    )
    failed = [t.photo.name for t in trials if t.first_right is None or t.first_right > 3]
    if failed:
        intro += f" Not found within the first 3: {', '.join(failed)}."
    return report(
        "resight: a first look",
        [ranking_section(t.ranking, t.right, text=_verdict(t, demo.answers)) for t in trials],
        summary=summary,
        intro=intro,
        next_steps=next_steps(demo),
        footer="Made by resight. Thumbnails are inside this page; links open the files on this computer.",
    )


def next_steps(demo: Demonstration) -> list[tuple[str, str]]:
    """What to type after the demonstration: (explanation, command)."""
    where, query = shlex.quote(str(demo.collection)), shlex.quote(demo.trials[0].ranking.query)
    return [
        ("One of these queries again", f"resight search {query} --in {where} -k 5"),
        ("Index your own photographs (add folders any time)", "resight index ~/Pictures --to pictures.resight"),
        ("Search them", "resight search query.jpg --in pictures.resight -k 20 --html out.html"),
    ]


def _verdict(trial: Trial, answers: int) -> str:
    rank = trial.first_right
    first = "No right answer in these results." if rank is None else f"First right answer at rank {rank}."
    return f"{first} {sum(trial.right[:answers])} of {answers} right answers in the first {answers}."
