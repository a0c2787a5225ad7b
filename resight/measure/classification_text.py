"""The scores of a classifier as text: for terminals, results.txt, results.json and CSV."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resight._version import __version__

if TYPE_CHECKING:
    from resight.measure.classification import Classification
    from resight.measure.confusion import Confusion

FORMAT = "resight-test-1"
DENSE = 40  # classes up to which results.txt holds the matrix; of more, what is not zero
LISTED = 5  # classes of a row of predictions.csv
LONGEST = 40  # columns of a class's name


def score_lines(result: Classification) -> list[str]:
    """The scores over all classes, one or two a line."""
    low, high = result.interval
    bins, known = result.calibration, result.confusion
    top = "".join(f"   top-{k} {value:.4f}" for k, value in result.top_k.items() if k > 1)
    unit = result.unit.removesuffix("s") if len(result) == 1 else result.unit
    return [
        f"accuracy {result.accuracy:.4f}   95 % interval {low:.4f} to {high:.4f}   "
        f"({known.right:,} of {len(result):,} {unit}, {len(result.classes):,} classes)",
        f"balanced accuracy {result.balanced_accuracy:.4f}   macro F1 {result.macro_f1:.4f}{top}",
        f"calibration error {bins.error:.4f}   mean confidence {bins.mean_confidence:.4f}   "
        f"log loss {result.log_loss:.4f}",
    ]


def class_lines(known: Confusion, most: int | None = None, unit: str = "images") -> list[str]:
    """A table of the classes: images, precision, recall, F1 and what each is most often taken for.

    most: of more classes than this, only those of lowest F1 are listed; None: all
    unit: what is classified
    """
    order: Sequence[int] = range(len(known.classes))
    left = 0
    if most is not None and len(order) > most:
        order = np.argsort(np.where(np.isnan(known.f1), 2, known.f1), kind="stable")[:most].tolist()
        left = len(known.classes) - most
    names = [_elided(name) for name in known.classes]
    wide = max(5, *(_columns(names[row]) for row in order))
    lines = [f"{'class':<{wide}}  {unit:>6}  {'precision':>9}  {'recall':>6}  {'F1':>6}  most often taken for"]
    precision, recall, f1, support = known.precision, known.recall, known.f1, known.support
    for row in order:
        wrong = known.counts[row].copy()
        wrong[row] = 0
        worst = int(wrong.argmax())
        taken = f"{names[worst]} ({wrong[worst]:,})" if wrong[worst] else ""
        cells = f"{_number(precision[row]):>9}  {_number(recall[row]):>6}  {_number(f1[row]):>6}"
        lines.append(f"{_padded(names[row], wide)}  {support[row]:>{max(6, len(unit))},}  {cells}  {taken}".rstrip())
    if left:
        lines.append(f"... and {left:,} classes of higher F1")
    return lines


def result_files(result: Classification, about: Mapping[str, Any]) -> dict[str, bytes]:
    """{name: content} of results.json, results.txt, confusion.csv and predictions.csv.

    about: plain values for JSON that belong to the result: the run, the data, what was left out
    """
    content = {"format": FORMAT, "resight": __version__, "about": dict(about), **result.as_dict()}
    texts = {
        "results.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        "results.txt": results_text(result, about),
        "confusion.csv": confusion_csv(result.confusion),
        "predictions.csv": predictions_csv(result),
    }
    # Names of files may hold bytes that are no text.
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}


def results_text(result: Classification, about: Mapping[str, Any]) -> str:
    """What results.txt holds: facts, scores, classes, and the confusion matrix in per cent of its rows."""
    known = result.confusion
    head = [f"{name}: {_fact(value)}" for name, value in about.items()]
    matrix = (_matrix_lines if len(known.classes) <= DENSE else _sparse_lines)(known, result.unit)
    return "\n".join([
        *head, *([""] if head else []), *score_lines(result), "", *class_lines(known, unit=result.unit),
        f"in all {known.total:,} {result.unit}, {known.right:,} right, {known.total - known.right:,} wrong",
        "", f"confusion, per cent of the row's {result.unit}; rows: truth, columns: predicted", *matrix, "",
    ])  # fmt: skip


def confusion_csv(known: Confusion) -> str:
    """The counts with names; rows are truth, columns predicted."""
    rows = ([name, *counts] for name, counts in zip(known.classes, known.counts.tolist()))
    return _csv([["truth \\ predicted", *known.classes], *rows])


def predictions_csv(result: Classification) -> str:
    """One row an image: path, label, predicted, score, the label's score and rank from 1, then the next classes."""
    listed = min(LISTED, len(result.classes))
    order = np.argsort(-result.scores, axis=1, kind="stable")[:, :listed]
    scores = np.take_along_axis(result.scores, order, 1)
    own = np.take_along_axis(result.scores, result.truth[:, None], 1)[:, 0]
    more = [f"{kind}_{k}" for k in range(2, listed + 1) for kind in ("predicted", "score")]
    rows: list[list[Any]] = [["path", "label", "predicted", "score", "label_score", "label_rank", *more]]
    for row, label in enumerate(result.truth.tolist()):
        pairs = [cell for k in range(listed) for cell in (result.classes[order[row, k]], f"{scores[row, k]:.6f}")]
        name = result.names[row] if result.names else str(row)
        rows.append([
            name, result.classes[label], *pairs[:2], f"{own[row]:.6f}", int(result.ranks[row]) + 1, *pairs[2:]
        ])  # fmt: skip
    return _csv(rows)


def _matrix_lines(known: Confusion, unit: str) -> list[str]:
    number, shares = len(known.classes), 100 * known.shares
    names = [_elided(name) for name in known.classes]
    wide = max(map(_columns, names))
    lines = [f"{'':>3} {'':<{wide}}" + "".join(f"{column:>6}" for column in range(1, number + 1)) + f"  {unit}"]
    for row, name in enumerate(names):
        cells = "".join(f"{_percent(share):>6}" for share in shares[row])
        lines.append(f"{row + 1:>3} {_padded(name, wide)}{cells}  {known.support[row]:>{len(unit)},}")
    return lines


def _sparse_lines(known: Confusion, unit: str) -> list[str]:
    shares, lines = 100 * known.shares, []
    for row, name in enumerate(known.classes):
        order = [int(column) for column in np.argsort(-known.counts[row], kind="stable") if known.counts[row, column]]
        cells = ", ".join(f"{_percent(shares[row, column])} {_elided(known.classes[column])}" for column in order)
        count = int(known.support[row])
        lines.append(f"{_elided(name)} ({count:,} {unit.removesuffix('s') if count == 1 else unit}): {cells or '-'}")
    return lines


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else "." if share == 0 else f"{share:.1f}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{name} {f'{one:.4f}' if isinstance(one, float) else one}" for name, one in value.items()]
    text = "; ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)
    return _plain(text)


def _plain(text: str) -> str:
    """On one line: control characters and the like as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def _elided(name: str) -> str:
    text = _plain(name)
    return text if _columns(text) <= LONGEST else text[: LONGEST // 2 - 2] + "..." + text[2 - LONGEST // 2 :]


def _columns(text: str) -> int:
    """Columns of a terminal that the text takes: East Asian characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _padded(text: str, wide: int) -> str:
    return text + " " * (wide - _columns(text))


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
