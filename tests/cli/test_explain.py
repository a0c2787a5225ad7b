"""`resight explain`: lines, folders, exit codes; pairs and reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_runs import colour_images, make_run
from PIL import Image

from resight.cli import run as resight
from resight.explain.explaining import explain_each
from resight.explain.pairs import matching_points
from resight.show.matches import matches_picture
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run, and a folder of images that it knows well."""
    root = tmp_path_factory.mktemp("run")
    make_run(root / "run", colour_images(root / "data", 12))
    return str(root / "run"), colour_images(root / "new", 2, seed=9)


@pytest.fixture
def call(made, tmp_path, capsys):
    """Explain with the run into tmp_path/out: (exit code, standard output, standard error)."""

    def run_it(*words, model=made[0]):
        named = ["--model", model] if model else []
        code = resight(["explain", *map(str, words), *named, "--out", str(tmp_path / "out")])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_a_single_image(made, call, tmp_path):
    folder, images = made
    path = images / "red" / "0.png"
    code, out, _ = call(path, "--modes", "gray,color,overlay,multiply")
    assert code == 0
    (expected,) = explain_each([path], Run.open(folder, "cpu"))
    lines = out.splitlines()
    numbers = {"blue": 0, "green": 1, "red": 2}
    assert lines[:3] == [f"{score:.3f} -> {numbers[name]}_{name}{'' if rank else f'   {path}'}"
                         for rank, (score, name) in enumerate(expected.top(3))]  # fmt: skip
    assert lines[3] == f"wrote {tmp_path / 'out'}: 4 pictures of 1 image, maps (.npy), sheet.png and manifest.json"
    name = f"0_{numbers[expected.heats[0].label]}_{expected.heats[0].label}"
    pictures = [f"{mode}/{name}.png" for mode in ("gray", "color", "overlay", "multiply")]
    assert files(tmp_path / "out") == sorted(["manifest.json", "sheet.png", f"{name}.npy", *pictures])
    assert np.array_equal(np.load(tmp_path / "out" / f"{name}.npy"), expected.heats[0].map)
    said = manifest(tmp_path / "out")
    assert (said["model"], said["method"], said["asked"]) == (folder, "gradcam", "top:1")
    assert said["images"][0]["maps"][0]["score"] == pytest.approx(expected.heats[0].score, abs=1e-5)
    assert Image.open(tmp_path / "out" / "overlay" / f"{name}.png").size == (48, 40)


def test_several_images_one_line_each(made, call, tmp_path):
    _, images = made
    (tmp_path / "bad.png").write_text("x")
    code, out, err = call(images / "red", tmp_path / "bad.png", "--class", "red", "--method", "cam")
    assert code == 0
    lines = out.splitlines()
    assert [line.split("   ")[1] for line in lines[:2]] == [str(images / "red" / f"{n}.png") for n in (0, 1)]
    assert all(line[5:].startswith(" -> 2_red") for line in lines[:2])
    assert lines[2].endswith("2 pictures of 2 images, maps (.npy), sheet.png and manifest.json; 1 could not be read")
    assert "bad.png: not an image" in err
    said = manifest(tmp_path / "out")
    assert [row["path"] for row in said["skipped"]] == [str(tmp_path / "bad.png")]
    assert [image["maps"][0]["method"] for image in said["images"]] == ["cam", "cam"]


def test_classes_by_name_number_as_printed_and_best(made, call, tmp_path):
    path = made[1] / "red" / "0.png"
    asked = []
    for given in (["red", "blue"], ["2", "0"], ["2_red", "0_blue"]):
        words = [word for one in given for word in ("--class", one)]
        _, out, _ = call(path, *words, "--json")
        asked.append([row["label"] for row in json.loads(out)["images"][0]["maps"]])
        shutil.rmtree(tmp_path / "out")
    assert asked == [["red", "blue"]] * 3
    _, out, _ = call(path, "--class", "top:2", "--json")
    said = json.loads(out)
    assert said["folder"] == str(tmp_path / "out")
    (image,) = said["images"]
    assert [row["label"] for row in image["maps"]] == [one["class"] for one in image["top"][:2]]


def test_lime_says_how_steady_it_is(made, call, tmp_path):
    path = made[1] / "red" / "0.png"
    code, out, _ = call(path, "--method", "lime:samples=20,segments=grid,count=9", "--class", "red")
    assert code == 0
    assert "         lime: 9 superpixels, 20 samples, split-half stability" in out
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert (row["superpixels"], row["samples"], row["method"]) == (9, 20, "lime")
    assert row["grid"] == [64, 64]
    assert -1 <= row["stability"] <= 1


