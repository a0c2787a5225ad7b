import numpy as np
import pytest

from resight.errors import InputError
from resight.show import MARKS, Picture


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mark", MARKS)
def test_white_is_legible_on_every_mark(mark):
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    assert 1.05 / (luminance(MARKS[mark]) + 0.05) >= 4.5


def test_unknown_mark():
    with pytest.raises(InputError, match="unknown mark 'rihgt', did you mean 'right'"):
        Picture(None, mark="rihgt")


@pytest.mark.parametrize(
    "box", [(0, 0, 1), (5, 0, 4, 9), (0, 9, 5, 8), (0, 0, float("nan"), 9), (0, 0, 9, float("inf"))]
)
def test_box_must_be_ordered_and_finite(box):
    with pytest.raises(InputError, match="expected a box as four finite pixels"):
        Picture(None, box=box)


def test_box_becomes_plain_numbers():
    assert Picture(None, box=np.array([1, 2, 3, 4], np.int32)).box == (1.0, 2.0, 3.0, 4.0)


def test_compares_arrays_and_prints_in_one_line():
    image = np.zeros((4, 6, 3), np.uint8)
    one, same = Picture(image, "0.9", mark="right"), Picture(image.copy(), "0.9", mark="right")
    assert one == same
    assert hash(one) == hash(same)
    assert one != Picture(image + 1, "0.9", mark="right")
    assert one != Picture(image[:2], "0.9", mark="right")
    assert one != Picture("a.jpg", "0.9", mark="right")
    assert one != Picture(image, "0.8", mark="right")
    assert one != "0.9"
    assert repr(one) == "Picture(<array 4x6x3>, caption='0.9', mark='right')"
    assert repr(Picture("a.jpg")) == "Picture('a.jpg')"
