"""The table of a study: mean and standard deviation over seeds, rows side by side, and the differences in pairs."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resight.train.perturb import PERTURBATIONS, parse_perturbation
from resight.train.study import Cell

SHARES = (
    "Shares in %, mean +- sd over the seeds; sd: standard deviation of single runs (divisor n - 1), not of the mean. "
    "val: validation accuracy of each run's best epoch, which was chosen by it and so is a little high. "
)
TESTED = "accuracy: on the test images; balanced: mean over classes of the share found. "
UNTESTED = "No test image was looked at: choose by this table, then set test: true; finished runs are kept. "
REST = (
    "vs first: difference in {main} to the first row with the same seed; 95 %: interval of the mean difference by "
    "Student's t, cut at 100, which says how far other "
    "seeds would move it, not other images. ms: time of {one}, the network "
    "alone, median of interleaved repeats. params: of the network, in millions. size: side in pixels. train: "
    "median time of a run, as the machine was then."
)


@dataclass(frozen=True)
class Line:
    """A row of the table; each figure has its values in the order of the seeds, those not measured left out.

    difference  of the accuracy (validation accuracy in a study without a test) to the first row's with the same seed;
                empty for the first row
    """

    row: str
    seeds: tuple[int, ...]
    validation: tuple[float, ...]
    accuracy: tuple[float, ...]
    balanced: tuple[float, ...]
    perturbed: dict[str, tuple[float, ...]]
    difference: tuple[float, ...]
    epochs: tuple[int, ...]
    parameters: int
    size: int
    train_seconds: float
    milliseconds: float | None = None


def table_lines(
    cells: Iterable[Cell], milliseconds: Mapping[str, float] | None = None, order: Sequence[str] = ()
) -> list[Line]:
    """One line per row that has a run.

    milliseconds: {row: time of an image}
    order:        names of all rows, of which some may have no run; otherwise as they first come
    """
    rows: dict[str, dict[int, Cell]] = {row: {} for row in order}
    for cell in cells:
        rows.setdefault(cell.row, {})[cell.seed] = cell
    first = next(iter(rows.values()), {})
    lines = []
    for row, found in rows.items():
        if not found:
            continue
        own = list(found.values())
        names = own[0].perturbed
        pairs = [
            (_main(one), _main(first[seed])) for seed, one in found.items() if seed in first and found is not first
        ]
        lines.append(
            Line(
                row, tuple(found), _measured(one.validation for one in own), _measured(one.accuracy for one in own),
                _measured(one.balanced for one in own),
                {name: _measured(one.perturbed.get(name) for one in own) for name in names},
                tuple(one - other for one, other in pairs if one is not None and other is not None),
                tuple(one.epochs for one in own), own[0].parameters, own[0].size,
                statistics.median(one.train_seconds for one in own), (milliseconds or {}).get(row),
            )
        )  # fmt: skip
    return lines


def _main(cell: Cell) -> float | None:
    return cell.validation if cell.accuracy is None else cell.accuracy


def _measured(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def spread(values: Sequence[float], sign: bool = False) -> str:
    """Mean and standard deviation in percent.

    >>> spread([0.5, 0.6, 0.7]), spread([0.125]), spread([0.01, 0.03], sign=True)
    ('60.0 +- 10.0', '12.5', '+2.0 +- 1.4')
    """
    if not values:
        return "-"
    mean = f"{100 * statistics.fmean(values):{'+' if sign else ''}.1f}"
    return f"{mean} +- {100 * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of n values: mean +- t sd / sqrt(n), t of n - 1 degrees of freedom; None below n = 2.

    Student 1908; exact if the values are drawn from one normal distribution.
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean = statistics.fmean(values)
    reach = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def table_rows(lines: Sequence[Line], unit: str = "image") -> tuple[list[str], list[list[str]]]:
    """Column names, and the words of each line."""
    changes = list(lines[0].perturbed) if lines else []
    timed = any(line.milliseconds is not None for line in lines)
    tested = any(line.accuracy for line in lines)
    head = [
        "row", "seeds", "val", *(["accuracy"] if tested else []), "vs first", "95 %",
        *(["balanced", *changes] if tested else []), *([f"ms/{unit}"] if timed else []), "params", "size", "epochs",
        "train",
    ]  # fmt: skip
    return head, [_words(line, changes, tested, timed) for line in lines]


def _words(line: Line, changes: Sequence[str], tested: bool, timed: bool) -> list[str]:
    interval = mean_interval(line.difference)
    shares = [spread(line.accuracy)] if tested else []
    rest = [spread(line.balanced), *(spread(line.perturbed.get(name, ())) for name in changes)] if tested else []
    low, high = min(line.epochs), max(line.epochs)
    return [
        line.row, str(len(line.seeds)), spread(line.validation), *shares, spread(line.difference, sign=True),
        "-" if interval is None else " to ".join(f"{100 * max(-1, min(1, side)):+.1f}" for side in interval), *rest,
        *([f"{line.milliseconds:.1f}" if line.milliseconds is not None else "-"] if timed else []),
        f"{line.parameters / 1e6:.2f}", str(line.size), str(low) if low == high else f"{low} to {high}",
        f"{line.train_seconds:.0f} s",
    ]  # fmt: skip


def notes(lines: Sequence[Line], unit: str = "image") -> list[str]:
    """What the columns mean, and what was done to the test images: a line each."""
    tested = any(line.accuracy for line in lines)
    named = {"main": "accuracy" if tested else "val", "one": f"{'an' if unit[0] in 'aeiou' else 'a'} {unit}"}
    said = [SHARES + (TESTED if tested else UNTESTED) + REST.format(**named)]
    changes = [
        f"{name}: {PERTURBATIONS[parse_perturbation(name)[0]].what}" for name in (lines[0].perturbed if lines else ())
    ]
    return [*said, f"Accuracy on the test images changed so: {'; '.join(changes)}."] if changes else said


def table_text(lines: Sequence[Line], unit: str = "image") -> str:
    """For a terminal."""
    head, body = table_rows(lines, unit)
    widths = [max(len(row[at]) for row in [head, *body]) for at in range(len(head))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in [head, *body])


def table_markdown(lines: Sequence[Line], facts: Sequence[str] = (), unit: str = "image") -> str:
    """A page: the table, what its columns mean, and facts about the data."""
    head, body = table_rows(lines, unit)
    shown = [head, ["---"] * len(head), *body]
    rows = "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in row) + " |" for row in shown)
    said = "\n\n".join(notes(lines, unit))
    return f"{rows}\n\n{said}\n" + "".join(f"\n- {fact}" for fact in facts) + ("\n" if facts else "")


def table_csv(cells: Sequence[Cell]) -> str:
    """Every run with all its figures, for programs; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    changes = list(cells[0].perturbed) if cells else []
    names = [
        "row", "seed", "accuracy", "balanced", "macro_f1", "validation", "tested", "trained", "validated", "skipped",
        "epochs", "parameters", "size",
    ]  # fmt: skip
    writer.writerow([*names, *changes, "train_seconds", "folder"])
    for cell in cells:
        own: list[Any] = [cell.perturbed.get(name, "") for name in changes]
        writer.writerow([*(getattr(cell, name) for name in names), *own, round(cell.train_seconds, 1), cell.folder])
    return text.getvalue()
