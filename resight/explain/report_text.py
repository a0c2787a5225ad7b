"""A report on explanations as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resight._version import __version__
from resight.explain.judging import MEASURES

if TYPE_CHECKING:
    from resight.explain.report import Mean, Report

FORMAT = "resight-explain-report-1"
FEW = 10  # images, of which a bootstrap knows too little
ARROWS = {1: "high is good", -1: "low is good", 0: "near 0 is good"}


def report_text(report: Report) -> str:
    """Means with intervals, then by how much each method is better than each baseline."""
    images = "1 image" if len(report) == 1 else f"{len(report):,} images"
    left = f", {len(report.skipped):,} left out" if report.skipped else ""
    lines = [f"{_plain(report.model)}: {images}{left}; mean and 95 % interval over images", ""]
    wide = max(8, *map(len, report.rows))
    lines += _table(report, wide)
    if 1 < len(report) < FEW:
        lines += ["", f"{len(report)} images: intervals resample these images, and say little of fewer than {FEW}"]
    if report.unboxed:
        lines += ["", f"pointing: {report.unboxed:,} of {images} without a box of the class explained, not counted"]
    compared = [name for name in report.measures if MEASURES[name].better]
    gains = list(_gains(report, compared))
    if gains:
        lines += ["", "better than a baseline by, image by image (hardly chance where the whole interval is above 0)"]
        lines += gains
    lines.append("")
    lines += [f"{name}: {MEASURES[name].about}; {ARROWS[MEASURES[name].better]}" for name in report.measures]
    return "\n".join([*lines, ""])


def _table(report: Report, wide: int) -> Iterable[str]:
    yield (f"{'method':<{wide}}" + "".join(f"  {name:^21}" for name in report.measures)).rstrip()
    for row in report.rows:
        yield (f"{row:<{wide}}" + "".join(f"  {_cell(report.mean(row, name))}" for name in report.measures)).rstrip()


def _gains(report: Report, measures: list[str]) -> Iterable[str]:
    """A head and a line for each method and baseline; no line where no measure compares the two, then no head."""
    pairs = [(method, other) for method in report.methods for other in report.baselines]
    gains = {f"{one} - {other}": [report.gain(one, other, name) for name in measures] for one, other in pairs}
    gains = {name: means for name, means in gains.items() if any(mean.count for mean in means)}
    broad = max(map(len, gains), default=0)
    if gains:
        yield (f"{'':<{broad}}" + "".join(f"  {name:^23}" for name in measures)).rstrip()
    for name, means in gains.items():
        cells = "".join(f"  {_cell(mean, '+'):<23}" for mean in means)
        yield f"{name:<{broad}}{cells}".rstrip()


def _cell(mean: Mean, sign: str = "") -> str:
    """A mean and its interval in 21 columns, 23 with signs; of one image there is no interval."""
    wide = 23 if sign else 21
    if not mean.count:
        return f"{'-':^{wide}}"
    low, high = mean.interval
    if mean.count == 1:
        return f"{f'{mean.value:{sign}.3f} (-)':<{wide}}"
    return f"{f'{mean.value:{sign}.3f} ({low:{sign}.3f}, {high:{sign}.3f})':<{wide}}"


def report_files(report: Report) -> dict[str, bytes]:
    """{name: content} of report.txt, report.json, table.csv and images.csv."""
    texts = {
        "report.txt": report_text(report),
        "report.json": json.dumps(as_dict(report), indent=1, allow_nan=False) + "\n",
        "table.csv": _csv([["method", "measure", "mean", "low", "high", "images"], *_means(report)]),
        "images.csv": _csv([["image", "class", "probability", "method", *report.measures], *_images(report)]),
    }
    # Names of files may hold bytes that are no text.
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain values for JSON; a number that is not there is null."""
    better = [name for name in report.measures if MEASURES[name].better]
    return {
        "format": FORMAT, "resight": __version__, "model": report.model, "images": len(report), "steps": report.steps,
        "methods": list(report.methods), "baselines": list(report.baselines),
        "measures": {name: asdict(MEASURES[name]) for name in report.measures},
        "means": {
            row: {name: _plain_mean(report.mean(row, name)) for name in report.measures} for row in report.rows
        },
        "gains": {
            method: {
                other: {name: _plain_mean(report.gain(method, other, name)) for name in better}
                for other in report.baselines
            }
            for method in report.methods
        },
        "curves": {
            name: {row: [_finite(v) for v in curve] for row, curve in zip(report.rows, curves.tolist(), strict=True)}
            for name, curves in report.curves.items()
        },
        "without_boxes": report.unboxed, "skipped": [_plain(message) for message in report.skipped],
    }  # fmt: skip


def _plain_mean(mean: Mean) -> dict[str, Any]:
    return {"mean": _finite(mean.value), "interval": [_finite(v) for v in mean.interval], "images": mean.count}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _means(report: Report) -> Iterable[list[Any]]:
    for row in report.rows:
        for name in report.measures:
            mean = report.mean(row, name)
            yield [row, name, *map(_number, (mean.value, *mean.interval)), mean.count]


def _images(report: Report) -> Iterable[list[Any]]:
    for place, item in enumerate(report.items):
        for row, values in zip(report.rows, report.values[:, :, place].tolist(), strict=True):
            head = [item, report.labels[place], _number(float(report.probabilities[place]))]
            yield [*head, row, *map(_number, values)]


def _number(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""


def _plain(text: str) -> str:
    """On one line: control characters and the like as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
