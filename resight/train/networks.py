"""The classifier of images: one network on pixels, one on dense SIFT, or both joined before one linear layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.models import PACKAGED, Preprocessing
from resight.models.backbone import build, check_name
from resight.models.weights import load_state, weights_hash
from resight.train.branches import Branch, Pixels, count_features
from resight.train.options import TrainOptions
from resight.train.stems import make_sift, set_size, sift_model
from resight.train.warm_start import Learned, check_fits, open_start, read_learned, run_folder, sources

DRAWS = {"head": 0, "rgb": 1, "sift": 2}  # each part of a network has random numbers of its own


class ImageNetwork(nn.Module):
    """Branches, their features side by side, dropout, and one linear layer: logits of C classes.

    size     side of the images in pixels;  classes  how many
    fresh    what did not come from the weights, in words;  taken  what another run has learned
    frozen   True: the branches stay in evaluation mode whatever `train` says
    """

    def __init__(self, branches: dict[str, Branch], size: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(sum(branch.features for branch in branches.values()), classes)
        self.size, self.classes, self.frozen = size, classes, False
        self.fresh: tuple[str, ...] = ()
        self.taken: tuple[str, ...] = ()

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, C) logits."""
        return self.classify(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, K), the branches' features side by side, before dropout."""
        check_pixels(pixels)
        return torch.cat([branch(pixels) for branch in self.branches.values()], 1)

    def classify(self, features: Tensor) -> Tensor:
        """(B, K) -> (B, C) logits."""
        return cast(Tensor, self.head(self.dropout(features)))

    def maps(self, pixels: Tensor) -> dict[str, Tensor]:
        """(B, 3, S, S) uint8 -> {branch: (B, K_i, h, w)}, the maps of which the mean over places is its features.

        So a class's logit is the sum over branches of mean(head.weight[class, part] . map), plus head.bias[class].
        Raises InputError for a branch whose network does not pool by the mean.
        """
        check_pixels(pixels)
        return {name: cast(Branch, branch).maps(pixels) for name, branch in self.branches.items()}

    def parts(self) -> dict[str, slice]:
        """{branch: its columns of head.weight}."""
        found, start = {}, 0
        for name, branch in self.branches.items():
            width = cast(Branch, branch).features
            found[name] = slice(start, start + width)
            start += width
        return found

    def train(self, mode: bool = True) -> ImageNetwork:
        """As in torch, but frozen branches stay in evaluation mode: batch normalisation would go on moving."""
        super().train(mode)
        if self.frozen:
            self.branches.eval()
        return self

    def record(self) -> dict[str, dict[str, Any]]:
        """{branch: facts} as JSON can hold them: `make_network(..., record=)` builds the same network of them."""
        return {name: cast(Branch, branch).record() for name, branch in self.branches.items()}


def make_network(
    options: TrainOptions, classes: int, *, load: bool = True, record: Mapping[str, Any] | None = None
) -> ImageNetwork:
    """The network that the options ask for.

    options: with size, stem and SIFT's backbone filled in (`options.resolved`)
    classes: C >= 2, from the data
    load:    False: random weights, for a run's own to be loaded into
    record:  what `ImageNetwork.record` said: the same network, without the files of its weights

    New layers are drawn from options.seed; torch's own random numbers go on as if nothing was.
    Raises InputError for an unknown backbone, weights that are missing or do not fit, a stem or a size that cannot be,
    or a new first convolution that tune head would never train; WorkError for a damaged file or failed download.
    """
    if options.size is None:
        raise InputError("the options have no size yet: fill them in by resolved(options, native_size(options))")
    if classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, got {classes}")
    names = [name for name, _, _ in sources(options)]
    if record is not None and set(record) != set(names):
        raise InputError(f"the record is of branches {', '.join(record)}, the options ask for {', '.join(names)}")
    made, fresh, taken = {}, [], []
    for name in names:
        facts = None if record is None else _checked(name, record[name])
        made[name], new = make_branch(name, options, load=load, facts=facts)
        fresh += [f"{name}: {what}" for what in new]
        folder = run_folder(made[name].weights) if load and facts is None else None
        taken += [f"{name} of {folder}"] if folder is not None else []
    with seeded(options.seed, "head"):
        network = ImageNetwork(made, options.size, classes, options.dropout)
    network.fresh, network.taken = (*fresh, "head"), tuple(taken)
    if options.frozen:
        freeze(network)
    return network


