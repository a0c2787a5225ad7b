"""Perturbations by hand, against Pillow and OpenCV, and what is said about wrong ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter
from samples import picture

from resight.errors import InputError
from resight.train.perturb import PERTURBATIONS, parse_perturbation, perturb

NEUTRAL = {"rotate": 0, "gamma": 1, "brightness": 1, "contrast": 1, "gradient": 0, "blur": 0, "noise": 0}
USUAL = {
    "rotate": 30,
    "gamma": 2,
    "brightness": 0.5,
    "contrast": 0.5,
    "gradient": 0.5,
    "blur": 2,
    "jpeg": 10,
    "noise": 9,
}


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_each_time_and_the_input_stays(name):
    image = picture(1, 31, 40)
    before = image.copy()
    frozen = image.copy()
    frozen.setflags(write=False)
    one, other = perturb(image, name, USUAL[name]), perturb(frozen, name, USUAL[name])
    assert np.array_equal(image, before) and np.array_equal(one, other) and not np.array_equal(one, image)
    assert one.shape == image.shape and one.dtype == np.uint8 and one.flags.c_contiguous and one.flags.writeable
    view = perturb(image[:, ::-1], name, USUAL[name])
    assert np.array_equal(view, perturb(np.ascontiguousarray(image[:, ::-1]), name, USUAL[name]))
    if name in NEUTRAL:
        same = perturb(image, name, NEUTRAL[name])
        assert np.array_equal(same, image) and not np.shares_memory(same, image)


@settings(max_examples=40)
@given(st.integers(1, 24), st.integers(1, 24), st.sampled_from(sorted(PERTURBATIONS)), st.data())
def test_any_size_and_value(height, width, name, data):
    kind = PERTURBATIONS[name]
    values = st.integers(int(kind.least), int(kind.most)) if kind.whole else st.floats(kind.least, kind.most)
    found = perturb(picture(2, height, width), name, data.draw(values))
    assert found.shape == (height, width, 3) and found.dtype == np.uint8


def test_turns_of_90_degrees_are_exact():
    square, oblong = picture(3, 20, 20), picture(3, 20, 33)
    for degrees in range(-360, 361, 90):
        assert np.array_equal(perturb(square, "rotate", degrees), np.rot90(square, degrees // 90 % 4))
    assert np.array_equal(perturb(oblong, "rotate", 180), np.rot90(oblong, 2))
    # A quarter turn of an oblong keeps its shape: the middle square is exact, the rest its reflection.
    tall = perturb(picture(3, 20, 32), "rotate", 90)
    assert np.array_equal(tall[:, 6:26], np.rot90(picture(3, 20, 32)[:, 6:26]))


@pytest.mark.parametrize("degrees", [1, 17, 45, 133.5, -20, 89.999])
def test_rotation_against_pillow(degrees):
    image = picture(5, 61, 61)
    theirs = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))
    inside = np.hypot(*(np.mgrid[:61, :61] - 30)) < 29
    difference = np.abs(perturb(image, "rotate", degrees)[inside].astype(int) - theirs[inside])
    assert difference.max() <= 3 and difference.mean() < 0.6


def test_by_hand():
    image = np.array([[[0, 64, 255], [100, 100, 100]], [[10, 20, 30], [200, 250, 255]]], np.uint8)
    assert perturb(image, "gamma", 2)[0].tolist() == [[0, 16, 255], [39, 39, 39]]
    assert perturb(image, "brightness", 1.5)[1].tolist() == [[15, 30, 45], [255, 255, 255]]
    # The light is 1 + 0.5 (1 - 2 (x + 0.5) / 2): 1.25 and 0.75.
    assert perturb(image, "gradient", 0.5)[0].tolist() == [[0, 80, 255], [75, 75, 75]]
    assert perturb(image, "gradient", -0.5)[0].tolist() == [[0, 48, 191], [125, 125, 125]]
    grey = np.array([[[40] * 3, [80] * 3]], np.uint8)
    assert perturb(grey, "contrast", 0.5)[0, :, 0].tolist() == [50, 70]
    assert perturb(grey, "contrast", 0)[0, :, 0].tolist() == [60, 60]


@pytest.mark.oracle
def test_contrast_and_jpeg_are_pillows(tmp_path):
    image = picture(6, 50, 70)
    theirs = np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(0.6))
    assert np.abs(perturb(image, "contrast", 0.6).astype(int) - theirs).max() <= 1
    Image.fromarray(image).save(tmp_path / "x.jpg", quality=15)
    assert np.array_equal(perturb(image, "jpeg", 15), np.asarray(Image.open(tmp_path / "x.jpg")))


@pytest.mark.oracle
def test_blur_is_opencvs_and_near_pillows():
    image = picture(7, 50, 70)
    theirs = cv2.GaussianBlur(image, (0, 0), 3, borderType=cv2.BORDER_REFLECT)
    assert np.abs(perturb(image, "blur", 3).astype(int) - theirs).max() <= 2
    boxes = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(3)))[12:-12, 12:-12]
    assert np.abs(perturb(image, "blur", 3)[12:-12, 12:-12].astype(int) - boxes).mean() < 1


def test_noise_has_its_deviation_and_no_mean():
    image = np.full((200, 200, 3), 128, np.uint8)
    noise = perturb(image, "noise", 12).astype(float) - 128
    assert abs(noise.mean()) < 0.15 and abs(noise.std() - 12) < 0.15
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


def test_each_image_has_its_own_noise():
    dark, light = (perturb(np.full((40, 40, 3), grey, np.uint8), "noise", 9).astype(float) for grey in (100, 101))
    assert abs(np.corrcoef(dark.ravel(), light.ravel())[0, 1]) < 0.06


@given(st.sampled_from(sorted(USUAL)), st.floats(0.05, 1))
def test_what_is_written_is_parsed(name, value):
    written = 50 if PERTURBATIONS[name].whole else value
    assert parse_perturbation(f" {name} = {written!r} ") == (name, float(written))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rotat=90", "unknown perturbation 'rotat', did you mean 'rotate'"),
        ("rotate", "expected rotate=VALUE, for example rotate=90, got 'rotate'"),
        ("rotate=left", r"rotate takes a number from -360 to 360 \(degrees counter-clockwise\), got 'left'"),
        ("jpeg=0", r"jpeg takes a whole number from 1 to 100 \(quality\), got 0\.0"),
        ("jpeg=50.5", "jpeg takes a whole number from 1 to 100"),
        ("blur=nan", r"blur takes a number from 0 to 100 \(sigma in pixels\), got nan"),
        ("noise=inf", "noise takes a number from 0 to 255"),
        ("", "unknown perturbation ''"),
    ],
)
def test_wrong_texts(text, words):
    with pytest.raises(InputError, match=words):
        parse_perturbation(text)


def test_wrong_images_and_values():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), [[1]], np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InputError, match=r"expected an image \(H, W, 3\) uint8, got"):
            perturb(wrong, "blur", 1)
    image = picture(0, 4, 4)
    with pytest.raises(InputError, match="expected an image with pixels"):
        perturb(image[:0], "blur", 1)
    with pytest.raises(InputError, match="unknown perturbation 'blurr', did you mean 'blur'"):
        perturb(image, "blurr", 1)
    for value in (-1, float("nan"), "2", True, None):
        with pytest.raises(InputError, match="blur takes a number from 0 to 100"):
            perturb(image, "blur", value)
