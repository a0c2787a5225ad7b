"""Samples: where the thing is said to be, it is; and the seed alone decides."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import picture

from resight.errors import ImageError, InputError, WorkError
from resight.images import resize
from resight.match.planes import project
from resight.train.locate_changes import change
from resight.train.locate_options import LocateOptions, make_locate_options
from resight.train.locate_samples import LEAST, TRAIN, VAL, Pool, Samples, draw_box, make_sample

S = 96
STILL = {
    "size": S, "rotate": 0.0, "flip": 0.0, "negative": 0.0, "scale": 1.0, "perspective": 0.0, "occlude": 0.0,
    "light": 0.0, "noise": 0.0,
}  # fmt: skip
PICTURES = {place: picture(place, 120, 160) for place in range(6)}
BOXED = Pool(PICTURES, (0, 1), ((0, (20.0, 10.0, 60.0, 50.0)), (1, (80.0, 40.0, 150.0, 100.0))))
FREE = Pool(PICTURES, tuple(range(6)))


def made(number=0, pool=BOXED, **options):
    return make_sample(pool, LocateOptions(**{**STILL, **options}), (0, TRAIN, 0, number))


def test_unchanged():
    """The image as it is, the box as it is, the crop in the middle of black."""
    for number in range(4):
        sample = made(number)
        place = 0 if np.array_equal(sample.image, resize(PICTURES[0], (S, S), "bilinear")) else 1
        x1, y1, x2, y2 = BOXED.things[place][1]
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) * (S / 160, S / 120)
        np.testing.assert_allclose(sample.corners, corners, atol=1e-9)
        rows, columns = np.nonzero(sample.mask)
        assert (columns.min(), rows.min()) == pytest.approx(np.ceil(corners[0] - 0.5))
        assert (columns.max() + 1, rows.max() + 1) == pytest.approx(np.ceil(corners[2] - 0.5))
        middle = np.array([(160 - (x2 - x1)) // 2, (120 - (y2 - y1)) // 2]) * (S / 160, S / 120)
        rows, columns = np.nonzero(sample.query.any(2))
        assert abs(columns.min() - middle[0]) <= 1.5 and abs(rows.min() - middle[1]) <= 1.5


def shifted(sample):
    """Mean difference between the query and what the mask shows, the one laid over the other by its corners."""
    rows, columns = np.nonzero(sample.query.any(2))
    low, high = np.array([columns.min(), rows.min()]) + 1, np.array([columns.max(), rows.max()])
    unit = np.array([[x, y] for y in np.linspace(0.15, 0.85, 8) for x in np.linspace(0.15, 0.85, 8)])
    there = low - 1 + unit * (high - low + 2)
    a, b, c, d = sample.corners
    x, y = unit[:, :1], unit[:, 1:]
    here = a * (1 - x) * (1 - y) + b * x * (1 - y) + c * x * y + d * (1 - x) * y
    values = [np.array([image[int(v), int(u)] for u, v in points], int) for image, points in
              ((sample.query, there), (sample.image, np.clip(here, 0, S - 1)))]  # fmt: skip
    return np.abs(values[0] - values[1]).mean()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"flip": 1.0}, {"rotate": 1.0}, {"rotate": 1.0, "flip": 1.0}, {"scale": 1.5}, {"perspective": 0.05},
        {"scale": 1.5, "perspective": 0.05, "rotate": 0.5, "flip": 0.5},
    ],
)  # fmt: skip
def test_the_thing_is_where_the_corners_say(options):
    differences = [shifted(made(number, **options)) for number in range(8)]
    assert np.mean(differences) < 12
    wrong = [made(number, **options) for number in range(8)]
    for sample in wrong:
        object.__setattr__(sample, "corners", np.roll(sample.corners, 2, axis=0))  # upside down
    assert np.mean([shifted(one) for one in wrong]) > 20


def test_mirrored_together():
    plain, mirrored = made(3), made(3, flip=1.0)
    assert np.array_equal(mirrored.query, plain.query[:, ::-1])
    assert np.array_equal(mirrored.mask, plain.mask[:, ::-1])
    assert np.abs(mirrored.image.astype(int) - plain.image[:, ::-1]).max() <= 1
    np.testing.assert_allclose(
        mirrored.corners, project(np.array([[-1, 0, S], [0, 1, 0], [0, 0, 1]]), plain.corners)[[1, 0, 3, 2]]
    )


def test_a_query_of_another_image():
    for number in range(5):
        sample, plain = made(number, negative=0.9), made(number)
        if sample.corners is None:
            assert not sample.mask.any() and not np.array_equal(sample.query, plain.query)
            assert np.array_equal(sample.image, plain.image)  # only the query is another
    absent = [made(number, negative=0.2).corners is None for number in range(400)]
    assert np.mean(absent) == pytest.approx(0.2, abs=0.06)


def test_covered_from_one_side_by_a_part():
    shares = []
    for number in range(30):
        plain, covered = made(number, pool=FREE), made(number, pool=FREE, occlude=1.0)
        assert np.array_equal(plain.mask, covered.mask)  # it is there, seen or not
        differs = (plain.image != covered.image).any(2)
        assert differs[plain.mask].any()
        shares.append(differs[plain.mask].mean())
    assert min(shares) > 0.05 and max(shares) < 0.7 and 0.2 < np.mean(shares) < 0.4


def test_the_same_seed_the_same_sample_another_another():
    given = {"scale": 2.0, "perspective": 0.2, "rotate": 0.5, "occlude": 0.5, "light": 0.5, "noise": 0.5, "flip": 0.5}
    one, same, other = (made(number, pool=FREE, **given) for number in (1, 1, 2))
    for name in ("image", "query", "mask"):
        assert np.array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.image, other.image)


def test_validation_is_the_same_in_every_epoch_and_training_is_not():
    options = make_locate_options(size=S)
    train, val = (Samples(FREE, options, part) for part in (TRAIN, VAL))
    assert np.array_equal(val.sample(0, 3).image, val.sample(7, 3).image)
    assert not np.array_equal(train.sample(0, 3).image, train.sample(1, 3).image)
    assert not np.array_equal(train.sample(0, 3).image, val.sample(0, 3).image)


def test_batches_hold_samples():
    samples = Samples(FREE, make_locate_options(size=S), TRAIN)
    batch = samples[2, (5, 9, 11)]
    assert (batch.images.shape, batch.masks.shape) == ((3, 3, S, S), (3, 1, S, S))
    assert (batch.images.dtype, batch.queries.dtype, batch.masks.dtype) == (torch.uint8, torch.uint8, torch.bool)
    one = samples.sample(2, 9)
    assert np.array_equal(batch.images[1].permute(1, 2, 0).numpy(), one.image)
    assert np.array_equal(batch.queries[1].permute(1, 2, 0).numpy(), one.query)
    assert np.array_equal(batch.masks[1, 0].numpy(), one.mask)


def test_an_image_that_is_gone_is_one_line():
    class Gone(dict):
        def __getitem__(self, place):
            raise ImageError("a.jpg", "no such file")

    found = Samples(Pool(Gone(), (0, 1)), make_locate_options(size=S), TRAIN)[0, (1, 2)]
    assert isinstance(found, WorkError) and "could be read before" in str(found)


@given(st.integers(0, 10**9), st.integers(32, 300), st.integers(32, 300))
def test_boxes_by_chance(seed, height, width):
    x1, y1, x2, y2 = draw_box((height, width), np.random.default_rng(seed))
    assert x1 >= 0 and x2 <= width and y1 >= 0 and y2 <= height
    assert min(x2 - x1, y2 - y1) >= LEAST and max(x2 - x1, y2 - y1) <= max(LEAST, 0.6 * min(height, width)) * 1.42 + 1
    assert all(float(value).is_integer() for value in (x1, y1, x2, y2))


def test_door():
    with pytest.raises(InputError, match="at least 32 pixels a side, got 31 x 99"):
        draw_box((99, 31), np.random.default_rng(0))
    with pytest.raises(InputError, match="at least two images with something in them"):
        make_sample(Pool(PICTURES, (0,)), LocateOptions(**{**STILL, "negative": 0.9}), (0, 1, 0, 5))


@given(st.integers(0, 10**9))
def test_changes_of_light(seed):
    image = picture(1, 40, 50)
    still = change(image, np.random.default_rng(seed), light=0.0, noise=0.0)
    assert np.array_equal(still, image) and still is not image
    found = change(image, np.random.default_rng(seed), light=1.0, noise=1.0)
    assert found.shape == image.shape and found.dtype == np.uint8
    assert np.array_equal(found, change(image, np.random.default_rng(seed), light=1.0, noise=1.0))


def test_changes_by_hand():
    from resight.train.locate_changes import blur, gamma, grain, jitter, side_light, tint

    flat = np.full((20, 30, 3), 100, np.float32)
    for number in range(5):
        dice = [np.random.default_rng(number) for _ in range(6)]
        value = gamma(flat, dice[0])[0, 0, 0]
        assert 255 * (100 / 255) ** 1.8 - 1e-3 <= value <= 255 * (100 / 255) ** (1 / 1.8) + 1e-3
        lit = side_light(flat, dice[1])
        assert lit.mean() == pytest.approx(100, rel=1e-4) and 0 < np.ptp(lit) <= 100 + 1e-3
        assert np.ptp(tint(flat, dice[2]), axis=(0, 1)).max() == 0  # each channel by one factor
        assert tint(flat, dice[2]).min() >= 75 and tint(flat, dice[2]).max() <= 125
        np.testing.assert_allclose(blur(flat, dice[3]), flat, rtol=1e-5)
        assert np.ptp(jitter(flat, dice[4])) < 1e-3  # grey stays grey
        rough = grain(flat, dice[5])
        assert rough.mean() == pytest.approx(100, abs=2) and rough.std() < 13
