"""The report of a test of an embedding network as text: for terminals, results.txt, results.json and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from resight._version import __version__
from resight.train.neighbour_scores import DEPTHS

if TYPE_CHECKING:
    from resight.train.embed_report import EmbedReport

FORMAT = "resight-embed-test-1"
SHORT_RULES = (
    "frozen: the backbone as training began, no projection; start: the same with the projection that was fitted",
    "recall@k (hit@k): share of queries with a right image among the first k; P@k: share of right ones among these",
)
RULES = (
    *SHORT_RULES,
    "mAP: mean average precision, standard rule, with its 95 % interval; trapezoid: by the rule of Oxford and Paris",
    "intervals: what chance does when queries of these classes are drawn anew; other classes may differ by more",
)


def score_lines(report: EmbedReport) -> list[str]:
    """The table of scores, for each group of classes, and the differences in pairs."""
    lines: list[str] = []
    for group, differences in report.differences.items():
        rows = [row for row in report.rows if row["of"] == group]
        columns = [f"recall@{k}" for k in DEPTHS] + [f"P@{k}" for k in DEPTHS if k > 1]
        lines += [f"{group} ({rows[0]['classes']:,}), {rows[0]['queries']:,} queries"]
        lines += [f"  {'':<7}     mAP  95 % interval     trapezoid  {'  '.join(f'{one:>9}' for one in columns)}"]
        for row in rows:
            low, high = row["map_standard_95"]
            values = [row["recall"][str(k)] for k in DEPTHS] + [row["precision"][str(k)] for k in DEPTHS if k > 1]
            lines += [f"  {row['encoder']:<7}  {row['map_standard']:.4f}  {low:.4f} to {high:.4f}  "
                      f"{row['map_trapezoid']:>9.4f}  {'  '.join(f'{one:>9.4f}' for one in values)}"]  # fmt: skip
        lines += [f"  {one}" for one in differences]
        lines.append("")
    known, strange = len(report.seen), len(report.unseen)
    lines.append(f"classes: {known + strange:,} tested, {known:,} of them trained on, {strange:,} not (by their names)")
    return lines


def report_files(report: EmbedReport) -> dict[str, bytes]:
    """{name: content} of all files but the pictures."""
    about = report.about()
    content = {"format": FORMAT, "resight": __version__, **report.as_dict()}
    texts = {
        "results.txt": _results_text(report, about),
        "results.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        "per_query.csv": per_query_csv(report),
        "per_class.csv": per_class_csv(report),
        "neighbours.csv": neighbours_csv(report),
        "skipped.csv": _csv([("path", "reason"), *report.skipped]),
    }
    # Names of files may hold bytes that are no text.
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}


def per_query_csv(report: EmbedReport) -> str:
    """A row for each query: path, label, whether its class was trained on; for each encoder average precision by both
    rules, the rank of the first right image from 1, and the right ones among the first 10."""
    measures = ("ap", "ap_trapezoid", "first_right", "right_in_10")
    rows: list[list[Any]] = [
        ["query", "label", "trained_on", *(f"{one}_{name}" for name in report.stages for one in measures)]
    ]
    for place, row in enumerate(report.trained.queries):
        label = report.labels[row]
        cells: list[Any] = [report.names[row], label, _yes(label in report.seen)]
        for stage in report.stages.values():
            scores = stage.scores
            cells += [f"{scores.ap[place]:.6f}", f"{scores.ap_trapezoid[place]:.6f}", scores.first_right[place] + 1,
                      scores.hits[10][place]]  # fmt: skip
        rows.append(cells)
    return _csv(rows)


def per_class_csv(report: EmbedReport) -> str:
    """A row for each class: images, queries, whether it was trained on; for each encoder mAP by both rules and
    recall@1; the change of mAP. Classes without a query have empty cells."""
    measures = ("map", "map_trapezoid", "recall_1")
    images, own = Counter(report.labels), np.array([report.labels[row] for row in report.trained.queries], object)
    header = ["label", "trained_on", "images", "queries"]
    rows: list[list[Any]] = [[*header, *(f"{one}_{name}" for name in report.stages for one in measures), "change"]]
    for label in sorted(images):
        chosen = own == label
        cells: list[Any] = [label, _yes(label in report.seen), images[label], int(chosen.sum())]
        if not chosen.any():
            rows.append([*cells, *[""] * (len(rows[0]) - len(cells))])
            continue
        found = {name: stage.scores.summary(chosen) for name, stage in report.stages.items()}
        for one in found.values():
            cells += [f"{one[key]:.6f}" for key in ("map_standard", "map_trapezoid")] + [f"{one['recall']['1']:.6f}"]
        change = found["trained"]["map_standard"] - found[report.before]["map_standard"] if report.before else None
        rows.append([*cells, "" if change is None else f"{change:+.6f}"])
    return _csv(rows)


def neighbours_csv(report: EmbedReport) -> str:
    """The nearest images of each query, before and after: query, rank from 1, and for each path, similarity, right."""
    stages = [name for name in (report.before, "trained") if name is not None]
    rows: list[list[Any]] = [
        ["query", "label", "rank", *(f"{one}_{name}" for name in stages for one in ("path", "similarity", "right"))]
    ]
    for place, row in enumerate(report.trained.queries):
        label = report.labels[row]
        for rank in range(min(report.trained.nearest.shape[1], int(report.trained.searched[place]))):
            cells: list[Any] = [report.names[row], label, rank + 1]
            for name in stages:
                scores = report.stages[name].scores
                other = scores.nearest[place, rank]
                cells += [report.base_names[other], f"{scores.similarities[place, rank]:.6f}",
                          _yes(report.base_labels[other] == label)]  # fmt: skip
            rows.append(cells)
    return _csv(rows)


def _results_text(report: EmbedReport, about: Mapping[str, Any]) -> str:
    facts = [f"{name}: {_fact(value)}" for name, value in about.items() if name not in ("images of a class", "notes")]
    notes = [f"note: {_plain(note)}" for note in report.notes]
    return "\n".join([*facts, *notes, "", *score_lines(report), "", *RULES, ""])


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return _plain("; ".join(f"{name} {_fact(one)}" for name, one in value.items()))
    return ("yes" if value else "no") if isinstance(value, bool) else _plain(str(value))


def _plain(text: str) -> str:
    """On one line: control characters and the like as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
