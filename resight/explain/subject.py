"""A classifier as explanations need it: what it takes, its classes, its modules by name, and where its images lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.explain.listening import undisturbed
from resight.images.frame import Frame, fit_frame
from resight.images.read import read_image
from resight.images.resize import fit
from resight.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from resight.models.backbone import Backbone
    from resight.train.runs import Run

Linear = tuple[dict[str, tuple[Tensor, Tensor]], Tensor]


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier to be explained.

    name     for messages
    module   all its layers
    classes  (C,) names
    size     side in pixels of the square it is given
    forward  pixels -> (B, C) logits: (B, 3, S, S) uint8, and of sequences (B, T, 3, S, S) with lengths (B,)
    fit      an image, or the path of a sequence -> (3, S, S) or (T, 3, S, S) uint8
    frame    (H, W) of an image -> where the square lies in it
    roots    {branch: what the names of its modules begin with}, {"": ""} for a network without branches
    linear   pixels -> ({branch: (maps (B, K, h, w), weight (C, K))}, bias (C,)), where logits are a linear layer on the
             mean of maps; raises InputError where they are not. None: they never are
    frames   whether it takes sequences
    zero     the colour, 0 to 255, that its preprocessing makes 0; black where that is not known
    """

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    size: int
    forward: Callable[..., Tensor]
    fit: Callable[[Any], Tensor]
    frame: Callable[[tuple[int, int]], Frame]
    roots: dict[str, str] = field(default_factory=lambda: {"": ""})
    linear: Callable[[Tensor], Linear] | None = None
    frames: bool = False
    zero: tuple[float, float, float] = (0.0, 0.0, 0.0)
    known: dict[str, Any] = field(default_factory=dict, repr=False)
    """What was found out about it, to be found out once: the default layers."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def prefix_tokens(self, branch: str) -> int:
        """Tokens that a transformer has before those of its grid."""
        root = self.module.get_submodule(self.roots[branch].rstrip("."))
        return int(getattr(root, "num_prefix_tokens", 0))


def open_subject(model: Any, *, weights: str = "package", device: str = "auto") -> Subject:
    """What is to be explained, from a run or its folder, the name of a timm network, a Backbone or a Subject.

    weights: of a network given by its name

    Raises InputError if it is none of these, or has no classes.
    """
    from resight.models.backbone import Backbone
    from resight.train.run_files import RECORD
    from resight.train.runs import Run

    if isinstance(model, Subject):
        return model
    if isinstance(model, Backbone):
        return backbone_subject(model)
    if isinstance(model, Run):
        return run_subject(model)
    if isinstance(model, (str, os.PathLike)):
        if (Path(model) / RECORD).is_file() or Path(model).is_dir():
            return run_subject(Run.open(model, device))
        return backbone_subject(Backbone(str(model), weights=weights, device=device, fold=False))
    raise InputError(
        f"expected a run, its folder, the name of a timm network, a Backbone or a Subject, got {type(model).__name__}: "
        "module_subject(module, ...) makes one of any torch module"
    )


def module_subject(
    module: nn.Module, prepare: Callable[[Tensor], Tensor] | Preprocessing, size: int, *,
    classes: Sequence[str] = (), mode: str = "squash", name: str = "the network",
) -> Subject:  # fmt: skip
    """Any torch classifier.

    module:  (B, 3, S, S) as `prepare` makes it -> (B, C) logits
    prepare: (B, 3, S, S) uint8 -> what the module takes, or the Preprocessing of its weights
    classes: names; default: their numbers
    mode:    how images become squares: squash or crop
    """
    crop = prepare.crop if isinstance(prepare, Preprocessing) else 0.875
    how = prepare.interpolation if isinstance(prepare, Preprocessing) else "bicubic"
    ready = prepare.normalise if isinstance(prepare, Preprocessing) else prepare
    if not classes:
        trial = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=_device(module))
        with undisturbed(module), torch.no_grad():
            classes = [str(number) for number in range(module(ready(trial)).shape[1])]

    def forward(pixels: Tensor) -> Tensor:
        found: Tensor = module(ready(pixels.to(_device(module))))
        return found

    return Subject(
        name, module, tuple(classes), size, forward, partial(_fitted, size=size, mode=mode, how=how, crop=crop),
        partial(fit_frame, size=size, mode=mode, crop=crop),
        zero=_zero(prepare) if isinstance(prepare, Preprocessing) else (0.0, 0.0, 0.0),
    )  # fmt: skip


def backbone_subject(backbone: Backbone) -> Subject:
    """A network with the classes of its own weights, of ImageNet for most. Raises InputError if it has none."""
    model: Any = backbone.model
    count = int(getattr(model, "num_classes", 0))
    if count < 1:
        raise InputError(f"{backbone.name} has no classes to explain: train a classifier, or take another network")
    own = backbone.preprocessing

    def forward(pixels: Tensor) -> Tensor:
        return backbone.logits(backbone.normalise(pixels))

    def linear(pixels: Tensor) -> Linear:
        weight, bias = backbone.head_weight, backbone.head_bias
        if weight is None or bias is None:
            raise InputError(f"cam needs a linear layer on the mean of the last map, which {backbone.name} has not: "
                             "use gradcam, which is the same where cam exists")  # fmt: skip
        return {"": (backbone.maps(backbone.normalise(pixels)).float(), weight)}, bias

    return Subject(
        backbone.name, model, class_names(count), own.size, forward,
        partial(_fitted, size=own.size, mode="crop", how=own.interpolation, crop=own.crop),
        partial(fit_frame, size=own.size, mode="crop", crop=own.crop), linear=linear,
        zero=_zero(own),
    )  # fmt: skip


def run_subject(run: Run) -> Subject:
    """A trained classifier of images or sequences."""
    network: Any = run.network
    fitting = run.fitting
    device = next(network.parameters()).device
    images = network.frame if run.options.sequences else network
    before = "frame." if run.options.sequences else ""
    names = list(images.branches)
    roots = {name if len(names) > 1 else "": f"{before}branches.{name}.model." for name in names}

    def forward(pixels: Tensor, lengths: Tensor | None = None) -> Tensor:
        given = (pixels.to(device),) if lengths is None else (pixels.to(device), lengths.to(device))
        found: Tensor = network(*given)
        return found.float()

    def linear(pixels: Tensor) -> Linear:
        weight, parts = network.head.weight.detach().float(), network.parts()
        maps = network.maps(pixels.to(device))
        found = {branch: (maps[name].float(), weight[:, parts[name]]) for branch, name in zip(roots, names)}
        return found, network.head.bias.detach().float()

    return Subject(
        str(run.folder), network, run.classes, fitting.size, forward, fitting,
        partial(fit_frame, size=fitting.size, mode=fitting.mode, crop=fitting.crop), roots,
        None if run.options.sequences else linear, run.options.sequences,
        _zero(images.branches["rgb"].preprocessing) if "rgb" in names else (0.0, 0.0, 0.0),
    )  # fmt: skip


def class_names(count: int) -> tuple[str, ...]:
    """Names of a network's own classes: ImageNet's if they are 1,000, else their numbers."""
    if count != 1000:
        return tuple(str(number) for number in range(count))
    import timm.data

    data: Any = timm.data
    info = data.ImageNetInfo("imagenet-1k")
    return tuple(
        f"{info.index_to_label_name(number)} {info.index_to_description(number).split(',')[0]}"
        for number in range(count)
    )


def _fitted(item: Any, *, size: int, mode: str, how: str, crop: float) -> Tensor:
    square = fit(read_image(item), size, mode, how, crop)
    return torch.from_numpy(square).permute(2, 0, 1).contiguous()


def _zero(preprocessing: Preprocessing) -> tuple[float, float, float]:
    red, green, blue = preprocessing.mean
    return 255 * red, 255 * green, 255 * blue


def _device(module: nn.Module) -> torch.device:
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device
