"""Rankings as pictures and pages."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.show.alike import alike_section
from resight.show.picture import Picture
from resight.show.report import Section, report

if TYPE_CHECKING:
    from resight.demo import Demonstration, Trial
    from resight.explain.pairs import Pair
    from resight.search import Ranking


MATCHES_DRAWN = 6


def pictures(ranking: Ranking, right: Sequence[bool] | None = None) -> list[Picture]:
    """The query and then the results, best first, marked right or wrong where that is known."""
    marks = ["" if right is None else "right" if good else "wrong" for good in (right or [False] * len(ranking))]
    results = [
        Picture(
            path, caption=_caption(ranking, row), note=_name(path, ranking.labels[row]), mark=mark, href=path,
            box=ranking.found_in(row),
        )
        for row, ((path, _), mark) in enumerate(zip(ranking, marks))
    ]  # fmt: skip
    return [_query(ranking), *results]


def _caption(ranking: Ranking, row: int) -> str:
    """The score; of a verified result, how many points agree."""
    matched = None if ranking.matches is None else ranking.matches[row]
    return f"{ranking.scores[row]:.3f}" if matched is None else f"{len(matched):,} matches"


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
    text = "\n\n".join(filter(None, [text, how_ranked(ranking)]))
    return Section(title=title or Path(ranking.query).name, text=text, query=query, pictures=tuple(results))


def how_ranked(ranking: Ranking) -> str:
    """The steps after the search in a sentence, with their times; "" if there were none."""
    if not ranking.steps:
        return ""
    boxed = " Frames show where in an image the query was found." if ranking.boxes is not None else ""
    return f"Ranked by similarity, then {', then '.join(map(str, ranking.steps))}.{boxed}"


def match_section(ranking: Ranking) -> Section | None:
    """The first verified results next to the query, with lines between the points that agree; None if none is."""
    from resight.show.matches import matches_picture

    drawn: list[Picture] = []
    for row, matched in enumerate(ranking.matches or ()):
        if matched is None or len(drawn) == MATCHES_DRAWN:
            continue
        path = ranking.paths[row]
        try:
            image = matches_picture(ranking.image, path, matched.query, matched.result, box_a=ranking.box)
        except InputError:  # the file was replaced by a smaller image since it was matched
            continue
        drawn.append(Picture(image, caption=f"{len(matched):,} matches", note=Path(path).name, href=path))
    if not drawn:
        return None
    return Section(title="Points that agree", pictures=tuple(drawn), ranked=False, wide=True)


def ranking_report(
    rankings: Sequence[Ranking], intro: str = "", explained: Sequence[Sequence[Pair | None]] | None = None
) -> str:
    """One self-contained HTML page for the rankings of some queries; `intro` says what was searched and how.

    explained: for each ranking why its first results are like the query, as `explain_results` gives it
    """
    one = len(rankings) == 1
    sections = []
    for place, ranking in enumerate(rankings):
        sections.append(ranking_section(ranking, title=f"The {len(ranking)} most similar" if one else ""))
        why = match_section(ranking) if explained is None else alike_section(ranking, explained[place])
        sections += [why] if why else []
    title = f"Images like {Path(rankings[0].query).name}" if one else f"{len(rankings)} queries"
    return report(title, sections, intro=intro)


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
