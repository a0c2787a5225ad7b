"""One image, one vector: the same by every road, equal to the computation by hand, and a key that says which space."""

import copy
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from samples import picture

import resight.features.encoder as encoder_module
from resight.errors import ImageError, InputError
from resight.features import fuse_scales
from resight.features.activation import class_vectors
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.features.pipeline import encode_stream
from resight.images import crop_box, fit, read_image, resize
from resight.models import PACKAGED, Backbone
from resight.models.backbone import choose_device
from resight.models.weights import lukemelas_keys, packaged_file, read_state

LITE0 = "tf_efficientnet_lite0"
_LOADED = {}
pytestmark = pytest.mark.usefixtures("one_thread")


def make(**options):
    """An encoder on the CPU whose network is loaded once for all tests here."""
    made = Encoder(**{"device": "cpu", "size": 96, **options})
    c = made.config
    network = (c.backbone, c.weights, c.precision, str(choose_device(c.device)))
    if network not in _LOADED:
        _LOADED[network] = Backbone(c.backbone, weights=c.weights, precision=c.precision, device=c.device)
    return Encoder.from_config(c, made.part_whitening, backbone=_LOADED[network])


def by_hand(pixels, mean=127, std=128):
    """(h, w, 3) uint8 -> last map of lite0 (1280, h/32, w/32), by timm alone."""
    model = _LOADED.get("timm")
    if model is None:
        model = _LOADED["timm"] = timm.create_model(LITE0).eval()
        model.load_state_dict(lukemelas_keys(read_state(packaged_file(LITE0)), model))
    inputs = ((pixels.astype(np.float32) - mean) / std).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        return model.forward_features(torch.from_numpy(np.ascontiguousarray(inputs)))[0].numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


# By hand


@pytest.mark.oracle
def test_spoc_by_hand():
    image = picture(3)
    expected = unit(by_hand(resize(image, (96, 96), "bicubic")).mean((1, 2)))
    np.testing.assert_allclose(make(descriptor="spoc").encode(image), expected, atol=1e-5)


@pytest.mark.oracle
def test_spoc_by_hand_with_pillow_at_the_native_size():
    """Pillow's resize differs from torch's by a grey level here and there: the vectors are nearly the same."""
    image = picture(4, 300, 400)
    small = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    expected = unit(by_hand(small).mean((1, 2)))
    assert float(make(descriptor="spoc", size=None).encode(image) @ expected) > 0.9999


