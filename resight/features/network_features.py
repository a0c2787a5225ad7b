"""Descriptors and layers of one network, all from one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, unknown
from resight.features.config import EncoderConfig
from resight.features.descriptor import Descriptor, parse_descriptor
from resight.features.encoder import Encoder
from resight.features.extractors import Feature, split_layer
from resight.features.layer_pooling import POOLING_NAMES, pool_layer
from resight.features.look import Look, describe
from resight.features.wanted import NETWORK_OPTIONS, Wanted
from resight.models.backbone import Backbone
from resight.models.taps import Tap, Taps

LAYER_OPTIONS = ("pool", "side", "prefix")
Vectors = NDArray[np.float32]
Column = Callable[[Look | None, dict[Tap, torch.Tensor]], torch.Tensor]


class NetworkExtractor:
    """All that is wanted of one network. With layers among it, its normalisations are not folded away.

    Raises InputError for an unknown option, pooling or layer, or what the network cannot give.
    """

    slow = False

    def __init__(self, config: EncoderConfig, wanted: Sequence[Wanted]) -> None:
        for one in wanted:
            _check(one, config)  # before a network is loaded, or its weights are missed
        layers = any(one.kind == "layer" for one in wanted)
        self.backbone = Backbone(
            config.backbone, weights=config.weights, device=config.device, precision=config.precision, fold=not layers
        )
        self.on_cpu = self.backbone.device.type == "cpu"
        self.encoder = Encoder.from_config(config, backbone=self.backbone)
        self._columns: dict[str, Column] = {}
        self._described = any(one.kind != "layer" for one in wanted)
        self._head = any(one.kind == "cam" for one in wanted)
        taps: list[Tap] = []
        for one in wanted:
            if one.kind == "layer":
                taps.append(self._add_layer(one))
            else:
                self._add_descriptor(one)
        self._taps = Taps(self.backbone, taps) if taps else None
        self._head_goes_on = self._described and self._taps is not None and self._continues(self._taps)
        trial = self.finish([self.prepare(np.zeros((self.encoder.size, self.encoder.size, 3), np.uint8))])[0]
        self.features = tuple(Feature(name, len(vector)) for name, vector in zip(self._columns, trial, strict=True))
        p = self.backbone.preprocessing
        self.settings: dict[str, Any] = {
            "features": list(self._columns), "backbone": self.backbone.name, "weights": self.backbone.hash,
            "size": self.encoder.size, "fit": config.fit, "precision": config.precision, "mean": list(p.mean),
            "std": list(p.std), "interpolation": p.interpolation,
        }  # fmt: skip
        if self._described and self.encoder.projection is not None:
            self.settings["projection"] = self.encoder.projection.key

    def _add_layer(self, one: Wanted) -> Tap:
        options = _options(one, LAYER_OPTIONS)
        _, module = split_layer(one.subject, self.backbone.name)
        if not module:
            raise InputError(f"{one}: which layer? write layer:{self.backbone.name}.MODULE, see `resight layers "
                             f"{self.backbone.name}`")  # fmt: skip
        tap, how = Tap(module, options.get("side", "out")), options.get("pool", "avg")
        model: Any = self.backbone.model
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        last = str(getattr(model, "output_fmt", "")).endswith("NHWC")

        places = getattr(getattr(model, "patch_embed", None), "num_patches", None)

        def column(_: Look | None, heard: dict[Tap, torch.Tensor]) -> torch.Tensor:
            values = heard[tap]
            plain = values.ndim == 3 and values.shape[1] == places  # before the class token joins the patches
            return pool_layer(values, how, prefix=0 if plain else prefix, channels_last=last)

        self._add(f"layer:{self.backbone.name}.{module}", one, {"pool": "avg", "side": "out"}, column)
        return tap

    def _add_descriptor(self, one: Wanted) -> None:
        descriptor, projected = _descriptor(one), self.encoder.projection is not None

        def column(look: Look | None, _: dict[Tap, torch.Tensor]) -> torch.Tensor:
            if look is None:
                raise WorkError("a descriptor without a look")  # cannot be: there is one if any is wanted
            return torch.from_numpy(self.encoder.describe(look)) if projected else describe(look, descriptor)

        self._add(f"{one.kind}:{self.backbone.name}", one, {}, column)

    def _add(self, name: str, one: Wanted, defaults: dict[str, str], column: Column) -> None:
        """A column named after the network, and after those of its options that are not at their default."""
        said = [f"{key}={text}" for key, text in one.without("prefix", "weights").items() if defaults.get(key) != text]
        name = one.take("prefix").get("prefix", "") + ",".join([name, *said])
        if name in self._columns:
            raise InputError(f"two columns would have the name {name!r}: give one of them another with prefix=TEXT")
        self._columns[name] = column

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image in the size that the network takes."""
        return self.encoder.fit(image)

    def finish(self, prepared: list[NDArray[np.uint8]]) -> list[list[Vectors]]:
        """For each image one vector per column."""
        return self.encoder.in_batches(prepared, self._run)

    def _run(self, pixels: torch.Tensor) -> list[list[Vectors]]:
        with torch.inference_mode():
            look, heard = self._pass(pixels)
            columns = [column(look, heard).float().cpu().numpy() for column in self._columns.values()]
        return [[column[row] for column in columns] for row in range(len(pixels))]

    def _pass(self, pixels: torch.Tensor) -> tuple[Look | None, dict[Tap, torch.Tensor]]:
        if self._taps is None:
            return self.encoder.look(pixels, head=self._head), {}
        if not self._described:
            return None, self._taps(pixels)
        with self._taps.listening() as heard:
            look = self.encoder.look(pixels, head=self._head)
            if self._head_goes_on:
                self.backbone.head(look.maps)
        if len(heard) < len(self._taps.taps):  # a layer behind the maps, and the head cannot go on from them
            heard = self._taps(pixels)
        return look, heard

    def _continues(self, taps: Taps) -> bool:
        """Whether the head, given the maps, says at the layers what it says in a whole pass: tried on noise."""
        side = self.encoder.size
        draw = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=draw)
        whole = taps(pixels)
        with torch.inference_mode(), taps.listening() as heard:
            maps = self.encoder.look(pixels).maps
            if len(heard) == len(whole):
                return False  # none of the layers lies behind the maps
            try:
                self.backbone.head(maps)
            except (RuntimeError, TypeError, AttributeError, IndexError, AssertionError):
                return False
        return heard.keys() == whole.keys() and all(torch.equal(heard[tap], whole[tap]) for tap in whole)


