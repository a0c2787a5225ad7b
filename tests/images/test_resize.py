"""Sizes and crops against Pillow, torchvision and hand arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.errors import InputError
from resight.images.resize import FITS, crop_box, fit, resize

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow(image: np.ndarray, size: tuple[int, int], interpolation: str = "bicubic") -> np.ndarray:
    """Pillow's resize, rows first: left to itself, Pillow 13 picks the order by the sizes."""
    way = PILLOW[interpolation]
    rows = Image.fromarray(image).resize((size[1], image.shape[0]), way)
    return np.asarray(rows.resize((size[1], size[0]), way))


def assert_close(result: np.ndarray, expected: np.ndarray) -> None:
    """Within one level, two in a few values: torch's weights have 15 bits, Pillow's 22."""
    assert result.shape == expected.shape and result.dtype == np.uint8 and result.flags.c_contiguous
    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= 2 and (difference > 1).mean() < 0.001


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 90)] * 2), st.sampled_from(["bicubic", "bilinear"])
)
def test_resize_follows_pillow(before: tuple[int, int], after: tuple[int, int], interpolation: str):
    image = noise(*before) // 2 + 64
    assert_close(resize(image, after, interpolation), pillow(image, after, interpolation))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("after", [(224, 224), (112, 75), (500, 700), (1, 1)])
def test_resize_of_a_picture_follows_pillow(after: tuple[int, int], interpolation: str):
    y, x = np.mgrid[:384, :256]
    image = np.stack([128 + 100 * np.sin(x / 9) * np.cos(y / period) for period in (5, 8, 13)], 2).astype(np.uint8)
    assert_close(resize(image, after, interpolation), pillow(image, after, interpolation))


def test_resize_of_views_and_read_only_memory():
    image = noise(20, 30)
    frozen = image.copy()
    frozen.setflags(write=False)
    expected = resize(image, (7, 9))
    assert np.array_equal(resize(frozen, (7, 9)), expected)
    assert np.array_equal(resize(image[:, ::-1], (7, 9)), resize(np.ascontiguousarray(image[:, ::-1]), (7, 9)))
    same = resize(image, (20, 30))
    assert np.array_equal(same, image) and not np.shares_memory(same, image)


def test_halving_a_step_by_hand():
    # Antialiased bilinear at half size weighs four neighbours 1 3 3 1; the edge keeps 3 3 1 of them.
    row = np.array([0, 0, 80, 80, 80, 80], np.uint8)
    image = np.repeat(row[None, :, None], 3, 2)
    assert resize(image, (1, 3), "bilinear")[0, :, 0].tolist() == [round(80 / 7), round(80 * 7 / 8), 80]


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(384, 256), (100, 333), (50, 50), (224, 900)])
@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (64, 1.0), (30, 0.9)])
def test_crop_is_torchvisions_recipe(shape: tuple[int, int], size: int, crop: float):
    from torchvision import transforms

    image = noise(*shape)
    recipe = transforms.Compose(
        [
            transforms.Resize(int(size / crop), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
        ]
    )
    expected = np.asarray(recipe(Image.fromarray(image)))
    assert_close(fit(image, size, "crop", crop=crop), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 64), st.sampled_from(sorted(FITS)))
def test_fit_shapes(height: int, width: int, size: int, mode: str):
    result = fit(np.zeros((height, width, 3), np.uint8), size, mode)
    if mode == "longest":
        assert max(result.shape[:2]) == min(size, max(height, width))
        assert min(result.shape[:2]) >= 1
        assert abs(result.shape[0] - height * min(1, size / max(height, width))) <= 0.5 or result.shape[0] == 1
    else:
        assert result.shape == (size, size, 3)


@pytest.mark.parametrize("shape", [(1, 20000), (20000, 1)])
@pytest.mark.parametrize("mode", sorted(FITS))
def test_extreme_strips(shape: tuple[int, int], mode: str):
    result = fit(np.full((*shape, 3), 9, np.uint8), 224, mode)
    assert result.size > 0 and (result == 9).all()
    if mode == "longest":
        assert sorted(result.shape[:2]) == [1, 224]


def test_longest_never_enlarges():
    image = noise(5, 9)
    assert np.array_equal(fit(image, 9, "longest"), image)
    assert np.array_equal(fit(image, 100, "longest"), image)


def test_crop_keeps_the_middle():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (fit(image, 10, "crop", crop=1.0) == 200).all()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2, 1, 5, 4), slice(1, 4), slice(2, 5)),
        ((2.2, 1.9, 4.1, 3.01), slice(1, 4), slice(2, 5)),
        ((-9, -9, 99, 99), slice(0, 6), slice(0, 8)),
        ((7.5, 5.5, 7.6, 5.6), slice(5, 6), slice(7, 8)),
        ((-1, 0, 0.5, 1), slice(0, 1), slice(0, 1)),
    ],
)
def test_crop_box(box: tuple[float, ...], rows: slice, columns: slice):
    image = noise(6, 8)
    part = crop_box(image, box)
    assert np.array_equal(part, image[rows, columns])
    assert part.flags.c_contiguous and not np.shares_memory(part, image)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((1, 2, 3), "four finite numbers"),
        ((1, 2, 3, float("nan")), "four finite numbers"),
        ((1, 2, 3, float("inf")), "four finite numbers"),
        (("a", 2, 3, 4), "four finite numbers"),
        ((), "four finite numbers"),
        ((5, 1, 5, 4), r"x1 < x2 and y1 < y2, got box \(5\.0, 1\.0, 5\.0, 4\.0\) for an image of 8 x 6"),
        ((2, 4, 5, 1), "x1 < x2 and y1 < y2"),
        ((8, 0, 9, 6), "overlaps the image"),
        ((-5, 0, -0.5, 6), r"overlaps the image, got box .* for an image of 8 x 6 \(W x H\)"),
    ],
)
def test_wrong_boxes(box: tuple[float, ...], words: str):
    with pytest.raises(InputError, match=words):
        crop_box(noise(6, 8), box)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: resize(noise(4, 4), (2, 2), "bicubik"), "unknown interpolation 'bicubik', did you mean 'bicubic'"),
        (lambda: resize(noise(4, 4), (0, 2)), r"\(height, width\).*got \(0, 2\)"),
        (lambda: resize(noise(4, 4), (2.5, 2)), r"whole numbers"),  # type: ignore[arg-type]
        (
            lambda: resize(noise(4, 4)[:, :, 0], (2, 2)),
            r"expected a \(H, W, 3\) uint8 array, got uint8 of shape \(4, 4\)",
        ),
        (lambda: resize(np.zeros((4, 4, 3)), (2, 2)), "got float64"),
        (lambda: fit(noise(4, 4), 2, "squish"), "unknown fit 'squish', did you mean 'squash'"),
        (lambda: fit(noise(4, 4), 0, "squash"), "size as a whole number"),
        (lambda: fit(noise(4, 4), 2, "crop", crop=1.5), "crop above 0"),
        (lambda: fit(noise(4, 4), 2, "crop", "nearest"), "unknown interpolation 'nearest'"),
        (lambda: fit("cat.jpg", 2, "crop"), "got str: read_image makes one"),  # type: ignore[arg-type]
    ],
)
def test_doors(call, words: str):
    with pytest.raises(InputError, match=words):
        call()
