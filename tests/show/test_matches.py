"""The picture of matches: where panels, dots and lines lie, their colours, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from resight.errors import InputError
from resight.show.matches import RAMP, matches_picture
from resight.show.thumbnail import AMBER, GREY

RED, BLUE = (200, 0, 0), (0, 0, 200)
NONE = np.empty((0, 2))


def flat(height, width, colour=RED):
    return np.full((height, width, 3), colour, np.uint8)


def near(pixel, colour, tolerance=12):
    return np.abs(np.asarray(pixel, int) - colour).max() <= tolerance


def is_line(pixels):
    """Which pixels are neither flat colour nor paper."""
    known = [(np.abs(pixels.astype(int) - colour).max(-1) < 3) for colour in (RED, BLUE, (255, 255, 255))]
    return ~np.logical_or.reduce(known)


@pytest.mark.parametrize(
    ("a", "b", "side", "left", "right"),
    [
        ((480, 640), (480, 640), 320, (240, 320), (240, 320)),
        ((480, 640), (640, 480), 640, (480, 640), (480, 360)),  # both 480 high
        ((100, 100), (400, 400), 300, (300, 300), (300, 300)),  # the smaller is enlarged
        ((100, 100), (120, 60), 640, (120, 120), (120, 60)),  # but not beyond the larger
        ((60, 600), (300, 300), 300, (30, 300), (100, 100)),  # very wide: lower than its neighbour
    ],
)
def test_panels(a, b, side, left, right):
    image = matches_picture(flat(*a), flat(*b, BLUE), NONE, NONE, side=side)
    gap = max(4, side // 80)
    assert image.mode == "RGB"
    assert image.size == (left[1] + gap + right[1], max(left[0], right[0]))
    pixels = np.asarray(image)
    for colour, (height, width), start in ((RED, left, 0), (BLUE, right, left[1] + gap)):
        rows, columns = np.nonzero((pixels == colour).all(-1))
        top = (image.height - height) // 2
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
            top, top + height - 1, start, start + width - 1,
        )  # fmt: skip
    assert (pixels[:, left[1] : left[1] + gap] == 255).all()


def test_a_line_runs_from_point_to_point():
    """From (50, 40) in a to (150, 160) in b, whose panel starts 200 + 4 pixels to the right."""
    pixels = np.asarray(matches_picture(flat(200, 200), flat(200, 200, BLUE), [[50, 40]], [[150, 160]], side=200))
    middle = RAMP[2:4].mean(0)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = 50 + share * 304, 40 + share * 120
        assert near(pixels[int(y), int(x)], middle, 60), share
    rows, columns = np.nonzero(is_line(pixels))
    assert (rows.min() > 35, rows.max() < 165, columns.min() > 45, columns.max() < 359) == (True,) * 4
    off = np.abs((rows + 0.5 - 40) * 304 - (columns + 0.5 - 50) * 120) / np.hypot(304, 120)
    assert off.max() < 5  # a dot's radius and its rim


@given(st.integers(20, 300), st.integers(20, 300), st.integers(0, 10**6))
def test_dots_lie_on_their_points(width, height, seed):
    """The centre of what is drawn at a point, in an image that is scaled, is the scaled point."""
    x, y = np.random.default_rng(seed).uniform(0.3, 0.7, 2) * (width, height)
    image = matches_picture(flat(height, width), flat(height, width), [[x, y]], [[x, y]], side=400)
    scale = min(height, 400 * height / width, 400) / height
    pixel = image.getpixel((int(x * scale), int(y * scale)))
    assert near(pixel, RAMP[2:4].mean(0), 60)


def test_is_antialiased():
    pixels = np.asarray(matches_picture(flat(200, 200), flat(200, 200), [[20, 20]], [[180, 170]], side=200))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # four without it


def test_colour_follows_the_height_in_a():
    a = [[100, y] for y in (20, 100, 180)]
    image = matches_picture(flat(200, 200), flat(200, 200), a, [[100, y] for y in (180, 100, 20)], side=200)
    for (x, y), colour in zip(a, (RAMP[0], RAMP[2:4].mean(0), RAMP[-1])):
        assert near(image.getpixel((x, y)), colour, 30)
        assert near(image.getpixel((x + 204, 200 - y)), colour, 30)


def test_the_ramp_is_ordered_in_grey_and_light_enough():
    """Relative luminance by WCAG 2: rising, and 3 to 1 or more against the rim's near black."""
    linear = ((RAMP / 255 + 0.055) / 1.055) ** 2.4
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > 0.04).all()
    assert (luminance[0] + 0.05) / (0.005 + 0.05) > 3


