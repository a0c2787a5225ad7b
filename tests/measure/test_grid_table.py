"""The table of a grid: Markdown and CSV that say what the runs say."""

import csv
import io
import math
import re
from dataclasses import replace

import pytest

from resight.measure.fingerprint import fingerprint_key
from resight.measure.grid_config import Cell
from resight.measure.grid_rows import Row
from resight.measure.grid_table import (
    best_two,
    shared_protocol,
    table_csv,
    table_line,
    table_markdown,
    table_notes,
    table_text,
)  # fmt: skip
from resight.measure.resampling import bootstrap_interval
from resight.measure.runs import Run, RunQuery

KS = (1, 3)


def scores_of(value):
    depths = {"1": value, "3": value / 2}
    return {"map_standard": value - 0.01, "map_trapezoid": value, "mp": {k: v / 2 for k, v in depths.items()},
            "precision": depths, "recall": depths, "queries": 4, "skipped": 0}  # fmt: skip


def line(descriptor, values, then=(), key="0123456789abcdef", ns=None, **more):
    """A line whose queries have these APs in each setting: {setting: (four values)}."""
    queries = tuple(
        RunQuery(f"q{i}", f"q{i}", None, aps, aps, 0.002)
        for i, aps in enumerate(dict(zip(values, column)) for column in zip(*values.values()))
    )
    settings = {
        name: scores_of(sum(known) / len(known))
        for name, known in ((name, [ap for ap in aps if ap == ap]) for name, aps in values.items())
    }
    run = Run(descriptor, {"protocol": "labels", "descriptor": descriptor}, {"settings": settings, "ns": ns}, queries)
    return table_line(Row(Cell(descriptor, 0, 0, then), key, run, dim=8, **more), KS)


LINES = [
    line("spoc", {"all": (0.9, 0.9, 0.9, 0.9)}),
    line("gem", {"all": (0.2, 0.4, 0.6, 0.8)}, then=("cam-regions:top=50", "aqe"), key="fedcba9876543210"),
    table_line(Row(Cell("cam", 4, 16, ()), reason="no | head\nat all"), KS),
]


