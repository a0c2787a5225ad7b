"""Columns of one network equal what the encoder and timm's own modules give, from one pass."""

import numpy as np
import pytest
import timm
import torch

from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.features.extractors import make_extractors, split_layer
from resight.features.wanted import parse_wanted

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM = EncoderConfig("resnet18", weights="random", size=96, device="cpu")


def image(seed=0, shape=(80, 120, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def table(text, images, config=RANDOM):
    """Column name -> values of all images."""
    found = {}
    for extractor in make_extractors(parse_wanted(text), config):
        rows = extractor.finish([extractor.prepare(one) for one in images])
        for place, feature in enumerate(extractor.features):
            found[feature.name] = np.array([row[place] for row in rows])
            assert all(len(row[place]) == feature.width for row in rows)
    return found


def test_descriptors_are_the_encoders():
    images = [image(0), image(1)]
    found = table("gem,gem:p=4,rmac:resnet18,cam:count=8", images)
    assert list(found) == ["gem:resnet18", "gem:resnet18,p=4", "rmac:resnet18", "cam:resnet18,count=8"]
    for name, descriptor in zip(found, ["gem", "gem:p=4", "rmac", "cam:count=8"], strict=True):
        encoder = Encoder("resnet18", weights="random", size=96, device="cpu", descriptor=descriptor)
        np.testing.assert_allclose(found[name], encoder.encode_many(images), atol=2e-6)


def test_layers_are_what_timm_gives():
    found = table("layer:layer2,layer:resnet18.conv1,pool=max,layer:fc,side=in,layer:resnet18.fc", [image(0)])
    assert list(found) == [
        "layer:resnet18.layer2", "layer:resnet18.conv1,pool=max", "layer:resnet18.fc,side=in", "layer:resnet18.fc",
    ]  # fmt: skip
    encoder = Encoder("resnet18", weights="random", size=96, device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model("resnet18").eval()
    pixels = torch.from_numpy(encoder.fit(image(0))).permute(2, 0, 1)[None]
    x = encoder.backbone.preprocessing.normalise(pixels, torch.float32)
    with torch.inference_mode():
        first = model.conv1(x)
        second = model.layer2(model.layer1(model.maxpool(model.act1(model.bn1(model.conv1(x))))))
        pooled, logits = model.forward_head(model.forward_features(x), pre_logits=True), model(x)
    expected = [second.mean((2, 3)), first.amax((2, 3)), pooled, logits]
    for values, own in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(values, own.numpy(), rtol=1e-4, atol=1e-4 * float(own.abs().max()))


def test_layers_and_descriptors_together_equal_each_alone():
    images = [image(0), image(2), image(1, (96, 96, 3))]
    text = ["layer:layer3", "gem", "layer:global_pool", "cam:count=4"]
    together = table(",".join(text), images)
    for one in text:
        for name, values in table(one, images).items():
            np.testing.assert_allclose(together[name], values, rtol=1e-4, atol=2e-6)


def test_the_head_goes_on_from_the_maps_where_it_can(monkeypatch):
    (made,) = make_extractors(parse_wanted("gem,layer:global_pool"), RANDOM)
    passes = []
    forward = made.backbone.model.forward_features
    monkeypatch.setattr(made.backbone.model, "forward_features", lambda x: passes.append(len(x)) or forward(x))
    made.finish([made.prepare(image())])
    assert passes == [1]
    vit = EncoderConfig("vit_tiny_patch16_224", weights="random", device="cpu")  # its head takes tokens, not a map
    (made,) = make_extractors(parse_wanted("gem,layer:head"), vit)
    (alone,) = make_extractors(parse_wanted("layer:head"), vit)
    values = made.finish([made.prepare(image())])[0]
    np.testing.assert_allclose(values[1], alone.finish([alone.prepare(image())])[0][0], atol=1e-5)


def test_class_token_of_a_transformer():
    config = EncoderConfig("vit_tiny_patch16_224", weights="random", device="cpu")
    found = table("layer:blocks.2,pool=cls,layer:blocks.2,prefix=mean_", [image()], config)
    assert [values.shape for values in found.values()] == [(1, 192), (1, 192)]
    assert list(found) == ["layer:vit_tiny_patch16_224.blocks.2,pool=cls", "mean_layer:vit_tiny_patch16_224.blocks.2"]


def test_patches_before_the_class_token_joins_them_all_count():
    config = EncoderConfig("vit_tiny_patch16_224", weights="random", device="cpu")
    (made,) = make_extractors(parse_wanted("layer:patch_embed,layer:patch_embed,pool=flatten,layer:blocks.0"), config)
    mean, flat, _ = made.finish([made.prepare(image())])[0]
    np.testing.assert_allclose(mean, flat.reshape(196, 192).mean(0), atol=1e-6)
    with pytest.raises(InputError, match="class token"):
        make_extractors(parse_wanted("layer:patch_embed,pool=cls"), config)


def test_wrong_words_are_told_before_weights_are_missed():
    for text in ("layer:resnet18.layer3,pool=foo", "gem:resnet18,q=3"):
        with pytest.raises(InputError, match="unknown"):
            make_extractors(parse_wanted(text), EncoderConfig())  # resnet18 has no packaged weights


def test_two_sizes_of_one_network_are_two_passes():
    extractors = make_extractors(parse_wanted("gem,gem:size=64,spoc"), RANDOM)
    assert [[feature.name for feature in one.features] for one in extractors] == [
        ["gem:resnet18", "spoc:resnet18"], ["gem:resnet18,size=64"],
    ]  # fmt: skip
    assert [one.settings["size"] for one in extractors] == [96, 64]


def test_settings_name_weights_and_preprocessing():
    (extractor,) = make_extractors(parse_wanted("gem"), RANDOM)
    assert extractor.settings["weights"] == extractor.backbone.hash
    assert extractor.settings["features"] == ["gem:resnet18"]
    assert extractor.settings["mean"] == pytest.approx([0.485, 0.456, 0.406])


def test_a_layer_without_its_network():
    assert split_layer("resnet50.layer3.0", "vgg16") == ("resnet50", "layer3.0")
    assert split_layer("blocks.3", "vit_tiny_patch16_224") == ("vit_tiny_patch16_224", "blocks.3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer:resnet18.layer9", r"unknown layer of resnet18 'layer9', did you mean"),
        ("layer:resnet18.layer3,pool=median", "unknown pooling of a layer 'median'"),
        ("layer:resnet18.layer3,pol=max", "unknown option of layer 'pol', did you mean 'pool'"),
        ("layer:resnet18.layer3,side=up", "unknown side of a layer 'up'"),
        ("gem:q=3", "unknown option of gem 'q'"),
        ("gem:resnet19", "unknown backbone 'resnet19'"),
        ("gem:size=big", "size of gem:size=big must be a whole number"),
        ("layer", "which layer"),
        ("gem,gem:resnet18", "two columns would have the name 'gem:resnet18'"),
    ],
)
def test_doors(text, message):
    with pytest.raises(InputError, match=message):
        make_extractors(parse_wanted(text), RANDOM)


def test_a_weights_file_belongs_to_one_network(tmp_path):
    config = EncoderConfig("resnet18", weights=str(tmp_path / "w.pth"))
    with pytest.raises(InputError, match="give gem:resnet34 its own"):
        make_extractors(parse_wanted("gem:resnet34"), config)
