import io

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.show.locate_panels import FOOT, GAP, GREEN, HEAD, SIDE, panels_picture
from resight.train.locate_engine import Seen


def seen(marked=0.0, wanted=True):
    mask = np.zeros((48, 48), bool)
    mask[12:36, 12:36] = wanted
    found = np.zeros((48, 48), np.float32)
    found[12:36, 12:24] = marked
    return Seen(picture(1, 48, 48), picture(2, 48, 48), mask, found)


def drawn(samples):
    return np.asarray(Image.open(io.BytesIO(panels_picture(samples))).convert("RGB"))


def tile(page, number):
    """A picture of the first sample, of SIDE pixels."""
    left = GAP + number * (SIDE + GAP)
    return page[HEAD : HEAD + SIDE, left : left + SIDE].astype(int)


def test_four_pictures_of_a_sample():
    one = seen(marked=1.0)
    page = drawn([one])
    step = SIDE // 48
    assert np.array_equal(tile(page, 0)[1::step, 1::step], one.image)
    assert np.array_equal(tile(page, 1)[1::step, 1::step], one.query)
    truth, found = tile(page, 2)[1::step, 1::step], tile(page, 3)[1::step, 1::step]
    assert np.array_equal(truth[~one.mask], one.image[~one.mask])
    inner = (slice(14, 34), slice(14, 34))
    np.testing.assert_allclose(truth[inner], (one.image[inner] + np.array(GREEN)) / 2, atol=1)
    assert (truth[12, 12:36] == GREEN).all() and (truth[35, 12:36] == GREEN).all()  # its edge
    assert (found[20, 23] == GREEN).all() and np.array_equal(found[20, 30], one.image[20, 30])


def test_two_samples_a_row():
    one, three = drawn([seen()]), drawn([seen()] * 3)
    assert three.shape[1] > 2 * one.shape[1] - 4 * GAP
    assert three.shape[0] - one.shape[0] == SIDE + FOOT + GAP
    with pytest.raises(InputError, match="at least one sample"):
        panels_picture([])


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (seen(marked=1.0), "IoU 0.50"), (seen(), "IoU 0.00"), (seen(wanted=False), "absent: nothing marked"),
        (seen(marked=1.0, wanted=False), "absent: 12.5% of the image marked"),
    ],
)  # fmt: skip
def test_what_stands_below(sample, words):
    from resight.show.locate_panels import _words

    assert _words(sample) == words