def test_exit_codes(made, call, tmp_path):
    good = made[1] / "red" / "0.png"
    (tmp_path / "bad.png").write_text("x")
    assert call(good, tmp_path / "bad.png", "--strict")[0] == 1
    shutil.rmtree(tmp_path / "out")
    assert call(tmp_path / "bad.png")[0] == 1
    assert manifest(tmp_path / "out")["images"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["GOOD", "--class", "rde"], "did you mean 'red'"),
        (["GOOD", "--class", "3"], "class 3 is out of range: there are 3"),
        (["GOOD", "--method", "grad-cam"], "did you mean 'gradcam'"),
        (["GOOD", "--method", "gradcam", "--method", "cam"], "one --method at a time, got gradcam, cam"),
        (["GOOD", "--method", "lime:sample=5"], "did you mean 'samples'"),
        (["GOOD", "--method", "lime", "--class", "rde"], "did you mean 'red'"),
        (["GOOD", "--method", "lime", "--layer", "layer4"], "lime looks at no layer"),
        (["GOOD", "--layer", "layer44"], "did you mean 'layer4"),
        (["GOOD", "--layer", "global_pool"], "no places"),
        (["GOOD", "--modes", "grey"], "did you mean 'gray'"),
        (["GOOD", "--colors", "coolwarm"], "unknown colors 'coolwarm'"),
        (["EMPTY"], "no images in"),
        (["NOTHING"], "NOTHING"),
        (["GOOD", "--pair"], "--pair takes two images, got 1"),
        (["GOOD", "--pair", "--report"], "ask one at a time"),
        (["GOOD", "--in", "x.resight"], "--in is for --pair"),
        (["GOOD", "--report", "--class", "top:2"], "--report explains one class"),
        (["GOOD", "GOOD", "--pair", "--method", "cam"], "--method has no effect beside --pair"),
        (["GOOD", "GOOD", "--pair", "--class", "red", "--layer", "l"], "--class, --layer have no effect beside --pair"),
        (["GOOD", "--report", "--modes", "gray"], "--modes has no effect beside --report"),
        (["GOOD", "--report", "--scale", "class", "--signed"], "--scale, --signed have no effect beside --report"),
        (["GOOD", "--report", "--colors", "jet"], "--colors has no effect beside --report"),
        (["GOOD", "--report", "--longest", "0"], "--longest has no effect beside --report"),
        (["GOOD", "--weights", "hub"], "--weights has no effect beside --model RUN"),
        (["GOOD", "--descriptor", "gem"], "--descriptor is for --pair"),
        (["GOOD", "GOOD", "--pair", "--in", "x.resight"], "--model has no effect beside --in"),
        (["GOOD", "--class", "top:3", "--class", "red"], "top:3 stands alone, it cannot be one of several classes"),
        (["GOOD", "--class", "red", "--class", "top:3"], "top:3 stands alone"),
        (["GOOD", "--class", "-1"], "class -1 is out of range: there are 3, numbered from 0"),
        (["GOOD", "--class", "top:4"], "top:4: behind top: comes how many classes, from 1 to the 3 that there are"),
        (["GOOD", "--class", "top:0"], "top:0: behind top:"),
        (["GOOD", "--class", "top:some"], "top:some: behind top:"),
        (["GOOD", "--box", "1,2,3,4"], "--box is for --pair"),
        (["GOOD", "--boxes", "b.csv"], "--boxes is for --report"),
        (["GOOD", "--pair", "--boxes", "b.csv"], "--boxes is for --report"),
        (["GOOD", "--segments", "s.png"], "--segments is for --method lime, got gradcam"),
        (["GOOD", "--report", "--segments", "s.png"], "--segments has no effect beside --report"),
        (["GOOD", "GOOD", "--pair", "--segments", "s.png"], "--segments has no effect beside --pair"),
        (["GOOD", "--method", "LIME:count=9", "--segments", "s.png"], "count of lime has no effect beside --segments"),
        (["GOOD", "--method", "lime:segments=slic", "--segments", "s.png"], "segments of lime has no effect"),
    ],
)
def test_doors(made, call, tmp_path, words, message):
    (tmp_path / "EMPTY").mkdir()
    places = {"GOOD": str(made[1] / "red" / "0.png"), "EMPTY": str(tmp_path / "EMPTY")}
    code, out, err = call(*(places.get(word, word) for word in words))
    assert code == 2
    assert message.replace("RUN", made[0]) in err
    assert err.count("\n") == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(made, call, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    code, _, err = call(made[1] / "red")
    assert (code, files(tmp_path / "out")) == (2, ["mine.txt"])
    assert "is not overwritten" in err


def test_a_fusion_run_has_a_map_for_each_branch(tmp_path, capsys):
    data = colour_images(tmp_path / "data", 4)
    make_run(tmp_path / "run", data, input="fusion", sift_backbone="test_resnet", sift_weights="random")
    path = data / "red" / "0.png"
    words = ["explain", str(path), "--model", str(tmp_path / "run"), "--method", "cam", "--class", "red"]
    assert resight([*words, "--out", str(tmp_path / "out")]) == 0
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert [part["part"] for part in row["parts"]] == ["rgb", "sift"]
    assert sum(part["total"] for part in row["parts"]) == pytest.approx(row["total"], abs=1e-4)
    assert {"0_2_red.png", "0_2_red_rgb.png", "0_2_red_sift.png"} <= set(files(tmp_path / "out"))
    network = Run.open(tmp_path / "run", "cpu").network
    assert row["total"] == pytest.approx(row["score"] - float(network.head.bias[2]), abs=1e-3)


def test_a_sequence_has_a_map_for_each_frame(tmp_path, capsys):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(3):
            place = tmp_path / "data" / label / f"clip{clip}"
            place.mkdir(parents=True)
            for frame in range(2):
                Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(place / f"{frame}.png")
    make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=2, size=32)
    words = ["explain", "--model", str(tmp_path / "run"), "--class", "b"]
    assert resight([*words, str(tmp_path / "data" / "a" / "clip0"), "-o", str(tmp_path / "one")]) == 0
    assert [name for name in files(tmp_path / "one") if name.endswith(".png")] == [
        "clip0_1_b_frame-1.png", "clip0_1_b_frame-2.png", "sheet.png",
    ]  # fmt: skip
    capsys.readouterr()
    assert resight([*words, str(tmp_path / "data"), "-o", str(tmp_path / "all")]) == 0
    out = capsys.readouterr().out
    assert out.count(" -> 1_b   ") == 6
    assert "12 pictures of 6 sequences, maps" in out
    pictures = [name for name in files(tmp_path / "all") if name.endswith(".png")]
    assert len(pictures) == 13  # six sequences of three names, two frames each, and the sheet
    assert resight([*words, str(tmp_path / "data" / "a" / "clip0"), "--method", "lime", "-o", str(tmp_path / "x")]) == 2
    assert "sequences" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_manifest_says_which_frames_were_taken(tmp_path, capsys):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(3):
            place = tmp_path / "data" / label / f"clip{clip}"
            place.mkdir(parents=True)
            for frame in range(5):
                Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(place / f"f{frame}.png")
    make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=2, size=32)
    words = ["explain", str(tmp_path / "data" / "a" / "clip0"), "--model", str(tmp_path / "run"), "--out"]
    assert resight([*words, str(tmp_path / "out")]) == 0
    assert "2 pictures of 1 sequence, maps" in capsys.readouterr().out
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert [(part["part"], part["frame"], part["frames"], part["file"]) for part in row["parts"]] == [
        ("frame 1", 1, 2, "f1.png"), ("frame 2", 2, 2, "f3.png"),
    ]  # fmt: skip


