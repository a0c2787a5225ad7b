"""What turns an image into columns of a feature table: one extractor per network and per classical method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.features.wanted import CLASSICAL, NETWORK_OPTIONS, Wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Feature:
    """A column: its name, and how many numbers it holds for an image; 0: one number, not a vector."""

    name: str
    width: int = 0


class Extractor(Protocol):
    """Images -> values of its features.

    features  the columns, in order
    settings  all that the values depend on, plain values
    on_cpu    whether it computes where the workers are
    slow      whether an image takes long enough to be given to a worker alone
    """

    features: tuple[Feature, ...]
    settings: dict[str, Any]
    on_cpu: bool
    slow: bool

    def prepare(self, image: Image) -> Any:
        """What is kept of one (H, W, 3) image until `finish`; may be called by several threads."""

    def finish(self, prepared: list[Any]) -> list[list[Any]]:
        """For each image the values of its features, numbers or (width,) float32; by several threads too."""


def make_extractors(wanted: Sequence[Wanted], network: EncoderConfig) -> list[Extractor]:
    """Extractors for what is wanted: all that one network gives comes from one pass of it.

    network: the network of those that name none, and size, fit, weights, precision and device for all

    Raises InputError for an unknown option, network or layer, or two columns of one name.
    """
    from resight.features.fractal_features import FractalExtractor
    from resight.features.network_features import NetworkExtractor
    from resight.features.sift_features import SiftExtractor

    classical: dict[str, type[FractalExtractor] | type[SiftExtractor]] = {
        "fractal": FractalExtractor, "densesift": SiftExtractor,
    }  # fmt: skip
    grouped: dict[EncoderConfig, list[Wanted]] = {}
    made: list[Extractor] = []
    for one in wanted:
        if one.kind in CLASSICAL:
            made.append(classical[one.kind](one))
        else:
            grouped.setdefault(_network(one, network), []).append(one)
    made += [NetworkExtractor(config, group) for config, group in grouped.items()]
    names = [feature.name for extractor in made for feature in extractor.features]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"two columns would have the name {name!r}: give one of them another with prefix=TEXT")
    return made


def split_layer(subject: str, default: str) -> tuple[str, str]:
    """The network and the module in "resnet50.layer3.0" or, if it does not begin with a network's name, "layer3.0".

    >>> split_layer("resnet50.layer3.0", "resnet18"), split_layer("layer3.0", "resnet18")
    (('resnet50', 'layer3.0'), ('resnet18', 'layer3.0'))
    """
    from resight.models.backbone import is_network

    first, _, rest = subject.partition(".")
    return (first, rest) if rest and is_network(first) else (default, subject)


def _network(one: Wanted, network: EncoderConfig) -> EncoderConfig:
    """The network that an extractor uses, with no descriptor but that of a run."""
    name = split_layer(one.subject, network.backbone)[0] if one.kind == "layer" else one.subject or network.backbone
    own: dict[str, Any] = one.take(*NETWORK_OPTIONS)
    if "size" in own:
        if not own["size"].isdecimal():
            raise InputError(f"size of {one} must be a whole number of pixels, got {own['size']!r}")
        own["size"] = int(own["size"])
    if network.encoder is not None and "weights" not in own and name == network.backbone:
        return replace(network, **own)
    if name != network.backbone and "weights" not in own and network.weights not in ("package", "hub", "random"):
        given = f"--weights {network.weights}" if network.encoder is None else f"--encoder {network.encoder}"
        raise InputError(f"{given} is {'a file' if network.encoder is None else 'a run'} for {network.backbone}: give "
                         f"{one} its own, weights=FILE")  # fmt: skip
    size = {} if network.encoder is None else {"size": None}  # what the run said
    return replace(network, backbone=name, descriptor=EncoderConfig.descriptor, encoder=None, **{**size, **own})
