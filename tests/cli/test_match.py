"""`resight match`: lines, JSON, the folder of the results, videos, exit codes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from samples import picture
from video_samples import placed, read_video, textured, write_video

from resight import cli
from resight.cli import run as resight
from resight.cli.match import parse_polygon
from resight.cli.match_text import place_words, scene_lines, video_line
from resight.errors import InputError
from resight.match.finding import Finder
from resight.match.planes import similarity
from resight.match.result import Match

SURE = ("--threshold", "0.9")  # random textures are like each other here and there
GROUND, PICTURE = textured(1, 160, 240), textured(2, 48, 64)


def at(x, y, scale=1.0, turn=0.0):
    return placed(GROUND, PICTURE, similarity(scale, turn, (32, 24), (x, y)))


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "match", ("resight.cli.match:match", "Find a template in scenes."))


@pytest.fixture
def made(tmp_path):
    """A template, a folder of two scenes that have it and one that has not, a video through which it goes."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for name, image in {"a.png": at(70, 60), "b.png": picture(9, 160, 240), "c.png": at(150, 90)}.items():
        Image.fromarray(image).save(scenes / name)
    Image.fromarray(PICTURE).save(tmp_path / "t.png")
    return tmp_path


def film(path, count=20, absent=range(0)):
    frames = (GROUND if number in absent else at(60 + 4 * number, 70) for number in range(count))
    return write_video(path, frames, rate=10)


