"""Which images locating is learned from, in which part, and with which boxes."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import ImageError, InputError, WorkError
from resight.train.locate_options import LocateOptions
from resight.train.locate_scenes import list_scenes, read_scenes, shortened, split_places, split_text
from resight.train.locate_synthetic import draw_picture

OPTIONS = LocateOptions(size=32, validation=0.25)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images" / "deeper").mkdir(parents=True)
    for number in range(8):
        where = tmp_path / "images" / ("deeper" if number % 2 else "")
        Image.fromarray(picture(number, 60, 80)).save(where / f"{number}.png")
    return tmp_path / "images"


def coco(folder, boxes, size=(60, 80)):
    """A file of instances of one image per list of boxes (x, y, width, height), beside the folder of images."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    images = [{"id": n, "file_name": name, "height": size[0], "width": size[1]} for n, name in enumerate(names)]
    rows = [
        {"id": 100 * n + m, "image_id": n, "category_id": 1, "bbox": list(box), "segmentation": [], "iscrowd": 0}
        for n, some in enumerate(boxes) for m, box in enumerate(some)
    ]  # fmt: skip
    file = folder.parent / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "thing"}]}))
    return file, names


def read(scenes, options=OPTIONS, **given):
    return read_scenes(scenes, split_places(scenes, options), options, **given)


def test_a_folder_of_anything(folder):
    scenes = list_scenes(folder)
    assert len(scenes.paths) == 8 and scenes.boxes is None and scenes.folder == str(folder)
    train, val = split_places(scenes, OPTIONS)
    assert (len(train), len(val)) == (6, 2) and sorted((*train, *val)) == list(range(8))
    assert split_places(scenes, OPTIONS) == (train, val)
    others = {split_places(scenes, LocateOptions(seed=seed, validation=0.25))[1] for seed in range(12)}
    assert len(others) > 4
    ready = read(scenes)
    assert (ready.train.places, ready.val.places, ready.skipped) == (train, val, {})
    assert np.array_equal(ready.train.pictures[train[0]], np.asarray(Image.open(scenes.paths[train[0]])))


def test_copies_are_left_out(folder):
    (folder / "z.png").write_bytes((folder / "0.png").read_bytes())
    scenes = list_scenes(folder)
    assert len(scenes.paths) == 8 and scenes.notes == ("1 images have the bytes of another and are left out",)


def test_what_cannot_be_used_is_told(folder):
    (folder / "bad.png").write_bytes(b"no image")
    Image.fromarray(picture(9, 20, 90)).save(folder / "flat.png")
    scenes = list_scenes(folder)
    ready = read(scenes)
    assert sorted(scenes.paths[place].name for place in ready.skipped) == ["bad.png", "flat.png"]
    assert any("90 x 20 pixels there is too little" in why for why in ready.skipped.values())
    assert len(ready.train.places) + len(ready.val.places) == 8


def test_boxes_of_coco(folder):
    file, names = coco(folder, [[(10.5, 5.25, 40, 33)], [(0, 0, 32, 32), (5, 5, 31, 50)], [(40, 20, 999, 999)]])
    scenes = list_scenes(file)
    assert [os.path.relpath(path, folder) for path in scenes.paths] == names[:3]
    assert scenes.boxes == {0: ((10.5, 5.25, 50.5, 38.25),), 1: ((0, 0, 32, 32),), 2: ((40, 20, 80, 60),)}
    with pytest.raises(InputError, match="expected at least 4 different images"):
        split_places(scenes, OPTIONS)
    file, _ = coco(folder, [[(10.5, 5.25, 40, 33)]] * 8)
    ready = read(list_scenes(file))
    assert [box for _, box in ready.train.things] == [(10.0, 5.0, 51.0, 39.0)] * 6  # whole pixels, as the crop
    assert ready.train.draw(np.random.default_rng(0))[1] == (10.0, 5.0, 51.0, 39.0)


