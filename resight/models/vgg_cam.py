"""VGG-16-CAM: VGG-16 without its last pooling, one more convolution, global average pooling and a linear head.

Zhou 2016 ("Learning Deep Features for Discriminative Localization", section 3); Jimenez 2017 describe images with it.
`register` makes it a model of timm: `Backbone("vgg16_cam")`, `timm.create_model("vgg16_cam")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.classifier import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, is_model, register_model
from timm.models._features import feature_take_indices
from torch import nn

from resight.errors import InputError

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CONV5_1 = 10  # the stage that Jimenez 2017 describe images by: 512 channels, stride 16

default_cfgs = generate_default_cfgs(
    {
        "vgg16_cam": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (14, 14),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            # Caffe's ImageNet pixels: the mean colour taken off, nothing divided. In RGB; BGR files are turned at load.
            "mean": (123.68 / 255, 116.779 / 255, 103.939 / 255),
            "std": (1 / 255, 1 / 255, 1 / 255),
            "first_conv": "features.0",
            "classifier": "classifier",
        }
    }
)


class VggCam(nn.Module):
    """A chain of 3x3 convolutions with ReLU, one more of them for the class maps, and a linear head on its mean.

    blocks        output channels of the convolutions, a 2x2 max pooling between blocks (none after the last)
    cam_channels  output channels of the last convolution: what the head pools

    Stages of `forward_intermediates` are the convolutions after ReLU, in order. For VGG-16: 0 conv1_1, 1 conv1_2,
    2 conv2_1, ..., 7 conv4_1, ..., 10 conv5_1, 11 conv5_2, 12 conv5_3, 13 (or -1) the map that the head pools.
    Parameters: features.N (as torchvision counts VGG-16), conv, classifier.
    """

    global_pool: Any  # timm's pooling module

    def __init__(
        self, blocks: Sequence[Sequence[int]] = VGG16, cam_channels: int = 1024, num_classes: int = 1000,
        in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.features, self.feature_info = _trunk(blocks, in_chans)
        width, stride = self.feature_info[-1]["num_chs"], self.feature_info[-1]["reduction"]
        self.conv = nn.Conv2d(width, cam_channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.feature_info.append({"num_chs": cam_channels, "reduction": stride, "module": "relu"})
        self.num_features = self.head_hidden_size = cam_channels
        self.reset_classifier(num_classes, global_pool)
        self.head_drop = nn.Dropout(drop_rate)
        self.apply(_initialise)

    def get_classifier(self) -> nn.Module:
        """The linear head (identity if it has no classes)."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head for other classes; the pooling stays as it is unless given ("avg", or "" for none)."""
        pool = global_pool if global_pool is not None else self.global_pool.pool_type
        self.num_classes = num_classes
        self.global_pool, head = create_classifier(self.num_features, num_classes, pool_type=pool)
        self.classifier: nn.Module = head.to(device=self.conv.weight.device, dtype=self.conv.weight.dtype)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's grouping of parameters by depth, for learning rates by layer."""
        return {"stem": r"^features\.0", "blocks": r"^features\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Only "off" is possible. Raises InputError if enabled."""
        if enable:
            raise InputError("vgg16_cam has no gradient checkpointing: use a smaller batch or smaller images")

    def forward_intermediates(
        self, x: torch.Tensor, indices: int | list[int] | None = None, norm: bool = False, stop_early: bool = False,
        output_fmt: str = "NCHW", intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:  # fmt: skip
        """The maps of some stages, before them the last map unless `intermediates_only`; arguments as in timm.

        x:       (B, 3, H, W)
        indices: stages as the class counts them; a number n for the last n; None for all

        Raises InputError for another layout than NCHW, AssertionError (timm's own) for a stage that is not there.
        """
        if output_fmt != "NCHW":
            raise InputError(f"vgg16_cam gives maps as NCHW, not {output_fmt!r}")
        wanted, last = feature_take_indices(len(self.feature_info), indices)
        layers = [*self.features, nn.Sequential(self.conv, self.relu)]
        kept, stage = {}, -1
        for layer in layers:
            x = layer(x)
            if isinstance(layer, (nn.ReLU, nn.Sequential)):
                stage += 1
                if stage in wanted:
                    kept[stage] = x
                if stop_early and stage == last:
                    break
        found = [kept[index] for index in sorted(kept)]
        return found if intermediates_only else (x, found)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, cam_channels, h, w): the map that the head pools."""
        found: torch.Tensor = self.relu(self.conv(self.features(x)))
        return found

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, cam_channels, h, w) -> (B, C) logits, or the pooled (B, cam_channels) if `pre_logits`."""
        pooled: torch.Tensor = self.head_drop(self.global_pool(x))
        return pooled if pre_logits else self.classifier(pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        return self.forward_head(self.forward_features(x))

    def why_not(self, state: dict[str, torch.Tensor]) -> str:
        """What to do about weights that lack the layers VGG-16 does not have; empty for any other misfit."""
        if "features.0.weight" not in state or "conv.weight" in state:
            return ""
        return (
            "it holds VGG-16 without the CAM layer and head (conv.*, classifier.*); train these on labelled images, "
            "or give a file that has them"
        )


def _trunk(blocks: Sequence[Sequence[int]], width: int) -> tuple[nn.Sequential, list[dict[str, Any]]]:
    layers: list[nn.Module] = []
    info: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if number:
            layers.append(nn.MaxPool2d(2, 2))
        for channels in block:
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
            info.append({"num_chs": channels, "reduction": 2**number, "module": f"features.{len(layers) - 1}"})
            width = channels
    return nn.Sequential(*layers), info


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def vgg16_cam(pretrained: bool = False, **options: Any) -> nn.Module:
    """timm's entry point: a VggCam with VGG-16's trunk. No weights are published with timm."""
    model: nn.Module = build_model_with_cfg(
        VggCam, "vgg16_cam", pretrained, feature_cfg={"out_indices": (1, 3, 6, 9, 12), "feature_cls": "getter"},
        **options,
    )  # fmt: skip
    return model


def register() -> None:
    """Make timm know `vgg16_cam`; once is enough, more does no harm."""
    if not is_model("vgg16_cam"):
        register_model(vgg16_cam)
