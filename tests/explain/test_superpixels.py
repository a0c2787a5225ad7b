"""Images cut into parts: numbers without gaps, parts that follow colours, parts given by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples import picture

from resight.errors import InputError
from resight.explain.superpixels import MOST, SUPERPIXELS, fit_labels, renumber, superpixels
from resight.images.frame import fit_frame
from resight.images.resize import fit


def quarters(side=64):
    """Four plain quarters, (side, side, 3), and their numbers."""
    labels = np.kron([[0, 1], [2, 3]], np.ones((side // 2, side // 2), int))
    return np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [240, 240, 240]], np.uint8)[labels], labels


@pytest.mark.parametrize("method", SUPERPIXELS)
def test_every_method_numbers_all_pixels_without_gaps_and_the_same_again(method):
    image = picture(3, 64, 64)
    labels = superpixels(image, method, 20)
    assert labels.shape == (64, 64) and labels.dtype == np.int32
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert np.array_equal(labels, superpixels(image, method, 20))


@pytest.mark.parametrize("method", ["slic", "quickshift", "felzenszwalb"])
def test_parts_do_not_cross_an_edge_of_colour(method):
    image, truth = quarters()
    labels = superpixels(image, method, 16)
    for part in range(labels.max() + 1):
        inside = np.bincount(truth[labels == part], minlength=4)
        # Smoothing before felzenszwalb may move an edge by a pixel or two.
        assert inside.max() >= 0.8 * inside.sum()


def test_a_grid_has_even_cells():
    labels = superpixels(np.zeros((224, 224, 3), np.uint8), "grid", 49)
    assert np.bincount(labels.ravel()).tolist() == [32 * 32] * 49
    assert labels[0, 31] == 0 and labels[0, 32] == 1 and labels[32, 0] == 7


@given(st.integers(2, 30), st.integers(2, 30), st.integers(2, 60))
def test_a_grid_of_any_size_is_a_grid(high, wide, count):
    labels = superpixels(np.zeros((high, wide, 3), np.uint8), "grid", count)
    rows = [row.tolist() for row in labels]
    assert labels.max() + 1 == len(np.unique(labels)) <= 2 * count + 2
    assert all(row == sorted(row) for row in rows) and (np.diff(labels[:, 0]) >= 0).all()


@given(arrays(np.int64, (5, 6), elements=st.integers(-4, 4)))
def test_renumbering_keeps_the_parts_and_their_order(labels):
    if len(np.unique(labels)) < 2:
        return
    found = renumber(labels)
    known = {}
    for name, number in zip(labels.ravel(), found.ravel(), strict=True):
        assert known.setdefault(int(name), int(number)) == number
    assert [known[name] for name in sorted(known)] == list(range(len(known)))


def test_labels_of_an_image_are_fitted_as_the_image_is():
    # Colours that are the labels' numbers: what the fitted image shows is what the fitted labels must say.
    _, truth = quarters(100)
    image = (truth[..., None] * 80).astype(np.uint8).repeat(3, 2)[:, :80]
    for mode in ("squash", "crop"):
        seen = np.rint(fit(image, 32, mode, "bilinear", 0.875)[..., 0] / 80)
        found = fit_labels(truth[:, :80], (100, 80), fit_frame((100, 80), 32, mode), 32)
        assert (seen == found).mean() > 0.93  # along the edges colours are mixed


@pytest.mark.parametrize(("mode", "high", "wide"), [("squash", 50, 70), ("crop", 50, 70), ("squash", 9, 9)])
def test_each_pixel_of_the_square_has_the_label_at_its_centre(mode, high, wide):
    labels, frame = np.random.default_rng(0).integers(0, 1500, (high, wide)), fit_frame((high, wide), 16, mode)
    expected = np.zeros((16, 16), int)
    for y in range(16):
        for x in range(16):
            left, top, _, _ = frame.to_original((x + 0.5, y + 0.5, 0, 0))
            expected[y, x] = labels[int(top), int(left)]
    assert np.array_equal(fit_labels(labels, (high, wide), frame, 16), renumber(expected))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 4), int), "segments have one part, but 2 to 2,000 can be explained"),
        (np.arange((MOST + 1) * 2).reshape(2, -1), "4,002 parts"),
        (np.zeros((4, 4)), "segments are whole numbers (H, W), got float64 (4, 4)"),
        (np.zeros((4, 4, 1), int), "got int64 (4, 4, 1)"),
        (np.zeros((0, 4), int), "segments are whole numbers"),
    ],
)
def test_wrong_segments_are_an_error_in_one_line(labels, message):
    with pytest.raises(InputError) as error:
        renumber(labels)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_doors():
    image = picture(0, 32, 32)
    with pytest.raises(InputError, match="unknown superpixels 'slick', did you mean 'slic'"):
        superpixels(image, "slick")
    with pytest.raises(InputError, match="count must be from 2"):
        superpixels(image, "slic", 1)
    with pytest.raises(InputError, match="an image"):
        superpixels(image[..., 0], "slic")
    with pytest.raises(InputError, match=r"felzenszwalb finds one part.*take segments=grid"):
        superpixels(np.full((32, 32, 3), 90, np.uint8), "felzenszwalb")
    with pytest.raises(InputError, match=r"as large as the image, \(H, W\) = \(30, 40\), got"):
        fit_labels(np.eye(4, dtype=int), (30, 40), fit_frame((30, 40), 32, "squash"), 32)
    with pytest.raises(InputError, match="what the network sees of the segments has one part"):
        corner = np.zeros((32, 200), int)
        corner[:, :5] = 1  # a centre crop leaves it out
        fit_labels(corner, (32, 200), fit_frame((32, 200), 32, "crop"), 32)