def parsed(text):
    """Cells of the Markdown table, row by row, without the ruler."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len({len(cells) for cells in rows}) == 1 and set("".join(rows[1])) <= set("-:")
    return [rows[0], *rows[2:]]


def test_the_numbers_of_a_line():
    own = LINES[1]
    assert own.scores == pytest.approx({"mAP": 0.5, "mAP std": 0.49, "P@1": 0.5, "P@3": 0.25})
    assert own.intervals == {"mAP": bootstrap_interval([0.2, 0.4, 0.6, 0.8])}
    assert own.milliseconds == pytest.approx(2.0) and own.bytes_per_image == 32
    assert (own.done, LINES[2].done, LINES[2].reason) == (True, False, "no | head at all")


def test_markdown_parses_back():
    text = table_markdown(LINES)
    head, *rows = parsed(text)
    assert head == [
        "descriptor", "parts", "whitening", "then", "mAP", "mAP std", "P@1", "P@3", "ms/query", "bytes/image", "cell",
        "protocol",
    ]  # fmt: skip
    assert rows[0] == [
        "spoc", "none", "none", "none", "**90.00** [90.0, 90.0]", "**89.00**", "**90.00**", "**45.00**", "2.0", "32",
        "0123456789abcdef", fingerprint_key({"protocol": "labels", "descriptor": "spoc"}),
    ]  # fmt: skip
    low, high = bootstrap_interval([0.2, 0.4, 0.6, 0.8])
    assert rows[1][3:6] == ["cam-regions:top=50 -> aqe", f"50.00 [{100 * low:.1f}, {100 * high:.1f}]", "49.00"]
    assert rows[2][:5] == ["cam", "4", "16", "none", "not done: no | head at all"] and set(rows[2][5:]) == {""}
    assert text.startswith(f"Shared protocol {fingerprint_key({'protocol': 'labels'})}: protocol labels\n")
    assert "mAP: the intervals of 0 of the other 1 cells overlap" in text and "1 of 3 cells could not be done" in text


def test_csv_parses_back():
    rows = list(csv.DictReader(io.StringIO(table_csv(LINES))))
    assert [r["descriptor"] for r in rows] == ["spoc", "gem", "cam"]
    assert (rows[1]["then"], rows[1]["whitening"], rows[2]["whitening"]) == ("cam-regions:top=50 -> aqe", "0", "16")
    assert [float(rows[1][name]) for name in ("mAP", "mAP std", "P@1", "P@3")] == [0.5, 0.49, 0.5, 0.25]
    low, high = bootstrap_interval([0.2, 0.4, 0.6, 0.8])
    assert [float(rows[1][name]) for name in ("mAP low", "mAP high")] == pytest.approx([low, high], abs=1e-6)
    assert (rows[1]["ms_per_query"], rows[1]["bytes_per_image"]) == ("2.000", "32")
    assert (rows[2]["reason"], rows[2]["mAP"], rows[2]["cell"]) == ("no | head at all", "", "")
    assert rows[0]["cell"] == LINES[0].key and rows[0]["protocol"] == fingerprint_key(LINES[0].protocol)


def test_several_settings_are_groups_of_columns_and_report_mp():
    nan = math.nan
    lines = [
        line("spoc", {"E": (0.5, 0.5, nan, nan), "M": (0.5, 0.5, 0.5, 0.5)}),
        line("gem", {"E": (0.4, 0.4, nan, nan), "M": (0.6, 0.6, 0.6, 0.6)}, key="f" * 16),
    ]
    own = lines[0]
    assert list(own.scores)[:5] == ["E mAP", "E mAP std", "E mP@1", "E mP@3", "M mAP"]
    assert own.scores["M mP@1"] == 0.25 and own.intervals["E mAP"] == (0.5, 0.5)  # two queries count
    head, one, two = parsed(table_markdown(lines))
    assert (one[head.index("E mAP")], two[head.index("M mAP")]) == ("**50.00** [50.0, 50.0]", "**60.00** [60.0, 60.0]")
    assert [one.cell.descriptor for one in best_two(lines)] == ["gem", "spoc"]  # by Medium


def test_a_setting_that_no_query_counts_in():
    empty = line("spoc", {"E": (0.5,) * 4, "H": (0.5,) * 4})
    empty.scores.update({"H mAP": math.nan})
    empty.intervals.update({"H mAP": (math.nan, math.nan)})
    head, *rows = parsed(table_markdown([empty, LINES[2]]))
    assert rows[0][head.index("H mAP")] == "" and rows[0][head.index("E mAP")] == "**50.00** [50.0, 50.0]"
    read = next(csv.DictReader(io.StringIO(table_csv([empty]))))
    assert (read["H mAP"], read["H mAP low"], read["E mAP low"]) == ("", "", "0.500000")


def test_rows_that_look_alike_are_marked_alike():
    lines = [line("spoc", {"all": (0.5,) * 4}), line("gem", {"all": (0.50001,) * 4}), line("mac", {"all": (0.4,) * 4})]
    head, *table = parsed(table_markdown(lines))
    assert [r[head.index("mAP")].startswith("**") for r in table] == [True, True, False]


def test_ukbench_has_its_own_score():
    lines = [line("spoc", {"all": (0.5,) * 4}, ns=3.25), line("gem", {"all": (0.5,) * 4}, ns=3.5)]
    head, one, two = parsed(table_markdown(lines))
    assert (one[head.index("N-S")], two[head.index("N-S")]) == ("3.250", "**3.500**")


def test_nothing_could_be_done():
    text = table_markdown(LINES[2:])
    assert text.startswith("No cell could be done.") and parsed(text)[1][4] == "not done: no | head at all"
    assert best_two(LINES[2:]) is None and best_two(LINES[:1]) is None and shared_protocol(LINES[2:]) == {}
    assert next(csv.DictReader(io.StringIO(table_csv(LINES[2:]))))["reason"] == "no | head at all"


def test_unread_images_are_said():
    assert "Up to 3 images could not be read" in table_markdown([line("spoc", {"all": (0.5,) * 4}, unread=3)])


def test_text_for_a_terminal():
    """Choices that never change are left out, the best is marked, and columns that do not fit go from the right."""
    text = table_text(LINES, 120).split("\n")
    assert text[0].split() == [
        "descriptor", "parts", "whitening", "then", "mAP", "P@1", "P@3", "mAP", "std", "ms/query",
    ]  # fmt: skip
    assert text[1].split() == [
        "spoc", "-", "-", "-", "90.00*", "[90.0,", "90.0]", "90.00*", "45.00*", "89.00*", "2.0",
    ]  # fmt: skip
    assert text[3].split() == ["cam", "4", "16", "-", "-", "-", "-", "-"]
    assert "parts" not in table_text(LINES[:2]) and "whitening" not in table_text(LINES[:2])
    for width in (120, 80, 60):
        assert max(map(len, table_text(LINES[:2], width).split("\n"))) <= width
    assert table_text(LINES[:2], 60).split("\n")[0].split()[-1] == "mAP"
    assert table_text(LINES[:1]).split("\n")[1].startswith("spoc  ")
    assert table_text(LINES[2:]).split("\n")[1].split() == ["cam"]
    assert table_notes(LINES, "*")[0].count("*: the highest number") == 1


def test_transductive_cells_are_counted():
    by = ["the query's own image is a neighbour of others in dba"]
    near = replace(LINES[0], protocol={**LINES[0].protocol, "transductive_by": by})
    assert f"Transductive, 2 of 3 cells: {by[0]}." in table_notes([near, LINES[1], near])
    assert not any("Transductive" in note for note in table_notes(LINES))