@pytest.mark.oracle
def test_gem_by_hand_with_a_centre_crop():
    image = picture(5, 200, 300)
    scaled = int(96 / 0.875)
    small = resize(image, (scaled, scaled * 300 // 200), "bicubic")
    top, left = round((small.shape[0] - 96) / 2), round((small.shape[1] - 96) / 2)
    maps = by_hand(small[top : top + 96, left : left + 96]).clip(1e-6)
    expected = unit((maps.astype(np.float64) ** 3).mean((1, 2)) ** (1 / 3))
    np.testing.assert_allclose(make(descriptor="gem", fit="crop").encode(image), expected, atol=1e-5)


def test_several_scales_are_the_mean_over_inputs_resized_by_hand():
    image = picture(6)
    several = make(descriptor="gem:p=4", scales=(1, 0.5))
    inputs = several.backbone.normalise(torch.from_numpy(several.fit(image)).permute(2, 0, 1)[None])
    half = torch.nn.functional.interpolate(inputs, (48, 48), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        parts = [several.descriptor.pool(several.backbone.maps(seen)) for seen in (inputs, half)]
        expected = fuse_scales(torch.stack(parts), 4.0)[0]
    np.testing.assert_allclose(several.encode(image), expected, atol=1e-5)
    np.testing.assert_allclose(parts[0][0], make(descriptor="gem:p=4").encode(image), atol=1e-5)


def test_a_stage_is_pooled_as_the_last_map_is():
    image = picture(7)
    early = make(descriptor="spoc", stage=1)
    inputs = early.backbone.normalise(torch.from_numpy(early.fit(image)).permute(2, 0, 1)[None])
    with torch.inference_mode():
        maps = early.backbone.model.forward_intermediates(inputs, indices=[1], intermediates_only=True)[0]
    np.testing.assert_allclose(early.encode(image), unit(maps[0].mean((1, 2)).numpy()), atol=1e-5)
    assert early.dim == 24


# The same by every road


@pytest.mark.parametrize(
    "options",
    [
        {"descriptor": "gem"},
        {"descriptor": "gem", "fit": "crop"},
        {"descriptor": "gem", "fit": "longest"},
        {"descriptor": "rmac", "fit": "longest"},
        {"descriptor": "rmac", "scales": (1, 0.7071, 0.5)},
        {"descriptor": "cam:count=8"},
        {"descriptor": "cam:count=8", "fit": "longest", "scales": (1, 1.4)},
    ],
    ids=str,
)
def test_alone_in_a_batch_or_in_a_stream_the_vector_is_the_same(options):
    encoder = make(**options)
    images = [picture(n, *shape) for n, shape in enumerate([(60, 80), (130, 100), (80, 60), (60, 80), (200, 40)] * 2)]
    alone = np.stack([encoder.encode(image) for image in images])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_fitted([encoder.fit(i) for i in images]), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_many(images), alone, atol=1e-5)
    streamed = [result.vector for result in encode_stream(encoder, images, read_image, workers=3)]
    np.testing.assert_allclose(np.stack(streamed), alone, atol=1e-5)


def test_path_array_and_pillow_are_the_same_image(tmp_path):
    image, encoder = picture(1), make(descriptor="spoc")
    Image.fromarray(image).save(tmp_path / "i.png")
    expected = encoder.encode(image)
    for source in (tmp_path / "i.png", str(tmp_path / "i.png"), Image.fromarray(image), np.asfortranarray(image)):
        assert np.array_equal(encoder.encode(source), expected)


@pytest.mark.parametrize("box", [(10, 5, 50, 45), (-5.5, 3.2, 30.1, 400)])
def test_a_box_is_the_crop(box):
    image, encoder = picture(2), make(descriptor="gem")
    assert np.array_equal(encoder.encode(image, box=box), encoder.encode(crop_box(image, box)))
    assert not np.allclose(encoder.encode(image, box=box), encoder.encode(image), atol=1e-3)


def test_a_box_outside():
    with pytest.raises(InputError, match="overlaps the image"):
        make(descriptor="gem").encode(picture(0), box=(500, 500, 510, 510))


@pytest.mark.parametrize("way", sorted(["squash", "crop", "longest"]))
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 900), (33, 31)])
def test_slivers_are_images_too(way, shape):
    encoder = make(descriptor="rmac", fit=way)
    image = picture(8, *shape)
    fitted, vector = encoder.fit(image), encoder.encode(image)
    assert min(fitted.shape[:2]) >= 32 and max(fitted.shape[:2]) <= 96
    assert vector.shape == (1280,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_sliver_repeats_its_edge():
    image = picture(9, 2, 64)
    fitted = make(fit="longest").fit(image)
    assert np.array_equal(fitted[:2], image)
    assert np.array_equal(fitted[2:], np.repeat(image[1:], 30, axis=0))


def test_large_passes_are_split(monkeypatch):
    encoder, images = make(descriptor="spoc"), [picture(n) for n in range(5)]
    whole = encoder.encode_fitted([encoder.fit(i) for i in images])
    seen = []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda pixels: seen.append(len(pixels)) or forward(pixels))
    monkeypatch.setattr(encoder_module, "CPU_PIXELS_PER_PASS", 2 * 96 * 96)
    np.testing.assert_allclose(encoder.encode_fitted([encoder.fit(i) for i in images]), whole, atol=1e-5)
    assert seen == [2, 2, 1]


def test_no_images_give_an_empty_table():
    encoder = make(descriptor="spoc")
    for empty in (encoder.encode_many([]), encoder.encode_fitted([])):
        assert empty.shape == (0, 1280) and empty.dtype == np.float32


def test_the_first_unreadable_image_is_raised(tmp_path):
    with pytest.raises(ImageError, match=r"gone.jpg: no such file"):
        make(descriptor="spoc").encode_many([picture(0), tmp_path / "gone.jpg"])


def test_the_random_numbers_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make(descriptor="rmac", scales=(1, 0.5)).encode(picture(0))
    assert torch.equal(torch.get_rng_state(), before)


# The space


def test_the_key_changes_with_every_choice_that_matters(tmp_path):
    changes = [
        {}, {"descriptor": "gem:p=4"}, {"descriptor": "mac"}, {"size": 128}, {"fit": "crop"}, {"fit": "longest"},
        {"scales": (1, 0.5)}, {"stage": -1}, {"precision": "bfloat16"}, {"weights": "random"},
    ]  # fmt: skip
    keys = [make(**change).key for change in changes]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 for key in keys)


def test_the_key_does_not_change_with_what_does_not_matter():
    key = make(size=224).key
    assert make(size=None).key == key  # the native size
    assert make(size=224, descriptor="GeM:p=3.0").key == key
    assert make(size=224, device="auto").key == key
    assert make(size=224, weights=str(packaged_file(LITE0))).key == key  # the same tensors


def test_the_key_knows_the_preprocessing():
    other = make()
    other._backbone = copy.copy(other.backbone)
    p = PACKAGED[LITE0].preprocessing
    other._backbone.preprocessing = type(p)((0.485, 0.456, 0.406), p.std, p.interpolation, p.crop, p.size)
    assert other.key != make().key


def test_bfloat16_is_near():
    for seed in range(3):
        image = picture(seed)
        found = make(descriptor="gem", precision="bfloat16").encode(image)
        assert found.dtype == np.float32 and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        assert float(found @ make(descriptor="gem").encode(image)) > 0.99


# Doors and life


def test_cam_needs_a_linear_head():
    encoder = make(descriptor="cam", backbone="vit_tiny_patch16_224", weights="random", size=224)
    with pytest.raises(InputError, match="cam needs the weight"):
        encoder.encode(picture(0))


