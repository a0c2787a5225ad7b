"""Frames are where VLFeat puts them, and only the cells that they need are computed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.dense_sift import dense_sift, dense_sift_frames
from resight.features.dense_sift.frames import make_axis
from resight.features.dense_sift.options import make_options


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_cut_frames_by_hand(cell, step, taller, wider):
    shape = (3 * cell + 1 + taller, 3 * cell + 1 + wider)
    frames = dense_sift_frames(shape, step=step, cell=cell)
    assert frames.shape == (taller // step + 1, wider // step + 1) and frames.side == 4 * cell
    np.testing.assert_array_equal(frames.x, 0.5 + 1.5 * cell + step * np.arange(frames.shape[1]))
    assert frames.y[-1] + 1.5 * cell + 0.5 <= shape[0]


def test_kept_frames_are_at_every_step_th_pixel():
    frames = dense_sift_frames((10, 7, 3), step=3, border="keep")
    np.testing.assert_array_equal(frames.y, [0.5, 3.5, 6.5, 9.5])
    np.testing.assert_array_equal(frames.x, [0.5, 3.5, 6.5])
    np.testing.assert_array_equal(dense_sift_frames((9, 9), preset="siftflow", step=4).x, [0.5, 4.5, 8.5])
    np.testing.assert_array_equal(dense_sift_frames((10, 12), preset="siftflow", border="cut").x, [4.5, 5.5, 6.5, 7.5])


def test_centres_are_x_before_y():
    centres = dense_sift_frames((20, 30), step=4).centres
    assert centres.shape == (2, 5, 2)
    np.testing.assert_array_equal(centres[1, 0], [6.5, 10.5])


def test_scales_have_the_centres_of_the_largest():
    several, largest = dense_sift_frames((60, 60), scales=(4, 10)), dense_sift_frames((60, 60), cell=10)
    np.testing.assert_array_equal(several.x, largest.x)


@pytest.mark.parametrize(
    "options",
    [{"step": 3}, {"border": "keep", "cell": 5}, {"scales": (2, 5), "step": 2}, {"preset": "deepsky", "step": 7}],
)
def test_there_is_a_descriptor_for_each_frame(options):
    assert dense_sift(np.zeros((41, 57), np.uint8), **options).shape[:2] == dense_sift_frames((41, 57), **options).shape


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 60))
def test_cells_lie_on_the_common_lattice(step, cell, more):
    axis = make_axis(3 * cell + 1 + more, make_options(step=step, cell=cell), cell)
    assert not (axis.places % math.gcd(step, cell)).any()
    np.testing.assert_array_equal(np.unique(axis.cells), np.arange(len(axis.places)))
    np.testing.assert_array_equal(np.diff(axis.places[axis.cells], axis=1), cell)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (
            (12, 40),
            {},
            r"40 x 12 pixels has no room for a frame with cells of 4: it needs 13 x 13; .* or border='keep'",
        ),
        ((30, 40), {"scales": (4, 10)}, "cells of 10: it needs 31 x 31"),
        ((8, 8), {"preset": "siftflow", "border": "cut"}, "it needs 9 x 9"),
        ((70000, 70000), {}, "too large"),
    ],
)
def test_images_without_room_are_refused(shape, options, message):
    with pytest.raises(InputError, match=message):
        dense_sift_frames(shape, **options)


def test_the_smallest_images_that_have_room():
    assert dense_sift(np.zeros((13, 13), np.uint8)).shape == (1, 1, 128)
    assert dense_sift(np.zeros((9, 9), np.uint8), preset="siftflow", border="cut").shape == (1, 1, 128)
    assert dense_sift(np.ones((1, 1), np.uint8), border="keep").shape == (1, 1, 128)