def test_of_a_video_the_manifest_says_the_places_of_its_frames(tmp_path, capsys):
    av = pytest.importorskip("av")
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(3):
            place = tmp_path / "data" / label / f"clip{clip}"
            place.mkdir(parents=True)
            Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(place / "0.png")
    make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=3, size=32)
    with av.open(str(tmp_path / "v.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for level in range(9):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * level, np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    words = ["explain", str(tmp_path / "v.mp4"), "--model", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    assert resight(words) == 0
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    numbers = [(part["frame"], part["frames"], part["place"]) for part in row["parts"]]
    assert numbers == [(1, 3, 2), (2, 3, 5), (3, 3, 8)]
    assert (tmp_path / "out" / "sheet.png").is_file()


PAIR = ["--pair", "--descriptor", "spoc", "--weights", "random"]


def test_a_pair(made, call, tmp_path):
    first, second = made[1] / "red" / "0.png", made[1] / "blue" / "1.png"
    code, out, _ = call(first, second, *PAIR, "--modes", "gray,overlay", model="test_resnet")
    assert code == 0
    said = manifest(tmp_path / "out")
    assert out.startswith(f"{said['score']:.3f}   {first} and {second}, by spoc of test_resnet\n")
    assert files(tmp_path / "out") == ["0_1.npy", "1_0.npy", "gray/0_1.png", "gray/1_0.png", "manifest.json",
                                       "overlay/0_1.png", "overlay/1_0.png", "pair.png"]  # fmt: skip
    for image in said["images"]:
        (row,) = image["maps"]
        assert row["total"] + row["constant"] == pytest.approx(said["score"], abs=1e-5)
        assert float(np.load(tmp_path / "out" / row["map"]).sum()) == pytest.approx(row["total"], abs=1e-5)


def test_a_pair_with_points_that_agree_has_lines(call, tmp_path):
    random = np.random.default_rng(0)
    whole = Image.fromarray(random.integers(0, 255, (60, 80, 3), np.uint8)).resize((480, 360), Image.Resampling.BICUBIC)
    whole.save(tmp_path / "a.png")
    whole.crop((40, 30, 440, 330)).save(tmp_path / "b.png")
    code, out, _ = call(tmp_path / "a.png", tmp_path / "b.png", *PAIR, model="test_resnet")
    assert code == 0
    said = manifest(tmp_path / "out")
    assert said["lines"] == "matches.png"
    assert said["matches"] >= 8
    assert f"  {said['matches']:,} points of both agree on one homography: matches.png\n" in out
    assert "a map of each, pair.png, matches.png, maps (.npy)" in out
    points = matching_points(tmp_path / "a.png", tmp_path / "b.png")
    expected = matches_picture(tmp_path / "a.png", tmp_path / "b.png", points.query, points.result)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "matches.png")), np.asarray(expected))
    shutil.rmtree(tmp_path / "out")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "c.png")
    _, out, _ = call(tmp_path / "a.png", tmp_path / "c.png", *PAIR, "--json", model="test_resnet")
    assert "lines" not in json.loads(out)
    assert not (tmp_path / "out" / "matches.png").exists()


