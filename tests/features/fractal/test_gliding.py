"""The gliding box: golden numbers, a brute-force oracle, another programme's outputs, known dimensions, doors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from features.fractal.brute import boxes, brute
from features.fractal.surfaces import carpet, surface
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.fractal import counting, fractal

SCALES = tuple(range(3, 42, 2))

GOLDEN = {  # P(1), M1, lacunarity, N(L), clusters, coverage, percolation
    3: (.7551487414187643, 1.3832951945080092, .3082964066714967, .8573226544622425,
        1.1384439359267735, .13831680650902914, 0),
    5: (.08522727272727272, 3.349747474747475, .23777973118640858, .38625317934030057,
        1.668560606060606, .10343434343434347, 0),
    7: (.0070028011204481795, 7.703781512605042, .1905820992002934, .1665705082938153,
        2.895658263305322, .09483793517406999, 0),
    9: (0, 21.505468750000006, .13601104851688936, .05463110518347645, 5.8921875, .12264660493827188, 0),
    11: (0, 48.521052631578954, .10617131200550403, .02321656762638683,
         7.057894736842106, .16750761200521913, .09649122807017543),
}  # fmt: skip


def golden_image():
    y, x = np.mgrid[:40, :48]
    return np.stack([(3 * x + 5 * y) % 32, (x * y) % 17, (x * x + y) % 23], -1).astype(np.uint8)


def random_image(seed, height, width, channels, levels=24):
    """Noise with level patches in it: small and large masses, many and few clusters."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (height, width, channels))
    patches = rng.integers(0, 256, (-(-height // 7), -(-width // 7), channels)).repeat(7, 0).repeat(7, 1)
    where = rng.random((height, width)) < rng.random()
    image[where] = patches[:height, :width][where]
    return np.squeeze(image.astype(np.uint8), 2) if channels == 1 else image.astype(np.uint8)


def assert_equals_brute(image, scales, **options):
    found = fractal(image, scales=scales, threads=1, **options)
    probability, *curves = brute(image, scales, **options)
    for ours, theirs in zip(found.probability, probability):
        np.testing.assert_array_equal(ours, theirs)
    for name, values in zip(("clusters", "coverage", "percolation", "box_count", "lacunarity"), curves):
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-10, atol=1e-12, err_msg=name)


def test_golden_numbers():
    found = fractal(golden_image(), scales="3:11:2", preset="gcc")
    for j, (side, (p1, *curves)) in enumerate(GOLDEN.items()):
        assert found.scales[j] == side
        assert abs(found.probability[j][0] - p1) < 1e-12
        for name, value in zip(("mean_mass", "lacunarity", "box_count", "clusters", "coverage", "percolation"), curves):
            assert abs(getattr(found, name)[j] - value) < 1e-12, (side, name)
    assert abs(found.dimension.value - 2.7558368048485096) < 1e-12
    curve = found.curves["lacunarity"]
    assert abs(curve.area - 1.2345707811873468) < 1e-12
    assert abs(curve.skewness - 0.30111297089607164) < 1e-12
    assert abs(curve.area_ratio - 0.7200681067668581) < 1e-12
    plain = fractal(golden_image(), scales="3:11:2", rule="glidingbox")
    assert abs(plain.curves["lacunarity"].area - 1.5432134764841834) < 1e-12


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from([1, 3]), st.integers(41, 45), st.integers(41, 45),
       st.sampled_from(["hypercube", "glidingbox"]), st.sampled_from([4, 8]))  # fmt: skip
def test_all_twenty_scales_equal_brute_force(seed, channels, height, width, rule, connectivity):
    image = random_image(seed, height, width, channels)
    assert_equals_brute(image, SCALES, rule=rule, connectivity=connectivity)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 5]), st.integers(9, 16), st.integers(9, 16),
       st.sampled_from(["hypercube", "glidingbox"]), st.sampled_from(["chebyshev", "manhattan", "euclidean"]),
       st.sampled_from([4, 8]), st.sampled_from(["each", "common"]), st.sampled_from([(3, 5, 7, 9), (5, 9), (7,)]),
       st.integers(2, 60))  # fmt: skip
