"""Boxes follow the image: what lies in a box of the original lies in the mapped box of the fitted image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.images import FITS, fit
from resight.images.frame import fit_frame


@pytest.mark.parametrize("mode", FITS)
@pytest.mark.parametrize("shape", [(300, 200), (200, 480), (240, 240), (700, 500)])
def test_a_painted_box_is_found_where_the_frame_says(mode, shape):
    height, width = shape
    box = (0.4 * width, 0.35 * height, 0.7 * width, 0.6 * height)
    x1, y1, x2, y2 = (round(side) for side in box)
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    fitted = fit(image, 224, mode)
    rows, columns = np.nonzero(fitted[..., 0] > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    mapped = fit_frame(shape, 224, mode).to_fitted((x1, y1, x2, y2))
    np.testing.assert_allclose(np.clip(mapped, 0, 224), seen, atol=1)  # a crop may cut the box


@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from(sorted(FITS)), st.integers(32, 1024))
def test_there_and_back(height, width, mode, size):
    frame = fit_frame((height, width), size, mode)
    box = np.array([0.1 * width, 0.2 * height, 0.8 * width, 0.9 * height])
    np.testing.assert_allclose(frame.to_original(frame.to_fitted(box)), box, atol=1e-6 * max(height, width))


def test_the_whole_image_is_the_whole_fitted_image():
    for mode in ("squash", "longest"):
        fitted = fit(np.zeros((123, 457, 3), np.uint8), 224, mode)
        corners = fit_frame((123, 457), 224, mode).to_fitted((0, 0, 457, 123))
        np.testing.assert_allclose(corners, [0, 0, fitted.shape[1], fitted.shape[0]], atol=1e-9)


def test_unknown_mode():
    with pytest.raises(InputError, match="did you mean 'squash'"):
        fit_frame((3, 4), 10, "sqash")
