"""Statistics are those of the whole map, which is never there as a whole."""

import numpy as np
import pytest
from samples import picture

from resight.features.dense_sift import dense_sift, sift_statistics, statistics


@pytest.mark.parametrize(
    "options", [{}, {"step": 4}, {"window": "gaussian", "step": 3}, {"preset": "deepsky", "step": 2}]
)
def test_numpy_gives_the_same(options, monkeypatch):
    image = picture(2, 50, 70)
    frames = dense_sift(image, **options)
    frames = frames.reshape(-1, frames.shape[2]).astype(np.float64)
    whole = sift_statistics(image, **options)
    monkeypatch.setattr(statistics, "BLOCK_BYTES", 1)  # a row of frames at a time
    for found in (whole, sift_statistics(image, threads=1, **options)):
        assert found.frames == len(frames)
        np.testing.assert_allclose(found.mean, frames.mean(0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found.std, frames.std(0), rtol=1e-6, atol=1e-9)


def test_names_are_means_then_deviations():
    found = sift_statistics(picture(1), step=4)
    names = list(found.features())
    assert len(names) == 256 and names[:2] == ["siftmean_0", "siftmean_1"]
    assert names[128] == "siftstd_0" and names[-1] == "siftstd_127"
    assert found.features()["siftstd_3"] == found.std[3]


def test_one_frame_does_not_vary():
    found = sift_statistics(picture(1, 13, 13))
    assert found.frames == 1 and found.std.max() < 1e-7
    np.testing.assert_allclose(found.mean, dense_sift(picture(1, 13, 13))[0, 0])
