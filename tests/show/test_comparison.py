"""The page of two runs: its numbers, its pictures, and nothing of a hostile name left alive."""

import re

import pytest
from PIL import Image
from samples import picture

from resight.measure.comparison import compare_runs
from resight.measure.runs import Run, RunQuery, Shown
from resight.show.comparison import COLUMNS, comparison_report, comparison_rows


@pytest.fixture
def files(tmp_path):
    for number in range(6):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in range(6)]


def run(name, aps, files, right=(True, None, False), protocol=None):
    shown = tuple(
        Shown(file, 0.9 - i / 10, mark, (5, 5, 30, 30)) for i, (file, mark) in enumerate(zip(files[1:], right))
    )
    queries = (
        RunQuery(f"q{i}", files[0], (1, 1, 40, 40), {"all": ap}, {"all": ap}, 0.1, shown) for i, ap in enumerate(aps)
    )
    return Run(name, protocol or {}, {}, tuple(queries))


def page_of(a, b, **options):
    return comparison_report(compare_runs(a, b), a, b, **options)


def test_the_numbers(files):
    a, b = run("plain", [0.5] * 8, files), run("better", [0.6] * 8, files)
    (row,) = comparison_rows(compare_runs(a, b))
    assert row == ("all", "8", "50.00", "60.00", "+10.00", "+10.00 to +10.00", "100.0 %", "8", "0", "0", row[-1])
    assert len(row) == len(COLUMNS) and 0 < float(row[-1]) < 0.02  # 2 of the 256 sign patterns reach it
    page = page_of(a, b)
    assert "all: B is better: +10.0 [10.0, 10.0]." in page
    assert all(f"<bdi>{cell}</bdi>" in page for cell in row)
    assert "A is plain, B is better." in page and "by the trapezoid rule" in page


def test_pictures_of_the_most_changed_queries(files):
    a, b = run("a", [0.5, 0.5, 0.5, 0.5], files), run("b", [0.9, 0.5, 0.3, 0.6], files)
    page = page_of(a, b, queries=1, results=2)
    titles = re.findall(r"<h2[^>]*><bdi>(.*?)</bdi>", page)
    assert titles == [
        "Scores", "What differs", "Queries that changed most", "Gained 40.0: q0", "q0 in B", "Lost 20.0: q2", "q2 in B",
    ]  # fmt: skip
    assert page.count("<img") == 4 * (1 + 2)  # two queries in two runs: the query and two results
    assert "A: average precision 50.00." in page and "B: average precision 90.00." in page
    assert page.count("rs-figure rs-right") == 4 and page.count("rs-figure rs-wrong") == 0
    assert page.count("rs-figure rs-query") == 4
    assert page.count("box drawn") == 12
    rows = re.findall(r"<td><bdi>(q\d)</bdi></td>", page)
    assert rows == ["q0", "q3", "q2"]  # most gained to most lost; q1 is as it was


def test_protocols(files):
    same = page_of(run("a", [0.5], files), run("b", [0.5], files))
    assert "both runs record the same protocol" in same and "Warning" not in same and "None changed." in same
    other = page_of(run("a", [0.5], files, protocol={"crop": "pixels", "size": 512}),
                    run("b", [0.5], files, protocol={"crop": "none", "size": 1024}))  # fmt: skip
    assert "Warning: not the method&#39;s difference alone, the runs also differ in crop (pixels / none)." in other
    cells = re.findall(r"<tr><td><bdi>(crop|size)</bdi></td>.*?<bdi>(method|condition)</bdi>", other)
    assert cells == [("crop", "condition"), ("size", "method")]


def test_runs_without_results_say_so(files):
    page = page_of(run("a", [0.5], files[:1]), run("b", [0.6], files[:1]))
    assert page.count("no results were saved with this run") == 2


def test_missing_images_and_hostile_names(files):
    bad = "/nowhere/<script>alert(1)</script>.png"
    a, b = run("<b>a</b>", [0.5], [bad, bad]), run("b\u202e", [0.6], [bad, bad], protocol={"<i>": "<u>"})
    page = page_of(a, b)
    assert not re.search(r"<(script|b|i|u)>", page) and "\u202e" not in page
    assert page.count("rs-missing") >= 4
