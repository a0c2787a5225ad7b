"""`resight compare`: two evaluations of the same queries."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resight.measure.comparison import Comparison


def compare(
    run_a: Path,
    run_b: Path,
    /,
    *,
    setting: str | None = None,
    rule: Literal["trapezoid", "standard"] = "trapezoid",
    common: bool = False,
    html: Path | None = None,
    results: int = 4,
    json: bool = False,
) -> int:
    """Compare two saved runs query by query: which is better, by how much, and how sure that is.

    Parameters
    ----------
    run_a
        Folder of the first run, as `resight evaluate --save` wrote it.
    run_b
        Folder of the second.
    setting
        Compare only this one (E, M, H ...), not all that both runs have.
    rule
        Of average precision: trapezoid (Oxford, Paris and their revisions) or standard.
    common
        Leave out queries that only one run has, instead of stopping.
    html
        Write a page with the queries that gained and lost most.
    results
        How many results of each run the page shows for a query.
    json
        Print as JSON.
    """
    from resight.errors import InputError
    from resight.measure.comparison import compare_runs
    from resight.measure.runs import load_run

    if results < 1:
        raise InputError(f"--results must be at least 1, got {results}")
    a, b = load_run(run_a), load_run(run_b)
    found = compare_runs(a, b, setting, rule=rule, common=common)
    if html is not None:
        from resight.show.comparison import comparison_report
        from resight.show.files import write_atomic

        write_atomic(html, comparison_report(found, a, b, results=results))
    if json:
        print(json_module.dumps(found.as_dict(), indent=1))
        return 0
    for line in _lines(found):
        print(line)
    if html is not None:
        print(f"page: {html}")
    return 0


def _lines(found: Comparison) -> list[str]:
    from resight.show.comparison import COLUMNS, comparison_rows
    from resight.show.text import visible

    shorter = {"setting": "", "B better in": "B better"}  # 80 columns are enough then
    rows = [[shorter.get(name, name) for name in COLUMNS], *comparison_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [f"A  {found.a}", f"B  {found.b}", f"mAP x 100, {found.rule} rule"]
    gaps = [2] * 5 + [1] * (len(widths) - 6)
    for row in rows:
        cells = [cell.rjust(width + gap) for cell, width, gap in zip(row[1:], widths[1:], gaps)]
        lines.append(row[0].ljust(widths[0]) + "".join(cells))
    lines += [f"{part.setting}: {part.verdict}" for part in found.settings]
    method = [f"{one.key} {one.a} -> {one.b}" for one in found.differences if one.method]
    lines.append(f"method: {'; '.join(method) or 'the same in both'}")
    if found.warnings:
        lines.append(f"warning: {'; '.join(found.warnings)}")
    return [visible(line) for line in lines]
