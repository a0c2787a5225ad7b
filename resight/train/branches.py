"""One network of timm without its head: (B, 3, S, S) uint8 to a row of features, from pixels or from dense SIFT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from resight.errors import InputError, WorkError
from resight.models import Preprocessing
from resight.train.stems import SiftMap

AGREE = 1e-2  # of the largest feature: half precision rounds; a head of another kind is far off


class Pixels(nn.Module):
    """uint8 pixels as the weights expect them, the arithmetic of `Preprocessing.normalise` with buffers."""

    mean: Tensor
    scale: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1) * 255.0)
        self.register_buffer("scale", 1.0 / (torch.tensor(preprocessing.std).view(1, 3, 1, 1) * 255.0))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, 3, H, W) float32, channels_last."""
        return ((pixels.float() - self.mean) * self.scale).contiguous(memory_format=torch.channels_last)


class Branch(nn.Module):
    """What enters a network (pixels, or dense SIFT), the network, and its penultimate features.

    backbone  name of the timm model;  weights, hash  of what it started from
    features  how many numbers describe an image (K)
    """

    def __init__(self, entry: Pixels | SiftMap, model: nn.Module, facts: dict[str, Any], size: int) -> None:
        super().__init__()
        self.entry, self.model = entry, model
        self.backbone, self.weights, self.hash = (str(facts[key]) for key in ("backbone", "weights", "hash"))
        self.stem, self.sift = facts.get("stem"), facts.get("sift")
        self.preprocessing: Preprocessing = facts["preprocessing"]
        self.features = count_features(self, size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, K)."""
        return self.pool(self.last(pixels))

    def last(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> what the network has before its head, in timm's own layout."""
        model: Any = self.model
        return cast(Tensor, model.forward_features(self.entry(pixels)))

    def pool(self, last: Tensor) -> Tensor:
        """What `last` gives -> (B, K): all of the head but its last layer."""
        model: Any = self.model
        found = cast(Tensor, model.forward_head(last, pre_logits=True))
        return found.mean((2, 3)) if found.ndim == 4 else found

    def maps(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, K, h, w), of which the mean over places is `forward`.

        Raises InputError if the network's head does something else than this mean.
        """
        last = self.last(pixels)
        found = grid(self.model, last)
        pooled = self.pool(last).float()
        if found is None or found.shape[:2] != pooled.shape or _apart(found.float().mean((2, 3)), pooled):
            raise InputError(
                f"{self.backbone} does not describe an image by the mean of its last map: choose a network that does, "
                "such as resnet18 or tf_efficientnet_lite0"
            )
        return found

    def record(self) -> dict[str, Any]:
        """All that is needed to build it again, but its weights; as JSON can hold it."""
        own = self.preprocessing
        return {
            "backbone": self.backbone, "weights": self.weights, "hash": self.hash, "stem": self.stem,
            "sift": self.sift, "features": self.features,
            "preprocessing": {
                "mean": list(own.mean), "std": list(own.std), "interpolation": own.interpolation, "crop": own.crop,
                "size": own.size,
            },
        }  # fmt: skip


def count_features(branch: Branch, size: int) -> int:
    """K of a branch, by an image of `size` pixels a side. Raises InputError if it cannot take one."""
    trial = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    with trying(branch, size):
        found = branch(trial)
    if found.ndim != 2:
        raise InputError(f"{branch.backbone} describes an image by {tuple(found.shape[1:])} values, expected a row")
    return int(found.shape[1])


@contextmanager
def trying(branch: Branch, size: int) -> Iterator[None]:
    """A pass that changes nothing: evaluation mode, no gradients. Raises InputError for a size that cannot be."""
    was = branch.training
    branch.eval()
    try:
        with torch.no_grad():
            yield
    except (AssertionError, IndexError, AttributeError, RuntimeError) as error:
        if isinstance(error, WorkError):
            raise
        what, other = f"images of {size} x {size} pixels", "size"
        if branch.sift is not None:
            what, other = f"{what} described by {branch.sift} through stem {branch.stem}", "size, step or stem"
        first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{branch.backbone} cannot take {what}: {first}; try another {other}") from error
    finally:
        branch.train(was)


def grid(model: nn.Module, last: Any) -> Tensor | None:
    """What a network has before its head as (B, K, h, w), or None if it is no grid; tokens are laid out squarely."""
    if not isinstance(last, Tensor) or (hasattr(model, "cls_token") and not hasattr(model, "num_prefix_tokens")):
        return None  # several maps; or PiT and VOLO, of which only the class token is left
    if last.ndim == 3:
        tokens = last[:, int(getattr(model, "num_prefix_tokens", 0)) :]
        side = round(tokens.shape[1] ** 0.5)
        whole = side * side == tokens.shape[1]
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side) if whole else None
    if last.ndim == 4 and str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC"):
        return last.permute(0, 3, 1, 2)
    return last if last.ndim == 4 else None


def _apart(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() > AGREE * other.abs().max().clamp(min=1e-6))
