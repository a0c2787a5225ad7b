"""Two images and why they are alike: sums to the encoder's own score, places where they belong, doors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from samples import picture

from resight import Collection, Encoder, EncoderConfig
from resight.errors import ImageError, InputError
from resight.explain.pairs import explain_pair
from resight.explain.seen import Wanted, see, see_each
from resight.features import pca_whitening

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make(encoder):
    """An encoder of 96 pixels with these options, on the network that is loaded already."""

    def made(descriptor="gem", part_whitening=None, **options):
        config = EncoderConfig(descriptor=descriptor, **{"size": 96, **options})
        return Encoder.from_config(config, part_whitening, encoder.backbone)

    return made


def sums(pair, expected, within):
    """Both maps with their constants are the score, which is what was expected."""
    assert pair.score == pytest.approx(expected, abs=within)
    for heat, constant in zip(pair.heats, pair.constants, strict=True):
        assert heat.total + constant == pytest.approx(heat.score, abs=1e-6)
        assert heat.score == pytest.approx(pair.score, abs=1e-9)


@pytest.mark.parametrize(
    ("descriptor", "options"),
    [
        ("spoc", {}),
        ("spoc:centre=true", {"fit": "crop"}),
        ("mac", {"fit": "longest"}),
        ("gem", {}),
        ("gem", {"scales": (1.0, 0.7071)}),
        ("crow", {"stage": 2}),
        ("rmac", {"scales": (1.0, 0.5)}),
        ("cam:count=8", {}),
        ("cam:count=8", {"stage": 3}),
        ("cam:fixed=281+285", {"scales": (1.0, 1.4)}),
    ],
)
def test_maps_sum_to_the_score_of_the_encoder(make, descriptor, options):
    encoder, a, b = make(descriptor, **options), picture(0), picture(1, 90, 50)
    pair = explain_pair(a, b, encoder, match=False)
    sums(pair, float(encoder.encode(a) @ encoder.encode(b)), 1e-5)
    assert pair.constants == (0, 0)
    assert pair.matches is None
    assert len(pair.heats[0].parts) == (len(options["scales"]) if "scales" in options else 0)


def test_maps_sum_on_photographs(real_images, make):
    a, b = sorted(real_images("corel1k").glob("*.jpg"))[:2]
    encoder = make("rmac", size=224)
    sums(explain_pair(a, b, encoder, match=False), float(encoder.encode(a) @ encoder.encode(b)), 1e-5)


def test_a_collection_explains_in_its_whitened_space(make, tmp_path, photos):
    with Collection.create(tmp_path / "c.resight", make("gem")) as made:
        made.add(photos)
        how = made.whiten(6)
        a, b = photos / "a" / "0.jpg", photos / "a" / "1.jpg"
        pair = explain_pair(a, b, made, match=False)
        raw = [made.encoder.encode(one) for one in (a, b)]
        sums(pair, float(how.apply(raw[0][None])[0] @ how.apply(raw[1][None])[0]), 1e-4)
        assert min(map(abs, pair.constants)) > 1e-4
    again = explain_pair(a, b, tmp_path / "c.resight", match=False)
    np.testing.assert_allclose(again.heats[1].map, pair.heats[1].map, atol=1e-6)


def test_whitened_class_vectors(make):
    sample = np.random.default_rng(0).normal(size=(40, 1280)).astype(np.float32)
    encoder = make("cam:count=8", part_whitening=pca_whitening(sample, 16))
    a, b = picture(0), picture(3)
    pair = explain_pair(a, b, encoder, match=False)
    sums(pair, float(encoder.encode(a) @ encoder.encode(b)), 1e-4)
    assert pair.constants != (0, 0)


@pytest.mark.parametrize("box_on", ["pixels", "map"])
@pytest.mark.parametrize("descriptor", ["spoc", "cam:count=8"])
def test_a_box_is_described_as_the_encoder_does(make, box_on, descriptor):
    encoder, a, b, box = make(descriptor), picture(0, 120, 160), picture(1), (33.0, 21.5, 100.0, 90.0)
    pair = explain_pair(a, b, encoder, boxes=(box, None), box_on=box_on, match=False)
    sums(pair, float(encoder.encode(a, box=box, box_on=box_on) @ encoder.encode(b)), 1e-5)
    x1, y1, x2, y2 = pair.heats[0].box
    if box_on == "pixels":
        assert (x1, y1, x2, y2) == pytest.approx((33, 21, 100, 90), abs=1e-9)
    else:  # 3 x 3 cells of 160/3 x 40 pixels: those that the box touches
        assert (x1, y1, x2, y2) == pytest.approx((0, 0, 2 * 160 / 3, 120), abs=1e-9)
    assert pair.heats[0].size == (120, 160)
    outside = pair.heats[0].spread()
    assert not outside[:, int(np.ceil(x2)) + 1 :].any()


def test_a_box_on_the_map_needs_one_scale(make):
    with pytest.raises(InputError, match="one scale only"):
        explain_pair(picture(0), picture(1), make(scales=(1.0, 0.5)), boxes=((0, 0, 9, 9), None), box_on="map")


def test_what_is_alike_lies_where_it_was_put(make, real_images):
    """The same photograph at the right of one image and at the left of the other, on plain grey."""
    path = sorted(real_images("corel1k").glob("*.jpg"))[0]
    photo = np.asarray(Image.open(path).convert("RGB").resize((112, 224)))
    a, b = np.full((2, 224, 224, 3), 127, np.uint8)
    a[:, 112:], b[:, :112] = photo, photo
    pair = explain_pair(a, b, make("spoc", size=224), match=False)
    first, second = (heat.map for heat in pair.heats)
    assert first[:, 4:].sum() > 2 * abs(first[:, :3].sum())
    assert second[:, :3].sum() > 2 * abs(second[:, 4:].sum())


def test_points_agree_in_an_image_and_its_moved_copy():
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (40, 50, 3), np.uint8)
    big = np.asarray(Image.fromarray(noise).resize((400, 320), Image.Resampling.BICUBIC))
    pair = explain_pair(big[:300, :360], big[20:, 40:], Encoder(descriptor="spoc", size=64))
    assert len(pair.matches) > 50
    moved = np.median(pair.matches.query - pair.matches.result, axis=0)
    np.testing.assert_allclose(moved, [40, 20], atol=0.5)
    assert repr(pair) == f"<Pair of image and image, similarity {pair.score:.3f}, {len(pair.matches)} points agree>"


def test_nothing_agrees_in_smooth_pictures(make):
    assert explain_pair(picture(0), picture(1), make("spoc")).matches is None


def test_an_image_and_itself(make):
    pair = explain_pair(picture(0), picture(0), make("gem"), match=False)
    assert pair.score == pytest.approx(1, abs=1e-9)
    np.testing.assert_array_equal(pair.heats[0].map, pair.heats[1].map)


def test_the_sheet_shows_both(make, tmp_path):
    pair = explain_pair(picture(0), picture(1), make("gem"), match=False)
    image = pair.sheet(tmp_path / "pair.png", side=64)
    assert Image.open(tmp_path / "pair.png").size == image.size
    assert 128 <= image.width <= 140


def test_a_stream_keeps_the_order_and_says_what_cannot_be_read(make, tmp_path):
    encoder = make("spoc")
    wanted = [Wanted(picture(0)), Wanted(tmp_path / "none.jpg"), Wanted(picture(1, 50, 120))]
    first, lost, last = see_each(encoder, wanted)
    assert isinstance(lost, ImageError)
    torch.testing.assert_close(first.vector, see(encoder, wanted[0]).vector, rtol=0, atol=1e-6)
    assert (first.size, last.size) == ((60, 80), (50, 120))


def test_doors(make, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        explain_pair(picture(0), tmp_path / "none.jpg", make("spoc"))
    with pytest.raises(InputError, match="did you mean 'gem'"):
        explain_pair(picture(0), picture(1), "gme")
    with pytest.raises(InputError, match="no collection"):
        explain_pair(picture(0), picture(1), tmp_path / "none.resight")
    with pytest.raises(InputError, match="overlaps the image"):
        explain_pair(picture(0), picture(1), make("spoc"), boxes=(None, (500, 0, 600, 9)))
    with pytest.raises(InputError, match="got int"):
        explain_pair(picture(0), picture(1), 3)