def test_every_option_equals_brute_force(
    seed, channels, height, width, rule, distance, connectivity, centers, scales, levels
):
    image = random_image(seed, height, width, channels, levels)
    options = {"rule": rule, "distance": distance, "connectivity": connectivity, "centers": centers}
    if channels == 2:
        found = fractal(image, scales=scales, channels="all", **options)
        np.testing.assert_array_equal(found.probability[0], brute(image, scales, **options)[0][0])
    else:
        assert_equals_brute(image, scales, **options)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_boxes_wider_than_a_word_of_bits_equal_brute_force(connectivity):
    image = random_image(3, 70, 68, 3, levels=90)
    assert_equals_brute(image, (61, 63, 65, 67), rule="hypercube", connectivity=connectivity)


@pytest.mark.parametrize("distance", ["chebyshev", "manhattan", "euclidean"])
def test_large_distances_do_not_wrap(distance):
    image = np.random.default_rng(0).integers(0, 2, (30, 30, 3), np.uint8) * np.uint8(255)
    assert_equals_brute(image, (3, 5, 29), distance=distance, rule="glidingbox")


def test_the_widest_box():
    image = np.tile(np.arange(254, dtype=np.uint8), (253, 1))
    found = fractal(image, scales=[253], percolation=False)
    assert found.boxes.tolist() == [2]
    assert np.flatnonzero(found.probability[0]).tolist() == [253 * 253 - 1]  # within 126 of the centre: all
    assert fractal(np.zeros((253, 253), np.uint8), scales=[253]).mean_mass.tolist() == [253.0**2]


def test_wide_images_equal_shifted_copies():
    """Rows longer than a chunk of the kernel, in several bands."""
    image = random_image(5, 40, 1100, 3)
    found = fractal(image, scales=(3, 9, 21), percolation=False, rule="glidingbox")
    signed = image.astype(int)
    for j, side in enumerate((3, 9, 21)):
        k = side // 2
        core, mass = signed[k : 40 - k, k : 1100 - k], 0
        for dy in range(-k, k + 1):
            for dx in range(-k, k + 1):
                other = signed[k + dy : 40 - k + dy, k + dx : 1100 - k + dx]
                mass = mass + (abs(other - core).max(-1) <= side)
        counts = np.bincount(mass.ravel(), minlength=side**2 + 1)[1:]
        np.testing.assert_array_equal(found.probability[j], counts / mass.size)


def test_results_do_not_depend_on_threads_or_bands(monkeypatch):
    image = random_image(1, 150, 130, 3)
    one = fractal(image, threads=1)
    assert fractal(image, threads=2) == one
    assert fractal(image, threads=5) == one
    assert fractal(np.asfortranarray(image)[:, ::-1], threads=1) == one  # a mirror changes nothing
    assert fractal(image[1:], threads=1) != one
    monkeypatch.setattr(counting, "BAND_BYTES", 1)
    assert fractal(image, threads=1) == one
    assert fractal(image, threads=3) == one
    assert hash(fractal(image, threads=3)) == hash(one)


def test_strided_images_are_read_as_they_are():
    image = random_image(2, 60, 50, 3)
    assert fractal(image[::-1, ::2].copy(), scales="3:9:2") == fractal(image[::-1, ::2], scales="3:9:2")


def test_a_mask_says_which_pixels_are_centres():
    image = random_image(8, 20, 22, 3)
    mask = np.random.default_rng(1).random((20, 22)) < 0.3
    found = fractal(image, scales=(3, 7), mask=mask)
    probability, clusters, *_ = brute(image, (3, 7), mask=mask)
    for ours, theirs in zip(found.probability, probability):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(found.clusters, clusters, rtol=1e-12)
    border = np.zeros((20, 22), bool)
    border[:2] = True
    found = fractal(image, scales=(3, 7), mask=border)
    assert found.boxes.tolist() == [20, 0]
    assert np.isnan(found.lacunarity).tolist() == [False, True]
    assert "no centre inside the mask" in found.warnings[0]