def test_where_the_annotated_images_are(folder, tmp_path):
    file, _ = coco(folder, [[(0, 0, 40, 40)]] * 8)
    assert list_scenes(file).folder == str(folder)  # images beside it
    (tmp_path / "annotations").mkdir()
    moved = file.rename(tmp_path / "annotations" / "instances.json")
    assert list_scenes(moved).folder == str(folder)
    other = folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"its images are not in .*give their folder by --images"):
        list_scenes(moved)
    assert list_scenes(moved, other).folder == str(other)


def test_an_image_of_another_size_than_its_annotations(folder):
    file, _ = coco(folder, [[(0, 0, 40, 40)]] * 8)
    Image.fromarray(picture(3, 61, 80)).save(folder / "0.png")
    ready = read(list_scenes(file))
    assert list(ready.skipped.values()) == ["it has 80 x 61 pixels, its annotations are for 80 x 60"]


def test_large_images_are_kept_smaller_and_their_boxes_with_them(folder):
    for path in folder.rglob("*.png"):
        Image.fromarray(picture(int(path.stem), 300, 1280)).save(path)
    file, _ = coco(folder, [[(100, 50, 400, 201)]] * 8, size=(300, 1280))
    ready = read(list_scenes(file))
    assert ready.train.pictures[ready.train.places[0]].shape == (150, 640, 3)
    assert ready.train.things[0][1] == (50.0, 25.0, 250.0, 126.0)
    assert shortened(picture(1, 10, 10), 10).shape == (10, 10, 3)


def test_too_large_for_memory_they_are_read_anew(folder):
    scenes = list_scenes(folder)
    kept, anew = read(scenes), read(scenes, limit=10)
    for place in kept.train.places:
        assert np.array_equal(kept.train.pictures[place], anew.train.pictures[place])
    scenes.paths[anew.train.places[0]].unlink()
    with pytest.raises(ImageError, match="no such file"):
        anew.train.pictures[anew.train.places[0]]


def test_split_csv(folder):
    scenes = list_scenes(folder)
    parts = split_places(scenes, OPTIONS)
    rows = list(csv.DictReader(split_text(scenes, parts, folder).splitlines()))
    assert [row["part"] for row in rows] == ["train"] * 6 + ["val"] * 2
    assert {row["path"] for row in rows} == {str(path.relative_to(folder)) for path in scenes.paths}
    elsewhere = csv.DictReader(split_text(scenes, parts, Path("/elsewhere")).splitlines())
    assert {Path(row["path"]) for row in elsewhere} == set(scenes.paths)


def test_the_digest_notices(folder):
    file, _ = coco(folder, [[(0, 0, 40, 40)]] * 8)
    digests = [list_scenes(folder).digest, list_scenes(file).digest, list_scenes("synthetic").digest]
    coco(folder, [[(0, 0, 40, 41)]] * 8)
    digests.append(list_scenes(file).digest)
    (folder / "0.png").rename(folder / "00.png")
    digests.append(list_scenes(folder).digest)
    assert len(set(digests)) == len(digests)
    assert list_scenes(folder).digest == digests[-1]


def test_synthetic():
    ready = read(list_scenes("synthetic"))
    assert len(ready.train.places) + len(ready.val.places) == 160
    one, same, other = draw_picture(4), draw_picture(4), draw_picture(5)
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.shape == (256, 256, 3) and one.std() > 10


def test_door(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images, nothing to learn from"):
        list_scenes(tmp_path / "empty")
    with pytest.raises(InputError, match="images has no effect on synthetic data"):
        list_scenes("synthetic", folder)
    with pytest.raises(InputError, match="images is for COCO annotations"):
        list_scenes(folder, folder)
    (tmp_path / "some.json").write_text("[]")
    with pytest.raises(InputError, match="expected an object with images"):
        list_scenes(tmp_path / "some.json")
    for path in folder.rglob("*.png"):
        path.write_bytes(b"spoilt" + path.name.encode())
    with pytest.raises(WorkError, match="0 images to train on can be used, expected two at least, such as "):
        read(list_scenes(folder))
