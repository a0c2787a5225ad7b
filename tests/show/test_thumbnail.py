import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from resight.errors import InputError
from resight.show import data_uri, placeholder, thumbnail
from resight.show.thumbnail import AMBER, GREY, tried

GREY_RGB, AMBER_RGB = ImageColor.getrgb(GREY), ImageColor.getrgb(AMBER)


def flat(height, width, colour=(10, 120, 200)):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "side", "size"),
    [
        (256, 384, 200, (200, 133)),
        (384, 256, 200, (133, 200)),
        (200, 200, 200, (200, 200)),
        (8, 12, 200, (12, 8)),
        (1, 1, 200, (1, 1)),
        (1000, 2, 100, (1, 100)),
        (64, 64, 1, (1, 1)),
    ],
)
def test_size_keeps_the_aspect_and_never_grows(height, width, side, size):
    small = thumbnail(flat(height, width), side)
    assert (small.size, small.mode) == (size, "RGB")
    assert set(map(tuple, np.asarray(small).reshape(-1, 3).tolist())) == {(10, 120, 200)}


def test_is_antialiased():
    stripes = flat(64, 64, (0, 0, 0))
    stripes[:, ::2] = 255
    inner = np.asarray(thumbnail(stripes, 16))[4:-4, 4:-4]
    assert np.abs(inner.astype(int) - 127).max() <= 2


def test_does_not_draw_on_the_callers_array():
    image = flat(40, 40)
    thumbnail(image, 100, box=(0, 0, 40, 40))
    assert (image == flat(40, 40)).all()


def test_reads_paths_and_pillow_images(tmp_path):
    Image.fromarray(flat(30, 60)).save(tmp_path / "a.png")
    assert thumbnail(tmp_path / "a.png", 20).size == (20, 10)
    assert thumbnail(str(tmp_path / "a.png"), 20).size == (20, 10)
    assert thumbnail(Image.fromarray(flat(30, 60)), 20).size == (20, 10)


def test_box_scales_with_the_image():
    pixels = np.asarray(thumbnail(flat(100, 200), 100, box=(40, 20, 120, 80)))
    assert tuple(pixels[10, 20]) == (0, 0, 0)
    assert tuple(pixels[39, 59]) == (0, 0, 0)
    assert tuple(pixels[11, 21]) == AMBER_RGB
    assert tuple(pixels[12, 22]) == AMBER_RGB
    assert tuple(pixels[13, 23]) == (10, 120, 200)
    assert tuple(pixels[9, 19]) == (10, 120, 200)
    assert tuple(pixels[40, 60]) == (10, 120, 200)


@pytest.mark.parametrize("box", [(-50, -50, 30, 30), (0, 0, 20, 20)])
def test_box_is_cut_at_the_edge(box):
    pixels = np.asarray(thumbnail(flat(20, 20), 100, box=box))
    assert tuple(pixels[0, 0]) == tuple(pixels[-1, -1]) == (0, 0, 0)
    assert tuple(pixels[1, 1]) == AMBER_RGB


@pytest.mark.parametrize("box", [(30, 30, 40, 40), (-9, -9, -1, -1), (5, 5, 5, 5)])
def test_box_outside_or_empty_is_not_drawn(box):
    assert (np.asarray(thumbnail(flat(20, 20), 100, box=box)) == flat(20, 20)).all()


@pytest.mark.parametrize("image", [None, "/no/such/file.jpg", np.zeros((0, 4, 3), np.uint8), object()])
def test_unreadable_becomes_a_placeholder_with_the_reason(image):
    small, problem = tried(image, 120)
    assert small is None
    assert problem
    assert len(problem.splitlines()) == 1
    card = np.asarray(thumbnail(image, 120))
    assert card.shape == (120, 120, 3)
    assert tuple(card[0, 0]) == GREY_RGB
    assert card.min() < 120, "no words"


def test_damaged_file_and_none_say_why(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a jpeg")
    assert "a.jpg" not in tried(tmp_path / "a.jpg", 120)[1]
    assert tried(None, 120) == (None, "no image")


@pytest.mark.parametrize("side", [1, 2, 8, 20, 31, 400])
def test_placeholder_of_any_size(side):
    assert placeholder("a reason " * 50, side).size == (side, side)


def test_side_must_be_positive():
    with pytest.raises(InputError, match="expected a side of at least 1 pixel, got 0"):
        thumbnail(flat(2, 2), 0)


def test_data_uri_decodes_to_the_thumbnail():
    head, body = data_uri(flat(100, 200), 50).split(",")
    image = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert head == "data:image/jpeg;base64"
    assert (image.format, image.size) == ("JPEG", (50, 25))
    assert np.abs(np.asarray(image).astype(int) - (10, 120, 200)).max() <= 4


def test_quality_counts():
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    assert len(data_uri(noise, 60, quality=30)) < len(data_uri(noise, 60, quality=90))
