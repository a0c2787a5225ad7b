"""Folders of explained images: names, layout, manifest, scales, and what is left after an error."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.explain.heat import Heat, add_heats
from resight.show.heat import HeatStyle, draw_heat, peak
from resight.show.heat_folder import HeatFolder, file_name


def heat(values, target=3, label="cirrus", part="", size=(30, 40)):
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    return Heat(np.asarray(values, np.float32), 2.0, 0.9, target, label, "gradcam", "l", size, box, part)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_one_mode_lies_in_the_folder_itself(tmp_path):
    one = heat([[1, 2], [-1, 0]])
    with HeatFolder(tmp_path / "out", about={"model": "m"}) as folder:
        folder.add("photos/my cat.jpg", [one], picture(0, 30, 40), top=[{"class": "cirrus", "probability": 0.9}])
        folder.skip("photos/bad.jpg", "no image")
    assert files(tmp_path / "out") == ["manifest.json", "my-cat_3_cirrus.npy", "my-cat_3_cirrus.png"]
    assert np.array_equal(np.load(tmp_path / "out" / "my-cat_3_cirrus.npy", allow_pickle=False), one.map)
    found = np.asarray(Image.open(tmp_path / "out" / "my-cat_3_cirrus.png"))
    assert np.array_equal(found, draw_heat(one, picture(0, 30, 40)))
    said = manifest(tmp_path / "out")
    assert (said["format"], said["model"], said["complete"]) == ("resight-explain-1", "m", True)
    assert said["skipped"] == [{"path": "photos/bad.jpg", "reason": "no image"}]
    (image,) = said["images"]
    assert (image["path"], image["size"], image["top"][0]["probability"]) == ("photos/my cat.jpg", [30, 40], 0.9)
    (row,) = image["maps"]
    assert row["pictures"] == {"overlay": "my-cat_3_cirrus.png"}
    assert (row["map"], row["total"], row["maximum"], row["brightest"]) == ("my-cat_3_cirrus.npy", 2.0, 2.0, 2.0)
    assert "largest" not in row


def test_several_modes_have_folders(tmp_path):
    with HeatFolder(tmp_path / "out", HeatStyle(("gray", "multiply"))) as folder:
        folder.add("a.jpg", [heat([[1]])], picture(0, 30, 40))
        assert folder.pictures == 2
    assert files(tmp_path / "out") == ["a_3_cirrus.npy", "gray/a_3_cirrus.png", "manifest.json",
                                       "multiply/a_3_cirrus.png"]  # fmt: skip
    assert Image.open(tmp_path / "out" / "gray" / "a_3_cirrus.png").mode == "L"
    assert manifest(tmp_path / "out")["images"][0]["maps"][0]["pictures"]["multiply"] == "multiply/a_3_cirrus.png"


def test_names_never_meet(tmp_path):
    paths = ["a/x.jpg", "b/x.png", "c/X.jpg", "x-2.jpg", "x_3_cirrus-2.jpg"]
    with HeatFolder(tmp_path / "out") as folder:
        for place, path in enumerate(paths):
            folder.add(path, [heat([[place + 1]])], picture(place, 30, 40))
    said = [image["maps"][0]["map"] for image in manifest(tmp_path / "out")["images"]]
    assert len({name.casefold() for name in said}) == len(paths)
    for place, name in enumerate(said):
        assert np.load(tmp_path / "out" / name) == place + 1


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("../../etc/passwd", "1_x"), "etc-passwd_1_x"),
        (("..", "."), "image"),
        ((".hidden", "a:b*c?\0\n"), "hidden_a-b-c"),
        (("写真", "Ä ö"), "写真_Ä-ö"),
        (("\udcff\u202egpj", ""), "gpj"),
    ],
)
def test_names_are_plain(words, name):
    assert file_name(*words) == name


def test_long_names_are_cut_between_characters():
    found = file_name("é" * 300, "n" * 300)
    assert len((found + "-12.png").encode()) < 200
    assert found.startswith("é" * 40 + "_n")


def test_a_hostile_class_stays_in_the_folder(tmp_path):
    with HeatFolder(tmp_path / "out") as folder:
        folder.add("a.jpg", [heat([[1]], label="../../../tmp/x")], picture(0, 30, 40))
    assert files(tmp_path) == ["out/a_3_..-..-..-tmp-x.npy", "out/a_3_..-..-..-tmp-x.png", "out/manifest.json"]


def test_the_brightest_value_is_that_of_all_classes_on_one_scale(tmp_path):
    with HeatFolder(tmp_path / "out", HeatStyle(("gray",), "image")) as folder:
        folder.add("a.jpg", [heat([[1.0, 0.5]], 0, "weak"), heat([[4.0, 0.0]], 1, "strong")], picture(0, 30, 40))
    maps = manifest(tmp_path / "out")["images"][0]["maps"]
    assert [(one["maximum"], one["brightest"]) for one in maps] == [(1.0, 4.0), (4.0, 4.0)]


def test_a_map_of_lime_has_no_sum(tmp_path):
    own = replace(heat([[1.0, 1.0]]), method="lime:samples=20")
    with HeatFolder(tmp_path / "out") as folder:
        folder.add("a.jpg", [own], picture(0, 30, 40))
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert "total" not in row
    assert row["maximum"] == 1.0


def test_one_scale_for_a_class_or_for_all(tmp_path):
    weak, strong = heat([[1.0, 0.0]], 0, "weak"), heat([[4.0, 0.0]], 1, "strong")
    brightest = {}
    for scale in ("class", "image"):
        with HeatFolder(tmp_path / scale, HeatStyle(("gray",), scale)) as folder:
            folder.add("a.jpg", [weak, strong], picture(0, 30, 40))
        brightest[scale] = [int(np.asarray(Image.open(tmp_path / scale / name)).max())
                            for name in ("a_0_weak.png", "a_1_strong.png")]  # fmt: skip
    assert brightest == {"class": [255, 255], "image": [64, 255]}


def test_branches_beside_their_sum(tmp_path):
    rgb, sift = heat([[3.0, 0.0]], part="rgb"), heat([[1.0, 1.0], [0.0, 0.0]], part="sift")
    whole = add_heats((rgb, sift))
    with HeatFolder(tmp_path / "out", HeatStyle(("gray",))) as folder:
        folder.add("a.jpg", [whole], picture(0, 30, 40))
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert row["map"] == "a_3_cirrus.npy"
    assert [part["map"] for part in row["parts"]] == ["a_3_cirrus_rgb.npy", "a_3_cirrus_sift.npy"]
    largest = peak((whole, rgb, sift))
    # In units of each map's own cells, as in its .npy.
    assert [one["brightest"] for one in (row, *row["parts"])] == [largest / 4, largest / 2, largest / 4]
    assert [one["maximum"] for one in (row, *row["parts"])] == [2.5, 3.0, 1.0]
    # One scale: the brightest of sift is as much darker as it adds less.
    dark = np.asarray(Image.open(tmp_path / "out" / "a_3_cirrus_sift.png")).max()
    assert dark == round(255 * 4 / largest)


def test_frames_of_a_sequence(tmp_path):
    frames = np.stack([np.full((20, 20, 3), level, np.uint8) for level in (50, 100, 200)])
    parts = tuple(
        heat([[level]], part=f"frame {place}", size=(20, 20)) for place, level in ((1, 0.0), (2, 2.0), (3, 1.0))
    )
    with HeatFolder(tmp_path / "out", HeatStyle(("multiply",))) as folder:
        folder.add("clips/fall", [add_heats(parts)], frames)
        folder.add("clips/short", [parts[1]], frames[1:2])
    names = [f"fall_3_cirrus_frame-{number}.png" for number in (1, 2, 3)]
    assert [name for name in files(tmp_path / "out") if name.endswith("png")] == [*names, "short_3_cirrus_frame-2.png"]
    levels = [int(np.asarray(Image.open(tmp_path / "out" / name)).max()) for name in names]
    assert levels == [0, 100, 100]  # each on its own frame, by one scale
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert "map" not in row
    assert row["total"] == 3.0
    assert [part["part"] for part in row["parts"]] == ["frame 1", "frame 2", "frame 3"]
    assert [(part["frame"], part["frames"]) for part in row["parts"]] == [(1, 3), (2, 3), (3, 3)]
    assert "file" not in row["parts"][0]


def test_frames_have_their_names(tmp_path):
    frames = np.stack([np.full((20, 20, 3), level, np.uint8) for level in (50, 100)])
    parts = tuple(heat([[1.0]], part=f"{branch} frame {number}", size=(20, 20))
                  for branch in ("rgb", "sift") for number in (1, 2))  # fmt: skip
    with HeatFolder(tmp_path / "out") as folder:
        folder.add("fall", [add_heats(parts)], frames, frames=[{"file": "f03.png"}, {"file": "f07.png"}])
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert [(part["frame"], part["file"]) for part in row["parts"]] == [(1, "f03.png"), (2, "f07.png")] * 2


def test_two_branches_of_a_sequence_share_its_frames(tmp_path):
    frames = np.stack([np.full((20, 20, 3), level, np.uint8) for level in (50, 100)])
    parts = tuple(heat([[1.0]], part=f"{branch} frame {number}", size=(20, 20))
                  for branch in ("rgb", "sift") for number in (1, 2))  # fmt: skip
    with HeatFolder(tmp_path / "out", HeatStyle(("multiply",))) as folder:
        folder.add("fall", [add_heats(parts)], frames)
    levels = {path.stem.split("cirrus_")[1]: int(np.asarray(Image.open(path)).max())
              for path in (tmp_path / "out").glob("*.png")}  # fmt: skip
    assert levels == {"rgb-frame-1": 50, "rgb-frame-2": 100, "sift-frame-1": 50, "sift-frame-2": 100}


def test_large_images_are_reduced(tmp_path):
    one = heat([[1.0]], size=(200, 400))
    for longest, size in ((100, (100, 50)), (0, (400, 200)), (1024, (400, 200))):
        with HeatFolder(tmp_path / str(longest), HeatStyle(longest=longest)) as folder:
            folder.add("a.jpg", [one], picture(0, 200, 400))
        assert Image.open(tmp_path / str(longest) / "a_3_cirrus.png").size == size


def test_the_other_image_of_a_pair_names_the_file(tmp_path):
    with HeatFolder(tmp_path / "out") as folder:
        folder.add("a.jpg", [replace(heat([[1.0]], -1, "b.jpg"), probability=float("nan"))], picture(0, 30, 40),
                   more=[{"constant": 0.25}])  # fmt: skip
    assert files(tmp_path / "out") == ["a_b.npy", "a_b.png", "manifest.json"]
    (row,) = manifest(tmp_path / "out")["images"][0]["maps"]
    assert (row["constant"], row["probability"], row["label"]) == (0.25, None, "b.jpg")


def test_an_interruption_keeps_what_was_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), HeatFolder(tmp_path / "out") as folder:
        folder.add("a.jpg", [heat([[1.0]])], picture(0, 30, 40))
        raise KeyboardInterrupt
    said = manifest(tmp_path / "out")
    assert said["complete"] is False
    assert len(said["images"]) == 1


def test_an_error_before_the_first_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="first"), HeatFolder(tmp_path / "out", HeatStyle(("gray", "color"))):
        raise ValueError("first")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is there already and is not overwritten"):
        HeatFolder(tmp_path / "out")


SETTINGS = {"model": "m", "images": "abc"}


def start(folder, upto, style=None, settings=SETTINGS, error=KeyboardInterrupt):
    """Add images a, b, c ... from where the folder is up to the `upto`-th, then be interrupted."""
    with contextlib.suppress(KeyboardInterrupt), HeatFolder(folder, style, {"model": "m"}, settings) as made:
        for number in range(made.done, upto):
            if number == 1:
                made.skip("bad.jpg", "no image")
            else:
                made.add(f"{'abcdef'[number]}/x.jpg", [heat([[number + 1.0]])], picture(number, 30, 40))
        if error is not None:
            raise error
    return made


@pytest.mark.parametrize("modes", [("overlay",), ("gray", "color")])
def test_an_interrupted_folder_goes_on_and_is_as_one_made_at_once(tmp_path, modes):
    style = HeatStyle(modes)
    start(tmp_path / "whole", 4, style, error=None)
    assert start(tmp_path / "parts", 2, style).done == 0
    assert manifest(tmp_path / "parts")["complete"] is False
    assert start(tmp_path / "parts", 3, style).done == 2
    last = start(tmp_path / "parts", 4, style, error=None)
    assert (last.done, last.skipped, last.pictures) == (3, 1, 3 * len(modes))
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    for name in files(tmp_path / "whole"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_killed_process_leaves_a_line_for_each_image(tmp_path):
    folder = HeatFolder(tmp_path / "out", settings=SETTINGS)
    folder.add("a.jpg", [heat([[1.0]])], picture(0, 30, 40))
    folder.skip("b.jpg", "no image")
    first, *rows = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())
    assert first["settings"]["model"] == "m"
    assert rows[0]["image"]["maps"][0]["map"] == "a_3_cirrus.npy"
    assert rows[1] == {"skipped": {"path": "b.jpg", "reason": "no image"}}
    folder.__exit__(None, None, None)
    assert files(tmp_path / "out") == ["a_3_cirrus.npy", "a_3_cirrus.png", "manifest.json"]


def damage_cut(folder):
    journal = folder / "manifest.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])


def damage_lost(folder):
    (folder / "x_3_cirrus-2.png").unlink()


def damage_outside(folder):
    journal = folder / "manifest.jsonl"
    (folder.parent / "x_3_cirrus-2.npy").write_bytes((folder / "x_3_cirrus-2.npy").read_bytes())
    journal.write_text(journal.read_text().replace('"x_3_cirrus-2.npy', '"../x_3_cirrus-2.npy'))


def damage_deep(folder):
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    lines[-1] = '{"image":' + "[" * 100_000 + "\n"
    (folder / "manifest.jsonl").write_text("".join(lines))


@pytest.mark.parametrize("damage", [damage_cut, damage_lost, damage_outside, damage_deep])
def test_what_is_not_whole_is_made_again(tmp_path, damage):
    start(tmp_path / "whole", 3, error=None)
    start(tmp_path / "out", 3)
    damage(tmp_path / "out")
    assert start(tmp_path / "out", 3, error=None).done == 2
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert manifest(tmp_path / "out") == manifest(tmp_path / "whole")


@pytest.mark.parametrize(
    ("style", "settings", "word"),
    [
        (HeatStyle(("gray",)), SETTINGS, "modes"),
        (HeatStyle(longest=7), SETTINGS, "longest"),
        (None, {**SETTINGS, "model": "other"}, "model"),
        (None, {**SETTINGS, "layer": "l"}, "layer"),
    ],
)
def test_with_other_settings_nothing_goes_on(tmp_path, style, settings, word):
    start(tmp_path / "out", 2)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    with pytest.raises(InputError, match=f"it was begun with other {word};"):
        HeatFolder(tmp_path / "out", style, None, settings)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")} == before


def test_a_finished_folder_is_refused_and_so_are_two_at_once(tmp_path):
    start(tmp_path / "done", 2, error=None)
    with pytest.raises(InputError, match="is not overwritten"):
        HeatFolder(tmp_path / "done", settings=SETTINGS)
    with HeatFolder(tmp_path / "out", settings=SETTINGS), pytest.raises(InputError, match="by another process"):
        HeatFolder(tmp_path / "out", settings=SETTINGS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="damaged or of something else"):
        HeatFolder(tmp_path / "other", settings=SETTINGS)
    start(tmp_path / "new", 2)
    with pytest.raises(InputError, match="is not overwritten"):
        HeatFolder(tmp_path / "new")
