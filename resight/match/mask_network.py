"""A network that marks where in an image the thing in another image is: a U-Net with two encoders."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from resight.errors import InputError, unknown
from resight.models.backbone import build, check_name
from resight.models.preprocessing import Preprocessing
from resight.models.weights import weights_hash

if TYPE_CHECKING:
    Maps = list[Tensor]

PACKAGE = "segmentation_models_pytorch"
COMBINES = ("mult", "add", "concat", "pooled")
STRIDES = (2, 4, 8, 16, 32)
LITTLE = 1e-4  # share of a pixel that black counts as, so that a black query has a mean too
LEAST_LEVELS = 3  # of STRIDES that an encoder must have: below that there is nothing of a U
SIZES = (32, 4096)
WIDTHS = (16, 1024)


class Pyramid(nn.Module):
    """A timm network without its head: (B, 3, S, S) uint8 -> a map at each of STRIDES, finest first.

    channels: of each map; 0 where the network has none at that stride, as transformers have none at 2
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, size: int, name: str) -> None:
        super().__init__()
        self.model, self.preprocessing = model, preprocessing
        widths, self.levels = _levels(model, size, name)
        self.channels = tuple(widths)
        prune: Any = getattr(model, "prune_intermediate_layers", None)
        if prune is not None:  # what no map comes from would be saved and never trained
            taken = [level for level in self.levels if level is not None]
            self.levels = _renumbered(self.levels, prune(taken, prune_norm=False, prune_head=True))

    def forward(self, pixels: Tensor) -> Maps:
        """(B, 3, S, S) uint8 -> maps (B, K, S / stride, S / stride), one for each of STRIDES."""
        inputs = self.preprocessing.normalise(pixels)
        model: Any = self.model
        wanted = [level for level in self.levels if level is not None]
        found = model.forward_intermediates(inputs, indices=wanted, intermediates_only=True, output_fmt="NCHW")
        given = dict(zip(wanted, found, strict=True))
        high, wide = pixels.shape[-2:]
        return [
            inputs.new_zeros((len(pixels), 0, -(-high // stride), -(-wide // stride)))
            if level is None
            else given[level]
            for stride, level in zip(STRIDES, self.levels, strict=True)
        ]


class MaskNetwork(nn.Module):
    """Two encoders of one kind with weights of their own, joined level by level, and a U-Net decoder.

    image, query:  the encoders; both begin with the same weights
    combine:       how their maps f, g (K channels) are joined at each level: mult f * g, add f + g, concat a 3 x 3
                   convolution of both, 2K -> K; pooled f * mean of g over the query's pixels that are not black, so
                   that it does not matter where in its picture the query lies
    joins:         those convolutions, () otherwise

    The decoder is U-Net's (Ronneberger 2015) from segmentation-models-pytorch.
    """

    def __init__(self, encoders: tuple[Pyramid, Pyramid], combine: str, width: int, facts: Mapping[str, Any]) -> None:
        super().__init__()
        if combine not in COMBINES:
            raise unknown("combine", combine, COMBINES)
        self.image, self.query = encoders
        self.combine, self.facts = combine, dict(facts)
        channels = self.image.channels
        self.joins = nn.ModuleList(
            nn.Conv2d(2 * own, own, 3, padding=1) if own else nn.Identity() for own in channels if combine == "concat"
        )
        self.decoder, self.last = _decoder(channels, width)

    def encode(self, queries: Tensor) -> Maps:
        """(B, 3, S, S) uint8 queries -> their maps, which `decide` takes as often as there are images."""
        maps = cast("Maps", self.query(queries))
        return [_pooled(one, queries) for one in maps] if self.combine == "pooled" else maps

    def decide(self, images: Tensor, queries: Maps) -> Tensor:
        """Where the queries are.

        images:  (B, 3, S, S) uint8;  queries: maps of B queries, or of one for all images
        ->       (B, 1, S, S) float32 logits: their sigmoid is the probability that a pixel belongs to the thing
        """
        joined = [self._join(level, *pair) for level, pair in enumerate(zip(self.image(images), queries, strict=True))]
        outline = joined[0].new_zeros((len(images), 0, *images.shape[-2:]))  # the decoder only asks for its size
        return cast(Tensor, self.last(self.decoder([outline, *joined]))).float()

    def forward(self, images: Tensor, queries: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 images and queries -> (B, 1, S, S) float32 logits."""
        return self.decide(images, self.encode(queries))

    def record(self) -> dict[str, Any]:
        """All that is needed to build it again, but its weights, as JSON can hold it: see `rebuild_mask_network`."""
        return dict(self.facts)

    def _join(self, level: int, image: Tensor, query: Tensor) -> Tensor:
        if self.combine in ("mult", "pooled"):
            return image * query
        if self.combine == "add":
            return image + query
        return cast(Tensor, self.joins[level](torch.cat([image, query.expand_as(image)], 1)))


def make_mask_network(
    backbone: str, weights: str, *, combine: str = "mult", size: int, width: int = 256, seed: int = 0
) -> MaskNetwork:
    """The network before training.

    backbone: name of a timm model that gives maps at several strides;  weights: as `resight.models.weights` says
    size:     S, side of the images in pixels
    width:    channels of the decoder's first block; each block has half of those before it
    seed:     of the decoder and the joins; torch's own random numbers go on as if nothing was

    Raises InputError for an unknown name, weights that do not fit, a backbone without a pyramid, or a size it cannot
    take; WorkError for a damaged file or failed download.
    """
    models = [build(backbone, weights) for _ in range(2)]
    facts = {
        "backbone": backbone, "weights": weights, "hash": weights_hash(models[0][0]), "combine": combine, "size": size,
        "width": width, "preprocessing": _plain(models[0][1]),
    }  # fmt: skip
    return _assemble([model for model, _ in models], models[0][1], facts, seed)


def rebuild_mask_network(facts: Mapping[str, Any]) -> MaskNetwork:
    """The network of a record, for weights to be loaded into. Raises InputError if the record is damaged."""
    import timm

    known = check_facts(facts)
    check_name(known["backbone"])
    with _seeded(0):
        models = [timm.create_model(known["backbone"]) for _ in range(2)]
    return _assemble(models, Preprocessing(**known["preprocessing"]), known, 0)


def check_facts(facts: Any) -> dict[str, Any]:
    """Facts of a network from a record, which may come from a file. Raises InputError unless they can be."""
    try:
        given = dict(facts["preprocessing"])
        if set(given) != {one.name for one in fields(Preprocessing)}:
            raise KeyError("preprocessing")
        mean, std = ([float(value) for value in given[key]] for key in ("mean", "std"))
        fits = len(mean) == len(std) == 3 and min(std) > 0 and math.isfinite(sum(mean) + sum(std))
        known: dict[str, Any] = {key: str(facts[key]) for key in ("backbone", "weights", "hash", "combine")}
        known |= {key: _whole(facts[key], *limits) for key, limits in (("size", SIZES), ("width", WIDTHS))}
        if not fits or known["combine"] not in COMBINES:
            raise ValueError("values that cannot be")
        own = {"interpolation": str(given["interpolation"]), "crop": float(given["crop"]), "size": int(given["size"])}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the record of the mask network is damaged: {error!r}") from error
    return {**known, "preprocessing": {"mean": mean, "std": std, **own}}


def _assemble(
    models: Sequence[nn.Module], preprocessing: Preprocessing, facts: Mapping[str, Any], seed: int
) -> MaskNetwork:
    size = int(facts["size"])
    one, other = (Pyramid(model, preprocessing, size, str(facts["backbone"])) for model in models)
    with _seeded(seed):
        return MaskNetwork((one, other), str(facts["combine"]), int(facts["width"]), facts)


def _levels(model: nn.Module, size: int, name: str) -> tuple[list[int], list[int | None]]:
    """Channels and number of the map at each of STRIDES, by a trial image; the last one of a stride is taken."""
    ask: Any = getattr(model, "forward_intermediates", None)
    if ask is None:
        raise InputError(f"{name} does not give the maps between its layers: choose another backbone")
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = ask(torch.zeros(1, 3, size, size), intermediates_only=True, output_fmt="NCHW")
    except (AssertionError, IndexError, AttributeError, RuntimeError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{name} cannot take images of {size} x {size} pixels: {first}; try another size") from error
    finally:
        model.train(was)
    sides = {-(-size // stride): stride for stride in STRIDES}
    at = {sides[one.shape[-1]]: (one.shape[1], level) for level, one in enumerate(found) if one.shape[-1] in sides}
    if len(at) < LEAST_LEVELS or STRIDES[-1] not in at:
        has = ", ".join(map(str, sorted(at))) or "none"
        raise InputError(f"{name} has maps at strides {has} of {', '.join(map(str, STRIDES))}, and a U-Net needs a "
                         "pyramid of them down to 32: choose a backbone with stages, such as resnet18")  # fmt: skip
    return [at[one][0] if one in at else 0 for one in STRIDES], [at[one][1] if one in at else None for one in STRIDES]


def _renumbered(levels: Sequence[int | None], kept: Any) -> list[int | None]:
    """Numbers of the maps after the network was cut; timm tells them, and leaves those before the cut as they were."""
    told = iter(int(one) for one in kept)
    return [None if level is None else next(told) for level in levels]


def _pooled(maps: Tensor, queries: Tensor) -> Tensor:
    """The mean (B, K, 1, 1) of maps (B, K, h, w) over the pixels of the queries (B, 3, S, S) that are not black."""
    own = (queries > 0).any(1, keepdim=True).to(maps.dtype)
    share = nn.functional.adaptive_avg_pool2d(own, (maps.shape[-2], maps.shape[-1])) + LITTLE
    return (maps * share).sum((2, 3), keepdim=True) / share.sum((2, 3), keepdim=True)


def _decoder(channels: Sequence[int], width: int) -> tuple[nn.Module, nn.Module]:
    """U-Net's decoder and the convolution to the mask's one channel."""
    try:
        blocks_of: Any = importlib.import_module(f"{PACKAGE}.decoders.unet.decoder")  # which has no annotations
        begin: Any = importlib.import_module(f"{PACKAGE}.base.initialization")
    except ImportError as error:
        raise InputError("the mask network needs segmentation-models-pytorch: pip install 'resight[locate]'") from error
    blocks = [max(8, width >> step) for step in range(len(STRIDES))]
    decoder: nn.Module = blocks_of.UnetDecoder((0, *channels), blocks, n_blocks=len(blocks))
    last = nn.Conv2d(blocks[-1], 1, 3, padding=1)
    begin.initialize_decoder(decoder)
    begin.initialize_head(last)
    return decoder, last


def _plain(preprocessing: Preprocessing) -> dict[str, Any]:
    found = asdict(preprocessing)
    return {**found, "mean": list(preprocessing.mean), "std": list(preprocessing.std)}


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is not from {least} to {most}")
    return value


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from this seed inside; those outside go on as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed every GPU
        yield