def rows(folder):
    with (folder / "matches.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_for_each_scene(made, capsys):
    assert resight(["match", str(made / "t.png"), str(made / "scenes")]) == 0
    lines = capsys.readouterr().out.splitlines()
    where = "found at 38,36 .. 102,84, turned 0 degrees, 1x"
    assert lines[0].endswith(f"  {where}   {made}/scenes/a.png") and float(lines[0][:4]) > 0.9
    assert lines[1].endswith(f"  absent   {made}/scenes/b.png") and float(lines[1][:4]) < 0.5
    assert "found at 118,66 .. 182,114" in lines[2]
    assert lines[3].startswith("found in 2 of 3 images, ") and len(lines) == 4


def test_json_is_one_object(made, capsys):
    words = ["match", str(made / "t.png"), str(made / "scenes"), "--json", "--threshold", "0.6", "--method", "sift"]
    assert resight(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["template"] == {"path": str(made / "t.png"), "size": [48, 64], "box": None, "polygon": None}
    assert (found["method"], found["threshold"], found["all"], found["complete"]) == ("sift", 0.6, False, True)
    assert [scene["found"] for scene in found["scenes"]] == [True, False, True]
    first, second = found["scenes"][:2]
    assert first["scene"] == str(made / "scenes" / "a.png") and first["size"] == [160, 240]
    assert np.abs(np.array(first["matches"][0]["corners"])[0] - (38, 36)).max() < 1
    assert second["matches"] == [] and second["score"] < 0.6


def test_unreadable_scenes(made, capsys):
    (made / "bad.png").write_text("x")
    template, bad = str(made / "t.png"), str(made / "bad.png")
    assert resight(["match", template, bad]) == 1
    assert f"  -   {bad}: not an image" in capsys.readouterr().err
    assert resight(["match", template, bad, str(made / "scenes")]) == 0
    assert "found in 2 of 3 images" in capsys.readouterr().out
    assert resight(["match", template, bad, str(made / "scenes"), "--strict", "--out", str(made / "o")]) == 1
    assert rows(made / "o")[0]["error"].startswith("not an image")
    capsys.readouterr()
    assert resight(["match", template, bad, str(made / "scenes" / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scenes"][0]["error"].startswith("not an image")


def test_the_folder_of_the_results(made, capsys):
    out = made / "o"
    assert resight(["match", str(made / "t.png"), f"{made}/scenes/*.png", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {out}: 3 pictures, matches.csv and manifest.json"
    assert [row["found"] for row in rows(out)] == ["true", "false", "true"]
    assert sorted(file.name for file in out.iterdir()) == ["a.jpg", "b.jpg", "c.jpg", "manifest.json", "matches.csv"]
    assert resight(["match", str(made / "t.png"), str(made / "scenes"), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_all_of_them(made, capsys):
    two = placed(at(60, 40), PICTURE, similarity(1, 0, (32, 24), (170, 110)))
    Image.fromarray(two).save(made / "two.png")
    words = ["match", str(made / "t.png"), str(made / "two.png"), str(made / "scenes" / "b.png"), "--all", *SURE]
    assert resight(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("two.png") and "found at" in line for line in lines) == 2
    assert any(line.startswith("  -   absent") and line.endswith("b.png") for line in lines)
    assert resight([*words, "--most", "1"]) == 0
    assert sum("found at" in line for line in capsys.readouterr().out.splitlines()) == 1


def test_a_part_of_an_image_as_template(made, capsys):
    scene = str(made / "scenes" / "a.png")
    assert resight(["match", scene, scene, "--template-box", "38,36,102,84"]) == 0
    printed = capsys.readouterr()
    assert "found at 38,36 .. 102,84" in printed.out and printed.err == ""
    assert resight(["match", scene, scene, "--template-box", "180,100,300,200"]) == 0
    printed = capsys.readouterr()
    assert "the box reaches beyond the image, 240 x 160: used is 180,100,240,160" in printed.err
    assert "found at 180,100 .. 240,160" in printed.out
    assert resight(["match", scene, scene, "--polygon", "38,36,102,36,102,84,38,84", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["template"]["polygon"] == [[38, 36], [102, 36], [102, 84], [38, 84]]
    assert found["scenes"][0]["found"]


def test_a_video(made, capsys):
    path = film(made / "v.mp4", absent=range(12, 15))
    out = made / "o"
    assert resight(["match", str(made / "t.png"), str(path), "--out", str(out), "--panel", *SURE]) == 0
    line, wrote = capsys.readouterr().out.splitlines()
    assert "  found in 17 of 20 frames, 0.0 .. 1.9 s, " in line and line.endswith(f" frames/s   {path}")
    assert wrote == f"wrote {out}: 2 videos, matches.csv and manifest.json"
    found = rows(out)
    assert [row["frame"] for row in found] == [str(number) for number in range(1, 21)]
    assert [row["found"] for row in found] == ["true"] * 12 + ["false"] * 3 + ["true"] * 5
    for number, row in enumerate(found):
        if row["found"] == "true":
            assert float(row["x1"]) == pytest.approx(28 + 4 * number, abs=1)
    assert len(read_video(out / "v.mp4")) == len(read_video(out / "v-panel.mp4")) == 20
    assert read_video(out / "v-panel.mp4")[0][1].shape == (320, 480, 3)


def test_json_lines_of_videos_and_images(made, capsys):
    path = film(made / "v.avi", 10)
    words = ["match", str(made / "t.png"), str(made / "scenes" / "a.png"), str(path), "--every", "4", "--json"]
    assert resight(words) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [(line.get("frame"), line.get("seconds")) for line in lines] == [(None, None), (1, 0.0), (5, 0.4), (9, 0.8)]
    assert all(line["found"] for line in lines) and lines[1]["scene"] == str(path)
    assert "found in 3 of 3 frames" in printed.err


def test_a_video_that_is_damaged_is_searched_up_to_there(made, capsys):
    path = write_video(made / "v.avi", (at(60 + 2 * number, 70) for number in range(40)), codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (made / "w.avi").write_text("x")
    words = ["match", str(made / "t.png"), str(path), str(made / "w.avi"), "--out", str(made / "o")]
    assert resight([*words, "--strict"]) == 1
    printed = capsys.readouterr()
    assert f"  -   {path}: frame " in printed.err and "; searched up to there" in printed.err
    assert f"  -   {made}/w.avi: not a video" in printed.err
    count = len(read_video(made / "o" / "v.mp4"))
    assert 10 < count < 30 and len(rows(made / "o")) == count + 2


@pytest.mark.parametrize("kind", ["images", "video"])
def test_what_is_done_is_kept_on_an_interruption(made, capsys, monkeypatch, kind):
    own, calls = Finder.find, []

    def find(self, scene):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return own(self, scene)

    monkeypatch.setattr(Finder, "find", find)
    scenes = made / "scenes" if kind == "images" else film(made / "v.mp4", absent=range(1, 20))
    assert resight(["match", str(made / "t.png"), str(scenes), "--out", str(made / "o")]) == 130
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].endswith("; what is done is kept")
    assert f"wrote {made}/o: " in printed.out
    assert json.loads((made / "o" / "manifest.json").read_text())["complete"] is False
    if kind == "images":
        assert len(rows(made / "o")) == 2
    else:  # whose seventh frame is searched as the third
        assert len(rows(made / "o")) == len(read_video(made / "o" / "v.mp4")) == 6


def test_a_camera(made, capsys, monkeypatch):
    import cv2

    class Camera:
        left = 12

        def isOpened(self):
            return True

        def set(self, name, value):
            return True

        def get(self, name):
            return 20.0

        def release(self):
            pass

        def read(self):
            Camera.left -= 1
            if not Camera.left:
                raise KeyboardInterrupt
            return True, cv2.cvtColor(GROUND if Camera.left < 4 else at(100, 70), cv2.COLOR_RGB2BGR)

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera())
    assert resight(["match", str(made / "t.png"), "--camera", "3", "--out", str(made / "o"), *SURE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "s  found at 68,46 .. 132,94" in lines[0] and lines[1].endswith("s  absent")
    assert "found in 8 of 11 frames" in lines[2] and lines[2].endswith("   camera 3")
    assert json.loads((made / "o" / "manifest.json").read_text())["complete"] is True
    assert len(read_video(made / "o" / "camera-3.mp4")) == 11


def test_no_camera(made, capsys):
    assert resight(["match", str(made / "t.png"), "--camera", "99", "--out", str(made / "o")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("resight: camera 99: there is none of this number") and error.count("\n") == 1
    assert not (made / "o").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give scenes (images, folders, globs, CSV lists, videos) or --camera NUMBER"),
        (["scenes", "--camera", "0"], "or --camera NUMBER, not both"),
        (["scenes", "--most", "3"], "--most has no effect without --all"),
        (["scenes", "--all", "--most", "0"], "--most must be at least 1, got 0"),
        (["scenes", "--every", "2"], "--every is for videos, and there is none among the scenes"),
        (["scenes", "--panel", "--out", "o"], "--panel is for videos, and there is none among the scenes"),
        (["v.mp4", "--panel"], "--panel is a video in the folder of the results: add --out FOLDER"),
        (["scenes", "--model", "run", "--method", "sift"], "--model has no effect beside --method sift"),
        (["scenes", "--threshold", "1.5"], "--threshold is a probability from 0 to 1, got 1.5"),
        (["scenes", "--template-box", "1,2,3"], "--template-box takes x1,y1,x2,y2 in pixels"),
        (["scenes", "--polygon", "1,2,3,4"], "--polygon takes x1,y1,x2,y2,x3,y3,... of three corners at least"),
        (["scenes", "--template-box", "0,0,9,9", "--polygon", "0,0,9,0,9,9"], "a box or a polygon"),
        (["none"], "none: no such file or folder"),
        (["*.avi"], "no video matches this glob"),
        (["scenes", "--out", "t.png"], "is there already and is not overwritten"),
    ],
)
def test_wrong_usage(made, capsys, monkeypatch, words, message):
    monkeypatch.chdir(made)
    (made / "v.mp4").write_text("x")
    assert resight(["match", "t.png", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (made / "o").exists()


def test_an_empty_folder_says_what_it_has_instead(made, capsys):
    (made / "empty").mkdir()
    (made / "empty" / "notes.txt").write_text("x")
    assert resight(["match", str(made / "t.png"), str(made / "empty")]) == 2
    assert "no images or videos in" in capsys.readouterr().err


def test_a_template_that_is_not_there_is_wrong_usage(made, capsys):
    assert resight(["match", str(made / "no.png"), str(made / "scenes")]) == 2
    assert "there is no such file to take the template from" in capsys.readouterr().err


def test_a_score_just_below_the_threshold_reads_as_below():
    near = Match(False, 0.7479, np.eye(3), "sift", (400, 600), (48, 64))
    assert scene_lines("a.png", [near]) == ["0.74  absent   a.png"]


def match(matrix, **more):
    return Match(True, 0.98, matrix, "sift", (400, 600), (48, 64), **more)


def test_words_of_a_place():
    turned = similarity(1.3, np.radians(12), (0, 0), (200, 100))
    assert place_words(match(turned)).endswith(", turned 12 degrees, 1.3x")
    assert place_words(match(similarity(1, np.pi, (32, 24), (100, 100)))).endswith("turned 180 degrees, 1x")
    assert place_words(match(similarity(1, -np.pi / 2, (32, 24), (100, 100)))).endswith("turned -90 degrees, 1x")
    outline = np.zeros((400, 600), bool)
    assert place_words(match(np.eye(3), outline=outline)) == " at 0,0 .. 64,48"
    assert scene_lines("a\n.png", [match(np.eye(3))]) == [
        "0.98  found at 0,0 .. 64,48, turned 0 degrees, 1x   a\\n.png"
    ]
    assert video_line("v", 10, 0, 0.02, (0, 0), 61.23) == "0.02  absent in all 10 frames, 61.2 frames/s   v"


def test_polygons():
    assert parse_polygon("0, 0, 10,0,5,8.5") == [(0, 0), (10, 0), (5, 8.5)]
    for wrong in ("", "1,2,3,4,5", "a,b,c,d,e,f", "0,0,1,1,nan,1"):
        with pytest.raises(InputError, match="--polygon takes"):
            parse_polygon(wrong)
