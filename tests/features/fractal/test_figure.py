"""The figure: what is in it, and files whole or not at all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from resight.errors import InputError, WorkError
from resight.features.fractal import fractal, local_dimension


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 30, (40, 50, 3), np.uint8)


@pytest.fixture(scope="module")
def result(image):
    return fractal(image, scales="3:15:2", fit=(5, 13))


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_curves_are_those_of_the_result(result):
    figure = result.plot()
    fit, residuals, slopes, lacunarity, clusters, shares = panels(figure)
    np.testing.assert_array_equal(fit.lines[0].get_ydata(), result.box_count)
    assert fit.lines[1].get_xdata().tolist() == [5, 13]
    x, y = fit.lines[1].get_data()
    assert -np.diff(np.log(y))[0] / np.diff(np.log(x))[0] == pytest.approx(result.dimension.value)
    assert f"D = {result.dimension.value:.4f}" in fit.get_legend().get_texts()[1].get_text()
    np.testing.assert_array_equal(residuals.lines[1].get_ydata(), result.dimension.residuals)
    np.testing.assert_array_equal(slopes.lines[1].get_ydata(), result.dimension.local_slopes)
    np.testing.assert_array_equal(lacunarity.lines[0].get_ydata(), result.lacunarity)
    np.testing.assert_array_equal(clusters.lines[0].get_ydata(), result.clusters)
    np.testing.assert_array_equal(shares.lines[0].get_ydata(), result.percolation)
    np.testing.assert_array_equal(shares.lines[1].get_ydata(), result.coverage)
    assert [axes.get_title(loc="left")[:3] for axes in panels(figure)] == ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"]


def test_the_map_is_that_of_the_result(result, image):
    shown, drawn = panels(result.plot(image=image))[6:]
    np.testing.assert_array_equal(shown.images[0].get_array(), image)
    expected = local_dimension(image, scales="3:15:2")
    np.testing.assert_array_equal(np.ma.filled(drawn.images[0].get_array(), np.nan), expected)
    grey = fractal(image, scales="3:9:2", channels="grey", percolation=False)
    drawn = panels(grey.plot(image=image))[7]
    expected = local_dimension(image, scales="3:9:2", channels="grey")
    np.testing.assert_array_equal(np.ma.filled(drawn.images[0].get_array(), np.nan), expected)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_files(result, tmp_path, suffix):
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    result.plot(tmp_path / f"a{suffix}")
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first.startswith(starts[suffix])
    result.plot(tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_size_of_the_png(result):
    assert Image.open(io.BytesIO(result._repr_png_())).size == (1440, 880)


def test_styles_of_others_stay(result):
    import matplotlib

    before = dict(matplotlib.rcParams)
    result.plot()
    assert dict(matplotlib.rcParams) == before


def test_figures_of_little(tmp_path):
    small = np.zeros((2, 9), np.uint8)
    for image, scales in [(small, (3, 5)), (np.zeros((9, 9), np.uint8), (3,)), (np.zeros((9, 9), np.uint8), (3, 5))]:
        found = fractal(image, scales=scales, percolation=False)
        figure = found.plot(tmp_path / "a.png", image=image)
        assert panels(figure)[4].texts[0].get_text() == "not computed"


def test_doors(result, image, tmp_path):
    with pytest.raises(InputError, match=r"written as \.png, \.pdf, \.svg; got '\.jpg'"):
        result.plot(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"this result is of \(40, 50\) pixels, and the image has \(39, 50\)"):
        result.plot(image=image[1:])
    with pytest.raises(WorkError, match="does not exist"):
        result.plot(tmp_path / "no" / "a.png")
    assert list(tmp_path.iterdir()) == []
