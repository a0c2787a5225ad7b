"""The table of a grid, as Markdown for people and as CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from resight.measure.fingerprint import fingerprint_key
from resight.measure.grid_config import Cell
from resight.measure.grid_rows import Row
from resight.measure.resampling import bootstrap_interval

Interval = tuple[float, float]
CHOICES = ("descriptor", "parts", "whitening", "then")
NOTE = (
    "Scores x 100, N-S of 4; mAP by the trapezoid rule with its 95 % interval over queries, mAP std by the standard "
    "rule. {mark}: the highest number of a column, which need not be a real difference. "
    "ms/query: the search with its steps, on the machine as it was then."
)


@dataclass(frozen=True)
class Line:
    """A row of the table: what a grid's row says in numbers, without its queries, so that many can be held.

    cell, key, unread   as in `Row`
    reason     why the cell could not be done, "" if it was; the rest is empty then
    scores     by column: "mAP", "mAP std", "P@1" ... or, with several settings, "M mAP", "M mP@1" ...; N-S if there is;
               NaN where there is no number
    intervals  {column: 95 % interval over the queries} of each mAP column
    protocol   the fingerprint
    """

    cell: Cell
    key: str
    reason: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    milliseconds: float = 0.0
    bytes_per_image: int = 0
    protocol: dict[str, Any] = field(default_factory=dict)
    unread: int = 0

    @property
    def done(self) -> bool:
        """Whether there are scores."""
        return bool(self.scores)

    @property
    def main(self) -> float:
        """The mAP to look at first: of Medium in the revisited sets, else of the first setting; -1 without."""
        value = self.scores.get("M mAP", next(iter(self.scores.values()), math.nan))
        return -1.0 if math.isnan(value) else value


def table_line(row: Row, ks: Sequence[int]) -> Line:
    """The line of a grid's row.

    The interval is the percentile bootstrap over queries of the trapezoid rule's mAP, see `bootstrap_interval`.
    """
    run = row.run
    if run is None:
        return Line(row.cell, row.key, " ".join(row.reason.split()) or "no reason was given", unread=row.unread)
    scores: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    several = len(run.settings) > 1
    for name in run.settings:
        one, prefix = run.scores["settings"][name], f"{name} " if several else ""
        scores[f"{prefix}mAP"] = _value(one["map_trapezoid"])
        scores[f"{prefix}mAP std"] = _value(one["map_standard"])
        # Sets with several settings report the mP@k of Radenovic 2018, in which junk and few positives do not count.
        depth, at = ("mP", one["mp"]) if several else ("P", one["precision"])
        scores.update({f"{prefix}{depth}@{k}": _value(at[str(k)]) for k in ks})
        counted = [q.ap_trapezoid[name] for q in run.queries if not math.isnan(q.ap_trapezoid[name])]
        intervals[f"{prefix}mAP"] = bootstrap_interval(counted) if counted else (math.nan, math.nan)
    if run.scores.get("ns") is not None:
        scores["N-S"] = _value(run.scores["ns"])
    seconds = sum(query.seconds for query in run.queries) / max(len(run.queries), 1)
    return Line(
        row.cell, row.key, "", scores, intervals, 1000 * seconds, 4 * row.dim, run.protocol, row.unread
    )  # fmt: skip


def table_csv(lines: Sequence[Line]) -> str:
    """A CSV text, one line per cell, with shares from 0 to 1; `cell` is the folder below OUT/cells."""
    scores, intervals = _columns(lines)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["descriptor", "part_whitening", "whitening", "then"]
    for name in scores:
        head += [name, *((f"{name} low", f"{name} high") if name in intervals else ())]
    writer.writerow([*head, "ms_per_query", "bytes_per_image", "cell", "protocol", "reason"])
    for line in lines:
        cells: list[object] = _choices(line, "")
        for name in scores:
            width = 3 if name in intervals else 1
            numbers = [line.scores[name], *line.intervals.get(name, ())] if line.done else [math.nan] * width
            cells += ["" if math.isnan(number) else f"{number:.6f}" for number in numbers]
        costs = [f"{line.milliseconds:.3f}", line.bytes_per_image] if line.done else ["", ""]
        protocol = fingerprint_key(line.protocol) if line.done else ""
        writer.writerow([*cells, *costs, line.key, protocol, line.reason])
    return text.getvalue()


def table_markdown(lines: Sequence[Line], remarks: Sequence[str] = ()) -> str:
    """A Markdown text: what all cells share, the table with the best of each column in bold, and what to make of it.

    remarks: lines to put before the table
    """
    scores, _ = _columns(lines)
    best = {name: max((_shown(line, name) for line in lines if line.done), default=math.nan) for name in scores}
    head = [*CHOICES, *scores, "ms/query", "bytes/image", "cell", "protocol"]
    rows = [head, ["---"] * 4 + ["---:"] * (len(scores) + 2) + ["---"] * 2]
    for line in lines:
        choices = _choices(line, "none")
        if not line.done:
            rows.append([*choices, f"not done: {line.reason}", *[""] * (len(head) - 5)])
            continue
        numbers = [_number(line, name, _shown(line, name) == best[name]) for name in scores]
        costs = [f"{line.milliseconds:.1f}", f"{line.bytes_per_image:,}"]
        rows.append([*choices, *numbers, *costs, line.key, fingerprint_key(line.protocol)])
    table = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    above = "\n\n".join([_about(lines), *map(_cell, remarks)])
    return "\n".join([above, "", *table, "", *table_notes(lines), ""])


def table_text(lines: Sequence[Line], width: int = 100) -> str:
    """The table for a terminal: one line per cell, columns in line, the highest number of each marked with *.

    width: columns of the terminal. Choices that are the same in every cell are left out, and from the right what does
           not fit; nothing of it is lost, as `table_markdown` has all
    """
    scores, intervals = _columns(lines)
    choices = list(zip(*[_choices(line, "-") for line in lines]))
    kept = [i for i, column in enumerate(choices) if len(set(column)) > 1] or [0]
    columns = [[CHOICES[i], *map(str, choices[i])] for i in kept]
    for name in sorted(scores, key=lambda name: name.endswith(" std")):  # those last, as the first to be left out
        best = max(_shown(line, name) for line in lines if line.done)
        columns.append([name, *(_marked(line, name, best) for line in lines)])
    columns.append(["ms/query", *(f"{line.milliseconds:.1f}" if line.done else "" for line in lines)])
    widths = [max(map(len, column)) for column in columns]
    while len(columns) > len(kept) + 1 and sum(widths) + 2 * (len(widths) - 1) > width:
        columns, widths = columns[:-1], widths[:-1]
    left = [i < len(kept) or column[0] in intervals for i, column in enumerate(columns)]
    rows = []
    for row in zip(*columns):
        rows.append("  ".join(
            text.ljust(wide) if to_left else text.rjust(wide) for text, wide, to_left in zip(row, widths, left)
        ).rstrip())  # fmt: skip
    return "\n".join(rows)


def _marked(line: Line, name: str, best: float) -> str:
    if not line.done:
        return "-"
    text = _number(line, name, False)
    mark = "*" if text and _shown(line, name) == best else " "
    number, space, interval = text.partition(" ")
    return f"{number}{mark}{space}{interval}"


def best_two(lines: Sequence[Line]) -> tuple[Line, Line] | None:
    """The two lines with the highest mAP, best first; None if there are not two."""
    ranked = sorted((line for line in lines if line.done), key=lambda line: -line.main)
    return (ranked[0], ranked[1]) if len(ranked) > 1 else None


def shared_protocol(lines: Sequence[Line]) -> dict[str, Any]:
    """The part of the protocol that is the same in every cell that was done."""
    protocols = [line.protocol for line in lines if line.done]
    first = protocols[0] if protocols else {}
    return {key: value for key, value in first.items() if all(one.get(key, math.nan) == value for one in protocols)}


def _columns(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """Names of the columns of scores, and those of them with an interval: all cells that were done have the same."""
    first = next((line for line in lines if line.done), None)
    return (list(first.scores), list(first.intervals)) if first else ([], [])


def _choices(line: Line, none: str) -> list[Any]:
    cell, nothing = line.cell, none or 0
    chain = " -> ".join(cell.then) or none
    return [cell.descriptor, cell.part_whitening or nothing, cell.whitening or nothing, chain]


def _shown(line: Line, name: str) -> float:
    """The number as the table has it, so that lines which look alike are marked alike; -1 for none."""
    value = line.scores[name]
    return -1.0 if math.isnan(value) else round(value, 3) if name == "N-S" else round(100 * value, 2)


def _number(line: Line, name: str, best: bool) -> str:
    value = _shown(line, name)
    if value < 0:
        return ""
    text = f"{value:.3f}" if name == "N-S" else f"{value:.2f}"
    text = f"**{text}**" if best else text
    if name not in line.intervals:
        return text
    low, high = line.intervals[name]
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def _about(lines: Sequence[Line]) -> str:
    shared = shared_protocol(lines)
    if not shared:
        return "No cell could be done."
    said = "; ".join(f"{key} {_said(value)}" for key, value in shared.items() if value not in (None, [], 0))
    return f"Shared protocol {fingerprint_key(shared)}: {_cell(said)}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_said(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " ".join(map(_said, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def table_notes(lines: Sequence[Line], mark: str = "Bold") -> list[str]:
    """What to make of the table, one text per remark; mark: what stands at the highest numbers."""
    scores, intervals = _columns(lines)
    notes = [NOTE.format(mark=mark)] if scores else []
    for name in intervals:
        notes += _overlap(name, lines)
    notes += _transductive(lines)
    missed, unread = sum(not line.done for line in lines), max((line.unread for line in lines), default=0)
    if missed:
        notes.append(f"{missed} of {len(lines)} cells could not be done.")
    if unread:
        notes.append(f"Up to {unread:,} images could not be read and took no part.")
    return notes


def _transductive(lines: Sequence[Line]) -> list[str]:
    """In words what the fingerprint says of queries that take part in their own rankings, and of how many cells."""
    counts = Counter(tuple(line.protocol.get("transductive_by", ())) for line in lines if line.done)
    return [f"Transductive, {count} of {len(lines)} cells: {'; '.join(by)}." for by, count in counts.items() if by]


def _overlap(name: str, lines: Sequence[Line]) -> list[str]:
    known = [line for line in lines if line.done and not math.isnan(line.scores[name])]
    if len(known) < 2:
        return []
    low = max(known, key=lambda line: line.scores[name]).intervals[name][0]
    near = sum(line.intervals[name][1] >= low for line in known) - 1
    return [f"{name}: the intervals of {near} of the other {len(known) - 1} cells overlap with the best one's; "
            "`resight compare` tests two cells query by query, which tells more."]  # fmt: skip


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
