"""RootSIFT against blobs at known places and OpenCV's own SIFT; matches against a naive loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.errors import InputError
from resight.features.local import LIMIT, LocalFeatures, match_features, rootsift
from resight.images import read_image


def blobs(centres, height=120, width=160, sigma=5.0):
    """White blobs on grey, their centres in pixels with centres at +.5."""
    y, x = np.mgrid[:height, :width] + 0.5
    light = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2 / sigma**2) for cx, cy in centres)
    return np.repeat(np.round(100 + 120 * light).astype(np.uint8)[:, :, None], 3, 2)


def textured(seed, height=240, width=320):
    """Random colours at four scales."""
    random, total = np.random.default_rng(seed), np.zeros((height, width, 3))
    for cells in (6, 15, 40, 90):
        small = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return (total / 4).astype(np.uint8)


def features(descriptors):
    count = len(descriptors)
    full = np.zeros((count, 128))
    full[:, : np.shape(descriptors)[1]] = descriptors
    return LocalFeatures(np.zeros((count, 2)), np.ones(count), np.zeros(count), full, (10, 10))


def random_features(count, seed):
    vectors = np.random.default_rng(seed).random((count, 128)).astype(np.float32) ** 4
    return features(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def nearest_at(found, centre):
    gap = np.linalg.norm(found.points - centre, axis=1)
    return gap.min(), int(gap.argmin())


@pytest.mark.parametrize("centre", [(60.5, 50.5), (61.0, 50.0), (40.75, 71.25)])
def test_a_blob_is_found_where_it_is(centre):
    """Within 0.08 pixels: OpenCV's own default is off by 0.25."""
    gap, place = nearest_at(found := rootsift(blobs([centre])), centre)
    assert gap < 0.08
    assert 4 < found.scales[place] < 6  # a blob of sigma 5 answers to a Gaussian near it
    assert found.size == (120, 160)


def test_points_and_scales_are_of_the_original_image():
    """Reduced from 400 x 300 to 100 x 75; the blob's centre and size still count in the large image."""
    gap, place = nearest_at(found := rootsift(blobs([(200.5, 121.5)], 300, 400, 20), longest=100), (200.5, 121.5))
    assert gap < 0.2
    assert 16 < found.scales[place] < 24


def test_sides_that_shrink_unequally():
    """301 x 33 becomes 100 x 11: 3.01 across, 3 down."""
    gap, _ = nearest_at(rootsift(blobs([(280.5, 16.5)], 33, 301, 6), longest=100), (280.5, 16.5))
    assert gap < 0.3


def test_never_enlarged():
    image = textured(0, 100, 120)
    one, other = rootsift(image), rootsift(image, longest=120)
    assert (one.points == other.points).all()
    assert len(one) > 20


def test_angle_follows_the_gradient():
    """A blob on a ramp that brightens to the right, then downwards."""
    y, x = np.mgrid[:120, :120] + 0.5
    blob = 60 * np.exp(-((x - 60) ** 2 + (y - 60) ** 2) / 50)
    for ramp, expected in ((x, 0), (y, 90)):
        found = rootsift(np.repeat((20 + ramp + blob).round().astype(np.uint8)[:, :, None], 3, 2))
        angles = found.angles[np.linalg.norm(found.points - 60, axis=1) < 5]
        assert min(abs((angles - expected + 180) % 360 - 180)) < 10


def test_descriptors_are_roots_of_shares():
    import cv2

    image = textured(1, 100, 120)
    found = rootsift(image)
    detector = cv2.SIFT.create(enable_precise_upscale=True)
    keypoints, raw = detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    order = sorted(
        range(len(keypoints)),
        key=lambda i: (-keypoints[i].response, keypoints[i].pt[::-1], keypoints[i].size, keypoints[i].angle),
    )
    expected = np.array([[np.sqrt(value / sum(raw[i].tolist())) for value in raw[i]] for i in order])
    np.testing.assert_allclose(found.descriptors, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-6)


def test_the_strongest_are_kept():
    every = rootsift(textured(2))
    for most in (1, 7, 50):
        some = rootsift(textured(2), most=most)
        assert len(some) == most
        assert (some.points == every.points[:most]).all()
        assert (some.descriptors == every.descriptors[:most]).all()


