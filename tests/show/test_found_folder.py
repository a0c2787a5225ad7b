"""The folder of searched scenes: rows, manifest, pictures, videos, and what stays when the work is cut off."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from samples import picture
from video_samples import read_video

from resight.errors import InputError, WorkError
from resight.match.planes import similarity
from resight.match.result import Match
from resight.match.template import Template
from resight.match.tracking import Seen
from resight.show.found_folder import COLUMNS, FoundFolder, rows_of, summary

SCENE = picture(1, 60, 80)
TEMPLATE = Template(picture(2, 20, 30))


def made(found=True, score=0.875, at=(40, 30)):
    return Match(found, score, similarity(1, 0, (15, 10), at), "sift", (60, 80), (20, 30), 12)


def rows(folder):
    with (folder / "matches.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_images(tmp_path):
    with FoundFolder(tmp_path / "o", {"method": "auto"}) as folder:
        folder.add("a/one.png", SCENE, [made()], TEMPLATE, 12.34)
        folder.add('b/one.png', SCENE, [made(False, 0.02)], TEMPLATE, 5)  # fmt: skip
        folder.add('c/t,"w"o.png', SCENE, [made(), made(score=0.5, at=(15, 10))], TEMPLATE, 7)
        folder.skip("d/no.png", "no such file")
        assert not (tmp_path / "o" / "manifest.json").exists()
        assert folder.contents() == "3 pictures, matches.csv and manifest.json"
    found = rows(tmp_path / "o")
    assert tuple(found[0]) == COLUMNS
    assert [row["scene"] for row in found] == ["a/one.png", "b/one.png", *['c/t,"w"o.png'] * 2, "d/no.png"]
    first = found[0]
    assert [first[name] for name in ("found", "score", "method", "inliers", "ms")] == [
        "true",
        "0.8750",
        "sift",
        "12",
        "12.3",
    ]
    corners = [float(first[f"{axis}{corner}"]) for corner in range(1, 5) for axis in "xy"]
    assert corners == [25, 20, 55, 20, 55, 40, 25, 40] and first["box"] == "25.00,20.00,55.00,40.00"
    assert (first["frame"], first["seconds"], first["error"]) == ("", "", "")
    assert [found[1][name] for name in ("found", "score", "x1", "box")] == ["false", "0.0200", "", ""]
    assert (found[4]["found"], found[4]["error"]) == ("", "no such file")
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert (manifest["format"], manifest["method"], manifest["complete"]) == ("resight-match-1", "auto", True)
    names = [scene.get("picture") for scene in manifest["scenes"]]
    assert names == ["one.jpg", "one-2.jpg", "t-w-o.jpg", None]
    assert [scene.get("found") for scene in manifest["scenes"]] == [True, False, True, None]
    assert len(manifest["scenes"][2]["matches"]) == 2
    for name in names[:3]:
        with Image.open(tmp_path / "o" / name) as image:
            assert image.height == 60


def film(folder, count, panel=False):
    with folder.film("v/clip.avi", 10, panel) as made_film:
        for number in range(count):
            matches = (made(number % 2 == 0, 0.9),)
            made_film.add(Seen(number + 1, number / 10, SCENE, matches, 3.0, True), TEMPLATE)


def test_videos(tmp_path):
    pytest.importorskip("av")
    with FoundFolder(tmp_path / "o") as folder:
        film(folder, 5, panel=True)
        film(folder, 1)
        assert folder.contents() == "3 videos, matches.csv and manifest.json"
    found = rows(tmp_path / "o")
    assert [(row["frame"], row["seconds"], row["found"]) for row in found[:3]] == [
        ("1", "0.0000", "true"), ("2", "0.1000", "false"), ("3", "0.2000", "true"),
    ]  # fmt: skip
    scenes = json.loads((tmp_path / "o" / "manifest.json").read_text())["scenes"]
    assert scenes == [
        {"scene": "v/clip.avi", "frames": 5, "found_in": 3, "video": "clip.mp4", "panel": "clip-panel.mp4"},
        {"scene": "v/clip.avi", "frames": 1, "found_in": 1, "video": "clip-2.mp4"},
    ]
    assert [image.shape for _, image in read_video(tmp_path / "o" / "clip.mp4")] == [(60, 80, 3)] * 5
    shown = read_video(tmp_path / "o" / "clip-panel.mp4")
    assert [image.shape for _, image in shown] == [(120, 160, 3)] * 5
    assert np.abs(shown[0][1][:60, :80].astype(int) - SCENE).mean() < 12
    assert [seconds for seconds, _ in shown] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_what_is_done_stays_when_the_work_is_cut_off(tmp_path):
    pytest.importorskip("av")
    with pytest.raises(KeyboardInterrupt), FoundFolder(tmp_path / "o") as folder:
        folder.add("one.png", SCENE, [made()], TEMPLATE, 1)
        with folder.film("clip.avi", 10, True) as made_film:
            for number in range(3):
                made_film.add(Seen(number + 1, number / 10, SCENE, (made(),), 3.0, True), TEMPLATE)
            raise KeyboardInterrupt
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["complete"] is False and manifest["scenes"][1]["frames"] == 3
    assert len(rows(tmp_path / "o")) == 4
    assert len(read_video(tmp_path / "o" / "clip.mp4")) == len(read_video(tmp_path / "o" / "clip-panel.mp4")) == 3
    names = {"one.jpg", "clip.mp4", "clip-panel.mp4", "matches.csv", "manifest.json"}
    assert {file.name for file in (tmp_path / "o").iterdir()} == names


def test_nothing_is_left_when_nothing_was_done(tmp_path):
    with pytest.raises(ValueError), FoundFolder(tmp_path / "o"):
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError), FoundFolder(tmp_path / "o") as folder, folder.film("v.avi", 10):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is there already and is not overwritten"):
        FoundFolder(tmp_path / "o")
    (tmp_path / "f").write_text("x")
    with pytest.raises(WorkError, match=r"cannot write .*g: part of the path is a file"):
        FoundFolder(tmp_path / "f" / "g")


def test_rows_of_a_mask_and_of_nothing():
    outline = np.zeros((60, 80), bool)
    outline[10:20, 30:50] = True
    row = rows_of("s", [Match(True, 0.6, None, "mask", (60, 80), (20, 30), outline=outline)], 1.0)[0]
    assert len(row) == len(COLUMNS) and row[COLUMNS.index("x1")] == "" and row[COLUMNS.index("method")] == "mask"
    assert summary([]) == {"found": False, "score": None, "matches": []}
    assert rows_of("s", [], 1.0, 4, 0.1) == [["s", 4, "0.1000", "false", *[""] * 12, "1.0", ""]]
