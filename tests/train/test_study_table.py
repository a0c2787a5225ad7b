"""Means, deviations and paired differences by hand."""

from __future__ import annotations

import csv
import io

from resight.train.study import Cell
from resight.train.study_table import table_csv, table_lines, table_markdown, table_rows, table_text


def cell(row, seed, accuracy, rotated):
    return Cell(row, seed, f"/r/{row}", accuracy, accuracy - 0.1, 0.5, 0.9, {"rotate=90": rotated}, 50, 100, 0, 60.0)


CELLS = [
    cell("rgb", 0, 0.80, 0.5), cell("sift|4", 0, 0.70, 0.7),
    cell("rgb", 1, 0.90, 0.7), cell("sift|4", 1, 0.84, 0.7),
]  # fmt: skip


def test_figures_by_hand():
    head, body = table_rows(table_lines(CELLS, {"rgb": 12.345, "sift|4": 8.0}))
    assert head == ["row", "seeds", "accuracy", "vs first", "balanced", "rotate=90", "ms/image", "train"]
    assert body[0] == ["rgb", "2", "85.0 +- 7.1", "-", "75.0 +- 7.1", "60.0 +- 14.1", "12.3", "60 s"]
    # differences -10 and -6: mean -8, standard deviation 2 * sqrt 2
    assert body[1][1:4] == ["2", "77.0 +- 9.9", "-8.0 +- 2.8"]


def test_only_seeds_that_both_have_are_compared():
    lines = table_lines([*CELLS, cell("sift|4", 2, 0.1, 0.1)])
    assert len(lines[1].accuracy) == 3 and len(lines[1].difference) == 2


def test_pages_hold_the_same_words():
    lines = table_lines(CELLS)
    assert "ms/image" not in table_text(lines)
    assert "| sift\\|4 | 2 | 77.0 +- 9.9 |" in table_markdown(lines, ["Data: sky."])
    assert table_markdown(lines, ["Data: sky."]).endswith("- Data: sky.\n")
    rows = list(csv.DictReader(io.StringIO(table_csv(CELLS))))
    assert [(row["row"], float(row["accuracy"]), float(row["rotate=90"])) for row in rows][3] == ("sift|4", 0.84, 0.7)
