"""Two runs side by side: scores, what their protocols differ in, and the queries that gained and lost most."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from resight.show.picture import Picture
from resight.show.report import Section, Table, report
from resight.show.text import elide

if TYPE_CHECKING:
    from resight.measure.comparison import Comparison, QueryChange, SettingComparison
    from resight.measure.runs import Run, RunQuery

COLUMNS = ("setting", "queries", "A", "B", "B - A", "95 % interval", "B better in", "won", "tied", "lost", "p")
VALUE_LENGTH = 300  # characters of a protocol's value


def comparison_report(comparison: Comparison, a: Run, b: Run, *, queries: int = 3, results: int = 4) -> str:
    """One self-contained HTML page for two runs, with the pictures of the queries that changed most.

    comparison: of the runs a and b
    queries:    how many that gained, and how many that lost, are shown with pictures
    results:    how many results of each run to show for a query; the runs hold no more than were saved with them
    """
    main = comparison.main
    intro = (
        f"A is {comparison.a}, B is {comparison.b}. Scores are mean average precision x 100 by the {comparison.rule} "
        "rule; the interval says how far the difference moves when the queries are drawn anew."
    )
    warning = "".join(f"\n\nWarning: {text}." for text in comparison.warnings)
    return report(
        f"{comparison.a} and {comparison.b}",
        [_scores(comparison), _protocols(comparison), _changed(main), *_extremes(main, a, b, queries, results)],
        summary=_summary(main, len(comparison.settings) > 1),
        intro=intro + warning,
        footer="Made by resight. Thumbnails are inside this page; links open the files on this computer.",
    )


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The cells of the table of scores, one row per setting; `COLUMNS` names them."""
    return [
        (
            part.setting, f"{part.queries:,}", _score(part.a), _score(part.b), f"{100 * part.difference:+.2f}",
            "{:+.2f} to {:+.2f}".format(*(100 * side for side in part.interval)), f"{100 * part.better:.1f} %",
            str(part.wins), str(part.ties), str(part.losses), f"{part.p_value:.4f}",
        )
        for part in comparison.settings
    ]  # fmt: skip


def _summary(part: SettingComparison, several: bool) -> list[tuple[str, str]]:
    where = f", setting {part.setting}" if several else ""
    low, high = (100 * side for side in part.interval)
    return [
        (_score(part.a), f"mAP of A{where}"),
        (_score(part.b), f"mAP of B{where}"),
        (f"{100 * part.difference:+.1f}", f"B - A, 95 % interval {low:+.1f} to {high:+.1f}"),
        (f"{part.wins} : {part.losses}", f"queries B does better : worse, of {part.queries:,}"),
    ]


def _scores(comparison: Comparison) -> Section:
    verdicts = [f"{part.setting}: {part.verdict}." for part in comparison.settings]
    verdicts.append(
        '"B better in" is the share of draws of the queries in which B has the higher mean; p is of a paired '
        "randomisation test."
    )
    first, second = comparison.seconds
    return Section(
        "Scores",
        text="\n\n".join(verdicts),
        facts=(("seconds per query, A", f"{first:.3f}"), ("seconds per query, B", f"{second:.3f}")),
        table=Table(COLUMNS, tuple(comparison_rows(comparison))),
    )


def _protocols(comparison: Comparison) -> Section:
    if not comparison.differences:
        return Section("What differs", text="Nothing: both runs record the same protocol and the same method.")
    rows = tuple(
        (one.key, elide(one.a, VALUE_LENGTH), elide(one.b, VALUE_LENGTH), "method" if one.method else "condition")
        for one in comparison.differences
    )
    text = "What belongs to the method is what is compared; a condition should be the same in both runs."
    return Section("What differs", text=text, table=Table(("", "A", "B", "kind"), rows))


def _changed(part: SettingComparison) -> Section:
    changes = [*part.improved, *reversed(part.worsened)]
    if not changes:
        return Section("Queries that changed most", text="None changed.")
    rows = tuple((one.name, _score(one.a), _score(one.b), f"{100 * one.change:+.2f}") for one in changes)
    return Section("Queries that changed most", text=f"Average precision x 100, setting {part.setting}.",
                   table=Table(("query", "A", "B", "B - A"), rows))  # fmt: skip


def _extremes(part: SettingComparison, a: Run, b: Run, queries: int, results: int) -> Iterator[Section]:
    runs = [{query.name: query for query in run.queries} for run in (a, b)]
    for word, changes in (("Gained", part.improved), ("Lost", part.worsened)):
        for change in changes[:queries]:
            for letter, found in zip("AB", runs):
                yield _query(word, change, letter, found[change.name], results)


def _query(word: str, change: QueryChange, letter: str, query: RunQuery, results: int) -> Section:
    title = f"{word} {100 * abs(change.change):.1f}: {change.name}" if letter == "A" else f"{change.name} in B"
    text = f"{letter}: average precision {_score(change.a if letter == 'A' else change.b)}"
    if not query.shown:
        text += "; no results were saved with this run"
    marks = {True: "right", False: "wrong", None: ""}
    return Section(
        title,
        text=f"{text}.",
        query=Picture(query.image, caption="query", note=PurePath(query.image).name, mark="query", box=query.box,
                      href=query.image),
        pictures=tuple(
            Picture(one.path, f"{one.score:.3f}", PurePath(one.path).name, marks[one.right], one.box, one.path)
            for one in query.shown[:results]
        ),
    )  # fmt: skip


def _score(share: float) -> str:
    return f"{100 * share:.2f}"
