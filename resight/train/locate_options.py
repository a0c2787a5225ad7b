"""The choices that make a trained mask network, as one frozen value for library, command line and config files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, unknown
from resight.images.places import is_there
from resight.train.options import PRECISIONS, SCHEDULES, WEIGHTS, check_ranges, check_types

if TYPE_CHECKING:
    from resight.match.mask_network import MaskNetwork

COMBINES = ("mult", "add", "concat", "pooled")  # those of resight.match.mask_network, without loading torch
# What a preset sets; whatever else is given goes before it.
LOCATE_PRESETS: dict[str, dict[str, Any]] = {
    "neural-template-matching": {
        "backbone": "resnet152", "weights": "hub", "combine": "mult", "width": 256, "size": 512, "batch": 32,
        "epochs": 40, "samples": 10_000, "val_samples": 500, "lr": 1e-4, "schedule": "step", "decay_every": 25,
        "decay": 0.1, "warmup": 0.0, "weight_decay": 0.0, "rotate": 0.5, "degrees": 30.0, "flip": 0.5, "negative": 0.2,
        "scale": 1.0, "perspective": 0.0, "occlude": 0.0, "light": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class LocateOptions:
    """Everything that decides a trained mask network, plus device, devices, workers and panels (which do not).

    Raises InputError for an unknown name (with the closest match), a value of another type or out of range.
    """

    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm model that gives maps at several strides; there are two of it."""
    weights: str = "package"
    """Where both encoders start: package (PyPI, offline), hub (timm's, one download), a file's path, or random."""
    combine: str = "mult"
    """How the two encoders' maps are joined at each level: mult, add, concat (and a trained 3 x 3 convolution), or
    pooled (mult by the mean over the query, which learns faster)."""
    width: int = 256
    """Channels of the decoder's first block; each block has half of those before it."""
    size: int = 192
    """Side in pixels of what the network sees; images are squashed to a square."""
    epochs: int = 40
    """How often so many samples are learned from."""
    samples: int = 10_000
    """Samples of an epoch, drawn anew in each."""
    val_samples: int = 500
    """Samples that validate it, the same in each epoch."""
    batch: int = 16
    """Samples of one step, over all devices."""
    lr: float = 1e-4
    """Learning rate of Adam."""
    weight_decay: float = 0.0
    """Above 0: AdamW's."""
    schedule: str = "step"
    """step (times decay every decay_every epochs), cosine (to zero), constant."""
    decay_every: int = 25
    """Epochs between the steps of schedule step."""
    decay: float = 0.1
    """Factor of each such step."""
    warmup: float = 0.0
    """Epochs over which the learning rate grows from zero."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, e.g. 0.999; 0: none."""
    early_stop: int = 0
    """Stop after this many epochs without a better validation; 0: never."""
    negative: float = 0.2
    """Share of samples whose query is of another image: nothing is to be marked."""
    rotate: float = 0.5
    """Chance that the image, not the query, is turned."""
    degrees: float = 30.0
    """Turned by up to this much, either way."""
    flip: float = 0.5
    """Chance that image and query are mirrored together."""
    scale: float = 2.0
    """The thing in the image is up to this many times larger or smaller than the query; 1: as large."""
    perspective: float = 0.1
    """Its corners move by up to this share of its sides."""
    occlude: float = 0.3
    """Chance that a part of it is covered by another photograph."""
    light: float = 0.3
    """Chance each of another gamma, light from a side, another colour of the light."""
    noise: float = 0.3
    """Chance each of blur, colour jitter, noise."""
    validation: float = 0.15
    """Share of the images that only validate."""
    panels: int = 5
    """Draw samples of the validation every so many epochs; 0: never."""
    seed: int = 0
    """Of the split, the new layers, and every sample."""
    precision: str = "float32"
    """float32, bfloat16 or float16 (mixed)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: int = 1
    """Devices to train on (distributed data parallel)."""
    nodes: int = 1
    """Machines to train on; start the same command on each, as Lightning's documentation says."""
    workers: int | None = None
    """Processes that make samples; default: by the machine."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        check_ranges(self, _RANGES)

    @property
    def optimiser(self) -> str:
        """AdamW, which without weight decay is Adam."""
        return "adamw"

    @property
    def unit(self) -> str:
        """What is counted."""
        return "samples"

    @property
    def find_unused(self) -> bool:
        """Whether some weights may get no gradient in a step: timm's networks may have layers behind the last map."""
        return True

    def as_dict(self) -> dict[str, Any]:
        """Every option, as JSON and YAML can hold it."""
        return asdict(self)


