"""The embedding network: a backbone's last map, pooled, projected, each time brought to length 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resight.errors import InputError, WorkError
from resight.features.descriptor import parse_descriptor
from resight.features.look import Look, describe
from resight.features.maps import unit
from resight.features.whitening import Whitening
from resight.models import Preprocessing
from resight.models.backbone import Backbone
from resight.train.embed_options import EmbedOptions


class Projection(nn.Module):
    """y = L2((x - mean) @ weight): a `Whitening` whose mean (D,) and weight (D, d) are trained."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width))
        self.weight = nn.Parameter(torch.eye(width, dim))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) -> (B, d), float32, whatever the precision around it."""
        with torch.autocast(vectors.device.type, enabled=False):
            return unit((vectors.float() - self.mean.float()) @ self.weight.float())

    def take(self, fitted: Whitening) -> None:
        """Begin with a fitted projection, its weight times one number so that its columns have length 1 on average.

        That number changes no vector, but a step of the optimiser would otherwise mean another thing for each
        way of fitting.
        """
        weight = torch.from_numpy(np.array(fitted.projection))
        length = float(weight.double().norm()) / math.sqrt(weight.shape[1])
        self.mean = nn.Parameter(torch.from_numpy(np.array(fitted.mean)))
        self.weight = nn.Parameter(weight / length)


class EmbedNetwork(nn.Module):
    """Pixels in, unit vectors out. The backbone is always in evaluation mode: a vector does not depend on its batch.

    width    numbers of a pooled map (D);  frozen  whether the backbone stays as it is
    """

    def __init__(self, view: Backbone, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone = view.model
        self._view = [view]  # in a list: no part of this module, but copied with it
        self._facts = dict(facts)
        self.descriptor = parse_descriptor(str(facts["descriptor"]))
        self.preprocessing: Preprocessing = facts["preprocessing"]
        self.size, self.frozen = int(facts["size"]), True
        self.width = self._pooled_width() if facts.get("width") is None else int(facts["width"])
        self.projection = Projection(self.width, int(facts.get("dim") or self.width))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, d)."""
        return self.classify(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, D), pooled, before the projection."""
        view = self._view[0]
        inputs = self.preprocessing.normalise(pixels.to(self.projection.mean.device))
        maps, source = view.look(inputs, source=self.descriptor.name == "cam")
        if source is None:
            return describe(Look(maps), self.descriptor).float()
        weight, bias = view.head_weight, view.head_bias
        if weight is None or bias is None:
            return describe(Look(maps, source), self.descriptor).float()
        logits = source.float().mean((2, 3)) @ weight.T + bias
        return describe(Look(maps, source, weight, logits), self.descriptor).float()

    def classify(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, d): what is left of the network behind kept features."""
        found: Tensor = self.projection(features)
        return found

    def train(self, mode: bool = True) -> EmbedNetwork:
        """As in torch, but the backbone stays in evaluation mode, its batch normalisation with it."""
        super().train(mode)
        self.backbone.eval()
        return self

    def take(self, fitted: Whitening) -> None:
        """Begin with a fitted projection."""
        device = self.projection.mean.device
        self.projection.take(fitted)
        self.projection.to(device)

    def record(self) -> dict[str, Any]:
        """Facts as JSON can hold them: `rebuild_embed_network` builds the same network of them, without its weights."""
        known = asdict(self.preprocessing)
        return {
            **self._facts, "width": self.width, "dim": int(self.projection.weight.shape[1]),
            "preprocessing": {key: list(value) if isinstance(value, tuple) else value for key, value in known.items()},
        }  # fmt: skip

    def _pooled_width(self) -> int:
        with torch.no_grad():
            self.projection = Projection(1, 1)  # only for its device
            return int(self.features(torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8)).shape[1])


