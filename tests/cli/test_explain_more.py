"""`resight explain` with boxes, own segments and its contact sheet."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from made_runs import colour_images, make_run
from PIL import Image
from samples import picture

from resight.cli import run as resight
from resight.cli.explain_options import asked_classes, split_words
from resight.errors import InputError
from resight.explain.explaining import explain
from resight.explain.lime import lime
from resight.explain.pairs import explain_pair
from resight.explain.pointing import pointing
from resight.features.encoder import Encoder
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


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_methods_with_options_and_commas():
    assert split_words(("cam,layercam",)) == ["cam", "layercam"]
    assert split_words(("gradcam, lime:samples=50,segments=grid", "cam")) == [
        "gradcam",
        "lime:samples=50,segments=grid",
        "cam",
    ]
    assert split_words(("lime:samples=5,count=4,cam",)) == ["lime:samples=5,count=4", "cam"]


def test_classes_as_they_are_asked_for():
    classes = ["cirrus", "3_x", "top:1"]
    assert asked_classes(("0_cirrus", "1", "3_x"), classes) == [0, "1", "3_x"]
    assert asked_classes(("top:2",), classes) == asked_classes((" top:002",), classes) == "top:2"
    assert asked_classes(("top:1",), classes) == ["top:1"]  # a class is called so
    with pytest.raises(InputError, match="top:2 stands alone"):
        asked_classes(("top:2", "cirrus"), classes)


PAIR = ["--pair", "--descriptor", "spoc", "--weights", "random"]


@pytest.fixture
def two(tmp_path):
    for number, name in enumerate(("a.png", "b.png")):
        Image.fromarray(picture(number, 90, 120)).save(tmp_path / name)
    return tmp_path / "a.png", tmp_path / "b.png"


def test_a_pair_by_a_box_of_the_first(two, call, tmp_path):
    first, second = two
    code, out, err = call(first, second, *PAIR, "--box", "20, 10,80,70.5", model="test_resnet")
    assert (code, err) == (0, "")
    said = manifest(tmp_path / "out")
    assert out.startswith(f"{said['score']:.3f}   {first} in box 20,10,80,70.5 and {second}, by spoc")
    box = (20.0, 10.0, 80.0, 70.5)
    encoder = Encoder("test_resnet", descriptor="spoc", weights="random", device="cpu")
    pair = explain_pair(first, second, encoder, boxes=(box, None), match=False)
    assert said["box"] == list(box)
    assert said["score"] == pytest.approx(float(encoder.encode(first, box=box) @ encoder.encode(second)), abs=1e-5)
    mine, other = (image["maps"][0] for image in said["images"])
    assert mine["box"] == pytest.approx([20, 10, 80, 71], abs=1e-9) and other["box"] == [0, 0, 120, 90]
    for row, heat in zip((mine, other), pair.heats, strict=True):
        values = np.load(tmp_path / "out" / row["map"])
        np.testing.assert_allclose(values, heat.map, atol=1e-6)
        assert float(values.sum()) + row["constant"] == pytest.approx(said["score"], abs=1e-5)
    overlay = np.asarray(Image.open(tmp_path / "out" / mine["pictures"]["overlay"])).astype(int)
    image = np.asarray(Image.open(first)).astype(int)
    np.testing.assert_allclose(overlay[:10], image[:10] / 2, atol=1)  # outside the box: the image, half as bright
    shown = np.asarray(Image.open(tmp_path / "out" / "pair.png"))
    assert (shown[:90, :120] == (255, 196, 0)).all(-1).any()  # the box is drawn


def test_a_box_that_reaches_beyond_the_image_is_told(two, call):
    code, _, err = call(*two, *PAIR, "--box", "20,10,500,70", model="test_resnet")
    assert code == 0
    assert err == "resight: the box reaches beyond the image, 120 x 90: used is 20,10,120,70\n"


@pytest.mark.parametrize(
    ("box", "words"),
    [("1,2,3", "--box takes x1,y1,x2,y2 in pixels"), ("a,b,c,d", "--box takes"), ("500,0,600,9", "overlaps the image")],
)
def test_boxes_that_are_none(two, call, tmp_path, box, words):
    code, out, err = call(*two, *PAIR, "--box", box, model="test_resnet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "out").exists()


def boxes_of(images, tmp_path, labels=("red", "blue"), name="boxes.csv"):
    """A box in two images of three, the second with another label."""
    rows = [f"{images / 'red' / '0.png'},0,0,20,40,{labels[0]}", f"{images / 'red' / '1.png'},0,0,9,9,{labels[1]}"]
    (tmp_path / name).write_text("\n".join(["path,x1,y1,x2,y2,label", *rows, ""]))
    return tmp_path / name


def test_a_report_with_the_pointing_game(made, call, tmp_path):
    folder, images = made
    shutil.copy(images / "red" / "0.png", tmp_path / "copy.png")
    words = [images / "red", tmp_path / "copy.png", "--class", "red", "--report"]
    code, out, err = call(*words, "--boxes", boxes_of(images, tmp_path))
    assert code == 0
    assert "  pointing  " in out and "pointing: 2 of 3 images without a box of the class explained, not counted" in out
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    heat = explain(images / "red" / "0.png", Run.open(folder, "cpu"), "gradcam", "red")
    mean = content["means"]["gradcam"]["pointing"]
    assert mean == {"mean": pointing(heat, [[0, 0, 20, 40]]), "interval": [None, None], "images": 1}
    assert "no class of" not in err


def test_a_report_tells_labels_that_are_no_class(made, call, tmp_path):
    words = [made[1] / "red", "--class", "red", "--report", "--boxes"]
    code, _, err = call(*words, boxes_of(made[1], tmp_path, ("red", "dog")))
    assert code == 0
    assert f"1 of 2 labels are no class of {made[0]}, and their boxes do not count: dog\n" in err
    shutil.rmtree(tmp_path / "out")
    code, out, err = call(*words, boxes_of(made[1], tmp_path, ("cat", "dog")))
    assert (code, out) == (2, "")
    assert "no label of these images' boxes is a class of" in err and "cat, dog; without labels" in err
    assert not (tmp_path / "out").exists()


def test_a_report_by_coco(made, call, tmp_path):
    content = {
        "images": [{"id": 3, "file_name": "0.png", "height": 40, "width": 48}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 2, "bbox": [0, 0, 48, 40]}],
        "categories": [{"id": 2, "name": "Red"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    words = [made[1] / "red", "--class", "red", "--report", "--boxes", tmp_path / "instances.json"]
    code, out, _ = call(*words)
    assert code == 0
    assert "pointing: 1 of 2 images without a box" in out
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["means"]["gradcam"]["pointing"]["mean"] == 1


def test_a_report_of_other_images_than_the_boxes(made, call, tmp_path):
    (tmp_path / "b.csv").write_text("path,x1,y1,x2,y2\nnone.png,0,0,1,1\n")
    code, out, err = call(made[1] / "red", "--report", "--boxes", tmp_path / "b.csv")
    assert (code, out) == (2, "")
    assert "no box in it is of the images given" in err and not (tmp_path / "out").exists()


def halves(path, kind=np.uint8, size=(40, 48)):
    """Three parts of an image: 100, 7 and 9."""
    labels = np.full(size, 100, kind)
    labels[: size[0] // 2] = 7
    labels[:, : size[1] // 3] = 9
    np.save(path, labels) if path.suffix == ".npy" else Image.fromarray(labels).save(path)
    return labels


LIME = ["--method", "lime:samples=20", "--class", "red"]


@pytest.mark.parametrize("name", ["s.png", "s.npy"])
def test_lime_with_segments_of_ones_own(made, call, tmp_path, name):
    path = made[1] / "red" / "0.png"
    labels = halves(tmp_path / name)
    code, out, _ = call(path, *LIME, "--segments", tmp_path / name)
    assert code == 0
    assert "lime: 3 superpixels, 20 samples" in out
    said = manifest(tmp_path / "out")
    (row,) = said["images"][0]["maps"]
    assert (row["superpixels"], row["segments"], said["segments"]) == (3, str(tmp_path / name), str(tmp_path / name))
    wanted = lime(path, Run.open(made[0], "cpu"), "red", segments=labels, samples=20)
    np.testing.assert_allclose(np.load(tmp_path / "out" / row["map"]), wanted.heat.map, atol=1e-6)


def test_segments_of_several_images_lie_in_a_folder(made, call, tmp_path):
    (tmp_path / "parts").mkdir()
    halves(tmp_path / "parts" / "0.npy", np.int64)
    labels = halves(tmp_path / "parts" / "1.png", np.uint16)
    (tmp_path / "2.png").write_text("no image")
    halves(tmp_path / "parts" / "2.npy")
    code, _, err = call(made[1] / "red", tmp_path / "2.png", *LIME, "--segments", tmp_path / "parts")
    assert code == 0
    assert "2.png: not an image" in err
    images = manifest(tmp_path / "out")["images"]
    assert [image["maps"][0]["segments"] for image in images] == [str(tmp_path / "parts" / f"{n}") for n in
                                                                  ("0.npy", "1.png")]  # fmt: skip
    wanted = lime(made[1] / "red" / "1.png", Run.open(made[0], "cpu"), "red", segments=labels, samples=20)
    values = np.load(tmp_path / "out" / images[1]["maps"][0]["map"])
    np.testing.assert_allclose(values, wanted.heat.map, atol=1e-6)


def test_doors_of_segments(made, call, tmp_path):
    path = made[1] / "red" / "0.png"
    halves(tmp_path / "wrong.png", size=(30, 30))
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(tmp_path / "one.png")
    np.save(tmp_path / "many.npy", np.arange(40 * 48).reshape(40, 48))
    np.save(tmp_path / "float.npy", np.zeros((40, 48)))
    (tmp_path / "empty").mkdir()
    for name, words in {
        "wrong.png": "wrong.png: segments must be as large as the image, (H, W) = (40, 48), got (30, 30)",
        "one.png": "one.png: what the network sees of the segments has one part",
        "float.npy": "expected whole numbers (H, W), got float64", "none.png": "got none",
        "empty": "no segments (.png, .npy) for 0.png",
    }.items():  # fmt: skip
        code, out, err = call(path, *LIME, "--segments", tmp_path / name)
        assert (code, out) == (2, ""), name
        assert words in err
        assert not (tmp_path / "out").exists()
    code, _, err = call(made[1] / "red", *LIME, "--segments", tmp_path / "one.png")
    assert code == 2 and "segments of one image, got 2 images" in err


def begin(call, monkeypatch, *words):
    """Interrupted in the second image, as by Ctrl-C."""
    from resight.show.heat_folder import HeatFolder

    with monkeypatch.context() as patched:
        add, count = HeatFolder.add, []

        def interrupted(*given, **named):
            count.append(1)
            if len(count) == 2:
                raise KeyboardInterrupt
            add(*given, **named)

        patched.setattr(HeatFolder, "add", interrupted)
        assert call(*words)[0] == 130


def test_other_segments_do_not_go_on(made, call, tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    for number in range(2):
        halves(tmp_path / "parts" / f"{number}.npy")
    words = [made[1] / "red", *LIME, "--segments", tmp_path / "parts"]
    begin(call, monkeypatch, *words)
    np.save(tmp_path / "parts" / "1.npy", np.arange(40 * 48).reshape(40, 48) // 500)
    code, _, err = call(*words)
    assert code == 2 and "it was begun with other segments;" in err
    halves(tmp_path / "parts" / "1.npy")
    code, out, _ = call(*words)
    assert code == 0 and "2 pictures of 2 images" in out


def test_a_sheet_in_several_goes_is_as_one_at_once(made, call, tmp_path, monkeypatch):
    begin(call, monkeypatch, made[1] / "red", "--class", "top:2")
    assert not (tmp_path / "out" / "sheet.png").exists()
    assert call(made[1] / "red", "--class", "top:2")[0] == 0
    parts = (tmp_path / "out" / "sheet.png").read_bytes()
    assert manifest(tmp_path / "out")["sheet"] == "sheet.png"
    shutil.rmtree(tmp_path / "out")
    assert call(made[1] / "red", "--class", "top:2")[0] == 0
    assert (tmp_path / "out" / "sheet.png").read_bytes() == parts


def test_killed_while_the_sheet_is_drawn_nothing_is_lost(made, call, tmp_path, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("resight.show.heat_folder.heat_sheet", stop)
        assert call(made[1] / "red")[0] == 130
    assert manifest(tmp_path / "out")["complete"] is False
    code, out, _ = call(made[1] / "red")
    assert code == 0 and "2 pictures of 2 images, maps (.npy), sheet.png" in out
    assert manifest(tmp_path / "out")["complete"] is True and (tmp_path / "out" / "sheet.png").is_file()


def test_more_than_a_sheet_takes_is_told(made, call, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.show.heat_sheet.MOST_IMAGES", 1)
    monkeypatch.setattr("resight.show.heat_sheet.MOST_CLASSES", 2)
    _, out, _ = call(made[1] / "red", "--class", "top:3")
    assert out.endswith("\nsheet.png shows the first 1 of 2 images, the first 2 of 3 classes of each\n")
    assert Image.open(tmp_path / "out" / "sheet.png").width < 3 * 250


def test_no_sheet_without_images(call, tmp_path):
    (tmp_path / "bad.png").write_text("x")
    code, out, _ = call(tmp_path / "bad.png")
    assert code == 1 and "sheet.png" not in out
    assert "sheet" not in manifest(tmp_path / "out")
