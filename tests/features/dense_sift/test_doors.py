"""What dense SIFT refuses, and what it says."""

import numpy as np
import pytest

from resight.errors import InputError
from resight.features.dense_sift import dense_sift, sift_statistics

IMAGE = np.zeros((30, 40), np.uint8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step must be a whole number from 1 to 65536, got 0"),
        ({"step": 1.5}, "step must be a whole number"),
        ({"step": True}, "step must be a whole number"),
        ({"cell": 0}, "cell must be a whole number from 1 to 256, got 0"),
        ({"cell": "4"}, "cell must be a whole number"),
        ({"window": "gausian"}, "unknown window 'gausian', did you mean 'gaussian'"),
        ({"window": None}, "unknown window None"),
        ({"layout": "open-cv"}, "unknown layout 'open-cv', did you mean 'opencv'"),
        ({"preset": "sift-flow"}, "unknown preset 'sift-flow', did you mean 'siftflow'"),
        ({"border": "crop"}, "unknown border 'crop'"),
        ({"grey": "lumma"}, "unknown grey 'lumma', did you mean 'luma'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"dtype": np.int8}, "unknown dtype 'int8'"),
        ({"orientations": 3}, "orientations must be a whole number from 4 to 36"),
        ({"scales": 4}, "scales must be cell sizes such as"),
        ({"scales": ()}, "scales must be 1 to 16 cell sizes, got 0"),
        ({"scales": (4, 0)}, "scales must be a whole number"),
        ({"scales": (4, 6), "cell": 4}, "say the same thing"),
        ({"smooth": 6}, "smooth must be True or False"),
        ({"smooth": True, "preset": "deepsky"}, "has no pre-smoothing"),
        ({"window": "gaussian", "preset": "deepsky"}, "has no window"),
        ({"window_size": 0}, "window_size must be a number"),
        ({"window_size": float("nan")}, "window_size must be a number"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"cell": 20}, "has no room for a frame"),
        (
            {"out": np.zeros((18, 28, 128))},
            r"out must be a \(18, 28, 128\) array of float32, got \(18, 28, 128\) float64",
        ),
        ({"out": np.zeros((18, 28, 64), np.float32)}, "out must be"),
        ({"out": "x"}, "out must be .* got str"),
        ({"out": np.zeros((18, 28, 256), np.float32)[:, :, ::2]}, "C-contiguous"),
        ({"out": np.broadcast_to(np.float32(0), (18, 28, 128))}, "C-contiguous and writeable"),
    ],
)
def test_options(options, message):
    with pytest.raises(InputError, match=message):
        dense_sift(IMAGE, **options)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((30, 40), np.int32), "must be uint8, or float32 or float64 in .0, 1., got int32"),
        (np.zeros((30, 40), bool), "got bool"),
        (np.zeros((30, 40, 4), np.uint8), r"got shape \(30, 40, 4\)"),
        (np.zeros((2, 30, 40, 3), np.uint8), r"got shape \(2, 30, 40, 3\)"),
        (np.zeros((0, 40), np.uint8), r"got shape \(0, 40\)"),
        ("photo.jpg", "got shape"),
        (np.full((30, 40), np.nan), "not finite"),
        (np.full((30, 40), 1e30), "must be in .0, 1., got 1e"),
    ],
)
def test_images(image, message):
    with pytest.raises(InputError, match=message):
        dense_sift(image)
    with pytest.raises(InputError, match=message):
        sift_statistics(image)


def test_out_is_not_the_image():
    memory = np.zeros(30 * 40 * 600, np.uint8)
    image, out = memory[:1200].reshape(30, 40), memory[: 18 * 28 * 128].reshape(18, 28, 128)
    with pytest.raises(InputError, match="own memory"):
        dense_sift(image, dtype="uint8", out=out)
