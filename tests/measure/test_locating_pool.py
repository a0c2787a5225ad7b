"""The photographs of cases: what is drawn, what is passed over, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from locating_samples import photograph, photographs
from PIL import Image

from resight.errors import InputError, WorkError
from resight.measure.locating_pool import LEAST, LONGEST, Pool, has_labels, object_box


def random(seed=0):
    return np.random.default_rng(seed)


def annotated(folder, boxes):
    photographs(folder / "images", 2)
    images = [{"id": n, "file_name": f"{n}.png", "height": 120, "width": 160} for n in range(2)]
    annotations = [
        {"id": 10 + n, "image_id": image, "category_id": 1, "bbox": list(box)} for n, (image, box) in enumerate(boxes)
    ]
    file = folder / "instances.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]})
    )
    return folder / "images", file


def test_boxes_of_templates_are_as_promised(tmp_path):
    pool = Pool.read(photographs(tmp_path))
    for seed in range(40):
        photo, image, (x1, y1, x2, y2) = pool.cut(random(seed))
        assert photo in pool.photographs and image.shape == (120, 160, 3)
        assert x1 >= 0 and x2 <= 160 and y1 >= 0 and y2 <= 120
        assert min(x2 - x1, y2 - y1) >= LEAST and max(x2 - x1, y2 - y1) <= 60  # half of the short side
        assert 0.5 <= (x2 - x1) / (y2 - y1) <= 2


def test_annotated_boxes_are_taken(tmp_path):
    folder, file = annotated(tmp_path, [(0, (10, 20, 40, 50)), (1, (0, 0, 100, 90)), (1, (5, 5, 20, 90))])
    pool = Pool.read(folder, file)
    assert [one.annotation for _, one in pool.objects] == [10, 11]  # 20 pixels are too few
    boxes = {pool.cut(random(seed))[2] for seed in range(20)}
    assert boxes == {(10, 20, 50, 70), (0, 0, 100, 90)}


def test_boxes_follow_a_photograph_that_is_reduced(tmp_path):
    folder, file = annotated(tmp_path, [(0, (80, 60, 40, 40)), (1, (0, 0, 40, 40))])
    (folder / "0.png").unlink()
    Image.fromarray(photograph(0, 960, 1280)).save(folder / "0.png")
    content = json.loads(file.read_text())
    content["images"][0] |= {"height": 960, "width": 1280}
    file.write_text(json.dumps(content))
    pool = Pool.read(folder, file)
    photo, one = pool.objects[0]
    image = pool.image(photo)
    assert max(image.shape) == LONGEST and object_box(one, image) == (40, 30, 60, 50)
    assert {pool.cut(random(seed))[2] for seed in range(10)} == {(0, 0, 40, 40)}  # 20 pixels are too few there


def test_plain_photographs_are_passed_over(tmp_path):
    photographs(tmp_path, 2)
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(tmp_path / "0.png")
    pool = Pool.read(tmp_path)
    assert {pool.cut(random(seed))[0].path.name for seed in range(10)} == {"1.png"}


def test_what_cannot_be_read_is_replaced_and_remembered(tmp_path):
    photographs(tmp_path, 3)
    (tmp_path / "0.png").write_bytes(b"no picture")
    pool = Pool.read(tmp_path)
    names = {pool.cut(random(seed))[0].path.name for seed in range(20)}
    assert names == {"1.png", "2.png"} and [path.name for path in pool.unread] == ["0.png"]
    for path in tmp_path.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(WorkError, match=r"3 could not be read, the first is \d.png"):
        Pool.read(tmp_path).cut(random())


def test_another_photograph(tmp_path):
    pool = Pool.read(photographs(tmp_path, 6, labels=True))
    first = pool.photographs[0]
    others = [pool.another(random(seed), first)[0] for seed in range(30)]
    assert first not in others and {one.label for one in others} == {"a", "b"}
    assert {pool.another(random(seed), first, label="a")[0].label for seed in range(10)} == {"a"}
    assert has_labels(pool, first)


def test_no_labels(tmp_path):
    pool = Pool.read(photographs(tmp_path, 2))
    assert not has_labels(pool, pool.photographs[0])


def test_doors(tmp_path):
    with pytest.raises(InputError, match="at least 2 photographs, got 1"):
        Pool.read(photographs(tmp_path / "one", 1))
    _, file = annotated(tmp_path / "two", [(0, (10, 20, 40, 50))])
    with pytest.raises(InputError, match="expected the folder of the annotated images"):
        Pool.read(tmp_path / "none", file)
    with pytest.raises(InputError, match=r"none of the 1 annotated images is here, the first is '0.png'"):
        Pool.read(tmp_path, file)
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    for number in range(2):
        Image.fromarray(photograph(number, 48, 48)).save(tiny / f"{number}.png")
    with pytest.raises(WorkError, match="no photograph has a place to cut a template of 32 pixels"):
        Pool.read(tiny).cut(random())