def test_a_pair_by_a_collection_is_scored_as_its_search(made, call, tmp_path, capsys):
    query, other = made[1] / "red" / "0.png", made[1] / "blue" / "1.png"
    place = str(tmp_path / "c.resight")
    assert resight(["index", str(made[1]), "--to", place, "--descriptor", "gem", "--size", "64", "--whiten", "3"]) == 0
    capsys.readouterr()
    assert resight(["search", str(query), "--in", place, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["queries"][0]["results"]
    code, out, _ = call(query, other, "--pair", "--in", place, model=None)
    assert code == 0
    assert "by gem of tf_efficientnet_lite0" in out
    assert out.count("that belongs to no place (the mean of the whitening)") == 2
    said = manifest(tmp_path / "out")
    assert said["collection"] == place
    assert said["score"] == pytest.approx({row["path"]: row["score"] for row in results}[str(other)], abs=1e-5)


def test_a_report(made, call, tmp_path):
    (tmp_path / "bad.png").write_text("x")
    code, out, err = call(made[1] / "red" / "0.png", tmp_path / "bad.png", "--report", "--method", "gradcam,cam")
    assert code == 0
    assert "bad.png" in err
    assert "1 image, 1 left out" in out
    assert {"report.txt", "report.json", "table.csv"} <= set(files(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "report.json").read_text())["methods"] == ["gradcam", "cam"]
    assert (tmp_path / "out" / "report.txt").read_text().strip() in out


def test_a_report_of_unreadable_images_fails(call, tmp_path):
    (tmp_path / "bad.png").write_text("x")
    code, _, err = call(tmp_path / "bad.png", "--report")
    assert code == 1
    assert "no image could be read" in err
    assert not (tmp_path / "out").exists()


class Interrupted:
    """Stops the second image as Ctrl-C does."""

    def __init__(self, monkeypatch):
        from resight.show.heat_folder import HeatFolder

        self.count, self.add = 0, HeatFolder.add
        monkeypatch.setattr(HeatFolder, "add", lambda *given, **named: self(*given, **named))

    def __call__(self, *given, **named):
        self.count += 1
        if self.count == 2:
            raise KeyboardInterrupt
        self.add(*given, **named)


@pytest.fixture
def begun(made, call, tmp_path, monkeypatch):
    """Three images of a folder, with the results in it, interrupted in the second."""
    (tmp_path / "photos").mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        shutil.copy(made[1] / colour / "0.png", tmp_path / "photos" / f"{number}.png")
    with monkeypatch.context() as patched:
        Interrupted(patched)
        code, out, err = call(tmp_path / "photos", "--class", "red")
    assert (code, out.count(" -> ")) == (130, 1)
    assert "run the same command again to go on" in err
    assert manifest(tmp_path / "out")["complete"] is False
    return tmp_path / "photos"


def test_the_same_command_goes_on(begun, call, tmp_path):
    code, out, err = call(begun, "--class", "red")
    assert code == 0
    assert f"{tmp_path / 'out'}: goes on after 1 image of 3" in err
    assert out.count(" -> ") == 2
    assert "3 pictures of 3 images" in out
    parts, names = manifest(tmp_path / "out"), files(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert call(begun, "--class", "red")[0] == 0
    assert (manifest(tmp_path / "out"), files(tmp_path / "out")) == (parts, names)
    code, _, err = call(begun, "--class", "red")
    assert code == 2
    assert "is not overwritten" in err


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--class", "blue"], "class"),
        (["--class", "red", "--method", "cam"], "method"),
        (["--class", "red", "--layer", "layer4"], "layer"),
        (["--class", "red", "--signed"], "signed, colors"),
        (["MORE", "--class", "red"], "images"),
    ],
)
def test_another_command_does_not_go_on(begun, made, call, tmp_path, words, changed):
    before = files(tmp_path / "out")
    code, _, err = call(begun, *(made[1] / "red" / "1.png" if word == "MORE" else word for word in words))
    assert code == 2
    assert f"it was begun with other {changed};" in err
    assert files(tmp_path / "out") == before


def test_results_within_the_images_are_no_images(made, tmp_path, capsys, monkeypatch):
    shutil.copytree(made[1] / "red", tmp_path / "photos")
    words = ["explain", str(tmp_path / "photos"), "--model", made[0], "--out", str(tmp_path / "photos" / "why")]
    with monkeypatch.context() as patched:
        Interrupted(patched)
        assert resight(words) == 130
    assert resight(words) == 0
    said = manifest(tmp_path / "photos" / "why")
    assert [image["path"] for image in said["images"]] == [str(tmp_path / "photos" / f"{n}.png") for n in (0, 1)]


@pytest.mark.slow
def test_interrupted_it_keeps_what_it_reported(made, tmp_path):
    folder, images = made
    for number in range(200):
        shutil.copy(images / "red" / "0.png", tmp_path / f"{number:03d}.png")
    words = ["explain", str(tmp_path), "--model", folder, "--out", str(tmp_path / "out"), "--longest", "16"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-m", "resight", *words], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=environment)  # fmt: skip
    seen = [process.stdout.readline() for _ in range(3)]
    process.terminate()
    rest, err = process.communicate(timeout=120)
    assert all(" -> " in line for line in seen)
    if process.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert process.returncode == 130, err
    said = manifest(tmp_path / "out")
    assert said["complete"] is False
    printed = len(seen) + rest.count(" -> ")
    assert len(said["images"]) >= printed > 0
    for image in said["images"]:
        assert (tmp_path / "out" / image["maps"][0]["map"]).is_file()


def test_a_network_by_name_is_shown_all_of_a_wide_image_if_asked(call, tmp_path):
    Image.new("RGB", (200, 50), (90, 120, 30)).save(tmp_path / "wide.png")
    wide, boxes = ("test_resnet", "--weights", "random"), []
    for words in ([], ["--fit", "squash"]):
        code, _, error = call(tmp_path / "wide.png", *wide[1:], *words, model=wide[0])
        assert code == 0, error
        boxes.append(manifest(tmp_path / "out")["images"][0]["maps"][0]["box"])
        shutil.rmtree(tmp_path / "out")
    assert boxes[1] == [0, 0, 200, 50] and boxes[0][2] - boxes[0][0] < 60
    code, _, error = call(tmp_path / "wide.png", "--fit", "squash")
    assert code == 2 and "fit is chosen for networks given by name" in error
