"""Files and boxes looked at before an evaluation."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.images import crop_box
from resight.images.queries import Query
from resight.measure.missing import some_of
from resight.measure.readable import box_fit, check_boxes, look_at_files
from resight.measure.watching import unwatched
from resight.search import Item

sides = st.floats(-30, 30)


@given(st.tuples(sides, sides, sides, sides).filter(lambda box: box[0] < box[2] and box[1] < box[3]))
def test_a_box_is_outside_where_it_cannot_be_cut(box):
    image = np.zeros((9, 12, 3), np.uint8)
    try:
        part = crop_box(image, box)
    except InputError:
        assert box_fit(box, (12, 9)) == "outside"
        return
    whole = np.ceil([box[2] - np.floor(box[0]), box[3] - np.floor(box[1])])
    assert box_fit(box, (12, 9)) in ("inside", "clipped")
    if box_fit(box, (12, 9)) == "inside":
        assert part.shape[1::-1] == tuple(whole.astype(int))


def test_many_boxes_outside():
    asked = [(Query(f"q{n}", "a", (9, 9, 10, 10), place=f"t.txt, line {n}" if n else ""), "/d/a.jpg", (5, 6))
             for n in range(12)]  # fmt: skip
    with pytest.raises(InputError) as caught:
        check_boxes(asked)
    message = str(caught.value)
    assert message.startswith("12 query boxes lie outside") and message.endswith("; and 2 more")
    assert "query q0: box 9,9,10,10, a.jpg is 5 x 6; t.txt, line 1: box" in message


def test_what_can_be_read(tmp_path):
    """A file as it was indexed need only open; any other is decoded; nothing waits for a pipe."""
    for name in ("same.png", "other.png", "broken.png"):
        Image.fromarray(picture(1, 20, 30)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "disguised.png").write_bytes(b"no image either, but as it was indexed")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    paths = [str(path) for path in sorted(tmp_path.iterdir())] + [str(tmp_path / "gone.png"), "nul\0.png"]
    items = {}
    for name in ("same.png", "disguised.png"):
        known = (tmp_path / name).stat()
        items[str(tmp_path / name)] = Item(name, size=known.st_size, mtime_ns=known.st_mtime_ns)
    found = look_at_files(paths, items, unwatched)
    assert found.sizes == {str(tmp_path / "other.png"): (30, 20)}
    why = {os.path.basename(path): reason for path, reason in found.unreadable.items()}
    assert set(why) == {"broken.png", "pipe.png", "folder.png", "gone.png", "nul\0.png"}
    assert why["pipe.png"] == why["folder.png"] == "not a regular file"
    assert why["gone.png"] == "No such file or directory" and "not an image" in why["broken.png"]


def test_ten_names_and_how_many_more():
    assert some_of(["a", "b"]) == "a, b"
    assert some_of([str(n) for n in range(10)]).count(",") == 9
    assert some_of([str(n) for n in range(1011)]).endswith("9 and 1,001 more (--missing-list FILE or --json names all)")