def make_embed_network(options: EmbedOptions, record: Mapping[str, Any] | None = None) -> EmbedNetwork:
    """The network that the options ask for, with the identity for a projection; the rest of it ready to be trained.

    record: of a network that was made before: its projection has that shape

    Raises InputError for an unknown backbone, weights that are missing or do not fit, a pooling that the network
    cannot have; WorkError for a damaged file or a failed download.
    """
    view = Backbone(options.backbone, weights=options.weights, device="cpu", fold=False)
    facts = {
        "backbone": options.backbone, "weights": options.weights, "hash": view.hash, "descriptor": options.pool,
        "size": options.size or view.preprocessing.size, "fit": options.fit, "preprocessing": view.preprocessing,
        "classes": _head_rows(view), "dim": None if record is None else record["dim"], "width": None,
    }  # fmt: skip
    network = EmbedNetwork(view, facts).train()
    release(network, options.tune)
    return network


def rebuild_embed_network(record: Mapping[str, Any], tune: str) -> EmbedNetwork:
    """The network that a run has recorded, with random weights, for its own to be loaded into.

    Raises InputError if the record is damaged.
    """
    try:
        view = Backbone(str(record["backbone"]), weights="random", device="cpu", fold=False)
        facts = {**record, "preprocessing": _preprocessing(record["preprocessing"])}
        rows, model = int(record["classes"]), view.model
        reset: Any = getattr(model, "reset_classifier", None)
        if rows and rows != _head_rows(view) and reset is not None:
            reset(rows)
        network = EmbedNetwork(view, facts).train()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the record of the network is damaged: {error!r}") from error
    release(network, tune)
    return network


def release(network: EmbedNetwork, tune: str) -> None:
    """Let the parameters learn that `tune` names; those that no vector depends on (a classifier's) never do.

    Raises InputError if the last block of the backbone is not known.
    """
    network.requires_grad_(False)
    network.projection.requires_grad_(True)
    network.frozen = tune == "head"
    if tune == "head":
        return
    wanted = _used(network)
    if tune == "last":
        wanted &= last_block(network.backbone, wanted)
    for name, one in network.backbone.named_parameters():
        one.requires_grad_(name in wanted)


def last_block(model: nn.Module, used: set[str]) -> set[str]:
    """Names of the parameters behind the last but one of timm's stages: layer4 of a ResNet, conv5 of VGG-16, the last
    block of a transformer.

    used: names of the parameters that count

    Raises InputError for a network whose stages timm does not tell.
    """
    stages = [str(one.get("module", "")) for one in getattr(model, "feature_info", None) or [] if isinstance(one, dict)]
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    for stage in reversed(stages[:-1]):
        inside = [place for name, place in order.items() if name == stage or name.startswith(f"{stage}.")]
        found = {name for name in used if inside and order[name.rpartition(".")[0]] > inside[-1]}
        if found:
            return found
    raise InputError(f"the stages of {type(model).__name__} are not known, so neither is its last block: tune head, or "
                     "all")  # fmt: skip


def _used(network: EmbedNetwork) -> set[str]:
    """Names of the backbone's parameters that a vector depends on."""
    network.backbone.requires_grad_(True)
    size = network.size
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        pixels = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    try:
        torch.autograd.backward(network.features(pixels).sum())
    except RuntimeError as error:
        raise WorkError(f"{network.record()['backbone']} cannot be trained: {str(error).splitlines()[0]}") from error
    found = {name for name, one in network.backbone.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


def _head_rows(view: Backbone) -> int:
    head: Any = getattr(view.model, "get_classifier", lambda: None)()
    return int(getattr(head, "out_features", 0) or getattr(head, "out_channels", 0))


def _preprocessing(facts: Any) -> Preprocessing:
    """A `Preprocessing` from a record, which may come from a file."""
    (r, g, b), (dr, dg, db) = ([float(value) for value in facts[key]] for key in ("mean", "std"))
    return Preprocessing((r, g, b), (dr, dg, db), str(facts["interpolation"]), float(facts["crop"]), int(facts["size"]))
