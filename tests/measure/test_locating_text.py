"""The benchmark as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest
from locating_samples import absent, answer, wrong

from resight.measure.locating_text import (
    COCO,
    aligned,
    boxes_csv,
    describe_csv,
    finite,
    pairs_text,
    report_json,
    results_csv,
    table_csv,
    table_text,
)

ANSWERS = [
    *(answer(method=m, number=n, tier=t, iou=i) for m, i in (("auto", 0.9), ("sift", 0.5)) for t in ("blur", "noise")
      for n in range(2)),
    *(absent(method=m) for m in ("auto", "sift")),
]  # fmt: skip


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_for_people():
    lines = table_text(ANSWERS).split("\n")
    assert lines[0].split()[:4] == ["tier", "method", "cases", "IoU"]
    assert lines[1].split()[:6] == ["blur", "auto", "2", "0.900", "0.900-0.900", "1.000"]
    assert len({len(line.rstrip()) for line in lines[:2]}) == 1 and lines[5].split()[:4] == ["absent", "auto", "1", "-"]
    assert "auto: finds 1.000, 0.000 of the absent are called found; 1.000 at 1 % of them, by its score" in lines
    assert "auto - sift, blur: +0.400 (+0.400, +0.400), better in 2, worse in 0 of 2" in lines
    brief = table_text(ANSWERS, brief=True)
    assert "auto - sift, all" in brief and "auto - sift, blur" not in brief


def test_columns_are_aligned():
    assert aligned([("a", "bb", "1"), ("aaa", "b", "100")]) == ["a    bb    1", "aaa  b   100"]


def test_pairs_for_people():
    text = pairs_text([answer(kind="1-2", tier="pairs"), wrong(kind="1-6", tier="pairs")])
    assert text.split("\n")[1].split() == ["1-2", "one", "yes", "0.900", "1.00", "0.50", "9", "10", "2"]
    assert text.split("\n")[2].split()[:6] == ["1-6", "one", "no", "0.000", "-", "-"]


def test_every_answer_in_a_row():
    one, two = rows(results_csv([answer(), absent(number=1)]))
    assert one["template"] == "50x40" and one["scene"] == "160x120" and one["iou"] == "0.9"
    assert one["corners"] == "1,2 30,2 30,20 1,20" and two["iou"] == "" and "mask" not in one
    assert rows(results_csv([answer(mask="1,2:0 1")], masks=True))[0]["mask"] == "1,2:0 1"


def test_table_and_distributions_as_csv():
    (first, *_) = rows(table_csv(ANSWERS))
    assert first["method"] == "auto" and first["iou_low"] == "0.9" and first["recall_1"] == ""
    (first, *_) = rows(describe_csv(ANSWERS))
    assert list(first) == ["method", "tier", "quantity", "count", "mean", "std", "min", "25%", "50%", "75%", "max"]
    assert first["count"] == "2" and first["std"] == "0"


BOXES = [
    answer(tier="boxes", method="auto", source="a,b.jpg", kind='cup "x"', number=3, find_ms=12.5, memory=100),
    answer(tier="boxes", method="sift-ransac", number=3, iou=0.25, find_ms=100.0),
    wrong(tier="boxes", method="auto", number=4),
]


def test_the_classic_columns():
    one, two = rows(boxes_csv(BOXES, "auto", "sift-ransac", {3: (77, (1.5, 2, 11.5, 22)), 4: (78, (0, 0, 40, 40))}))
    assert tuple(one) == COCO and one["bbox"] == "[1.5, 2, 10.0, 20]" and json.loads(one["bbox"]) == [1.5, 2, 10, 20]
    assert (one["image_name"], one["label"], one["ann_id"]) == ("a,b.jpg", 'cup "x"', "77")
    assert (one["model_time"], one["sift_time"], one["sift_iou"], one["model_memory"]) == (
        "0.0125",
        "0.1",
        "0.25",
        "100",
    )
    assert two["sift_iou"] == "" and two["model_iou"] == "0"


def test_pandas_reads_the_classic_columns():
    pandas = pytest.importorskip("pandas")
    text = boxes_csv(BOXES, "auto", "sift-ransac", {3: (77, (1.5, 2, 11.5, 22)), 4: (78, (0, 0, 40, 40))})
    frame = pandas.read_csv(io.StringIO(text))
    assert frame.shape == (2, 10) and frame["model_iou"].mean() == pytest.approx(0.45)


def test_json_has_no_nan():
    found = json.loads(report_json(ANSWERS, {"seed": 0}, ["a note"]))
    assert found["settings"] == {"seed": 0} and found["notes"] == ["a note"]
    assert [one["iou"] for one in found["table"]][4] is None
    assert finite({"a": (float("inf"), 1)}) == {"a": [None, 1]}
