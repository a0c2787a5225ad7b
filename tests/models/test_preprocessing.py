"""The pixels a set of weights expects, in numbers."""

import numpy as np
import pytest
import timm
import torch

from resight.models import PACKAGED, Preprocessing

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic", 0.875, 224)


def test_the_lite_models_see_pixel_minus_127_over_128():
    pixels = torch.tensor([0, 127, 255, 1], dtype=torch.uint8).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    expected = torch.tensor([-127 / 128, 0.0, 1.0, -126 / 128]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    torch.testing.assert_close(
        PACKAGED["tf_efficientnet_lite0"].preprocessing.normalise(pixels), expected, atol=1e-6, rtol=0
    )


def test_each_channel_has_its_own_mean_and_std():
    found = IMAGENET.normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten().tolist()
    assert found == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], abs=1e-5)


def test_equals_torchvisions_own_steps():
    from torchvision.transforms import v2

    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7), np.uint8))
    peer = v2.Normalize(IMAGENET.mean, IMAGENET.std)(pixels.float() / 255)
    torch.testing.assert_close(IMAGENET.normalise(pixels), peer, atol=2e-6, rtol=0)


def test_the_result_is_channels_last_of_the_dtype_asked_for():
    found = IMAGENET.normalise(torch.zeros(2, 3, 4, 5, dtype=torch.uint8), torch.bfloat16)
    assert found.dtype == torch.bfloat16 and found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18.a1_in1k", Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic", 0.95, 224)),
        ("resnet18.tv_in1k", Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 0.875, 224)),
        ("vgg16.tv_in1k", Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 0.875, 224)),
        ("vit_tiny_patch16_224", Preprocessing((0.5,) * 3, (0.5,) * 3, "bicubic", 0.9, 224)),
        ("inception_v3.tf_in1k", Preprocessing((0.5,) * 3, (0.5,) * 3, "bicubic", 0.875, 299)),
    ],
)
def test_of_timm(name, expected):
    assert Preprocessing.of_timm(timm.get_pretrained_cfg(name).to_dict()) == expected


def test_of_timm_fills_what_a_config_leaves_open():
    found = Preprocessing.of_timm(
        {"mean": [0, 0, 0], "std": [1, 1, 1], "input_size": (3, 200, 192), "interpolation": "nearest", "crop_pct": None}
    )
    assert found == Preprocessing((0, 0, 0), (1, 1, 1), "bicubic", 0.875, 192)
