"""A benchmark of template finders as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from resight._version import __version__
from resight.measure.locating import Answer
from resight.measure.locating_table import ALL, Described, Gain, Line, described, gains, table_lines

FORMAT = "resight-bench-match-1"
COCO = ("image_name", "label", "bbox", "model_iou", "ann_id", "model_time", "model_gpu_memory", "model_memory",
        "sift_iou", "sift_time")  # fmt: skip
DESCRIBED = {"low": "25%", "median": "50%", "high": "75%"}


def table_text(answers: Sequence[Answer], *, brief: bool = False) -> str:
    """The table for people: a line for each tier and method, then by how much the first method is better.

    brief: differences over all tiers only, where there are several
    """
    lines = table_lines(answers)
    found = gains(answers)
    if brief and any(gain.tier == ALL for gain in found):
        found = [gain for gain in found if gain.tier == ALL]
    head = ("tier", "method", "cases", "IoU", "95 %", "right", "false", "corners", "find ms", "p90", "prepare", "p90")
    cells = [
        (line.tier, line.method, str(line.cases), _number(line.iou, ".3f"), _interval(line),
         _number(line.success, ".3f"), _number(line.false, ".3f"), _number(line.corner_px, ".2f"),
         *(_number(ms, ".1f") for ms in (line.find_ms, line.find_90, line.prepare_ms, line.prepare_90)))
        for line in lines
    ]  # fmt: skip
    return "\n".join([*aligned([head, *cells]), *_overall_text(lines), *_gains_text(found)])


def pairs_text(answers: Sequence[Answer]) -> str:
    """For people: how far each method is from the truth on each image pair."""
    head = ("pair", "method", "found", "IoU", "corners", "inside", "inliers", "find ms", "prepare")
    cells = [
        (one.kind, one.method, "yes" if one.found else "no", _number(one.iou, ".3f"), _number(one.corner_px, ".2f"),
         _number(one.inside_px, ".2f"), str(one.inliers), _number(one.find_ms, ".0f"), _number(one.prepare_ms, ".0f"))
        for one in answers
    ]  # fmt: skip
    return "\n".join(aligned([head, *cells]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first two columns to the left, the others to the right.

    >>> aligned([("a", "b", "c"), ("long", "x", "10")])
    ['a     b   c', 'long  x  10']
    """
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if place < 2 else cell.rjust(w) for place, (cell, w) in enumerate(zip(row, wide))
        ).rstrip()
        for row in rows
    ]


def _interval(line: Line) -> str:
    low, high = line.interval
    return "" if math.isnan(low) else f"{low:.3f}-{high:.3f}"


def _overall_text(lines: Sequence[Line]) -> Iterable[str]:
    whole = [line for line in lines if line.tier == ALL]
    if any(not math.isnan(line.false) for line in whole):
        yield ""
        for line in whole:
            more = "" if math.isnan(line.recall_1) else f"; {line.recall_1:.3f} at 1 % of them, by its score"
            yield f"{line.method}: finds {line.success:.3f}, {line.false:.3f} of the absent are called found{more}"


def _gains_text(found: Sequence[Gain]) -> Iterable[str]:
    if found:
        yield ""
        yield "IoU, case by case (hardly chance where the interval leaves 0 out)"
    for gain in found:
        low, high = gain.interval
        difference = f"{gain.difference:+.3f} ({low:+.3f}, {high:+.3f})"
        counts = f"better in {gain.better}, worse in {gain.worse} of {gain.cases}"
        yield f"{gain.method} - {gain.other}, {gain.tier}: {difference}, {counts}"


def table_csv(answers: Sequence[Answer]) -> str:
    """The lines of the table with all numbers."""
    rows = []
    for line in table_lines(answers):
        plain = asdict(line)
        low, high = plain.pop("interval")
        rows.append({**plain, "iou_low": low, "iou_high": high})
    return _csv(rows)


def results_csv(answers: Sequence[Answer], *, masks: bool = False) -> str:
    """A row for each answer; with `masks` a column of run lengths "H,W:start len ...", of a mask that was kept."""
    rows = []
    for one in answers:
        plain = {**asdict(one), "template": _by(one.template), "scene": _by(one.scene), "corners": _points(one.corners)}
        if not masks:
            del plain["mask"]
        rows.append(plain)
    return _csv(rows)


def describe_csv(answers: Sequence[Answer]) -> str:
    """Method, tier, quantity, then count mean std min 25% 50% 75% max."""
    names = [DESCRIBED.get(one.name, one.name) for one in fields(Described)]
    return _csv([dict(zip(names, asdict(one).values(), strict=True)) for one in described(answers)])


def boxes_csv(
    answers: Sequence[Answer], model: str, sift: str, boxes: Mapping[int, tuple[int, Sequence[float]]]
) -> str:
    """The table of a benchmark on COCO boxes, in the columns of its classic form: one row for each box.

    model, sift: the methods of these columns
    boxes:       number -> (id of the annotation, x1, y1, x2, y2)
    ->           bbox is "[x, y, width, height]", quoted; times in seconds; memory in bytes
    """
    one, two = ({a.number: a for a in answers if a.tier == "boxes" and a.method == name} for name in (model, sift))
    rows = []
    for number, answer in one.items():
        annotation, (x1, y1, x2, y2) = boxes[number]
        bbox = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        other = two.get(number)
        own = (answer.iou, annotation, answer.find_ms / 1000, answer.gpu_memory, answer.memory)
        theirs = (other.iou, other.find_ms / 1000) if other else ("", "")
        rows.append(dict(zip(COCO, (answer.source, answer.kind, str(bbox), *own, *theirs), strict=True)))
    return _csv(rows)


def masks_csv(
    answers: Sequence[Answer], model: str, sift: str, boxes: Mapping[int, tuple[int, Sequence[float]]]
) -> str:
    """The masks of both methods on COCO boxes as run lengths "H,W:start len ...", in the rows of `boxes_csv`.

    Where a method has found nothing, or masks were not kept, the cell is empty.
    """
    one, two = ({a.number: a for a in answers if a.tier == "boxes" and a.method == name} for name in (model, sift))
    return _csv([
        {"image_name": answer.source, "ann_id": boxes[number][0], "model_mask": answer.mask,
         "sift_mask": two[number].mask if number in two else ""}
        for number, answer in one.items()
    ])  # fmt: skip


def report_json(answers: Sequence[Answer], settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Settings, the table, differences and distributions as JSON; a number that is not there is null."""
    made = {
        "format": FORMAT, "resight": __version__, "settings": dict(settings), "notes": list(notes),
        "table": [asdict(one) for one in table_lines(answers)], "gains": [asdict(one) for one in gains(answers)],
        "described": [asdict(one) for one in described(answers)],
    }  # fmt: skip
    return json.dumps(finite(made), indent=1, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Plain values with None for every number that is not finite."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _points(corners: Sequence[Sequence[tuple[float, float]]]) -> str:
    return "; ".join(" ".join(f"{x:g},{y:g}" for x, y in quad) for quad in corners)


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
