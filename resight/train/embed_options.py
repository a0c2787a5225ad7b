"""The choices that make a trained embedding network, as one frozen value for library, command line and config files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from resight.errors import InputError, unknown
from resight.features.descriptor import parse_descriptor
from resight.images.places import is_there
from resight.train.options import AUGMENTS, FITS, PRECISIONS, SCHEDULES, WEIGHTS, check_ranges, check_types

PROJECTS = ("centre", "whiten", "pca", "learned", "identity")
TUNES = ("head", "last", "all")
OFFLINE, IN_BATCH = ("ranked", "hardest"), ("batch-hard", "semi-hard")
MINED = ("triplet", "contrastive")  # losses of triplets; all others take what a batch has
DIM = 512
# What a preset sets; whatever else is given goes before it.
EMBED_PRESETS: dict[str, dict[str, Any]] = {
    "deep-image-matching": {
        "backbone": "vgg16", "weights": "hub", "pool": "mac", "size": 224, "project": "identity", "dim": 512,
        "tune": "last", "loss": "triplet", "margin": 0.1, "reduction": "mean", "miner": "ranked", "per_pair": 70,
        "keep": 1600, "remine": 1, "lr": 1e-5, "batch": 32, "augment": "none", "schedule": "constant",
        "weight_decay": 0.0, "warmup": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class EmbedOptions:
    """Everything that decides a trained embedding network, plus device, devices and workers (which do not).

    Raises InputError for an unknown name (with the closest match), a value of another type or out of range.
    """

    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm model."""
    weights: str = "package"
    """Where training starts: package (PyPI, offline), hub (timm's, one download), a file's path, or random."""
    pool: str = "gem"
    """Pooling of its last map: mac, spoc, gem, rmac, crow, cam, with options: gem:p=3."""
    dim: int | None = None
    """Length of a vector; default: 512, or less if the network is narrower or the images are few."""
    project: str = "whiten"
    """How the projection begins, from the training images: whiten (PCA, each direction divided by its deviation), pca,
    learned (from pairs of one class), centre (their mean taken away, the first dim numbers), identity (these alone)."""
    size: int | None = None
    """Side in pixels; default: the weights' native size."""
    fit: str = "squash"
    """squash (to a square) or crop (centre, timm's rule); the same in training and after."""
    tune: str = "last"
    """head (the projection only: features are computed once), last (and the last block of the backbone), all."""
    loss: str = "triplet"
    """triplet, contrastive, or one of pytorch-metric-learning by its name, with options: multi-similarity:alpha=2."""
    margin: float | None = None
    """Of triplet and contrastive; default: 0.1 and 0.7."""
    reduction: str = "mean"
    """Of triplet and contrastive: mean or sum."""
    miner: str = "auto"
    """ranked (triplets of every two classes, the hardest kept), hardest (negatives of all images), both from all
    vectors; batch-hard, semi-hard (in a batch); none; auto: ranked for triplet and contrastive, else none."""
    remine: int = 1
    """Mine anew every so many epochs."""
    per_pair: int | None = None
    """Of ranked: triplets drawn for each ordered pair of classes; default: 70, more where classes are so few that less
    than twice --keep would be drawn."""
    keep: int = 1600
    """Triplets of an epoch: ranked keeps so many of the hardest, hardest takes keep / negatives queries."""
    negatives: int = 5
    """Of hardest: negatives of a query, at most one of each class."""
    per_class: int = 4
    """Images of a class in a batch, if nothing is mined from all vectors; more where classes are too few to fill it."""
    augment: str = "auto"
    """Of training images only: none, flip, standard, deepsky; auto: flip."""
    min_images: int = 2
    """Classes with fewer images are left out."""
    epochs: int | None = None
    """Default: 10, and 20 if tune is head."""
    batch: int = 32
    """Triplets of one step, or images if nothing is mined from all vectors, over all devices."""
    lr: float | None = None
    """Learning rate of Adam; default: 2e-4 if tune is head, else 2e-5."""
    weight_decay: float = 0.0
    """Above 0: AdamW's."""
    schedule: str = "cosine"
    """cosine (to zero), step (times decay every decay_every epochs), constant."""
    warmup: float = 0.5
    """Epochs over which the learning rate grows from zero."""
    decay_every: int = 10
    """Epochs between the steps of schedule step."""
    decay: float = 0.1
    """Factor of each such step."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, e.g. 0.999; 0: none."""
    early_stop: int = 0
    """Stop after this many epochs without a better validation; 0: never."""
    validation: float = 0.15
    """Share of the training images (or classes) held back, where the data has no validation part of its own."""
    test: float = 0.0
    """Share held back for testing, where the data has no test part of its own."""
    by: str = "auto"
    """What is held back: class (whole classes, unseen in training), image, group (a group of the data, or a folder);
    auto: class from 10 classes on, else image."""
    seed: int = 0
    """Of the split, of what is drawn, the order and the augmentation."""
    precision: str = "float32"
    """float32, bfloat16 or float16 (mixed)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: int = 1
    """Devices to train on (distributed data parallel)."""
    nodes: int = 1
    """Machines to train on; start the same command on each, as Lightning's documentation says."""
    workers: int | None = None
    """Processes that read and augment; default: by the machine."""

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "pool", str(parse_descriptor(self.pool)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        check_ranges(self, _RANGES)
        if self.validation + self.test > 0.9:
            raise InputError(f"validation {self.validation:g} and test {self.test:g} must leave at least 0.1 for "
                             "training: make them smaller")  # fmt: skip
        if self.loss.partition(":")[0].strip().lower() in MINED and self.loss not in MINED:
            name = self.loss.partition(":")[0].strip().lower()
            raise InputError(f"loss {name} has its options beside it: give loss {name}, and margin and reduction as "
                             f"options of their own, got {self.loss!r}")  # fmt: skip
        if self.mining == "none" and self.loss in MINED:
            raise InputError(f"loss {self.loss} needs triplets: choose a miner, such as ranked or batch-hard")
        if not self.offline and self.batch < 2 * self.per_class:
            raise InputError(f"a batch of {self.batch} has no two classes of {self.per_class} images: give a larger "
                             "batch, or a smaller per_class")  # fmt: skip

    @property
    def mining(self) -> str:
        """The miner, auto resolved."""
        if self.miner != "auto":
            return self.miner
        return "ranked" if self.loss in MINED else "none"

    @property
    def offline(self) -> bool:
        """Whether triplets are mined from the vectors of all training images."""
        return self.mining in OFFLINE

    @property
    def frozen(self) -> bool:
        """Whether the backbone stays as it is."""
        return self.tune == "head"

    @property
    def optimiser(self) -> str:
        """AdamW, which without weight decay is Adam."""
        return "adamw"

    @property
    def unit(self) -> str:
        """What is counted."""
        return "images"

    @property
    def find_unused(self) -> bool:
        """Whether some weights may get no gradient in a step: a loss's own may not."""
        return self.loss not in MINED

    def as_dict(self) -> dict[str, Any]:
        """Every option, as JSON and YAML can hold it."""
        return asdict(self)


def make_embed_options(preset: str | None = None, **given: Any) -> EmbedOptions:
    """Options from a preset, a key of EMBED_PRESETS or None, and what is given besides, which goes before it.

    Raises InputError for an unknown key or preset (with the closest match), or a value that cannot be.

    >>> make_embed_options("deep-image-matching", pool="spoc").backbone
    'vgg16'
    """
    names = [one.name for one in fields(EmbedOptions)]
    for key in given:
        if key not in names:
            raise unknown("option of embedding", key, names)
    return EmbedOptions(**{**expand_embed(preset), **given})


def expand_embed(preset: str | None) -> dict[str, Any]:
    """What a preset sets; nothing if there is none. Raises InputError for an unknown one."""
    if preset is None:
        return {}
    if preset not in EMBED_PRESETS:
        raise unknown("preset", preset, EMBED_PRESETS)
    return dict(EMBED_PRESETS[preset])


def resolved_embed(options: EmbedOptions) -> EmbedOptions:
    """The options with every default that depends on other options filled in; size, dim and by depend on the data."""
    head = options.frozen
    return replace(
        options, miner=options.mining, augment="flip" if options.augment == "auto" else options.augment,
        margin=_margin(options), epochs=options.epochs or (20 if head else 10),
        lr=options.lr or (2e-4 if head else 2e-5),
    )  # fmt: skip


def ask_embed(
    out: Path, given: Mapping[str, Any], *, preset: str | None = None, config: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> EmbedOptions:  # fmt: skip
    """The options of a training into `out`: what is given, before the file, before the preset.

    given:  options by name;  config: file of options;  preset: a key of EMBED_PRESETS
    resume: if a run is there, what is not given, in the file or in the preset is as the run has it

    Raises InputError for names and values that cannot be, or what has no effect; WorkError if the run that is gone on
    with is damaged.
    """
    from resight.train.run_files import RECORD, read_config, read_record, recorded_embedding

    named, content = read_config(Path(config), make_embed_options) if config is not None else (None, {})
    asked, chosen, own = {**content, **given}, preset or named, {}
    if resume and (out / RECORD).is_file():
        own = recorded_embedding(out, read_record(out, "embed")).as_dict()
    options = make_embed_options(**{**own, **expand_embed(chosen), **asked})
    _check_effects(options, given)
    return placed_embed(options)


def placed_embed(options: EmbedOptions) -> EmbedOptions:
    """The options with the whole path of weights, so that it holds in another working folder too."""
    file = os.path.expanduser(options.weights)
    whole = options.weights if options.weights in WEIGHTS or not is_there(file) else os.path.abspath(file)
    return replace(options, weights=whole)


def _margin(options: EmbedOptions) -> float | None:
    if options.loss not in MINED:
        return None
    return options.margin if options.margin is not None else {"triplet": 0.1, "contrastive": 0.7}[options.loss]


def _check_effects(options: EmbedOptions, given: Mapping[str, Any]) -> None:
    """Raises InputError, naming the first, if one of the options given for this training has no effect."""
    mining, epochs = options.mining, resolved_embed(options).epochs or 0
    step = (options.schedule != "step", f"on schedule {options.schedule}: give schedule step as well")
    idle = {
        "decay": step,
        "decay_every": step,
        "warmup": (options.warmup > epochs, f"behind the last epoch, {epochs}: give more epochs"),
        "early_stop": (options.early_stop >= epochs, f"behind the last epoch, {epochs}: give more epochs"),
        "margin": (options.loss not in MINED, f"on loss {options.loss}, which has options of its own"),
        "reduction": (options.loss not in MINED, f"on loss {options.loss}, which has options of its own"),
        "per_pair": (mining != "ranked", f"on miner {mining}: give miner ranked as well"),
        "keep": (not options.offline, f"on miner {mining}: give miner ranked or hardest as well"),
        "remine": (not options.offline, f"on miner {mining}: give miner ranked or hardest as well"),
        "negatives": (mining != "hardest", f"on miner {mining}: give miner hardest as well"),
        "per_class": (options.offline, f"on miner {mining}, which chooses triplets: give miner batch-hard as well"),
        "by": (not options.validation and not options.test, "if nothing is held back: set validation above 0"),
    }
    for name, value in given.items():
        wrong, why = idle.get(name, (False, ""))
        if wrong and value:
            raise InputError(f"{name} has no effect {why}, or leave {name} out")


_CHOICES: dict[str, tuple[str, ...]] = {
    "project": PROJECTS, "fit": FITS, "tune": TUNES, "augment": AUGMENTS, "schedule": SCHEDULES,
    "precision": PRECISIONS, "reduction": ("mean", "sum"), "by": ("auto", "class", "image", "group"),
    "miner": ("auto", *OFFLINE, *IN_BATCH, "none"),
}  # fmt: skip
_RANGES: dict[str, tuple[float, float]] = {
    "dim": (1, 65_536), "size": (32, 4096), "margin": (0, 4), "remine": (1, 100_000), "per_pair": (1, 10**6),
    "keep": (1, 10**7), "negatives": (1, 1000), "per_class": (2, 1000), "min_images": (1, 10**6),
    "epochs": (1, 100_000), "batch": (1, 65_536), "lr": (1e-9, 1e3), "weight_decay": (0, 10), "warmup": (0, 10_000),
    "decay_every": (1, 10_000), "decay": (0, 1), "ema": (0, 0.999999), "early_stop": (0, 10_000),
    "validation": (0, 0.9), "test": (0, 0.9), "seed": (0, 2**31 - 1), "devices": (1, 1024), "nodes": (1, 1024),
    "workers": (0, 64),
}  # fmt: skip
