"""COCO's instances: the table by hand, and files that are wrong or hostile."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from resight.errors import InputError
from resight.images.coco import boxes, read_instances


def content() -> dict:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 100, "width": 200}],
        "categories": [{"id": 3, "name": "cup"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 40.5, 50], "iscrowd": 0,
             "segmentation": [[10, 20, 50.5, 20, 50.5, 70, 10, 70]]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [190, 90, 40, 40], "iscrowd": 1,
             "segmentation": {"size": [100, 200], "counts": [19_999, 1]}},
            {"id": 5, "image_id": 7, "category_id": 3, "bbox": [0, 0, 31.9, 40]},
        ],
    }  # fmt: skip


def write(folder, made):
    file = folder / "instances.json"
    file.write_text(json.dumps(made))
    return file


def test_the_table_by_hand(tmp_path):
    one, two, three = read_instances(write(tmp_path, content()))
    assert (one.image, one.size, one.annotation, one.label, one.crowd) == ("a.jpg", (100, 200), 1, "cup", False)
    assert one.box == (10, 20, 50.5, 70) and one.polygons[0].tolist() == [[10, 20], [50.5, 20], [50.5, 70], [10, 70]]
    assert two.crowd and two.box == (190, 90, 200, 100) and two.polygons == ()  # cut at the image's edges
    assert three.polygons == () and three.rle is None


def test_masks_by_hand(tmp_path):
    one, two, three = read_instances(write(tmp_path, content()))
    inside = np.zeros((100, 200), bool)
    inside[20:70, 10:50] = True
    assert (one.mask() ^ inside)[:, :50].sum() == 0 and one.mask()[:, 51:].sum() == 0  # 50: half of it is inside
    assert np.argwhere(two.mask()).tolist() == [[99, 199]]
    assert not three.mask().any()


def test_boxes_of_a_size(tmp_path):
    file = write(tmp_path, content())
    assert [one.annotation for one in boxes(file)] == [1]
    assert [one.annotation for one in boxes(file, 10)] == [1, 2, 5]
    assert [one.annotation for one in boxes(file, 10, crowd=False)] == [1, 5]
    with pytest.raises(InputError, match="no annotation has a box of at least 60 x 60"):
        boxes(file, 60)


def change(path: str, value: object) -> dict:
    made = content()
    *way, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = made
    for word in way:
        place = place[word]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("images", None, "expected a list under 'images', got nothing"),
        ("annotations", {}, "expected a list under 'annotations', got dict"),
        ("annotations.0.id", None, "annotation 1 of the list has no id"),
        ("annotations.0", 3, "annotation 1 of the list has no id"),
        ("annotations.0.id", 2, "two entries for annotation 2"),
        ("annotations.0.image_id", 8, "annotation 1: its image_id 8 is not among the images"),
        ("annotations.0.category_id", "3", "annotation 1: its category_id 3 is not among"),
        ("annotations.0.bbox", None, "annotation 1: expected bbox as [x, y, width, height], got None"),
        ("annotations.0.bbox", [0, 0, -1, 5], "annotation 1: expected bbox"),
        ("annotations.0.bbox", [0, 0, 1e300, 5], "annotation 1: expected bbox"),
        ("annotations.0.bbox", [0, 0, True, 5], "annotation 1: expected bbox"),
        ("annotations.0.segmentation", [[1, 2, 3, 4]], "annotation 1: expected polygons"),
        ("annotations.1.segmentation", {"size": [9, 9], "counts": []}, "its image has [100, 200]"),
        ("images.0.file_name", "../../etc/passwd", "image 7: file_name leads out of the folder"),
        ("images.0.file_name", "/etc/passwd", "image 7: file_name leads out"),
        ("images.0.file_name", "C:\\x.jpg", "image 7: file_name leads out"),
        ("images.0.file_name", "a\\..\\..\\x.jpg", "image 7: file_name leads out"),
        ("images.0.file_name", 5, "image 7: expected a text under 'file_name', got int"),
        ("images.0.height", 10**9, "image 7: expected height and width of 1 to 100,000,000 pixels"),
        ("images.0.height", "1", "image 7: expected height and width"),
        ("categories.0.name", None, "category 3: expected a text under 'name', got nothing"),
    ],
)  # fmt: skip
def test_wrong_files_are_named(tmp_path, path, value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_instances(write(tmp_path, change(path, value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "as JSON"), ("[]", "got list"), ("[" * 100_000, "nested too deep"), ('"\xe4', "as JSON"), ("", "as JSON")],
)  # fmt: skip
def test_what_is_no_json(tmp_path, text, message):
    file = tmp_path / "x.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_instances(file)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="expected a file, got none"):
        read_instances(tmp_path / "none.json")


def test_real_annotations(real_images):
    folder = real_images("tiny-coco")
    found = boxes(folder / "instances.json")
    assert len(found) > 100 and all((folder / "images" / one.image).is_file() for one in found)
    for one in found:
        if len(one.polygons) == 1:
            x, y = one.polygons[0].T.astype(float)
            area = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2  # by the shoelace formula
            around = np.hypot(np.diff(x, append=x[0]), np.diff(y, append=y[0])).sum()
            mask = one.mask()
            assert abs(mask.sum() - area) < 0.2 * around
            rows, columns = np.nonzero(mask)
            x1, y1, x2, y2 = one.box
            assert x1 - 1 < columns.min() and columns.max() < x2 + 1 and y1 - 1 < rows.min() and rows.max() < y2 + 1
