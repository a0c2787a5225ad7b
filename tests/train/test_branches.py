"""A branch against the library's own backbone, timm's own head, and the arithmetic of its pixels."""

from __future__ import annotations

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from network_samples import photos, rgb_network, sift_network

from resight.errors import InputError
from resight.models import PACKAGED, Backbone, Preprocessing
from resight.train.branches import Pixels, grid

pytestmark = pytest.mark.usefixtures("one_thread")


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0.05, 300))
def test_pixels_are_normalised_as_everywhere(seed, mean, std):
    made = Preprocessing((mean, 0.5, 1.0), (std, 0.2, 1 / 255), "bicubic", 0.9, 32)
    pixels = photos(1, 16) if seed == 0 else torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    kept = pixels.clone()
    assert torch.equal(Pixels(made)(pixels), made.normalise(pixels))
    assert torch.equal(pixels, kept)


@pytest.mark.oracle
def test_features_are_those_of_the_backbone():
    pixels = photos(2, 224)
    backbone = Backbone(device="cpu", fold=False)
    branch = rgb_network("tf_efficientnet_lite0", 224, weights="package").branches["rgb"]
    inputs = backbone.normalise(pixels)
    with torch.no_grad():
        features = branch(pixels)
        assert torch.allclose(features, backbone.maps(inputs).mean((2, 3)), atol=1e-5)
        assert torch.allclose(branch.maps(pixels), backbone.maps(inputs), atol=1e-5)
        logits = features @ backbone.head_weight.T + backbone.head_bias
        assert torch.allclose(logits, backbone.logits(inputs), atol=1e-4)
    assert branch.hash == backbone.hash
    assert branch.preprocessing == PACKAGED["tf_efficientnet_lite0"].preprocessing


@pytest.mark.oracle
@pytest.mark.parametrize("backbone", [
    "resnet18", "mobilenetv3_small_050", "convnext_atto", "vgg16_cam", "densenet121", "deit_tiny_distilled_patch16_224",
    "regnetx_002", "crossvit_9_240", "pit_ti_224",
])  # fmt: skip
def test_the_features_are_what_timms_last_layer_takes(backbone):
    size = int(backbone[-3:]) if backbone.endswith(("_224", "_240")) else 64
    branch, pixels = rgb_network(backbone, size).branches["rgb"], photos(2, size)
    peer = timm.create_model(backbone, num_classes=7).eval()
    peer.load_state_dict(branch.model.state_dict(), strict=False)
    heads = peer.get_classifier()
    taken: list[torch.Tensor] = []
    for head in heads if isinstance(heads, (tuple, list, torch.nn.ModuleList)) else [heads]:
        head.register_forward_hook(lambda _, takes, gives: taken.append(takes[0]))
    with torch.no_grad():
        found = branch(pixels)
        peer(branch.preprocessing.normalise(pixels))
    several = backbone == "crossvit_9_240"  # a head for each scale; DeiT's two heads see a token each
    expected = torch.cat(taken, 1) if several else torch.stack(taken).mean(0)
    assert found.shape == expected.shape == (2, branch.features)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("make", [
    lambda: rgb_network("resnet18"), lambda: sift_network("test_resnet", "full", "vlfeat:step=2"),
    lambda: sift_network("resnet18", "patch", "vlfeat:step=4"), lambda: rgb_network("swin_tiny_patch4_window7_224", 96),
])  # fmt: skip
def test_the_mean_of_the_maps_is_the_features(make):
    network = make()
    (branch,) = network.branches.values()
    pixels = photos(2, network.size)
    kept = pixels.clone()
    with torch.no_grad():
        maps, features = branch.maps(pixels), branch(pixels)
        one_by_one = torch.cat([branch(one[None]) for one in pixels])
    assert maps.shape[:2] == features.shape
    assert torch.allclose(maps.mean((2, 3)), features, atol=1e-5)
    assert torch.allclose(one_by_one, features, atol=1e-5)
    assert torch.equal(pixels, kept)


@pytest.mark.parametrize("backbone", [
    "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto", "pit_ti_224", "poolformer_s12",
])  # fmt: skip
def test_a_head_that_does_not_pool_by_the_mean_has_no_maps(backbone):
    branch = rgb_network(backbone, 224 if backbone == "pit_ti_224" else 64).branches["rgb"]
    with pytest.raises(InputError, match=f"{backbone} does not describe an image by the mean of its last map"):
        branch.maps(photos(2, 224 if backbone == "pit_ti_224" else 64))


def test_a_vision_transformer_that_pools_by_the_mean_has_them():
    branch = rgb_network("vit_tiny_patch16_224", 64).branches["rgb"]
    model = branch.model
    model.global_pool, model.fc_norm = "avg", torch.nn.Identity()
    with torch.no_grad():
        maps = branch.maps(photos())
        assert torch.allclose(maps.mean((2, 3)), branch(photos()), atol=1e-5)
    assert maps.shape == (2, 192, 4, 4)


def test_tokens_are_laid_out_row_by_row():
    model = torch.nn.Identity()
    model.num_prefix_tokens = 2
    tokens = torch.arange(11.0).view(1, 11, 1).expand(1, 11, 3)
    assert grid(model, tokens)[0, 0].tolist() == [[2, 3, 4], [5, 6, 7], [8, 9, 10]]
    assert grid(model, tokens[:, :10]) is None
    assert grid(model, [tokens]) is None


@pytest.mark.parametrize(("backbone", "size", "message"), [
    ("mixer_s32_224", 64, r"mixer_s32_224 cannot take images of 64 x 64 pixels: .*; try another size"),
    ("vit_tiny_patch16_224", 72, None),
])  # fmt: skip
def test_a_size_that_cannot_be_is_told(backbone, size, message):
    if message is None:
        assert rgb_network(backbone, size).branches["rgb"](photos(1, size)).shape == (1, 192)
        return
    with pytest.raises(InputError, match=message):
        rgb_network(backbone, size)
