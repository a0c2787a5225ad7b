"""Dense SIFT is what VLFeat computes, what its definitions say, and what symmetry asks for."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from features.dense_sift.naive import fast_angle, liu, lowe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import picture

from resight.features.dense_sift import dense_sift, dense_sift_frames
from resight.features.dense_sift.options import make_options, make_rules

GOLDEN = [
    ("flat", 4, 4), ("gaussian", 4, 4), ("flat", 8, 8), ("flat", 3, 6), ("flat", 1, 4),
]  # fmt: skip

ONE_LUMA = (-52, 16, 54)  # a step of colour without a step of luma


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def cosines(a, b):
    a, b = a.reshape(-1, a.shape[-1]).astype(float), b.reshape(-1, b.shape[-1]).astype(float)
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["graf_160x120", "home_201x137"])
@pytest.mark.parametrize(("window", "step", "cell"), GOLDEN)
def test_vlfeat_gives_the_same(real_images, name, window, step, cell):
    folder = real_images("oracle") / "dense_sift"
    image = np.asarray(Image.open(folder / f"{name}.png"))
    expected = np.load(folder / f"{name}.npz")[f"{window}_step{step}_cell{cell}"]
    found = dense_sift(image[:48, :64] if step == 1 else image, step, cell, window)
    assert found.shape == expected.shape
    agreement = cosines(found, expected)
    assert agreement.mean() >= 0.9999 and agreement.min() >= 0.999
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=25)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 6), st.integers(0, 6), st.integers(1, 5),
    st.sampled_from(["flat", "gaussian"]), st.sampled_from([8, 8, 4, 5, 12]), st.sampled_from(["cut", "keep"]),
    st.floats(0.5, 4),
)  # fmt: skip
def test_plain_loops_give_the_same(seed, cell, taller, wider, step, window, bins, border, window_size):
    image = noise(seed, 3 * cell + 1 + taller, 3 * cell + 1 + wider)
    found = dense_sift(
        image, step, cell, window, orientations=bins, border=border, window_size=window_size, threads=1
    )  # fmt: skip
    expected = lowe(image / 255, step, cell, window, bins, border, window_size)
    np.testing.assert_allclose(found, expected, atol=3e-6)


@settings(max_examples=25)
@given(
    st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3),
    st.sampled_from([8, 4, 6]), st.booleans(), st.sampled_from([1, 3]),
)  # fmt: skip
def test_plain_loops_give_the_same_as_the_presets(seed, height, width, cell, step, bins, shifted, channels):
    image = noise(seed, height, width, channels)
    preset = "deepsky" if shifted else "siftflow"
    found = dense_sift(image, step, cell, preset=preset, orientations=bins)
    np.testing.assert_allclose(found, liu(image / 255, step, cell, bins, shifted), atol=3e-6)


def test_the_fast_angle_is_close_to_the_angle():
    image = picture(3, 24, 30)[:, :, 0] / 255
    exact = lowe(image, 3, angle=np.arctan2)
    assert cosines(exact, lowe(image, 3, angle=fast_angle)).min() > 0.9998
    np.testing.assert_allclose(dense_sift(image, 3), exact, atol=0.01)


def test_presets_have_their_filters_and_sizes():
    for preset, cell, bins, taps in (
        ("siftflow", 2, 8, [0.25, 1, 1, 0.25]),
        ("deepsky", 8, 4, [0.25, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
    ):
        options = make_options(preset=preset)
        assert options.cells == (cell,) and options.orientations == bins and options.border == "keep"
        found = make_rules(options, cell).taps[0]
        np.testing.assert_array_equal(found, taps + [0] * (len(found) - len(taps)))
    assert dense_sift(picture(1), preset="deepsky").shape == (60, 80, 64)
    assert dense_sift(picture(1), preset="siftflow", border="cut").shape == (52, 72, 128)


@given(st.integers(0, 10**6), st.integers(13, 30), st.integers(13, 30))
def test_rows_are_unit_vectors(seed, height, width):
    found = dense_sift(noise(seed, height, width))
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)
    assert found.min() >= 0


@given(st.integers(0, 10**6), st.floats(0.05, 1), st.floats(-0.3, 0.3), st.sampled_from(["flat", "gaussian"]))
def test_contrast_and_brightness_do_not_matter(seed, contrast, brightness, window):
    image = noise(seed, 20, 22) / 255
    changed = dense_sift(image * contrast + brightness, 2, window=window)
    np.testing.assert_allclose(changed, dense_sift(image, 2, window=window), atol=2e-5)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from(["flat", "gaussian"]), st.sampled_from([8, 4, 12]))
def test_a_quarter_turn_permutes_cells_and_orientations(seed, cell, window, bins):
    image = noise(seed, 3 * cell + 5, 3 * cell + 8)
    straight = dense_sift(image, 1, cell, window, orientations=bins)
    ny, nx = straight.shape[:2]
    straight = straight.reshape(ny, nx, 4, 4, bins)
    turned = dense_sift(np.rot90(image), 1, cell, window, orientations=bins).reshape(nx, ny, 4, 4, bins)
    for y in range(nx):  # a row of the turned image was a column, counted from the right
        for j in range(4):
            was = np.roll(straight[:, nx - 1 - y, :, 3 - j], -bins // 4, axis=2)
            np.testing.assert_allclose(turned[y, :, j], was, atol=2e-5)


def test_a_symmetric_image_has_a_symmetric_descriptor_where_the_frames_say():
    half = noise(5, 20, 15)
    image = np.concatenate([half, noise(6, 20, 1), half[:, ::-1]], 1)  # about x = 15.5
    middle = dense_sift_frames(image.shape).x.tolist().index(15.5)
    found = dense_sift(image)[:, middle].reshape(-1, 4, 4, 8)
    mirrored = found[:, :, ::-1][..., (4 - np.arange(8)) % 8]
    np.testing.assert_allclose(found, mirrored, atol=2e-5)


@pytest.mark.parametrize("options", [{}, {"window": "gaussian"}, {"smooth": True, "cell": 8}, {"preset": "siftflow"}])
def test_a_flat_image_has_no_descriptor(options):
    for image in (
        np.full((40, 50), 77, np.uint8),
        np.full((40, 50, 3), 0.3),
        np.full((40, 50, 3), (9, 200, 31), np.uint8),
    ):
        assert not dense_sift(image, 3, **options).any()


def test_colours_of_one_luma_have_no_gradient():
    image = np.full((20, 30, 3), (100, 100, 120), np.uint8)
    assert 299 * ONE_LUMA[0] + 587 * ONE_LUMA[1] + 114 * ONE_LUMA[2] == 0
    image[:, 15:] = np.add((100, 100, 120), ONE_LUMA)
    assert not dense_sift(image).any()
    assert dense_sift(image, grey="red").any() and dense_sift(image, preset="siftflow").any()


def test_bytes_are_512_times_the_value():
    image = picture(2)
    for window in ("flat", "gaussian"):
        value = dense_sift(image, 2, window=window)
        expected = np.minimum(512 * value, 255).astype(np.uint8)
        np.testing.assert_array_equal(dense_sift(image, 2, window=window, dtype="uint8"), expected)
        np.testing.assert_array_equal(dense_sift(image, 2, window=window, dtype=np.uint8), expected)
    for bins in (5, 8):
        value = dense_sift(image, 2, preset="siftflow", orientations=bins)
        found = dense_sift(image, 2, preset="siftflow", orientations=bins, dtype="uint8")
        assert abs(found - 255 * value).max() <= 1 and (found <= 255 * value + 1e-3).all()


@pytest.mark.oracle
def test_opencv_orders_its_numbers_alike():
    import cv2

    grey = cv2.cvtColor(picture(4, 90, 120), cv2.COLOR_RGB2GRAY)
    cell, step = 4, 6
    seen = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), (1.6**2 - 0.5**2) ** 0.5) / 255
    found = dense_sift(seen, step, cell, "gaussian", "opencv")
    points = [cv2.KeyPoint(float(x), float(y), cell / 1.5, 0)
              for y in np.arange(found.shape[0]) * step + 6 for x in np.arange(found.shape[1]) * step + 6]  # fmt: skip
    expected = cv2.SIFT_create().compute(grey, points)[1].reshape(found.shape)
    other = dense_sift(seen, step, cell, "gaussian")
    inner = (slice(1, -1), slice(1, -1))  # at the border OpenCV counts fewer pixels
    assert cosines(found[inner], expected[inner]).mean() > 0.999
    assert cosines(other[inner], expected[inner]).mean() < 0.9


def test_layouts_differ_in_the_turn_of_the_orientations():
    for options in ({}, {"preset": "siftflow"}, {"window": "gaussian", "orientations": 6}):
        a = dense_sift(picture(1), 5, **options)
        b = dense_sift(picture(1), 5, layout="opencv", **options)
        bins = a.shape[2] // 16
        a, b = a.reshape(*a.shape[:2], 16, bins), b.reshape(*a.shape[:2], 16, bins)
        np.testing.assert_allclose(b, a[..., -np.arange(bins) % bins], atol=1e-6)


def test_scales_are_side_by_side_with_common_centres():
    image = picture(6)
    both = dense_sift(image, 3, scales=(4, 6), border="cut")
    small, large = dense_sift(image[3:, 3:], 3, 4), dense_sift(image, 3, 6)
    np.testing.assert_array_equal(both[:, :, 128:], large)
    inner = (slice(2, None), slice(2, None))  # image[3:, 3:] has other borders above and on the left
    np.testing.assert_allclose(both[:, :, :128][inner], small[: both.shape[0], : both.shape[1]][inner], atol=1e-6)


def test_smoothing_is_a_gaussian_of_a_sixth_of_a_cell():
    from scipy.ndimage import gaussian_filter

    image = noise(3, 50, 60)
    sigma = ((8 / 6) ** 2 - 0.25) ** 0.5
    seen = gaussian_filter(image / 255, sigma, mode="nearest", radius=int(np.ceil(4 * sigma)))
    np.testing.assert_allclose(dense_sift(image, 4, 8, smooth=True), dense_sift(seen, 4, 8), atol=1e-5)
    np.testing.assert_array_equal(dense_sift(image, 4, 3, smooth=True), dense_sift(image, 4, 3))


def test_grey_is_luma_or_a_channel():
    image = picture(7)
    for number, name in enumerate(("red", "green", "blue")):
        np.testing.assert_array_equal(dense_sift(image, 4, grey=name), dense_sift(image[:, :, number].copy(), 4))
    luma = image @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(dense_sift(image, 4), dense_sift(luma, 4), atol=2e-5)
    np.testing.assert_array_equal(dense_sift(image[:, :, :1], 4), dense_sift(image[:, :, 0], 4))


@pytest.mark.parametrize("options", [{}, {"window": "gaussian"}, {"preset": "deepsky"}, {"scales": (3, 5)}])
def test_threads_change_nothing(options):
    image = picture(8, 90, 110)
    one = dense_sift(image, 1, threads=1, **options)
    for threads in (2, 3, 7, None):
        np.testing.assert_array_equal(dense_sift(image, 1, threads=threads, **options), one)


def test_the_image_is_left_alone_and_results_are_fresh():
    image = picture(9)
    image.setflags(write=False)
    before = image.copy()
    first, second = dense_sift(image, 2), dense_sift(image, 2)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(first, second)
    out = np.full_like(first, np.nan)
    assert dense_sift(image, 2, out=out) is out
    np.testing.assert_array_equal(out, first)
    np.testing.assert_array_equal(dense_sift(image[::-1, ::-1], 2), dense_sift(image[::-1, ::-1].copy(), 2))


def test_importing_is_cheap():
    code = (
        "import sys; from resight.features.dense_sift import dense_sift, dense_sift_frames; "
        "dense_sift_frames((40, 40)); print([m for m in ('numba', 'torch', 'scipy', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_change_of_lanes_reaches_the_cache():
    """numba looks for changes in the file of the compiled function only, and would go on with the old code."""
    from resight.features.dense_sift import kernels

    digest = hashlib.sha256(Path(kernels.__file__).with_name("lanes.py").read_bytes()).hexdigest()
    assert digest[: len(kernels.LANES)] == kernels.LANES and len(kernels.LANES) == 12
