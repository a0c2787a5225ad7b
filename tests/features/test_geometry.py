"""Verification on known warps, made and measured ones, and its refusals to believe."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.errors import InputError
from resight.features.geometry import Geometry, verify_geometry
from resight.features.local import match_features, rootsift
from resight.images import read_image

HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from pixel centres at whole numbers to centres at +.5
WARPS = {
    "shift": [[1, 0, 30], [0, 1, -20], [0, 0, 1]],
    "turn": [[0.8, -0.5, 90], [0.5, 0.8, -40], [0, 0, 1]],
    "shrink": [[0.5, 0.05, 20], [-0.05, 0.6, 30], [0, 0, 1]],
    "tilt": [[0.9, 0.1, 10], [0.05, 0.8, 20], [4e-4, 2e-4, 1]],
}


def textured(seed, height=240, width=320):
    """Random colours at four scales."""
    random, total = np.random.default_rng(seed), np.zeros((height, width, 3))
    for cells in (6, 15, 40, 90):
        small = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return (total / 4).astype(np.uint8)


def warped(image, matrix):
    """The image moved by the matrix; Pillow, too, has pixel centres at +.5."""
    back = np.linalg.inv(matrix)
    back = (back / back[2, 2]).ravel()[:8].tolist()
    size, method = image.shape[1::-1], Image.Transform.PERSPECTIVE
    return np.asarray(Image.fromarray(image).transform(size, method, back, Image.Resampling.BICUBIC))


def moved(matrix, points):
    out = np.column_stack([points, np.ones(len(points))]) @ np.asarray(matrix, float).T
    return out[:, :2] / out[:, 2:]


def corner_error(geometry, truth, size):
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    return np.linalg.norm(geometry.transfer(corners) - moved(truth, corners), axis=1).max()


def between(image_a, image_b, **options):
    a, b = rootsift(image_a), rootsift(image_b)
    pairs = match_features(a, b)
    return verify_geometry(a.points[pairs[:, 0]], b.points[pairs[:, 1]], **options)


def scattered(count, seed=0, side=300.0):
    return np.random.default_rng(seed).random((count, 2)) * side


@pytest.mark.parametrize("name", WARPS)
def test_exact_points_give_the_matrix_back(name):
    a, matrix = scattered(40), np.array(WARPS[name], float)
    for model in ("homography", "affine") if name != "tilt" else ("homography",):
        found = verify_geometry(a, moved(matrix, a), model=model)
        assert (found.count, found.model) == (40, model)
        assert found.inliers.all() and found.inliers.dtype == bool
        assert corner_error(found, matrix, (300, 300)) < 1e-2
        assert found.matrix.dtype == np.float64
        assert found.matrix[2, 2] == 1


@given(st.integers(0, 10**6), st.sampled_from(sorted(WARPS)))
def test_outliers_are_told_from_inliers(seed, name):
    """40 matches right within half a pixel, 40 at random, mixed."""
    random = np.random.default_rng(seed)
    a = scattered(80, seed)
    b = moved(WARPS[name], a) + random.uniform(-0.35, 0.35, a.shape)
    wrong = random.permutation(80) < 40
    b[wrong] = random.random((40, 2)) * 300
    found = verify_geometry(a, b)
    assert found.inliers[~wrong].mean() > 0.9
    miss = np.linalg.norm(moved(WARPS[name], a) - b, axis=1)
    assert not found.inliers[miss > 20].any()
    assert found.count == found.inliers.sum()


def test_an_inlier_is_what_the_matrix_explains():
    random = np.random.default_rng(0)
    a = scattered(60)
    b = moved(WARPS["tilt"], a) + random.normal(0, 2, a.shape)
    for threshold in (2.0, 4.0):
        found = verify_geometry(a, b, threshold=threshold)
        miss = np.linalg.norm(moved(found.matrix, a) - b, axis=1)
        assert (found.inliers == (miss <= threshold)).all()
        np.testing.assert_allclose(found.transfer(a), moved(found.matrix, a))


@pytest.mark.parametrize("name", WARPS)
def test_a_warped_picture(name):
    """Through points and matches: within a pixel at the corners."""
    image, matrix = textured(0), np.array(WARPS[name], float)
    found = between(image, warped(image, matrix))
    assert found.count > 50
    assert corner_error(found, matrix, image.shape[:2]) < 1
    if name != "tilt":
        assert corner_error(between(image, warped(image, matrix), model="affine"), matrix, image.shape[:2]) < 1


def test_different_pictures_are_not_believed():
    counts = [between(textured(seed), textured(seed + 50)).count for seed in range(6)]
    assert max(counts) < 8


def test_the_same_on_every_call_whatever_ran_before():
    import cv2

    random = np.random.default_rng(1)
    a, b = scattered(60, 1), scattered(60, 2)
    b[:25] = moved(WARPS["tilt"], a[:25]) + random.normal(0, 1, (25, 2))
    for model in ("homography", "affine"):
        first = verify_geometry(a, b, model=model)
        for seed in range(5):
            cv2.setRNGSeed(seed)
            cv2.findHomography(a, b, cv2.RANSAC)
            verify_geometry(b, a, model=model)
            again = verify_geometry(a, b, model=model)
            assert (again.matrix == first.matrix).all()
            assert (again.inliers == first.inliers).all()


def nothing(geometry, matches):
    return geometry.matrix is None and geometry.count == 0 and geometry.inliers.tolist() == [False] * matches


@pytest.mark.parametrize(("model", "least"), [("homography", 4), ("affine", 3)])
def test_too_few_matches(model, least):
    for count in range(least):
        points = scattered(count)
        assert nothing(verify_geometry(points, points, model=model), count)
    square = np.array([[0, 0], [90, 0], [80, 70], [10, 95]])[:least]
    assert verify_geometry(square, square, model=model).count == least
    repeated = np.repeat(square[: least - 1], 5, axis=0)
    assert nothing(verify_geometry(repeated, repeated, model=model), len(repeated))


@pytest.mark.parametrize("model", ["homography", "affine"])
def test_unbelievable_motions(model):
    a = scattered(30)
    line = np.column_stack([a[:, 0], 2 * a[:, 0] + 5])
    point = a * 0 + 7
    assert nothing(verify_geometry(line, line, model=model), 30)
    assert nothing(verify_geometry(a, line, model=model), 30)
    assert nothing(verify_geometry(a, point, model=model), 30)
    assert nothing(verify_geometry(point, a, model=model), 30)
    assert nothing(verify_geometry(a, a * (-1, 1), model=model), 30)  # mirrored
    assert nothing(verify_geometry(a, a[:, ::-1], model=model), 30)
    assert verify_geometry(a, -a, model=model).count == 30  # half a turn is not mirrored
    assert nothing(verify_geometry(a, a * 21, model=model), 30)
    assert verify_geometry(a, a * 19, model=model).count == 30
    assert nothing(verify_geometry(a * 21, a, model=model), 30)
    assert verify_geometry(a * 19, a, model=model).count == 30
    assert nothing(verify_geometry(a, a * (1, 25), model=model), 30)  # in one direction only


def test_what_lies_behind_the_horizon_is_no_inlier():
    """The horizon is x = 200: what lies beyond would be seen from behind, though the matrix maps it."""
    a = scattered(200)
    a = a[(a[:, 0] < 120) | (a[:, 0] > 250)]
    ahead = a[:, 0] < 200
    found = verify_geometry(a, moved([[1, 0, 0], [0, 1, 0], [-1 / 200, 0, 1]], a), threshold=1)
    assert 10 < (~ahead).sum() < ahead.sum()
    assert found.inliers.tolist() == ahead.tolist()


@given(st.integers(0, 14), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from(["homography", "affine"]))
def test_whatever_comes_out_is_believable(count, side, seed, model):
    """Points on a coarse grid: repeated, collinear and coincident ones."""
    random = np.random.default_rng(seed)
    a, b = random.integers(0, side, (2, count, 2))
    found = verify_geometry(a, b, model=model)
    if found.matrix is None:
        assert nothing(found, count)
    else:
        assert len(np.unique(a[found.inliers], axis=0)) >= (4 if model == "homography" else 3)
        assert np.linalg.det(found.matrix) > 0
        assert (np.linalg.norm(moved(found.matrix, a[found.inliers]) - b[found.inliers], axis=1) <= 3 + 1e-9).all()


@pytest.mark.oracle
@pytest.mark.parametrize(("number", "bound", "least"), [(2, 3, 500), (3, 10, 250), (4, 8, 50)])
def test_graffiti(real_images, number, bound, least):
    """800 x 640 pixels, from 20 to 40 degrees of tilt. The truth counts pixel centres at whole numbers."""
    folder = real_images("graf")
    truth = HALF @ np.loadtxt(folder / f"H1to{number}p") @ np.linalg.inv(HALF)
    images = [read_image(folder / f"img{n}.png") for n in (1, number)]
    found = between(*images)
    assert found.count > least
    assert corner_error(found, truth, images[0].shape[:2]) < bound


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("a", "b", "bound"),
    [("adamA.png", "adamB.png", 4), ("boatA.png", "boatB.png", 4), ("BostonA.jpg", "BostonB.jpg", 12)],
)
def test_homogr(real_images, a, b, bound):
    folder = real_images("homogr")
    model = np.loadtxt(folder / f"{a[:-5]}_model.txt")  # from b to a
    images = [read_image(folder / name) for name in (a, b)]
    found = between(*images)
    assert found.count > 100
    assert corner_error(found, HALF @ np.linalg.inv(model) @ np.linalg.inv(HALF), images[0].shape[:2]) < bound


def test_a_box_in_a_scene(real_images):
    folder = real_images("opencv-samples")
    found = between(*[read_image(folder / name) for name in ("box.png", "box_in_scene.png")])
    assert found.count > 50
    # By eye: the corner of the box, and three corners of the photograph printed on it.
    seen = found.transfer([[4, 4], [142, 21], [140.5, 201.5], [278.5, 202]])
    assert np.linalg.norm(seen - [[119, 162.5], [185.5, 177], [168, 270], [243.5, 282.5]], axis=1).max() < 4


def test_different_photographs_have_few_inliers(real_images):
    """45 pairs of photographs of different things: less than 8 matches agree; above, 50 and more do."""
    folder = real_images("corel1k")
    found = [rootsift(read_image(folder / f"{number}.jpg")) for number in range(50, 1000, 100)]
    counts = []
    for place, a in enumerate(found):
        for b in found[place + 1 :]:
            pairs = match_features(a, b)
            counts.append(verify_geometry(a.points[pairs[:, 0]], b.points[pairs[:, 1]]).count)
    assert len(counts) == 45
    assert max(counts) < 8


def test_no_matrix_moves_no_point():
    empty = verify_geometry(np.empty((0, 2)), np.empty((0, 2)))
    assert repr(empty) == "<Geometry homography, 0 of 0 matches are inliers>"
    with pytest.raises(InputError, match="no geometry was found"):
        empty.transfer([[1, 2]])
    with pytest.raises(InputError, match=r"points as finite numbers \(m, 2\)"):
        Geometry("affine", np.eye(3), np.ones(3, bool)).transfer([1, 2])


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 3)), {}, r"points_a as finite numbers \(m, 2\), got float64 of shape \(4, 3\)"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), {}, "points_b as finite"),
        (np.zeros((4, 2)), np.zeros((5, 2)), {}, r"row by row, got \(4, 2\) and \(5, 2\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"model": "homografy"}, "did you mean 'homography'"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"threshold": 0}, "threshold as pixels above 0"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"confidence": 1}, "confidence above 0 and below 1"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"iterations": 0}, "iterations as a whole number"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"iterations": 10**7}, "iterations as a whole number"),
    ],
)
def test_refuses(a, b, options, message):
    with pytest.raises(InputError, match=message):
        verify_geometry(a, b, **options)
