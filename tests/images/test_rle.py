"""Masks as runs: every mask comes back, and what is no mask is refused."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from resight.errors import InputError
from resight.images.rle import decode_coco_rle, decode_rle, encode_coco_rle, encode_rle

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def naive(mask) -> str:
    """Pixel by pixel."""
    words, inside = [], False
    for place, value in enumerate(mask.ravel().tolist()):
        if value and not inside:
            words.append([place, 0])
        if value:
            words[-1][1] += 1
        inside = value
    return f"{mask.shape[0]},{mask.shape[1]}:" + " ".join(f"{start} {length}" for start, length in words)


@given(masks)
def test_every_mask_comes_back(mask):
    assert encode_rle(mask) == naive(mask)
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


def test_empty_full_and_last_pixel_by_hand():
    empty, full, last = np.zeros((2, 5), bool), np.ones((2, 5), bool), np.zeros((2, 5), bool)
    last[-1, -1] = True
    assert [encode_rle(mask) for mask in (empty, full, last)] == ["2,5:", "2,5:0 10", "2,5:9 1"]
    for mask in (empty, full, last):
        found = decode_rle(encode_rle(mask))
        assert found.shape == (2, 5) and found.dtype == bool and np.array_equal(found, mask)


def test_runs_that_touch_are_read():
    assert decode_rle("1,6:1 2 3 2").tolist() == [[False, True, True, True, True, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'H,W:start len"), ("2x3:0 1", "'H,W:start len"), ("2,3", "'H,W:start len"), ("-2,3:0 1", "'H,W:start"),
        ("0,3:", "got 0 x 3"), ("99999,99999:0 1", "1 to 100,000,000 pixels"), ("9999999999,1:", "'H,W:start len"),
        ("2,3:0", "got 1 numbers"), ("2,3:0 1 2", "got 3 numbers"), ("2,3:0 -1", "in digits"), ("2,3:a b", "in digits"),
        ("2,3:0\n1", "in digits"), ("2,3:٠ 1", "in digits"), ("2,3:0 0", "must have pixels"),
        ("2,3:0 2 1 2", "not overlap"), ("2,3:3 1 0 1", "ascend"), ("2,3:5 2", "ends at pixel 7"),
        ("2,3:6 1", "pixel 7"),
        ("2,3:0 99999999999999999999", "at most 9 digits"), ("1,1:" + "0 1 " * 99, "in digits"),
    ],
)  # fmt: skip
def test_hostile_text_is_refused(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        decode_rle(text)


def test_pixel_limit():
    assert decode_rle("4,4:0 16", max_pixels=16).all()
    with pytest.raises(InputError, match="1 to 15 pixels, got 4 x 4"):
        decode_rle("4,4:0 16", max_pixels=15)


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros(4, bool), np.zeros((0, 3), bool), [[True]]])
def test_only_masks_are_encoded(mask):
    with pytest.raises(InputError, match=r"expected a mask \(H, W\) of bool"):
        encode_rle(mask)


@given(masks)
def test_coco_comes_back_and_is_what_pycocotools_reads(mask):
    coco_mask = pytest.importorskip("pycocotools.mask")
    found = encode_coco_rle(mask)
    assert found["size"] == list(mask.shape) and isinstance(found["counts"], str)
    assert np.array_equal(decode_coco_rle(found), mask)
    assert np.array_equal(coco_mask.decode(found).astype(bool), mask)


@given(arrays(bool, st.tuples(st.integers(60, 90), st.integers(60, 90)), fill=st.booleans()))
def test_coco_counts_of_several_characters(mask):
    pytest.importorskip("pycocotools")
    assert np.array_equal(decode_coco_rle(encode_coco_rle(mask)), mask)


def test_coco_plain_counts_by_hand():
    assert decode_coco_rle({"size": [2, 2], "counts": [0, 1, 2, 1]}).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({}, "size [H, W]"), ({"size": [2], "counts": ""}, "size [H, W]"), ({"size": ["2", 2]}, "[H, W]"),
        ({"size": [2**31, 2**31], "counts": "0"}, "pixels, got"), ({"size": [2, 2], "counts": ""}, "cover 0 pixels of"),
        ({"size": [2, 2], "counts": "1"}, "cover 1 pixels"), ({"size": [2, 2], "counts": "o" * 8}, "no end"),
        ({"size": [2, 2], "counts": "P"}, "end within"), ({"size": [2, 2], "counts": "\xff"}, "no use for"),
        ({"size": [2, 2], "counts": "oooo0"}, "count of COCO"), ({"size": [2, 2], "counts": [9]}, "from 0 to 4"),
        ({"size": [2, 2], "counts": [True]}, "whole numbers"), ({"size": [2, 2], "counts": None}, "got NoneType"),
        ({"size": [1, 1], "counts": "0" * 999}, "too much"), ({"size": [2, 2], "counts": [2, 1]}, "cover 3 pixels"),
    ],
)  # fmt: skip
def test_hostile_coco_runs_are_refused(rle, message):
    with pytest.raises(InputError, match=re.escape(message)):
        decode_coco_rle(rle)


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(InputError, match=r"pip install 'resight\[locate\]'"):
        encode_coco_rle(np.ones((2, 2), bool))