def make_locate_options(preset: str | None = None, **given: Any) -> LocateOptions:
    """Options from a preset, a key of LOCATE_PRESETS or None, and what is given besides, which goes before it.

    Raises InputError for an unknown key or preset (with the closest match), or a value that cannot be.

    >>> make_locate_options("neural-template-matching", size=256).backbone
    'resnet152'
    """
    names = [one.name for one in fields(LocateOptions)]
    for key in given:
        if key not in names:
            raise unknown("option of locating", key, names)
    return LocateOptions(**{**expand_locate(preset), **given})


def expand_locate(preset: str | None) -> dict[str, Any]:
    """What a preset sets; nothing if there is none. Raises InputError for an unknown one."""
    if preset is None:
        return {}
    if preset not in LOCATE_PRESETS:
        raise unknown("preset", preset, LOCATE_PRESETS)
    return dict(LOCATE_PRESETS[preset])


def ask_locate(
    out: Path, given: Mapping[str, Any], *, preset: str | None = None, config: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> LocateOptions:  # fmt: skip
    """The options of a training into `out`: what is given, before the file, before the preset.

    given:  options by name;  config: file of options;  preset: a key of LOCATE_PRESETS
    resume: if a run is there, what is not given, in the file or in the preset is as the run has it

    Raises InputError for names and values that cannot be, or what has no effect; WorkError if the run that is gone on
    with is damaged.
    """
    from resight.train.run_files import RECORD, read_config, read_record, recorded_locating

    named, content = read_config(Path(config), make_locate_options) if config is not None else (None, {})
    asked, chosen, own = {**content, **given}, preset or named, {}
    if resume and (out / RECORD).is_file():
        own = recorded_locating(out, read_record(out, "locate")).as_dict()
    options = make_locate_options(**{**own, **expand_locate(chosen), **asked})
    _check_effects(options, given)
    file = os.path.expanduser(options.weights)
    whole = options.weights if options.weights in WEIGHTS or not is_there(file) else os.path.abspath(file)
    return replace(options, weights=whole)  # so that the path holds in another working folder too


def make_locate_network(options: LocateOptions) -> MaskNetwork:
    """The network that the options ask for, before training. Raises as `make_mask_network`."""
    from resight.match.mask_network import make_mask_network

    return make_mask_network(options.backbone, options.weights, combine=options.combine, size=options.size,
                             width=options.width, seed=options.seed)  # fmt: skip


def _check_effects(options: LocateOptions, given: Mapping[str, Any]) -> None:
    """Raises InputError, naming the first, if one of the options given for this training has no effect."""
    idle = {
        "decay": (options.schedule != "step", f"on schedule {options.schedule}: give schedule step as well"),
        "decay_every": (options.schedule != "step", f"on schedule {options.schedule}: give schedule step as well"),
        "degrees": (options.rotate == 0, "if nothing is turned: give rotate above 0 as well"),
        "warmup": (options.warmup > options.epochs, "behind the last epoch: give more epochs"),
        "early_stop": (options.early_stop >= options.epochs, "behind the last epoch: give more epochs"),
    }
    for name in given:
        wrong, why = idle.get(name, (False, ""))
        if wrong:
            raise InputError(f"{name} has no effect {why}, or leave {name} out")


_CHOICES: dict[str, tuple[str, ...]] = {"combine": COMBINES, "schedule": SCHEDULES, "precision": PRECISIONS}
_CHANCE = (0.0, 1.0)
_RANGES: dict[str, tuple[float, float]] = {
    "width": (16, 1024), "size": (32, 4096), "epochs": (1, 100_000), "samples": (1, 10**9), "val_samples": (1, 10**7),
    "batch": (1, 65_536), "lr": (1e-9, 1e3), "weight_decay": (0, 10), "decay_every": (1, 10_000), "decay": (0, 1),
    "warmup": (0, 10_000), "ema": (0, 0.999999), "early_stop": (0, 10_000), "negative": (0, 0.9), "rotate": _CHANCE,
    "degrees": (0, 180), "flip": _CHANCE, "scale": (1, 8), "perspective": (0, 0.4), "occlude": _CHANCE,
    "light": _CHANCE, "noise": _CHANCE, "validation": (0.01, 0.9), "panels": (0, 100_000), "seed": (0, 2**31 - 1),
    "devices": (1, 1024), "nodes": (1, 1024), "workers": (0, 64),
}  # fmt: skip
