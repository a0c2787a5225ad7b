"""The table of a study: mean and standard deviation over seeds, rows side by side, and the differences in pairs."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resight.train.study import Cell

NOTE = (
    "Accuracy on the test images in %, mean +- standard deviation over seeds. 'vs first': the difference to the first "
    "row with the same seed. ms/image: one pass on one thread, median of interleaved repeats. Train: one run, as the "
    "machine was then."
)


@dataclass(frozen=True)
class Line:
    """A row of the table; each figure has its values in the order of the seeds.

    difference  of the accuracy to the first row's with the same seed; empty for the first row
    """

    row: str
    seeds: tuple[int, ...]
    accuracy: tuple[float, ...]
    balanced: tuple[float, ...]
    perturbed: dict[str, tuple[float, ...]]
    difference: tuple[float, ...]
    train_seconds: float
    milliseconds: float | None = None


def table_lines(cells: Iterable[Cell], milliseconds: Mapping[str, float] | None = None) -> list[Line]:
    """One line per row, in the order in which they first come; milliseconds: {row: time of an image}."""
    rows: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row, {})[cell.seed] = cell
    first = next(iter(rows.values()), {})
    lines = []
    for row, found in rows.items():
        shared = [seed for seed in found if seed in first and found is not first]
        names = next(iter(found.values())).perturbed
        lines.append(
            Line(
                row, tuple(found), tuple(one.accuracy for one in found.values()),
                tuple(one.balanced for one in found.values()),
                {name: tuple(one.perturbed[name] for one in found.values()) for name in names},
                tuple(found[seed].accuracy - first[seed].accuracy for seed in shared),
                statistics.median(one.train_seconds for one in found.values()),
                (milliseconds or {}).get(row),
            )
        )  # fmt: skip
    return lines


def spread(values: Sequence[float], sign: bool = False) -> str:
    """Mean and standard deviation in percent.

    >>> spread([0.5, 0.6, 0.7]), spread([0.125]), spread([0.01, 0.03], sign=True)
    ('60.0 +- 10.0', '12.5', '+2.0 +- 1.4')
    """
    if not values:
        return "-"
    mean = f"{100 * statistics.fmean(values):{'+' if sign else ''}.1f}"
    return f"{mean} +- {100 * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def table_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Column names, and the words of each line."""
    changes = list(lines[0].perturbed) if lines else []
    timed = any(line.milliseconds is not None for line in lines)
    head = ["row", "seeds", "accuracy", "vs first", "balanced", *changes, *(["ms/image"] if timed else []), "train"]
    body = [
        [
            line.row, str(len(line.seeds)), spread(line.accuracy), spread(line.difference, sign=True),
            spread(line.balanced), *(spread(line.perturbed.get(name, ())) for name in changes),
            *([f"{line.milliseconds:.1f}" if line.milliseconds is not None else "-"] if timed else []),
            f"{line.train_seconds:.0f} s",
        ]
        for line in lines
    ]  # fmt: skip
    return head, body


def table_text(lines: Sequence[Line]) -> str:
    """For a terminal."""
    head, body = table_rows(lines)
    widths = [max(len(row[at]) for row in [head, *body]) for at in range(len(head))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in [head, *body])


def table_markdown(lines: Sequence[Line], facts: Sequence[str] = ()) -> str:
    """A page: the table, what its columns mean, and facts about the data."""
    head, body = table_rows(lines)
    shown = [head, ["---"] * len(head), *body]
    rows = "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in row) + " |" for row in shown)
    return f"{rows}\n\n{NOTE}\n" + "".join(f"\n- {fact}" for fact in facts) + ("\n" if facts else "")


def table_csv(cells: Sequence[Cell]) -> str:
    """Every run with all its figures, for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    changes = list(cells[0].perturbed) if cells else []
    names = ["row", "seed", "accuracy", "balanced", "macro_f1", "validation", "tested", "trained", "skipped"]
    writer.writerow([*names, *changes, "train_seconds", "folder"])
    for cell in cells:
        own = [cell.perturbed.get(name, "") for name in changes]
        writer.writerow([*(getattr(cell, name) for name in names), *own, round(cell.train_seconds, 1), cell.folder])
    return text.getvalue()