def test_cam_of_an_earlier_stage_takes_its_activation_maps_from_the_last():
    """As in the paper, where conv5_1 is described and the CAMs come from behind it; sizes are brought together."""
    staged = make(descriptor="cam:count=3", stage=2)
    look = staged.view(picture(0)).look
    assert look.maps.shape[1:] != look.source.shape[1:]
    last = staged.backbone.maps(staged.backbone.normalise(_batch(staged, picture(0))))
    evidence = torch.einsum("ck,khw->chw", staged.backbone.head_weight[look.best_classes(3)[0]], last[0]).relu()
    cams = torch.nn.functional.interpolate(
        (evidence / evidence.amax((1, 2), keepdim=True))[None], look.maps.shape[2:], mode="bilinear"
    )
    expected = class_vectors(look.maps, cams).sum(1)[0]
    np.testing.assert_allclose(staged.encode(picture(0)), expected / expected.norm(), atol=1e-5)


def _batch(encoder, image):
    return torch.from_numpy(encoder.fit(image)[None]).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"descriptr": "gem"}, "unknown encoder option 'descriptr', did you mean 'descriptor'"),
        ({"size": 8}, "size must be 32..4096"),
    ],
)
def test_door(options, message):
    with pytest.raises(InputError, match=message):
        Encoder(**options)


def test_a_backbone_without_weights_says_so_when_it_is_needed():
    encoder = Encoder("resnet50")
    with pytest.raises(InputError, match="no package carries weights for 'resnet50'"):
        encoder.encode(picture(0))


def test_the_config_makes_the_same_encoder():
    config = EncoderConfig(descriptor="rmac:levels=2", size=64, scales=(1, 0.5), fit="crop", device="cpu")
    assert Encoder.from_config(config).config == config


def test_encoders_may_share_a_loaded_backbone():
    loaded = make(descriptor="spoc").backbone
    config = EncoderConfig(descriptor="gem:p=4", size=96, device="cpu")
    shared = Encoder.from_config(config, backbone=loaded)
    assert shared.backbone is loaded and shared.config == config
    assert np.array_equal(shared.encode(picture(0)), make(descriptor="gem:p=4").encode(picture(0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "resnet18"}, "expected backbone 'resnet18', got 'tf_efficientnet_lite0'"),
        ({"weights": "random"}, "expected weights 'random', got 'package'"),
        ({"precision": "bfloat16"}, "expected precision 'bfloat16', got 'float32'"),
        ({"backbone": "resnet18", "weights": "hub"}, "expected backbone 'resnet18', .*; weights 'hub', got 'package'"),
    ],
)
def test_a_backbone_that_does_not_fit_the_configuration_is_refused(change, message):
    loaded = make().backbone
    with pytest.raises(InputError, match=message):
        Encoder.from_config(EncoderConfig(**{"device": "cpu", **change}), backbone=loaded)


def test_a_backbone_on_another_device_is_refused():
    loaded = copy.copy(make().backbone)
    loaded.device = torch.device("cuda")
    with pytest.raises(InputError, match="expected device 'cpu', got 'cuda'"):
        Encoder.from_config(EncoderConfig(device="cpu"), backbone=loaded)


def test_it_prints_what_differs_from_the_default():
    assert repr(Encoder()) == "Encoder('tf_efficientnet_lite0')"
    assert repr(Encoder("resnet50", size=96, scales=[1, 0.5])) == "Encoder('resnet50', size=96, scales=(1.0, 0.5))"


def test_threads_that_ask_at_once_load_one_network(monkeypatch):
    loads, together = [], threading.Barrier(8)

    def slow(name, **options):
        loads.append(name)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr(encoder_module, "Backbone", slow)
    encoder, found = Encoder(), []

    def ask():
        together.wait()
        found.append(encoder.backbone)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [LITE0] and len(found) == 8 and len(set(map(id, found))) == 1


def test_copies_and_pickles_give_the_same_vector():
    encoder = make(descriptor="spoc")
    expected = encoder.encode(picture(0))
    for other in (copy.copy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert np.array_equal(other.encode(picture(0)), expected)


def test_fit_is_the_fit_of_images():
    image, p = picture(1, 90, 150), PACKAGED[LITE0].preprocessing
    for way in ("squash", "crop", "longest"):
        assert np.array_equal(make(fit=way).fit(image), fit(image, 96, way, p.interpolation, p.crop))


@pytest.mark.parametrize("name", ["gem:p=4", "rmac", "cam:count=5"])
def test_looking_and_pooling_are_the_two_halves_of_a_descriptor(name):
    """One look, pooled by the encoder and by another one with its descriptor, gives what `encode_fitted` gives."""
    encoder = Encoder("test_resnet", weights="random", size=48, scales=(1, 0.5), descriptor=name)
    images = [picture(number, 48, 48) for number in range(3)]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    looks = Encoder.from_config(replace(encoder.config, descriptor="spoc"), backbone=encoder.backbone).look_at_scales(
        pixels, head=True
    )
    assert len(looks) == 2
    np.testing.assert_allclose(encoder.pool(looks).numpy(), encoder.encode_fitted(images), atol=1e-6)
