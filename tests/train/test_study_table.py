"""Means, deviations, intervals and paired differences by hand, and against scipy."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from resight.train.study import Cell
from resight.train.study_table import (
    mean_interval,
    notes,
    table_csv,
    table_lines,
    table_markdown,
    table_rows,
    table_text,
)


def cell(row, seed, accuracy, rotated, epochs=5):
    return Cell(
        row, seed, f"/r/{row}", accuracy, accuracy - 0.1, 0.5, accuracy + 0.05, {"rotate=90": rotated}, tested=50,
        trained=100, validated=20, skipped=0, epochs=epochs, parameters=4_651_234, size=160, train_seconds=60.0,
    )  # fmt: skip


CELLS = [
    cell("rgb", 0, 0.80, 0.5), cell("sift|4", 0, 0.70, 0.7, epochs=3),
    cell("rgb", 1, 0.90, 0.7), cell("sift|4", 1, 0.84, 0.7),
]  # fmt: skip
BLIND = [
    replace(one, accuracy=None, balanced=None, macro_f1=None, perturbed={}, tested=0) for one in CELLS
]  # without a test


def test_figures_by_hand():
    head, body = table_rows(table_lines(CELLS, {"rgb": 12.345, "sift|4": 8.0}))
    first, second = (dict(zip(head, row, strict=True)) for row in body)
    assert first == {
        "row": "rgb", "seeds": "2", "val": "90.0 +- 7.1", "accuracy": "85.0 +- 7.1", "vs first": "-", "95 %": "-",
        "balanced": "75.0 +- 7.1", "rotate=90": "60.0 +- 14.1", "ms/image": "12.3", "params": "4.65", "size": "160",
        "epochs": "5", "train": "60 s",
    }  # fmt: skip
    # Differences -10 and -6: mean -8, standard deviation 2 sqrt 2, 12.706 of them by sqrt 2 either way.
    assert (second["accuracy"], second["vs first"], second["95 %"]) == ("77.0 +- 9.9", "-8.0 +- 2.8", "-33.4 to +17.4")
    assert (second["epochs"], second["ms/image"]) == ("3 to 5", "8.0")


def test_the_first_row_is_that_of_the_study_whatever_failed():
    """Rows keep their order if the first run of one failed, and are not compared with another if all did."""
    late = [CELLS[1], CELLS[2], CELLS[3]]  # rgb failed with seed 0
    lines = table_lines(late, order=["rgb", "sift|4"])
    assert [(line.row, line.seeds) for line in lines] == [("rgb", (1,)), ("sift|4", (0, 1))]
    assert lines[1].difference == pytest.approx((-0.06,))
    (alone,) = table_lines([CELLS[1]], order=["rgb", "sift|4"])
    assert alone.row == "sift|4" and alone.difference == ()


def test_a_difference_of_shares_ends_at_100():
    cells = [cell("a", 0, 0.2, 0.5), cell("a", 1, 0.2, 0.5), cell("b", 0, 0.2, 0.5), cell("b", 1, 0.9, 0.5)]
    head, body = table_rows(table_lines(cells))
    assert body[1][head.index("95 %")] == "-100.0 to +100.0"  # 35 +- 445


@given(some.lists(some.floats(-1, 1), min_size=2, max_size=12))
def test_the_interval_is_scipys(values):
    low, high = mean_interval(values)
    if np.ptp(values) < 1e-9:
        assert low == pytest.approx(high, abs=1e-7)
        return
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_one_value_has_no_interval():
    assert mean_interval([0.3]) is None and mean_interval([]) is None
    (line,) = table_lines(CELLS[:1])
    head, (words,) = table_rows([line])
    assert dict(zip(head, words))["accuracy"] == "80.0"


def test_only_seeds_that_both_have_are_compared():
    lines = table_lines([*CELLS, cell("sift|4", 2, 0.1, 0.1)])
    assert len(lines[1].accuracy) == 3 and len(lines[1].difference) == 2


def test_without_a_test_validation_is_compared():
    head, body = table_rows(table_lines(BLIND))
    assert head == ["row", "seeds", "val", "vs first", "95 %", "params", "size", "epochs", "train"]
    assert body[1][:5] == ["sift|4", "2", "82.0 +- 9.9", "-8.0 +- 2.8", "-33.4 to +17.4"]
    (said,) = notes(table_lines(BLIND))
    assert "No test image was looked at" in said and "difference in val to the first row" in said
    assert "accuracy:" not in said
    (row, *_) = csv.DictReader(io.StringIO(table_csv(BLIND)))
    assert (row["accuracy"], row["macro_f1"], row["validation"], row["tested"]) == ("", "", str(0.80 + 0.05), "0")


def test_an_accuracy_of_zero_was_measured():
    lines = table_lines([cell("rgb", 0, 0.0, 0.0)])
    head, (words,) = table_rows(lines)
    assert dict(zip(head, words))["accuracy"] == "0.0"


def test_pages_hold_the_same_words():
    lines = table_lines(CELLS)
    assert "ms/image" not in table_text(lines)
    assert "| sift\\|4 | 2 | 82.0 +- 9.9 | 77.0 +- 9.9 |" in table_markdown(lines, ["Data: sky."])
    assert table_markdown(lines, ["Data: sky."]).endswith("- Data: sky.\n")
    said = notes(lines)
    assert "sd: standard deviation of single runs (divisor n - 1), not of the mean" in said[0]
    assert said[1] == "Accuracy on the test images changed so: rotate=90: degrees counter-clockwise."
    assert all(line in table_markdown(lines) for line in said)
    assert "ms/sequence" in table_text(table_lines(CELLS, {"rgb": 1.0}), "sequence")
    rows = list(csv.DictReader(io.StringIO(table_csv(CELLS))))
    assert [(row["row"], float(row["accuracy"]), float(row["rotate=90"])) for row in rows][3] == ("sift|4", 0.84, 0.7)
    assert [rows[1][name] for name in ("validated", "epochs", "parameters", "size")] == ["20", "3", "4651234", "160"]