@pytest.mark.oracle
def test_equals_the_go_programme(real_images):
    folder = real_images("oracle/fractal")
    from PIL import Image

    masses = json.loads((folder / "probability-matrix.json").read_text())
    percolation = json.loads((folder / "percolation-data.json").read_text())
    assert len(masses) == 2
    for entry in masses:
        image = np.asarray(Image.open(folder / entry["folder"] / entry["name"]).convert("RGB"))
        found = fractal(image, preset="gcc")
        assert len(entry["result_kernels"]) == 20
        for kernel in entry["result_kernels"]:
            j = SCALES.index(kernel["kernel_size"])
            np.testing.assert_array_equal(found.probability[j], kernel["probabilities"])
        theirs = next(p for p in percolation if (p["name"], p["folder"]) == (entry["name"], entry["folder"]))
        for row in theirs["percolation_results"]:
            j = SCALES.index(row["kernel_size"])
            assert abs(found.clusters[j] - row["average_cluster_count"]) < 1e-12
            assert abs(found.coverage[j] - row["average_biggest_cluster_area"]) < 1e-12
            assert abs(found.percolation[j] - row["percolation"]) < 1e-12


@pytest.mark.parametrize("rule", ["hypercube", "glidingbox"])
def test_a_level_image_is_a_plane(rule):
    found = fractal(np.full((50, 44, 3), 77, np.uint8), rule=rule)
    np.testing.assert_array_equal(found.mean_mass, found.scales**2)
    assert (found.lacunarity == 0).all() and (found.clusters == 1).all()
    assert (found.coverage == 1).all() and (found.percolation == 1).all()
    assert abs(found.dimension.value - 2) < 1e-12 and found.dimension.r2 == 1
    assert found.warnings == () and found.curves["lacunarity"].skewness == 0


def test_sierpinski_carpet():
    image = carpet(6)
    found = fractal(image * np.uint8(255), mask=image, percolation=False)
    assert abs(found.dimension.value - 1.8877) < 5e-5
    assert abs(found.dimension.value - np.log(8) / np.log(3)) < 0.006


def test_fractional_brownian_surfaces():
    found = {h: fractal(surface(512, h, 2), percolation=False).dimension.value for h in (0.9, 0.7, 0.5)}
    assert abs(found[0.9] - 2.1) < 0.03
    assert abs(found[0.7] - 2.3) < 0.10
    assert found[0.9] < found[0.7] < found[0.5]


def test_more_than_255_clusters():
    y, x = np.mgrid[:41, :43]
    board = ((x + y) % 2 * 200).astype(np.uint8)
    four, eight = (fractal(board, scales=[41], connectivity=c) for c in (4, 8))
    assert four.clusters.tolist() == [841.0]  # the corners have the centre's colour
    assert four.coverage.tolist() == [1 / 41**2]
    assert eight.clusters.tolist() == [1.0]


def test_a_box_larger_than_the_image_is_nan_and_a_warning():
    image = random_image(0, 12, 30, 3)
    found = fractal(image)
    known = found.scales <= 12
    for name in ("lacunarity", "box_count", "clusters", "coverage", "percolation", "mean_mass"):
        assert np.isfinite(getattr(found, name)).tolist() == known.tolist(), name
    assert found.boxes[~known].tolist() == [0] * 15
    assert np.isnan(found.probability[-1]).all() and len(found.probability[-1]) == 41**2
    assert found.warnings[0] == "boxes 13..41 do not fit into 30 x 12 pixels: NaN there"
    assert np.isfinite(list(found.features().values())[:3]).all()
    assert found.curves["lacunarity"] == fractal(image, scales="3:11:2").curves["lacunarity"]
    assert fractal(image, centers="common").boxes.tolist() == [2 * 20] * 5 + [0] * 15


def test_nothing_fits():
    found = fractal(np.zeros((2, 9), np.uint8), scales=(3, 5))
    assert np.isnan([*found.lacunarity, found.dimension.value, found.curves["clusters"].area]).all()
    assert "fewer than two scales" in found.dimension.note and len(found.warnings) == 2


