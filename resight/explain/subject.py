"""A classifier as explanations need it: what it takes, its classes, its modules by name, and where its images lie."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resight.errors import InputError, WorkError, unknown
from resight.explain.listening import undisturbed
from resight.images.frame import Frame, fit_frame
from resight.images.read import read_image
from resight.images.resize import fit as fit_square
from resight.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from resight.models.backbone import Backbone
    from resight.train.runs import Run

SQUARES = ("squash", "crop")  # of FITS those that give a square
Linear = tuple[dict[str, tuple[Tensor, Tensor]], Tensor]


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier to be explained.

    name     for messages
    module   all its layers
    classes  (C,) names
    size     side in pixels of the square it is given
    run      module, pixels -> (B, C) logits: (B, 3, S, S) uint8, and of sequences (B, T, 3, S, S) with lengths (B,)
    fit      an image, or the path of a sequence -> (3, S, S) or (T, 3, S, S) uint8
    frame    (H, W) of an image -> where the square lies in it
    roots    {branch: what the names of its modules begin with}, {"": ""} for a network without branches
    linear   module, pixels -> ({branch: (maps (B, K, h, w), weight (C, K))}, bias (C,)), where logits are a linear
             layer on the mean of maps; raises InputError where they are not. None: it is found out (see `linear_head`)
    frames   whether it takes sequences
    zero     the colour, 0 to 255, that its preprocessing makes 0; black where that is not known

    The module is given to `run` and `linear`, so that a subject with another one is a copy that uses it.
    """

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    size: int
    run: Callable[..., Tensor]
    fit: Callable[[Any], Tensor]
    frame: Callable[[tuple[int, int]], Frame]
    roots: dict[str, str] = field(default_factory=lambda: {"": ""})
    linear: Callable[[Any, Tensor], Linear] | None = None
    frames: bool = False
    zero: tuple[float, float, float] = (0.0, 0.0, 0.0)
    known: dict[str, Any] = field(default_factory=dict, repr=False)
    """What was found out about it, to be found out once: the default layers."""

    def forward(self, *given: Tensor) -> Tensor:
        """(B, C) logits of pixels, and of sequences also lengths, see `run`.

        Raises WorkError if the network fails, InputError if it was made where gradients cannot be had.
        """
        try:
            return self.run(self.module, *given)
        except (RuntimeError, AssertionError) as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            if "nference tensor" in first:
                raise InputError(f"{self.name} was made within torch.inference_mode, where gradients cannot be had: "
                                 "make it outside") from error  # fmt: skip
            raise WorkError(f"{self.name} failed on {tuple(given[0].shape)}: {first}") from error

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def covered(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the part of an image of (H, W) = size that it sees, in its pixels.

        Of a sequence, whose frames are explained as the network saw them, the whole square.
        """
        square = (0.0, 0.0, float(self.size), float(self.size))
        if self.frames:
            return square
        # Rounding may leave 399.99999999999994 of 400, or go beyond the image.
        box = np.round(self.frame(size).to_original(square), 9).clip(0, np.tile(size[::-1], 2))
        x1, y1, x2, y2 = box.tolist()
        return x1, y1, x2, y2

    def prefix_tokens(self, branch: str) -> int:
        """Tokens that a transformer has before those of its grid."""
        root = self.module.get_submodule(self.roots[branch].rstrip("."))
        return int(getattr(root, "num_prefix_tokens", 0))


def open_subject(
    model: Any, *, weights: str = "package", device: str = "auto", fit: str | None = None
) -> Subject:  # fmt: skip
    """What is to be explained, from a run or its folder, the name of a timm network, a Backbone or a Subject.

    weights: of a network given by its name
    fit:     how it is shown images, squash or crop; of a network given by its name, or a Backbone, the others have
             their own; default: the crop that belongs to its weights

    Raises InputError if it is none of these, or has no classes.
    """
    from resight.models.backbone import Backbone, is_network
    from resight.train.runs import Run

    if isinstance(model, Backbone):
        return backbone_subject(model, fit)
    named = isinstance(model, (str, os.PathLike)) and not Path(model).is_dir()
    if fit is not None:
        _check_fit(fit, named)
    if isinstance(model, Subject):
        return model
    if isinstance(model, Run):
        return run_subject(model)
    if named:
        if not is_network(str(model)):
            raise _no_such(model)
        return backbone_subject(Backbone(str(model), weights=weights, device=device, fold=False), fit)
    if isinstance(model, (str, os.PathLike)):
        return run_subject(Run.open(model, device))
    raise InputError(
        f"expected a run, its folder, the name of a timm network, a Backbone or a Subject, got {type(model).__name__}: "
        "module_subject(module, ...) makes one of any torch module"
    )


def module_subject(
    module: nn.Module, prepare: Callable[[Tensor], Tensor] | Preprocessing, size: int, *,
    classes: Sequence[str] = (), mode: str = "squash", name: str = "the network",
) -> Subject:  # fmt: skip
    """Any torch classifier.

    module:  (B, 3, S, S) as `prepare` makes it -> (B, C) logits; of one logit, C = 1, the sigmoid is the probability
    prepare: (B, 3, S, S) uint8 -> what the module takes, or the Preprocessing of its weights
    classes: names; default: their numbers
    mode:    how images become squares: squash or crop

    One black image is passed to count the outputs, the module's modes stay. Raises InputError if they are not (B, C)
    logits, or the names are of another number.
    """
    if mode not in SQUARES:
        raise unknown("fit", mode, SQUARES)
    crop = prepare.crop if isinstance(prepare, Preprocessing) else 0.875
    how = prepare.interpolation if isinstance(prepare, Preprocessing) else "bicubic"
    ready = prepare.normalise if isinstance(prepare, Preprocessing) else prepare
    count = _count_outputs(module, ready, size, name)
    if classes and len(classes) != count:
        raise InputError(f"{_counted(len(classes), 'name')} for {_counted(count, 'output')} of {name}: give one name "
                         "for each output, or none")  # fmt: skip
    classes = classes or [str(number) for number in range(count)]

    def run(network: nn.Module, pixels: Tensor) -> Tensor:
        found: Tensor = network(ready(pixels.to(_device(network))))
        return found

    return Subject(
        name, module, tuple(classes), size, run, partial(_fitted, size=size, mode=mode, how=how, crop=crop),
        partial(fit_frame, size=size, mode=mode, crop=crop),
        zero=_zero(prepare) if isinstance(prepare, Preprocessing) else (0.0, 0.0, 0.0),
    )  # fmt: skip


def backbone_subject(backbone: Backbone, fit: str | None = None) -> Subject:
    """A network with the classes of its own weights, of ImageNet for most.

    fit: how images become squares, squash or crop; default: the crop that belongs to its weights

    Raises InputError if it has no classes, or for another fit.
    """
    mode = "crop" if fit is None else fit
    if mode not in SQUARES:
        raise unknown("fit", mode, SQUARES)
    model: Any = backbone.model
    count = int(getattr(model, "num_classes", 0))
    if count < 1:
        raise InputError(f"{backbone.name} has no classes to explain: train a classifier, or take another network")
    own = backbone.preprocessing

    def run(network: nn.Module, pixels: Tensor) -> Tensor:
        found: Tensor = network(backbone.normalise(pixels))
        return found.float()

    return Subject(
        backbone.name, model, class_names(count), own.size, run,
        partial(_fitted, size=own.size, mode=mode, how=own.interpolation, crop=own.crop),
        partial(fit_frame, size=own.size, mode=mode, crop=own.crop), zero=_zero(own),
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

    def score(module: nn.Module, *given: Tensor) -> Tensor:
        found: Tensor = module(*(one.to(device) for one in given))
        return found.float()

    def linear(module: Any, pixels: Tensor) -> Linear:
        weight, parts = module.head.weight.detach().float(), module.parts()
        maps = module.maps(pixels.to(device))
        found = {branch: (maps[name].float(), weight[:, parts[name]]) for branch, name in zip(roots, names)}
        return found, module.head.bias.detach().float()

    return Subject(
        str(run.folder), network, run.classes, fitting.size, score, fitting,
        partial(fit_frame, size=fitting.size, mode=fitting.mode, crop=fitting.crop), roots,
        None if run.options.sequences else linear, run.options.sequences,
        _zero(images.branches["rgb"].preprocessing) if "rgb" in names else (0.0, 0.0, 0.0),
    )  # fmt: skip


def _count_outputs(module: nn.Module, ready: Callable[[Tensor], Tensor], size: int, name: str) -> int:
    """C of the (B, C) logits."""
    trial = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=_device(module))
    with undisturbed(module), torch.no_grad():
        given = ready(trial)
        try:
            found = module(given)
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise InputError(f"{name} failed on a black image of {tuple(given.shape)}: {first}") from error
    if not isinstance(found, Tensor) or found.ndim != 2 or not found.shape[1]:
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"expected {name} to give (B, C) logits, got {got} for one image: pass a module that does")
    return found.shape[1]


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _check_fit(fit: str, named: bool) -> None:
    """Raises InputError for a name that is no fit, and for any fit of what is not a network given by its name."""
    if fit not in SQUARES:
        raise unknown("fit", fit, SQUARES)
    if not named:
        raise InputError("fit is chosen for networks given by name; a run or Subject has its own: leave it out")


def _no_such(model: str | os.PathLike[str]) -> InputError:
    """The error for what is neither a folder nor a network's name."""
    import timm

    close = difflib.get_close_matches(str(model), timm.list_models(), n=3, cutoff=0.5)
    guess = f", did you mean {' or '.join(map(repr, close))}?" if close else ": timm.list_models() lists them"
    return InputError(f"there is no run folder {str(model)!r}, and no timm network of this name{guess}")


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
    square = fit_square(read_image(item), size, mode, how, crop)
    return torch.from_numpy(square).permute(2, 0, 1).contiguous()


def _zero(preprocessing: Preprocessing) -> tuple[float, float, float]:
    red, green, blue = preprocessing.mean
    return 255 * red, 255 * green, 255 * blue


def _device(module: nn.Module) -> torch.device:
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device
