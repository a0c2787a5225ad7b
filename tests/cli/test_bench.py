"""`resight bench match` on small photographs: files, going on, and what is refused before any work."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from locating_samples import photograph, photographs
from PIL import Image

from resight.cli.bench import match
from resight.errors import InputError
from resight.images.rle import decode_rle

TWO = ["matchtemplate", "sift-ransac"]


def rows(file):
    return list(csv.DictReader(file.open()))


def test_tiers(tmp_path, capsys):
    data, out = photographs(tmp_path / "photos"), tmp_path / "out"
    assert (
        match(str(data), out=out, tiers=["identity,rotation", "absent"], cases=3, methods=["matchtemplate,sift-ransac"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "9 cases; matchtemplate, sift-ransac; in" in printed and "identity  matchtemplate      3  1.000" in printed
    found = rows(out / "results.csv")
    assert len(found) == 18 and {row["tier"] for row in found} == {"identity", "rotation", "absent"}
    assert all(row["iou"] == "1" for row in found if (row["tier"], row["method"]) == ("identity", "matchtemplate"))
    assert len(rows(out / "table.csv")) == 8 and (out / "histograms.png").is_file()
    report = json.loads((out / "report.json").read_text())
    assert report["settings"]["methods"] == TWO and "1 thread of OpenCV" in report["notes"][0]
    assert "Machine:" in (out / "report.txt").read_text() and rows(out / "describe.csv")[0]["count"] == "3"


def test_it_goes_on_and_gives_the_same(tmp_path, capsys):
    data, out = photographs(tmp_path / "photos"), tmp_path / "out"
    call = {"out": out, "tiers": ["similarity"], "cases": 4, "methods": TWO}
    match(str(data), **call)
    before, lines = rows(out / "results.csv"), (out / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (out / "answers.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:50])  # as when it is killed
    (out / "results.csv").unlink()
    capsys.readouterr()
    match(str(data), **call)
    assert "4 cases, 2 of them done before" in capsys.readouterr().out
    after = rows(out / "results.csv")
    timeless = [{k: v for k, v in row.items() if not k.endswith("_ms") and k != "memory"} for row in before + after]
    assert timeless[:8] == timeless[8:]
    assert [row["find_ms"] for row in before[:4]] == [row["find_ms"] for row in after[:4]]  # not searched again
    with pytest.raises(InputError, match="begun with other seed"):
        match(str(data), **call, seed=1)


def annotated(folder):
    photographs(folder / "images", 2)
    boxes = [(0, (10, 20, 40, 50)), (0, (60, 30, 50, 60)), (1, (0, 0, 90, 80))]
    (folder / "instances.json").write_text(json.dumps({
        "images": [{"id": n, "file_name": f"{n}.png", "height": 120, "width": 160} for n in range(2)],
        "annotations": [{"id": 50 + n, "image_id": image, "category_id": 1, "bbox": box}
                        for n, (image, box) in enumerate(boxes)],
        "categories": [{"id": 1, "name": "cup, large"}],
    }))  # fmt: skip
    return str(folder / "images"), folder / "instances.json"


def test_every_annotated_box(tmp_path):
    data, coco = annotated(tmp_path)
    match(data, out=tmp_path / "out", coco=coco, methods=TWO, masks=True)
    found = rows(tmp_path / "out" / "boxes.csv")
    assert [(row["image_name"], row["ann_id"]) for row in found] == [("0.png", "50"), ("0.png", "51"), ("1.png", "52")]
    assert found[1]["bbox"] == "[60.0, 30.0, 50.0, 60.0]" and found[0]["label"] == "cup, large"
    assert all(row["model_iou"] == "1" and float(row["sift_time"]) > 0 for row in found)
    mask = decode_rle(rows(tmp_path / "out" / "results.csv")[0]["mask"])
    assert mask[20:70, 10:50].all() and mask.sum() == 2000
    masks = rows(tmp_path / "out" / "masks.csv")
    assert [row["ann_id"] for row in masks] == ["50", "51", "52"] and decode_rle(masks[0]["model_mask"]).sum() == 2000
    match(data, out=tmp_path / "some", coco=coco, methods=TWO, cases=2)
    assert len(rows(tmp_path / "some" / "boxes.csv")) == 2 and not (tmp_path / "some" / "masks.csv").exists()


def test_tiers_of_annotated_boxes(tmp_path):
    data, coco = annotated(tmp_path)
    match(data, out=tmp_path / "out", coco=coco, tiers=["noise", "boxes"], cases=2, methods=["matchtemplate"])
    found = rows(tmp_path / "out" / "results.csv")
    assert [row["tier"] for row in found] == ["noise", "noise", "boxes", "boxes"]
    assert {row["template"] for row in found} <= {"40x50", "50x60", "90x80"}


def test_pairs(tmp_path, capsys):
    for name in ("img1.png", "img2.png"):
        Image.fromarray(photograph(1)).save(tmp_path / name)
    np.savetxt(tmp_path / "H1to2p", np.eye(3))
    out = tmp_path.parent / f"{tmp_path.name}-out"
    match(str(tmp_path), out=out, pairs=True, methods=["sift-ransac"])
    assert "1-2   sift-ransac    yes  1.000" in capsys.readouterr().out
    with pytest.raises(InputError, match="--tiers, --cases: no effect beside --pairs"):
        match(str(tmp_path), out=out, pairs=True, tiers=["blur"], cases=3)


def test_json_alone(tmp_path, capsys):
    data = photographs(tmp_path / "photos")
    match(str(data), out=tmp_path / "out", tiers=["identity"], cases=1, methods=["matchtemplate"], json=True)
    assert json.loads(capsys.readouterr().out)["table"][0]["iou"] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"tiers": ["rotatoin"]}, "unknown tier 'rotatoin', did you mean 'rotation'"),
        ({"tiers": ["boxes"]}, "name their file with --coco"),
        ({"methods": ["sfit"]}, "unknown method 'sfit', did you mean 'sift'"),
        ({"methods": ["mask"]}, "--model"), ({"cases": 0}, "--cases must be at least 1"),
        ({"threads": 0}, "--threads must be at least 1"),
    ],
)  # fmt: skip
def test_doors(tmp_path, call, message):
    data = photographs(tmp_path / "photos", 2)
    with pytest.raises(InputError, match=message):
        match(str(data), out=tmp_path / "out", **{"methods": TWO, "tiers": ["identity"], **call})
    assert not (tmp_path / "out").exists()


def test_results_do_not_go_among_the_photographs(tmp_path):
    data = photographs(tmp_path / "photos", 2)
    with pytest.raises(InputError, match="where the photographs are: write elsewhere"):
        match(str(data), out=data / "out", methods=TWO)
    assert not (data / "out").exists()


def test_a_photograph_that_cannot_be_read_is_told_of(tmp_path, capsys):
    data = photographs(tmp_path / "photos", 4)
    (data / "3.png").write_bytes(b"none")
    match(str(data), out=tmp_path / "out", tiers=["identity", "absent"], cases=6, methods=["matchtemplate"])
    assert "1 photographs could not be read, others were taken." in capsys.readouterr().out