def make_branch(
    name: str, options: TrainOptions, *, load: bool = True, facts: Mapping[str, Any] | None = None
) -> tuple[Branch, list[str]]:
    """A branch, "rgb" or "sift", and what in it is new, in words; arguments as in `make_network`."""
    backbone, weights = source(name, options)
    if facts is not None and facts["backbone"] != backbone:
        raise InputError(f"the record's {name} branch is {facts['backbone']}, the options ask for {backbone}")
    size = cast(int, options.size)

    def make(**given: Any) -> nn.Module:
        return _headless(_drawn(backbone, options.seed, name, **given))

    loaded = load and facts is None and weights != "random"
    check_name(backbone)
    folder = run_folder(weights) if loaded else None
    if folder is not None:
        return _warm_branch(name, options, read_learned(folder)), []
    if loaded:
        model, preprocessing = build(backbone, weights)
    else:
        model, preprocessing = _drawn(backbone, options.seed, name), _expected(backbone, weights)
    own: dict[str, Any] = {"backbone": backbone, "weights": weights, "preprocessing": preprocessing}
    own |= {"hash": weights_hash(model)} if facts is None else facts
    model, new = _headless(model), [] if loaded else ["all layers (random)"]
    if name == "rgb":
        set_size(model, size)
        return Branch(Pixels(own["preprocessing"]), model, own, size), new
    sift = make_sift(options)
    with seeded(options.seed, name):
        model, first = sift_model(model, make, sift, options.stem, size)
    if options.frozen and loaded:
        raise InputError("tune head would leave SIFT's new first convolution as it was drawn, at random: use tune all, "
                         "or start from a run on the same SIFT (--weights RUN)")  # fmt: skip
    own |= {"stem": options.stem, "sift": options.sift}
    return Branch(sift, model, own, size), new or first


def _warm_branch(name: str, options: TrainOptions, learned: Learned) -> Branch:
    """A branch as another run has left it, for images of the size that the options ask for."""
    backbone, weights = source(name, options)
    run, size = learned.run, cast(int, options.size)
    check_fits(run, name, options, backbone)
    facts = {**_checked(name, run.record["network"][name]), "weights": weights, "hash": learned.sha256[:16]}
    branch, _ = make_branch(name, run.options, load=False, facts=facts)
    load_state(branch, learned.below(f"branches.{name}."), str(run.folder))
    if size != run.options.size:
        if name == "sift" and hasattr(branch.model, "set_input_size"):
            raise InputError(f"weights {run.folder}: {backbone} on SIFT has learned places of images of "
                             f"{run.options.size} pixels: give --size {run.options.size}, not {size}")  # fmt: skip
        set_size(branch.model, size, run.options.size)
        count_features(branch, size)
    return branch


def source(name: str, options: TrainOptions) -> tuple[str, str]:
    """Backbone and weights of a branch that the options ask for."""
    return next((backbone, weights) for branch, backbone, weights in sources(options) if branch == name)


def native_size(options: TrainOptions) -> int:
    """The side in pixels that the weights were trained with: those of the pixels, if the network sees them.

    Raises InputError for an unknown backbone, or a folder as weights that holds no run.
    """
    _, backbone, weights = sources(options)[0]
    check_name(backbone)
    folder = run_folder(weights)
    if folder is not None:
        return open_start(folder).options.size or _expected(backbone, weights).size
    return _expected(backbone, weights).size


def freeze(network: ImageNetwork) -> None:
    """Leave the branches as they are: no gradients, evaluation mode for good. The head goes on learning."""
    network.frozen = True
    network.branches.requires_grad_(False)
    network.branches.eval()


def check_pixels(pixels: Tensor) -> None:
    """Raises InputError unless it is (B, 3, H, W) uint8."""
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"images must be (B, 3, S, S) uint8, got {tuple(pixels.shape)} {pixels.dtype}")


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Random numbers from this seed for one part inside; those outside go on as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        own = len(DRAWS) * seed + DRAWS[part]
        torch.default_generator.manual_seed(own)  # torch.manual_seed would also reseed every GPU
        yield


def _drawn(backbone: str, seed: int, part: str, **given: Any) -> nn.Module:
    import timm

    with seeded(seed, part):
        model: nn.Module = timm.create_model(backbone, **given)
    return model


def _headless(model: nn.Module) -> nn.Module:
    reset: Any = model.reset_classifier
    reset(0)
    return model


def _expected(backbone: str, weights: str) -> Preprocessing:
    """What the weights expect, without reading them."""
    import timm

    if weights == "package" and backbone in PACKAGED:
        return PACKAGED[backbone].preprocessing
    config: Any = timm.get_pretrained_cfg(backbone)
    return Preprocessing.of_timm(config.to_dict())


def _checked(name: str, facts: Any) -> dict[str, Any]:
    """Facts of a branch from a record, which may come from a file."""
    try:
        given = dict(facts["preprocessing"])
        if set(given) != {one.name for one in fields(Preprocessing)}:
            raise KeyError("preprocessing")
        (r, g, b), (dr, dg, db) = ([float(value) for value in given[key]] for key in ("mean", "std"))
        how, crop = str(given["interpolation"]), float(given["crop"])
        checked = Preprocessing((r, g, b), (dr, dg, db), how, crop, int(given["size"]))
        fits = min(checked.std) > 0 and math.isfinite(sum(checked.mean) + sum(checked.std))
        if not (fits and checked.interpolation in ("bicubic", "bilinear") and 0 < checked.crop <= 1):
            raise ValueError("preprocessing")
        return {**{key: str(facts[key]) for key in ("backbone", "weights", "hash")}, "preprocessing": checked}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the record of the {name} branch is damaged: {error!r}") from error