def test_at_most_so_many_lines():
    """100 level lines 4 pixels apart, of which 5 at even steps remain; order of the input does not count."""
    y = np.random.default_rng(0).permutation(np.arange(100)) * 4 + 2.5
    points = np.column_stack([np.full(100, 5.0), y])
    picture = matches_picture(flat(400, 400), flat(400, 400), points, points, side=400, most=5)
    column = is_line(np.asarray(picture))[:, 200]
    starts = np.nonzero(np.diff(column.astype(int)) == 1)[0] + 1
    assert len(starts) == 5
    np.testing.assert_allclose(starts, 2 + 4 * np.array([0, 25, 50, 74, 99]), atol=3)
    every = matches_picture(flat(400, 400), flat(400, 400), points[:60], points[:60], side=400)
    assert (np.diff(is_line(np.asarray(every))[:, 200].astype(int)) == 1).sum() == 60


def test_the_box_is_drawn_on_a_only():
    image = matches_picture(flat(100, 200), flat(100, 200, BLUE), NONE, NONE, side=100, box_a=(40, 20, 120, 80))
    amber = (np.asarray(image) == ImageColor.getrgb(AMBER)).all(-1)
    rows, columns = np.nonzero(amber)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (21, 58, 11, 38)


def test_the_callers_images_and_points_are_left_as_they_were(tmp_path):
    image, points = flat(50, 60), np.array([[10.0, 10], [20, 20]])
    matches_picture(image, image, points, points, box_a=(1, 1, 9, 9))
    assert (image == flat(50, 60)).all()
    assert points.tolist() == [[10, 10], [20, 20]]
    Image.fromarray(image).save(tmp_path / "a.png")
    expected = matches_picture(image, image, points, points)
    for other in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(image)):
        assert matches_picture(other, other, points, points) == expected


@pytest.mark.parametrize("broken", [None, "/no/such/file.jpg", np.zeros((0, 4, 3), np.uint8)])
def test_an_unreadable_image_becomes_a_placeholder(broken):
    points = [[10, 10]]
    image = matches_picture(broken, flat(60, 80), points, points, side=80)
    assert image.size == (60 + 4 + 80, 60)
    assert image.getpixel((1, 1)) == ImageColor.getrgb(GREY)
    assert not is_line(np.asarray(image))[:, 64:].any()  # no lines to nowhere
    assert matches_picture(flat(60, 80), broken, points, points, side=80).size == image.size
    assert matches_picture(broken, broken, points, points, side=80).size == (164, 80)


def test_no_matches_no_lines():
    assert not is_line(np.asarray(matches_picture(flat(60, 80), flat(60, 80, BLUE), [], [], side=80))).any()


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([[1, 2, 3]], [[1, 2, 3]], {}, r"points_a as finite numbers \(m, 2\), got int64 of shape \(1, 3\)"),
        ([[1, 2]], [[1, float("nan")]], {}, "points_b as finite"),
        ([[1, 2]], [[1, 2], [3, 4]], {}, r"row by row, got \(1, 2\) and \(2, 2\)"),
        ([[1, 2], [70, 81]], [[1, 2], [3, 4]], {}, r"points_a inside their image of 80 x 60 \(W x H\), 1 of 2 are not"),
        ([[1, 2]], [[-1, 2]], {}, "points_b inside"),
        ([[1, 2]], [[1, 2]], {"side": 31}, "side of 32 to 1,600 pixels, got 31"),
        ([[1, 2]], [[1, 2]], {"side": 5000}, "side of 32 to 1,600 pixels, got 5000"),
        ([[1, 2]], [[1, 2]], {"most": 0}, "number of lines from 1, got 0"),
        ([[1, 2]], [[1, 2]], {"box_a": (5, 5, 1, 1)}, "box"),
    ],
)
def test_refuses(a, b, options, message):
    with pytest.raises(InputError, match=message):
        matches_picture(flat(60, 80), flat(60, 80), a, b, **options)