def test_a_box_keeps_what_lies_inside():
    """The weaker features of a box are found although stronger ones outside fill the quota: nearly those of the whole
    image, whose largest look beyond the margin."""
    image = textured(3)
    image[:, :160] = np.clip(2.0 * image[:, :160] - 128, 0, 255).astype(np.uint8)  # high contrast on the left
    every = rootsift(image)
    box = (170.0, 20.0, 300.0, 200.0)
    inside = ((every.points >= box[:2]) & (every.points <= box[2:])).all(1)
    assert 20 < inside.sum() < len(every) / 2
    assert inside[:9].sum() < 9
    found = rootsift(image, box=box)
    assert ((found.points >= box[:2]) & (found.points <= box[2:])).all()
    assert found.size == every.size == (240, 320)
    small = inside & (every.scales < 5)
    gaps = np.linalg.norm(every.points[small][:, None] - found.points, axis=2)
    assert (gaps.min(1) < 0.05).mean() > 0.95
    alike = (every.descriptors[small] * found.descriptors[gaps.argmin(1)]).sum(1)
    assert np.median(alike) > 0.99
    assert (rootsift(image, box=box, most=9).points == found.points[:9]).all()


def test_a_box_is_the_whole_image():
    image = textured(6)
    every, found = rootsift(image), rootsift(image, box=(-3, 0, 320, 999))
    assert len(every) > 100
    assert (every.points == found.points).all() and (every.descriptors == found.descriptors).all()


@pytest.mark.parametrize("box", [(640, 480, 860, 700), (0, 0, 220, 220), (980.5, 700.25, 1199.5, 899.75)])
def test_a_small_box_of_a_large_image_is_seen_in_detail(box):
    """The box and its margin have 264 pixels or less and are not reduced to 264; the whole image would be."""
    image = np.concatenate(
        [np.concatenate([textured(10 * row + n, 225, 240) for n in range(5)], 1) for row in range(4)]
    )
    found, full = rootsift(image, longest=264, box=box), rootsift(image, longest=1200, most=16_384)
    inside = ((full.points >= box[:2]) & (full.points <= box[2:])).all(1) & (full.scales < 4)
    assert inside.sum() > 100
    gaps = np.linalg.norm(full.points[inside][:, None] - found.points, axis=2).min(1)
    assert (gaps < 0.05).mean() > 0.95  # in pixels of the whole image


def test_a_box_is_reduced_itself():
    """A box of 600 pixels, seen at 100: places and sizes are still those of the original."""
    centre = (700.5, 520.5)
    image = blobs([centre], 1000, 1400, 24)
    found = rootsift(image, longest=100, box=(400, 220, 1000, 820))
    gap, place = nearest_at(found, centre)
    assert gap < 0.5
    assert 19 < found.scales[place] < 29


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (3000, 1), (16, 16), (200, 200)])
def test_nothing_to_see_is_no_error(shape):
    found = rootsift(np.full((*shape, 3), 77, np.uint8))
    assert len(found) == 0
    assert found.points.shape == (0, 2)
    assert found.descriptors.shape == (0, 128)
    assert found.descriptors.dtype == found.points.dtype == np.float32
    assert match_features(found, found).shape == match_features(found, random_features(3, 0)).shape == (0, 2)


def test_twice_the_same_and_no_setting_changed():
    import cv2

    threads, image = cv2.getNumThreads(), textured(4)
    before = image.copy()
    one, other = rootsift(image), rootsift(image)
    for name in ("points", "scales", "angles", "descriptors"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert cv2.getNumThreads() == threads
    assert (image == before).all()
    assert repr(one) == f"<LocalFeatures {len(one)} in an image of 320 x 240 (W x H)>"
    with pytest.raises(ValueError, match="read-only"):
        one.points[0] = 0


def naive_matches(a, b, ratio, mutual):
    pairs = []
    for i, one in enumerate(a):
        gaps = [float(np.sqrt(((one.astype(np.float64) - other) ** 2).sum())) for other in b]
        order = np.argsort(gaps, kind="stable")
        if len(b) > 1 and not gaps[order[0]] < ratio * gaps[order[1]]:
            continue
        back = [float(((b[order[0]].astype(np.float64) - other) ** 2).sum()) for other in a]
        if not mutual or int(np.argmin(back)) == i:
            pairs.append([i, int(order[0])])
    return pairs


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from([0.8, 0.95, 1.0]), st.booleans())
def test_matches_equal_the_naive_loop(count_a, count_b, seed, ratio, mutual):
    a, b = random_features(count_a, seed), random_features(count_b, seed + 1)
    found = match_features(a, b, ratio=ratio, mutual=mutual)
    assert found.dtype == np.int64
    assert found.tolist() == naive_matches(a.descriptors, b.descriptors, ratio, mutual)


