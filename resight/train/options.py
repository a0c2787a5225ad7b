"""The choices that make a training run, as one frozen value for the library, the command line and config files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, get_type_hints

from resight.choices import Option, Table, Value, parse, settings, write
from resight.errors import InputError, unknown
from resight.train.course import Course

INPUTS = ("rgb", "sift", "fusion")
WEIGHTS = ("package", "hub", "random")  # anything else is a path
STEMS = ("auto", "full", "conv", "patch")
FITS = ("squash", "crop")
MASKS = ("none", "circle")
TUNES = ("all", "head")
AUGMENTS = ("auto", "none", "flip", "standard", "deepsky")
BALANCES = ("none", "weights", "sampler")
OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step", "constant")
HEADS = ("average", "pool", "tcn", "gru")
PRECISIONS = ("float32", "bfloat16", "float16")
SWITCHES = ("auto", "yes", "no")
GROUPS = ("data", "folder")

_STEP = Option(int, 1, "a whole number of pixels from 1", lambda v: 1 <= int(v) <= 64)
_CELL = Option(int, 0, "a whole number of pixels from 1", lambda v: 0 <= int(v) <= 64)
_BINS = Option(int, 0, "a whole number from 4 to 36", lambda v: v == 0 or 4 <= int(v) <= 36)
_WINDOW = Option(str, "flat", "flat or gaussian", lambda v: v in ("flat", "gaussian"))
# Dense SIFT as a network's input; cell and orientations 0: the definition's own.
SIFTS: Table = {
    "vlfeat": {"step": _STEP, "cell": _CELL, "orientations": _BINS, "window": _WINDOW},
    "siftflow": {"step": _STEP, "cell": _CELL, "orientations": _BINS},
    "deepsky": {"step": _STEP, "cell": _CELL, "orientations": _BINS},
}

# What a preset sets; whatever else is given goes before it.
PRESETS: dict[str, dict[str, Any]] = {
    "deepsky": {
        "backbone": "resnet18", "weights": "hub", "sift": "deepsky", "stem": "conv", "size": 280, "mask": "circle",
        "augment": "deepsky", "optimiser": "sgd", "weight_decay": 2e-5, "schedule": "step", "decay_every": 10,
        "decay": 0.1, "batch": 32, "dropout": 0.2, "validation": 0.15, "seed": 100, "warmup": 0.0,
    },
}  # fmt: skip
# What of a preset depends on the input.
BY_INPUT: dict[str, dict[str, dict[str, Any]]] = {
    "deepsky": {
        "rgb": {"lr": 0.01, "epochs": 50}, "sift": {"lr": 0.01, "epochs": 50}, "fusion": {"lr": 0.001, "epochs": 10},
    },
}  # fmt: skip


@dataclass(frozen=True)
class TrainOptions:
    """Everything that decides a trained classifier, plus device, devices and workers (which do not).

    Raises InputError for an unknown name (with the closest match), a value of another type or out of range.
    """

    input: str = "rgb"
    """What the network sees: rgb (pixels), sift (dense SIFT of the image), fusion (one network on each, joined)."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm model."""
    weights: str = "package"
    """Where training starts: package (PyPI, offline), hub (timm's, one download), a file's path, the folder of another
    run, or random."""
    sift_backbone: str | None = None
    """The network on SIFT; default: as backbone."""
    sift_weights: str | None = None
    """Its weights; default: as weights. Its first convolution is always new."""
    sift: str = "vlfeat:step=4"
    """Dense SIFT: vlfeat, siftflow or deepsky, with options: siftflow:step=1,cell=8,orientations=4."""
    stem: str = "auto"
    """How SIFT enters its network: full (the network's first convolution, more channels), conv (a 5 x 5 of stride 2),
    patch (a map of step 4 by a 1 x 1 convolution, nothing reduced before the first stage); auto: patch at step 4."""
    size: int | None = None
    """Side in pixels; default: the weights' native size."""
    fit: str = "squash"
    """squash (to a square) or crop (centre, timm's rule); the same in training and after."""
    mask: str = "none"
    """circle: black outside the largest centred circle, for all-sky lenses."""
    sequences: bool = False
    """Each example is a folder of frames or a video."""
    frames: int = 16
    """Frames taken from a sequence, spread evenly over it."""
    head: str = "pool"
    """For sequences: average (of frames' scores), pool (mean and maximum of frames' features), tcn, gru."""
    motion: str = "auto"
    """Give heads of sequences the motion between frames: yes, no; auto: for tcn and gru."""
    tune: str = "all"
    """all, or head: the backbone stays as it is, and its features are computed once."""
    augment: str = "auto"
    """Of training images only: none, flip, standard, deepsky; auto: none for sequences, flip if tune is head, else
    standard."""
    balance: str = "none"
    """Of classes, in training only: none, weights (of the loss), sampler."""
    optimiser: str = "adamw"
    """adamw or sgd (momentum 0.9)."""
    lr: float | None = None
    """Learning rate; default: by optimiser and tune."""
    weight_decay: float | None = None
    """Default: 0.05 (adamw), 2e-5 (sgd)."""
    schedule: str = "cosine"
    """cosine (to zero), step (times decay every decay_every epochs), constant."""
    warmup: float = 0.5
    """Epochs over which the learning rate grows from zero."""
    decay_every: int = 10
    """Epochs between the steps of schedule step."""
    decay: float = 0.1
    """Factor of each such step."""
    epochs: int | None = None
    """Default: 5, and 100 if tune is head."""
    batch: int = 32
    """Images, or sequences, of one step, over all devices."""
    label_smoothing: float = 0.0
    """Share of each target spread over all classes."""
    dropout: float = 0.2
    """Before the last layer."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, e.g. 0.999; 0: none."""
    early_stop: int = 0
    """Stop after this many epochs without a better validation; 0: never."""
    validation: float = 0.15
    """Share of the training images held back, where the data has no validation part of its own."""
    test: float = 0.0
    """Share held back for testing, where the data has no test part of its own."""
    groups: str = "data"
    """What stays in one part: what the data names as a group, or all images of a folder (such as frames of a take)."""
    seed: int = 0
    """Of the split, the new layers, the order and the augmentation."""
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
        object.__setattr__(self, "sift", write(*parse("sift", self.sift, SIFTS)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        check_ranges(self, _RANGES)
        if self.validation + self.test > 0.9:
            raise InputError(
                f"validation {self.validation:g} and test {self.test:g} must leave at least 0.1 for training: make "
                "them smaller"
            )
        if self.stem == "patch" and self.sift_settings["step"] != 4:
            raise InputError(
                f"stem patch reads a SIFT map of step 4, got {self.sift!r}: use sift vlfeat:step=4, or stem full"
            )

    @property
    def sift_settings(self) -> dict[str, Value]:
        """definition, step, cell, orientations and perhaps window of `sift`, defaults included."""
        name, pairs = parse("sift", self.sift, SIFTS)
        return {"definition": name, **settings(name, pairs, SIFTS)}

    @property
    def frozen(self) -> bool:
        """Whether the backbone stays as it is."""
        return self.tune == "head"

    @property
    def unit(self) -> str:
        """What an example is."""
        return "sequences" if self.sequences else "images"

    @property
    def find_unused(self) -> bool:
        """Whether some weights may get no gradient in a step."""
        return self.sequences

    def as_dict(self) -> dict[str, Any]:
        """Every option, as JSON and YAML can hold it."""
        return asdict(self)


def make_options(preset: str | None = None, **given: Any) -> TrainOptions:
    """Options from a preset, a key of PRESETS or None, and what is given besides, which goes before it.

    Raises InputError for an unknown key or preset (with the closest match), or a value that cannot be.

    >>> make_options("deepsky", input="fusion").epochs
    10
    """
    names = [one.name for one in fields(TrainOptions)]
    for key in given:
        if key not in names:
            raise unknown("training option", key, names)
    return TrainOptions(**{**expand(preset, str(given.get("input", "rgb"))), **given})


def expand(preset: str | None, input: str) -> dict[str, Any]:
    """What a preset sets for an input; nothing if there is none. Raises InputError for an unknown one."""
    if preset is None:
        return {}
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    return {**PRESETS[preset], **BY_INPUT.get(preset, {}).get(input, {})}


def changed(one: Course, other: Course) -> list[str]:
    """Names of the options in which two of the same kind differ."""
    now = other.as_dict()
    return [name for name, value in one.as_dict().items() if value != now.get(name)]


def check_types(options: Any) -> None:
    """Make every field of a frozen dataclass of options plain text, numbers and truth values, as it is annotated.

    Raises InputError, naming the first field that holds something else.
    """
    hints = get_type_hints(type(options))
    for one in fields(options):
        value, hint = getattr(options, one.name), hints[one.name]
        if value is None and hint == hint | None:
            continue
        kind = next(k for k in (bool, int, float, str) if hint in (k, k | None))
        object.__setattr__(options, one.name, _typed(one.name, value, kind))


def check_ranges(options: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises InputError for the first option, by name, that is below the least or above the most of its range."""
    for name, (least, most) in ranges.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise InputError(f"{name} must be from {least} to {most}, got {value}")


def resolved(options: TrainOptions, size: int) -> TrainOptions:
    """The options with every default that depends on others filled in; size: the weights' native size."""
    head = options.frozen
    rates = {("adamw", True): 3e-3, ("adamw", False): 5e-4, ("sgd", True): 0.1, ("sgd", False): 0.01}
    return replace(
        options,
        sift_backbone=options.sift_backbone or options.backbone,
        sift_weights=options.sift_weights or options.weights,
        stem=options.stem if options.stem != "auto" else "patch" if options.sift_settings["step"] == 4 else "full",
        size=options.size or size,
        motion=options.motion if options.motion != "auto" else "yes" if options.head in ("tcn", "gru") else "no",
        augment=options.augment if options.augment != "auto" else _augment(options),
        lr=options.lr or rates[options.optimiser, head],
        weight_decay=options.weight_decay
        if options.weight_decay is not None
        else {"adamw": 0.05, "sgd": 2e-5}[options.optimiser],
        epochs=options.epochs or (100 if head else 5),
    )


def _augment(options: TrainOptions) -> str:
    """A mirrored pan to the left is one to the right: sequences are not changed unless it is asked for."""
    return "none" if options.sequences else "flip" if options.frozen else "standard"


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is str:
        plain = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(plain, str):
            raise InputError(f"{name} must be text, got {value!r}")
        return plain
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, got {value!r}")
        return value
    whole = kind is int
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not fits or not math.isfinite(value):
        raise InputError(f"{name} must be a {'whole ' if whole else ''}number, got {value!r}")
    return kind(value)


_CHOICES: dict[str, tuple[str, ...]] = {
    "input": INPUTS, "stem": STEMS, "fit": FITS, "mask": MASKS, "tune": TUNES, "augment": AUGMENTS,
    "balance": BALANCES, "optimiser": OPTIMISERS, "schedule": SCHEDULES, "head": HEADS, "precision": PRECISIONS,
    "motion": SWITCHES, "groups": GROUPS,
}  # fmt: skip
_RANGES: dict[str, tuple[float, float]] = {
    "size": (32, 4096), "frames": (1, 512), "lr": (1e-9, 1e3), "weight_decay": (0, 10), "warmup": (0, 10_000),
    "decay_every": (1, 10_000), "decay": (0, 1), "epochs": (1, 100_000), "batch": (1, 65_536),
    "label_smoothing": (0, 0.9), "dropout": (0, 0.95), "ema": (0, 0.999999), "early_stop": (0, 10_000),
    "validation": (0, 0.9), "test": (0, 0.9), "seed": (0, 2**31 - 1), "devices": (1, 1024), "nodes": (1, 1024),
    "workers": (0, 64),
}  # fmt: skip
