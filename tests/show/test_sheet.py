import os
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageColor

from resight.errors import InputError
from resight.show import MARKS, Picture, sheet
from resight.show.sheet import PAPER, TILE, grid
from resight.show.thumbnail import GREY

RED = np.full((50, 100, 3), (200, 0, 0), np.uint8)


def at(image, x, y):
    return "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y)))


def test_grid_by_hand():
    """side 100: border 2, rim 4, tile 108, gap 9, margin 14, caption 11 -> 16, note 10 -> 15; a row is 139."""
    plan = grid(7, 3, 100)
    assert (plan.border, plan.rim, plan.tile, plan.gap, plan.margin) == (2, 4, 108, 9, 14)
    assert (plan.caption_height, plan.note_height, plan.title_height) == (16, 15, 0)
    assert plan.size == (14 * 2 + 108 * 3 + 9 * 2, 14 * 2 + 139 * 3 + 9 * 2)
    assert [plan.corner(place) for place in (0, 1, 2, 3, 6)] == [
        (14, 14), (131, 14), (248, 14), (14, 162), (14, 310),
    ]  # fmt: skip


def test_lines_that_nobody_needs_take_no_room():
    bare = grid(1, 5, 100, caption=False, note=False)
    assert bare.size == (136, 136)
    assert grid(1, 5, 100, caption=True, note=False).size == (136, 152)
    titled = grid(1, 5, 100, title=True, caption=False, note=False)
    assert titled.size == (136, 136 + titled.title_height)
    assert titled.corner(0) == (14, 14 + titled.title_height)


@pytest.mark.parametrize("count", [1, 4, 5, 6, 11, 200])
def test_size_of_the_sheet(count):
    image = sheet([Picture(RED, "0.5", "a.jpg")] * count, side=32)
    assert image.size == grid(count, 5, 32).size


def test_thumbnail_is_centred_on_its_tile():
    image = sheet([Picture(RED)], side=100)
    assert at(image, 13, 13) == PAPER
    assert at(image, 14, 14) == TILE
    assert at(image, 14 + 107, 14 + 107) == TILE
    left, top = 14 + 4, 14 + (108 - 50) // 2
    assert at(image, left, top) == at(image, left + 99, top + 49) == "#c80000"
    assert at(image, left - 1, top) == at(image, left, top - 1) == at(image, left + 100, top + 49) == TILE


@pytest.mark.parametrize("mark", MARKS)
def test_border_has_the_colour_of_the_mark(mark):
    image = sheet([Picture(RED, mark=mark)], side=100)
    for step in range(2):
        near, far = 14 + step, 14 + 107 - step
        assert at(image, near, 60) == at(image, far, 60) == at(image, 60, near) == at(image, 60, far) == MARKS[mark]
    assert at(image, 16, 60) == TILE
    assert at(image, 13, 60) == PAPER


def test_marks_differ_without_colour():
    """A grey print of the badges tells them apart: the white strokes lie elsewhere."""
    right, wrong = (np.asarray(sheet([Picture(None, mark=mark)], side=200)) for mark in ("right", "wrong"))
    strokes = [(page.min(axis=2) > 250)[20:60, 180:240] for page in (right, wrong)]
    assert (strokes[0] ^ strokes[1]).sum() > 40


def test_query_comes_first_with_its_tag():
    blue = np.full((100, 100, 3), (0, 0, 200), np.uint8)
    image = sheet([Picture(RED), Picture(blue, mark="query"), Picture(RED)], side=100)
    assert at(image, 14 + 54, 14 + 54) == "#0000c8"
    tag = np.asarray(image.crop((14, 14, 50, 30)))
    assert at(image, 16, 27) == MARKS["query"]
    assert (tag.min(axis=2) > 240).any(), "no letters on the tag"


def test_unreadable_images_become_grey_cards():
    image = sheet([Picture("/no/such.jpg"), Picture(None), Picture(RED)], side=100)
    plan = grid(3, 5, 100, caption=False, note=False)
    for place in (0, 1):
        left, top = plan.corner(place)
        assert at(image, left + plan.rim, top + plan.rim) == GREY
    left, top = plan.corner(2)
    assert at(image, left + 50, top + 50) == "#c80000"


def test_words_stay_inside_their_tile():
    image = sheet([Picture(RED, "0.123456789" * 9, "a-long-name-" * 30 + ".jpg")] * 2, side=100, title="title " * 90)
    pixels = np.asarray(image)
    plan = grid(2, 5, 100, title=True)
    margin, (left, _) = plan.margin, plan.corner(1)
    paper = ImageColor.getrgb(PAPER)
    assert (pixels[:, : margin - 1] == paper).all()
    assert (pixels[:, -margin + 1 :] == paper).all()
    below = image.size[1] - plan.size[1] + plan.corner(0)[1]  # the title has more lines than one
    assert (pixels[below:, left - plan.gap + 1 : left - 1] == paper).all()


def test_a_long_title_is_wrapped_and_moves_the_pictures_down():
    short, long = (sheet([Picture(RED)], side=100, title=words) for words in ("apples", "apples and pears " * 4))
    assert long.size[0] == short.size[0] and short.size[1] + 20 < long.size[1] < short.size[1] + 80
    plain = np.asarray(sheet([Picture(RED)], side=100))
    assert (np.asarray(long)[-100:] == plain[-100:]).all()


def test_makes_one_thumbnail_at_a_time(monkeypatch):
    module, made, most = sys.modules["resight.show.sheet"], [], 0
    plain = module.thumbnail

    def counted(*args, **kwargs):
        nonlocal most
        small = plain(*args, **kwargs)
        made.append(weakref.ref(small))
        most = max(most, sum(thumbnail() is not None for thumbnail in made))
        return small

    monkeypatch.setattr(module, "thumbnail", counted)
    sheet([Picture(RED)] * 30, side=40)
    assert len(made) == 30
    assert most <= 2


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        ([], {}, "expected at least one picture for a contact sheet, got none"),
        ([Picture(RED)], {"columns": 0}, "expected at least 1 column, got 0"),
        ([Picture(RED)], {"side": 31}, "expected thumbnails of at least 32 pixels, got side 31"),
        ([Picture(RED)] * 200, {"side": 2000}, "more than 100 megapixels; choose a smaller side"),
    ],
)
def test_impossible_sheets(pictures, options, message):
    with pytest.raises(InputError, match=message):
        sheet(pictures, **options)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_any_words(words):
    assert sheet([Picture(RED, words, words)], side=32, title=words or "x").size[0] == grid(1, 5, 32).size[0]


def test_photographs(real_images):
    folder = real_images("corel1k")
    image = sheet([Picture(folder / f"{number}.jpg", note=f"{number}.jpg") for number in (400, 733)], side=96)
    left, top = grid(2, 5, 96, caption=False).corner(0)
    assert np.asarray(image.crop((left + 4, top + 20, left + 100, top + 80))).std() > 20