def test_matches_by_hand():
    """Angles on a circle in degrees: a 0, 90, 86; b 1, 80, 95."""
    on_circle = lambda *degrees: features([[np.cos(d), np.sin(d)] for d in np.radians(degrees)])  # noqa: E731
    a, b = on_circle(0, 90, 86), on_circle(1, 80, 95)
    assert match_features(a, b, ratio=1).tolist() == [[0, 0], [1, 2], [2, 1]]
    assert match_features(a, b, ratio=0.6).tolist() == [[0, 0], [1, 2]]  # 86: 6 against 9 degrees, 0.67
    assert match_features(on_circle(0, 3), b, ratio=1).tolist() == [[0, 0]]
    assert match_features(on_circle(0, 3), b, ratio=1, mutual=False).tolist() == [[0, 0], [1, 0]]


def test_a_repeated_descriptor_is_no_clear_match():
    one = random_features(1, 0).descriptors
    assert match_features(features(one), features(np.repeat(one, 2, 0)), ratio=1).tolist() == []
    twice = features(np.repeat(one, 2, 0))
    assert match_features(twice, features(one)).tolist() == [[0, 0]]
    assert match_features(twice, features(one), mutual=False).tolist() == [[0, 0], [1, 0]]


@given(st.integers(0, 10**6))
def test_mutual_matches_are_one_to_one_and_have_no_direction(seed):
    a, b = random_features(30, seed), random_features(25, seed + 1)
    found = match_features(a, b, ratio=1)
    assert len(set(found[:, 1].tolist())) == len(found)
    back = match_features(b, a, ratio=1)[:, ::-1]
    assert sorted(found.tolist()) == sorted(back.tolist())


def test_a_picture_matches_itself(real_images):
    found = rootsift(read_image(real_images("opencv-samples") / "box.png"))
    pairs = match_features(found, found)
    assert len(found) > 400
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert len(pairs) > 0.99 * len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 0}, "most as a whole number from 1"),
        ({"most": LIMIT + 1}, "most as a whole number from 1 to 16,384"),
        ({"most": 2.5}, "most as a whole"),
        ({"longest": 0}, "whole number of pixels"),
        ({"box": (500, 500, 600, 600)}, "overlaps the image"),
        ({"box": (9, 9, 2, 2)}, "x1 < x2"),
        ({"box": (0, 0, float("nan"), 9)}, "four finite numbers"),
    ],
)
def test_refuses_settings(options, message):
    with pytest.raises(InputError, match=message):
        rootsift(np.zeros((40, 40, 3), np.uint8), **options)


def test_refuses_what_is_no_image():
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8"):
        rootsift(np.zeros((40, 40)))


@pytest.mark.parametrize("ratio", [0, -1, 1.1, float("nan")])
def test_refuses_ratio(ratio):
    with pytest.raises(InputError, match="ratio above 0 and at most 1"):
        match_features(random_features(2, 0), random_features(2, 1), ratio=ratio)


def test_refuses_features_that_do_not_fit():
    good = random_features(2, 0)
    with pytest.raises(InputError, match=r"descriptors as finite numbers \(2, 128\), got shape \(2, 64\)"):
        LocalFeatures(good.points, good.scales, good.angles, good.descriptors[:, :64], (10, 10))
    with pytest.raises(InputError, match="scales as finite"):
        LocalFeatures(good.points, good.scales * np.nan, good.angles, good.descriptors, (10, 10))
    with pytest.raises(InputError, match="at most 16,384 local features, got 16,385"):
        features(np.zeros((LIMIT + 1, 1)))
