"""What a new first convolution does to a network: shapes, weights, and the sums themselves."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from network_samples import photos, sift_network
from torch import nn

from resight.errors import InputError
from resight.features.dense_sift import DenseSift, dense_sift
from resight.train.options import make_options
from resight.train.stems import SiftMap, make_sift

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = (
    "resnet18", "resnetblur18", "regnetx_002", "tf_efficientnet_lite0", "mobilenetv2_035", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "convnext_atto", "densenet121", "repvgg_a0", "mobileone_s0", "ghostnet_050", "pvt_v2_b0",
    "fastvit_t8", "vgg16_cam", "dla46_c", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
)  # fmt: skip


def headless(name: str, **given) -> nn.Module:
    model = timm.create_model(name, **given).eval()
    model.reset_classifier(0)
    return model


def by_numba(pixels: torch.Tensor, **options) -> torch.Tensor:
    found = [dense_sift(one.permute(1, 2, 0).contiguous().numpy(), border="keep", **options) for one in pixels]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("options", [{"step": 4}, {"step": 3, "cell": 6, "preset": "deepsky"}, {"preset": "siftflow"}])
@pytest.mark.parametrize("threads", [1, 2])
def test_both_ways_of_computing_the_map_agree(options, threads):
    before, pixels = torch.get_num_threads(), photos(3, 61)
    kept, sift = pixels.clone(), SiftMap(**options)
    torch.set_num_threads(threads)
    try:
        found = sift(pixels)
    finally:
        torch.set_num_threads(before)
    assert found.shape[2] == found.shape[3] == sift.side(61) == -(-61 // options.get("step", 1))
    assert torch.allclose(found, DenseSift(border="keep", **options)(pixels), atol=1e-5)
    assert torch.equal(found[:1], sift(pixels[:1]))
    assert torch.equal(pixels, kept)


@pytest.mark.parametrize(("text", "channels", "side"), [
    ("vlfeat:step=4", 128, 16), ("siftflow:step=2,orientations=4", 64, 32), ("deepsky", 64, 64),
    ("vlfeat:step=8,cell=6,window=gaussian", 128, 8),
])  # fmt: skip
def test_options_become_a_descriptor(text, channels, side):
    sift = make_sift(make_options(sift=text, stem="full"))
    assert (sift.channels, sift.side(64)) == (channels, side)


@pytest.mark.oracle
@pytest.mark.parametrize(("backbone", "sift"), [
    ("resnet18", "vlfeat:step=1"), ("resnet18", "deepsky:step=2"), ("tf_efficientnet_lite0", "vlfeat:step=2"),
    ("convnext_atto", "siftflow:step=1"), ("vit_tiny_patch16_224", "vlfeat:step=1"),
])  # fmt: skip
def test_full_is_timms_own_network_on_more_channels(backbone, sift):
    network, pixels = sift_network(backbone, "full", sift), photos()
    branch = network.branches["sift"]
    step = int(sift[-1])
    options = {"step": step} if sift.startswith("vlfeat") else {"step": step, "preset": sift.partition(":")[0]}
    descriptors = by_numba(pixels, **options)
    sized = {"img_size": 64 // step} if backbone.startswith("vit") else {}
    peer = headless(backbone, in_chans=descriptors.shape[1], **sized)
    peer.load_state_dict(branch.model.state_dict())
    with torch.no_grad():
        found, expected = network.features(pixels), peer.forward_head(peer.forward_features(descriptors), True)
    assert expected.abs().max() > 0.01
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.oracle
def test_conv_and_patch_of_a_resnet_by_hand():
    for stem, step, first, pool in (
        ("conv", 1, nn.Conv2d(128, 64, 5, 2, 1, bias=False), nn.MaxPool2d(3, 2, 1)),
        ("patch", 4, nn.Conv2d(128, 64, 1, bias=False), nn.Identity()),
    ):
        network, pixels = sift_network("resnet18", stem, f"vlfeat:step={step}"), photos()
        peer = headless("resnet18")
        peer.conv1, peer.maxpool = first, pool
        peer.load_state_dict(network.branches["sift"].model.state_dict())
        with torch.no_grad():
            assert torch.allclose(network.features(pixels), peer(by_numba(pixels, step=step)), atol=1e-4)


@pytest.mark.parametrize("backbone", FAMILIES)
def test_patch_ends_in_the_map_of_the_network_on_pixels(backbone):
    size = 96 if backbone == "swin_tiny_patch4_window7_224" else 64
    network = sift_network(backbone, "patch", "vlfeat:step=4", size)
    peer, model = headless(backbone), network.branches["sift"].model
    if backbone.startswith(("vit", "swin")):
        peer.set_input_size(size)
    with torch.no_grad():
        expected = peer.forward_features(torch.zeros(1, 3, size, size)).shape
        assert model.forward_features(torch.zeros(1, 128, size // 4, size // 4)).shape == expected
    firsts = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.in_channels == 128]
    assert firsts[0].stride[0] == (4 if backbone.startswith("vit") else 1)
    own, other = model.state_dict(), peer.state_dict()
    assert own.keys() == other.keys()
    firsts = 2 if backbone in ("repvgg_a0", "mobileone_s0", "fastvit_t8") else 1  # parallel ones
    assert sum(own[key].shape != other[key].shape for key in own) == firsts


@pytest.mark.parametrize(("backbone", "stem", "first"), [
    ("resnet18", "full", ((7, 7), (2, 2), (3, 3))), ("resnet18", "conv", ((5, 5), (2, 2), (1, 1))),
    ("resnet18", "patch", ((1, 1), (1, 1), (0, 0))), ("convnext_atto", "conv", ((5, 5), (4, 4), (1, 1))),
    ("convnext_atto", "patch", ((1, 1), (1, 1), (0, 0))), ("vgg16_cam", "patch", ((1, 1), (1, 1), (0, 0))),
    ("vit_tiny_patch16_224", "conv", ((16, 16), (16, 16), (0, 0))),
    ("vit_tiny_patch16_224", "patch", ((4, 4), (4, 4), (0, 0))), ("pit_ti_224", "patch", ((4, 4), (2, 2), (0, 0))),
])  # fmt: skip
def test_the_first_convolution_of_each_stem(backbone, stem, first):
    sift = "vlfeat:step=4" if stem == "patch" else "vlfeat:step=1"
    network = sift_network(backbone, stem, sift, 224 if backbone == "pit_ti_224" else 64)
    found = next(module for module in network.branches["sift"].model.modules() if isinstance(module, nn.Conv2d))
    assert (found.kernel_size, found.stride, found.padding) == first
    assert found.in_channels == 128


def test_all_but_the_first_convolution_comes_from_the_weights(tmp_path):
    torch.manual_seed(7)
    trained = timm.create_model("convnext_atto", num_classes=10)
    nn.init.ones_(trained.stem[0].bias)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    for stem, step in (("full", 1), ("conv", 1), ("patch", 4)):
        network = sift_network("convnext_atto", stem, f"vlfeat:step={step}", weights=str(tmp_path / "w.pth"))
        own, given = network.branches["sift"].model.state_dict(), trained.state_dict()
        new = {key for key in own if own[key].shape != given[key].shape or not torch.equal(own[key], given[key])}
        assert new == {"stem.0.weight", "stem.0.bias"}
        assert network.fresh == ("sift: first convolution (128 -> 40 channels)", "head")


@pytest.mark.parametrize(("backbone", "stem", "sift", "message"), [
    ("tresnet_m", "patch", "vlfeat:step=4", r"stem patch cannot be made for tresnet_m: use stem full \(its last map"),
    ("levit_128s", "patch", "vlfeat:step=4", "stem patch cannot be made for levit_128s: use stem full"),
    ("mixer_s32_224", "full", "vlfeat:step=2", "described by vlfeat:step=2 through stem full.*try another size, step"),
])  # fmt: skip
def test_a_stem_that_cannot_be_is_told(backbone, stem, sift, message):
    with pytest.raises(InputError, match=message):
        sift_network(backbone, stem, sift, 224)
