"""The heat map: pixels that say what the counts say, for few and many classes and any names."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError
from resight.show.confusion import confusion_picture

BLUE = np.array([8, 48, 107])  # the darkest of the colours: 100 %


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def drawn(counts, classes, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing character or a crowded layout is a warning
        return pixels(confusion_picture(np.asarray(counts), classes, **options))


def share_of(colour, image):
    return (np.abs(image - colour).max(2) <= 3).mean()


@pytest.mark.parametrize("classes", [2, 12, 40])
def test_the_diagonal_of_a_perfect_classifier_is_dark(classes):
    names = [f"class {n}" for n in range(classes)]
    perfect = drawn(np.eye(classes, dtype=int) * 5, names)
    none = drawn(np.roll(np.eye(classes, dtype=int), 1, 1) * 5, names)
    assert perfect.shape == none.shape
    centre = np.argwhere(np.abs(perfect - BLUE).max(2) <= 3)
    other = np.argwhere(np.abs(none - BLUE).max(2) <= 3)
    # Rows and columns of dark pixels rise together on the diagonal of the first, which the second has left.
    assert np.corrcoef(centre.T)[0, 1] > 0.6
    both = (np.abs(perfect - BLUE).max(2) <= 3) & (np.abs(none - BLUE).max(2) <= 3)
    assert both.sum() < 0.25 * len(centre) == pytest.approx(0.25 * len(other), rel=0.1)


def test_rows_are_compared_by_their_shares():
    few, many = drawn([[1, 0], [0, 1]], ["a", "b"]), drawn([[1000, 0], [0, 7]], ["a", "b"])
    assert share_of(BLUE, few) == pytest.approx(share_of(BLUE, many), rel=0.1)


def test_small_mistakes_are_seen():
    clean = np.eye(30, dtype=int) * 98
    wrong = clean.copy()
    wrong[3, 20] = 2  # 2 % of a row
    names = [str(n) for n in range(30)]
    one, other = drawn(clean, names), drawn(wrong, names)
    assert one.shape == other.shape
    body = slice(60, None)  # below the heading
    changed = np.abs(one[body] - other[body]).max(2)
    assert (changed > 20).sum() > 500


def test_larger_for_more_classes_but_bounded():
    sides = []
    for classes in (2, 20, 160):
        image = drawn(np.eye(classes, dtype=int), [f"{n}" for n in range(classes)])
        sides.append(image.shape[0])
    assert sides == sorted(sides)
    assert sides[0] < 600
    assert sides[-1] < 4200


@pytest.mark.parametrize(
    "names",
    [
        ["$x^{$", "雏菊", "\u0e44\u0e17\u0e22", "a\nb"],
        ["x" * 300, "y" * 300, "\u202egpj", "\udcff"],
        ["", " ", "#", "%d %s {0} \\alpha"],
    ],
)
def test_names_of_any_kind(names):
    image = drawn(np.eye(4, dtype=int), names, title=names[0])
    assert image.shape[1] < 1500


def test_names_that_look_alike_are_numbered():
    numbered = drawn([[1, 0], [0, 1]], ["a" * 99, "a" * 98])
    told = drawn([[1, 0], [0, 1]], ["a" * 99, "b" * 98])
    assert numbered.shape[1] > told.shape[1]


def test_a_row_without_images_is_hatched():
    full, empty = drawn([[3, 0], [0, 3]], ["a", "b"]), drawn([[3, 0], [0, 0]], ["a", "b"])
    grey = np.array([187, 187, 187])
    assert share_of(grey, empty) > 10 * max(share_of(grey, full), 1e-4)


def test_the_same_matrix_gives_the_same_file():
    counts = np.array([[3, 1], [0, 2]])
    assert confusion_picture(counts, ["a", "b"]) == confusion_picture(counts, ["a", "b"])


def test_styles_of_others_stay():
    import matplotlib

    before = dict(matplotlib.rcParams)
    confusion_picture(np.eye(2, dtype=int), ["花", "b"])
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("counts", [np.eye(3, dtype=int), np.eye(2), -np.eye(2, dtype=int), np.zeros((0, 0), int)])
def test_door(counts):
    with pytest.raises(InputError, match=r"expected counts \(C, C\) for 2 classes"):
        confusion_picture(counts, ["a", "b"])
