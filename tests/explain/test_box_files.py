"""Boxes from files: rows and annotations by hand, which image they belong to, and what is refused."""

from __future__ import annotations

import json
import os

import pytest

from resight.errors import InputError
from resight.explain.box_files import read_boxes
from resight.explain.pointing import Boxes

HEAD = "path,x1,y1,x2,y2\n"


@pytest.fixture
def folder(tmp_path):
    """photos/a.png, photos/b.png, photos/deep/a.png; nothing looks into them."""
    for name in ("a.png", "b.png", "deep/a.png"):
        place = tmp_path / "photos" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
    return tmp_path


def csv(folder, text, name="boxes.csv"):
    (folder / name).write_text(text)
    return folder / name


def coco(folder, annotations, images=None, name="photos/instances.json", categories=None):
    images = images or [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    content = {
        "images": [{"height": 40, "width": 50, **one} for one in images],
        "annotations": [{"id": n, "category_id": 7, "iscrowd": 0, **one} for n, one in enumerate(annotations)],
        "categories": categories or [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_several_rows_of_an_image_and_none_of_another(folder):
    file = csv(folder, f"{HEAD}photos/a.png,1,2,3.5,4\nphotos/x.png,0,0,1,1\n\n photos/a.png ,0,0,1e1,1\n")
    first, second = read_boxes(file, [folder / "photos" / "a.png", folder / "photos" / "b.png"])
    assert isinstance(first, Boxes) and first.labels is None and second is None
    assert first.corners.tolist() == [[1, 2, 3.5, 4], [0, 0, 10, 1]]


def test_labels_and_an_image_that_is_given_twice(folder):
    file = csv(folder, "label,path,x1,y1,x2,y2\ncat,photos/a.png,0,0,1,1\ndog,photos/a.png,0,0,2,2\n")
    given = [str(folder / "photos" / "a.png")] * 2
    first, second = read_boxes(str(file), given)
    assert first.labels == second.labels == ("cat", "dog")


def test_paths_are_those_of_the_file_whatever_the_way_to_it(folder, monkeypatch):
    """Relative to the file's folder, not to where the command runs; through links; never by the name alone."""
    (folder / "link").symlink_to(folder / "photos")
    file = csv(folder / "photos", f"{HEAD}../link/deep/../a.png,0,0,1,1\n")
    monkeypatch.chdir(folder / "photos" / "deep")
    assert read_boxes(file, ["../a.png"])[0] is not None
    with pytest.raises(InputError, match=r"no box in it is of the images given; its paths .* relative to .*photos$"):
        read_boxes(file, ["a.png"])
    absolute = csv(folder, f"{HEAD}{folder / 'photos' / 'b.png'},0,0,1,1\n")
    assert read_boxes(absolute, ["../b.png", "a.png"])[1] is None


def test_coco_beside_its_images(folder):
    boxes = [{"image_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 9},
             {"image_id": 2, "bbox": [5, 5, 0, 1], "iscrowd": 1}]  # fmt: skip
    file = coco(folder, boxes)
    first, second = read_boxes(file, [folder / "photos" / "a.png", folder / "photos" / "b.png"])
    assert first.corners.tolist() == [[1, 2, 4, 6], [0, 0, 9, 9]] and first.labels == ("cat", "dog")
    assert second.corners.tolist() == [[5, 5, 5, 6]]


def test_coco_in_a_folder_of_annotations(folder):
    """Its names are relative to a folder of images that it does not name: the one that holds all that are given."""
    file = coco(folder, [{"image_id": 1, "bbox": [1, 2, 3, 4]}], name="annotations/instances.json")
    images = [folder / "photos" / name for name in ("a.png", "b.png", "deep/a.png")]
    first, second, deep = read_boxes(file, images)
    assert first.corners.tolist() == [[1, 2, 4, 6]] and second is None and deep is None
    deeper = coco(folder, [{"image_id": 1, "bbox": [1, 2, 3, 4]}], [{"id": 1, "file_name": "deep/a.png"}])
    assert [one is not None for one in read_boxes(deeper, images)] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,x1,y1,x2\n", "line 1: expected a column 'y2'"),
        (HEAD, "no box in it is of the images"),
        (f"{HEAD}photos/a.png,1,2,three,4\n", "line 2: expected a box as four numbers of pixels, got 1, 2, three, 4"),
        (f"{HEAD}photos/a.png,1,2,3\n", "line 2: expected a box as four numbers"),
        (f"{HEAD}photos/a.png,1,2,nan,4\n", "line 2: expected a box as four numbers"),
        (f"{HEAD}photos/x.png,0,0,1,1\nphotos/x.png,1,2,1e999,4\n", "line 3: expected a box as four numbers"),
        (f"{HEAD}photos/a.png,10,10,5,5\n", "line 2: expected a box with x1 <= x2 .* is it x, y, width, height"),
        (f"{HEAD},1,2,3,4\n", "line 2: the cell under 'path' is empty"),
        (f"{HEAD}nul\0l,1,2,3,4\n", "no box in it|not readable as CSV"),
        (f"{HEAD}{'a' * 5000}/{'b' * 300},1,2,3,4\n", "no box in it"),
        ("path,x1,y1,x2,y2,label\nphotos/a.png,1,2,3,4, \n", "line 2: the cell under 'label' is empty"),
    ],
)
def test_rows_that_are_none(folder, text, words):
    with pytest.raises(InputError, match=words):
        read_boxes(csv(folder, text), [folder / "photos" / "a.png"])


@pytest.mark.parametrize("text", ["", "[1]", '{"images": 5}', "[" * 100_000, "{", '{"images": [], "annotations": []}'])
def test_files_that_are_no_coco(folder, text):
    with pytest.raises(InputError, match=r"boxes\.json"):
        read_boxes(csv(folder, text, "boxes.json"), [folder / "photos" / "a.png"])


def test_annotations_that_are_none(folder):
    image = [folder / "photos" / "a.png"]
    for wrong in ({"bbox": [1, 2, 3]}, {"bbox": [1, 2, -3, 4]}, {"bbox": [1, 2, float("nan"), 4]}, {},
                  {"bbox": [1, 2, 3, 4], "category_id": 1}):  # fmt: skip
        with pytest.raises(InputError, match="annotation 0"):
            read_boxes(coco(folder, [{"image_id": 1, **wrong}]), image)


def test_what_is_no_file(folder):
    image = [folder / "photos" / "a.png"]
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    for name, words in (("pipe.csv", "got a pipe"), ("folder.csv", "CSV file"), ("none.csv", "CSV file, got none"),
                        ("none.json", "got none"), ("photos/a.png", r"expected boxes as \.csv")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_boxes(folder / name, image)


def test_a_file_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr("resight.explain.box_files.LIMIT", 20)
    with pytest.raises(InputError, match="expected at most 20 bytes"):
        read_boxes(csv(folder, f"{HEAD}photos/a.png,0,0,1,1\n"), [folder / "photos" / "a.png"])


def test_the_boxes_of_real_photographs(real_images):
    home = real_images("tiny-coco")
    images = sorted((home / "images").glob("*.jpg"))
    found = read_boxes(home / "instances.json", images)
    content = json.loads((home / "instances.json").read_text())
    names = {one["id"]: one["file_name"] for one in content["images"]}
    for path, own in zip(images, found, strict=True):
        count = sum(names[one["image_id"]] == path.name for one in content["annotations"])
        assert (0 if own is None else len(own.corners)) == count