def test_saturation_is_said():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    found = fractal(image, scales="3:9:2")
    assert found.dimension.note.startswith("saturated at L = 3..9: mean mass below 2")
    assert found.dimension.note in found.warnings
    # Hypercube rule on values up to 7: from L = 5 on there are neighbours enough.
    grey = np.random.default_rng(0).integers(0, 12, (40, 40), np.uint8)
    found = fractal(grey, scales="3:9:2", fit=(5, 9))
    assert found.dimension.note == "" and found.dimension.fit_range == (5, 9)


def test_percolation_can_be_left_out():
    image = random_image(4, 20, 20, 3)
    less, more = fractal(image, scales=(3, 5), percolation=False), fractal(image, scales=(3, 5))
    assert less.clusters is less.coverage is less.percolation is None
    assert list(less.curves) == ["lacunarity"]
    np.testing.assert_array_equal(less.box_count, more.box_count)


def test_channels():
    image = random_image(6, 16, 17, 3)
    red = fractal(image[:, :, 0], scales=(3, 5))
    for channels in ("red", 0, (0,)):
        np.testing.assert_array_equal(fractal(image, scales=(3, 5), channels=channels).box_count, red.box_count)
    grey = fractal(np.repeat(image[:, :, :1], 3, 2), scales=(3, 5), channels="grey")
    np.testing.assert_array_equal(grey.box_count, red.box_count)
    assert grey.options.channels == "grey" and fractal(image, scales=(3, 5)).options.channels == "rgb"


def test_counted_pixels_include_the_centre():
    assert all(counted[2, 2] for _, _, counted in boxes(random_image(0, 9, 9, 3), 5))
    assert fractal(random_image(0, 9, 9, 3), scales=[5]).mean_mass[0] >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": (3, 4)}, "scale 4 is even and a box has a pixel at its centre: take 3 or 5"),
        ({"rule": "hypercub"}, "unknown rule 'hypercub', did you mean 'hypercube'?"),
        ({"rule": "hypercube", "preset": "gcc"}, "preset 'gcc' has rule='glidingbox', got 'hypercube'"),
        ({"distance": "euclid"}, "did you mean 'euclidean'?"),
        ({"centers": "every"}, "unknown centers 'every'"),
        ({"connectivity": 6}, "connectivity is 4"),
        ({"preset": "gc"}, "unknown preset 'gc', did you mean 'gcc'?"),
        ({"channels": "gray"}, "did you mean 'grey'?"),
        ({"channels": 3}, "channels must be from 0 to 2, got 3"),
        ({"fit": (9, 3)}, "fit must be two box sizes, smallest first"),
        ({"fit": (40, 50)}, "leaves 1 of the scales"),
        ({"fit": 7}, "fit must be two box sizes"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"mask": np.ones((3, 3), bool)}, r"mask must be bool of shape \(50, 50\), got bool \(3, 3\)"),
        ({"mask": np.ones((50, 50))}, "mask must be bool"),
    ],
    ids=str,
)
def test_option_doors(arguments, message):
    with pytest.raises(InputError, match=message):
        fractal(np.zeros((50, 50, 3), np.uint8), **arguments)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((9, 9), np.uint16), r"got uint16: choose .* resight.features.fractal.quantise\(image, 0, 65535\)"),
        (np.zeros((9, 9)), r"got float64: choose .*quantise\(image, low, high\)"),
        (np.zeros((9, 9), bool), "bool mask"),
        (np.zeros((9, 9, 4), np.uint8), "composite alpha onto a background first"),
        (np.zeros((9, 9, 2), np.uint8), "composite alpha"),
        (np.zeros((0, 9), np.uint8), r"not empty, got shape \(0, 9, 1\)"),
        (np.zeros((2, 9, 9, 3), np.uint8), r"got shape \(2, 9, 9, 3\)"),
        ("photo.png", "resight.read_image reads files"),
    ],
    ids=range(8),
)
def test_image_doors(image, message):
    with pytest.raises(InputError, match=message):
        fractal(image)