def _check(one: Wanted, config: EncoderConfig) -> None:
    """Raises InputError for what is wrong with any network, or a descriptor that is not the one of a run."""
    if one.kind != "layer":
        asked = str(_descriptor(one))
        if config.encoder is not None and asked != config.descriptor:
            raise InputError(
                f"{one} is not what {config.encoder} was trained for, {config.descriptor}: ask for that, or for {one} "
                f"of its network without the projection: {one.kind}:{config.backbone},weights={config.weights}"
            )
        return
    options = _options(one, LAYER_OPTIONS)
    Tap("", options.get("side", "out"))
    if options.get("pool", "avg") not in POOLING_NAMES:
        raise unknown("pooling of a layer", options["pool"], POOLING_NAMES)


def _descriptor(one: Wanted) -> Descriptor:
    options = _options(one, None)
    options.pop("prefix", None)
    text = ",".join(f"{name}={value}" for name, value in options.items())
    return parse_descriptor(f"{one.kind}:{text}" if text else one.kind)


def _options(one: Wanted, known: Sequence[str] | None) -> dict[str, str]:
    """Its options without those of the network. Raises InputError for one that is not known; None: not asked here."""
    options = one.without(*NETWORK_OPTIONS)
    for name in options if known is not None else ():
        if name not in (known or ()):
            raise unknown(f"option of {one.kind}", name, [*(known or ()), *NETWORK_OPTIONS])
    return options
