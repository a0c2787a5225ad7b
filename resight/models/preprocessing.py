"""The pixels a set of weights expects. It belongs to the weights, not to the architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Preprocessing:
    """How uint8 pixels become the network's input.

    mean, std      per channel, of pixels in [0, 1]
    interpolation  of the resize: "bicubic" or "bilinear"
    crop           share of the side that a centre crop keeps (used by fit="crop")
    size           native input side in pixels
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop: float
    size: int

    @staticmethod
    def of_timm(config: dict[str, Any]) -> Preprocessing:
        """What timm records for an architecture's published weights (`model.pretrained_cfg`)."""
        interpolation = config.get("interpolation") or "bicubic"
        return Preprocessing(
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=interpolation if interpolation in ("bicubic", "bilinear") else "bicubic",
            crop=float(config.get("crop_pct") or 0.875),
            size=int(config["input_size"][-1]),
        )

    def normalise(self, pixels: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The network's input, channels_last.

        pixels: (B, 3, H, W)  uint8
        ->      (B, 3, H, W)  (pixels / 255 - mean) / std, in `dtype`
        """
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1) * 255.0
        scale = 1.0 / (torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1) * 255.0)
        return ((pixels.float() - mean) * scale).to(dtype=dtype, memory_format=torch.channels_last)
