"""Any layer of a network by its module's name: what goes into it or comes out, several in one forward pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from resight.errors import InputError, WorkError, unknown
from resight.models.backbone import Backbone

SIDES = ("out", "in")


@dataclass(frozen=True)
class Layer:
    """A module of a network: its name, its class, the shapes that go in and come out for one image, its parameters.

    Shapes are those of the first tensor, without the batch; () where a module takes or gives none.
    """

    name: str
    kind: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Tap:
    """Where to listen: a module's name ("layer3.0.conv2") and its side, "out" or "in"."""

    layer: str
    side: str = "out"

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise unknown("side of a layer", self.side, SIDES)


def list_layers(backbone: Backbone, size: int | None = None) -> tuple[Layer, ...]:
    """The modules of a network in the order in which an image passes them, with shapes for one image.

    size: side in pixels of the image; default the weights' own

    A module used several times is listed once, with its last shapes; one that no image passes is left out.
    """
    side = size or backbone.preprocessing.size
    found: dict[str, Layer] = {}

    def listen(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, takes: Any, gives: Any) -> None:
            own = sum(parameter.numel() for parameter in module.parameters())
            found.pop(name, None)
            found[name] = Layer(name, type(module).__name__, _shape(takes), _shape(gives), own)

        return module.register_forward_hook(hook)

    handles = [listen(name, module) for name, module in backbone.model.named_modules() if name]
    try:
        forward(backbone, torch.zeros(1, 3, side, side, dtype=torch.uint8))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found.values())


def forward(backbone: Backbone, pixels: torch.Tensor) -> None:
    """The whole network on (B, 3, H, W) uint8, for what its modules say on the way.

    Raises InputError for a size that it cannot take, WorkError if it fails (out of memory, say).
    """
    high, wide = pixels.shape[-2:]
    with torch.inference_mode():
        try:
            backbone.model(backbone.normalise(pixels))
        except (AssertionError, IndexError, AttributeError) as error:
            raise InputError(f"{backbone.name} cannot take a {high}x{wide} (H x W) input: {_first(error)}") from error
        except RuntimeError as error:
            raise WorkError(f"{backbone.name} failed on a {high}x{wide} (H x W) input: {_first(error)}") from error


class Taps:
    """Listens at some layers of a network: `with taps.listening() as heard`, then any forward pass of this thread.

    Several threads may run the network at the same time: each hears its own passes only. Take a network made with
    `fold=False`: folding changes what a convolution gives and what the normalisation behind it takes.
    Raises InputError for a layer that the network does not have, with the closest match.
    """

    def __init__(self, backbone: Backbone, taps: Sequence[Tap]) -> None:
        self.backbone, self.taps = backbone, tuple(dict.fromkeys(taps))
        self._mine = threading.local()
        modules = dict(backbone.model.named_modules())
        names = [name for name in modules if name]
        for tap in self.taps:
            if tap.layer not in names:
                raise unknown(f"layer of {backbone.name}", tap.layer, names)
            self._attach(tap, modules[tap.layer])

    def _attach(self, tap: Tap, module: nn.Module) -> None:
        def hear(value: Any) -> None:
            heard: dict[Tap, torch.Tensor] | None = getattr(self._mine, "heard", None)
            if heard is None:
                return
            tensor = _tensor(value)
            if tensor is None:
                raise InputError(f"layer {tap.layer} of {self.backbone.name} has no tensor on its side {tap.side!r}")
            heard[tap] = tensor.clone()  # an activation in place may follow

        if tap.side == "in":
            module.register_forward_pre_hook(lambda _, takes: hear(takes))
        else:
            module.register_forward_hook(lambda _, takes, gives: hear(gives))

    @contextmanager
    def listening(self) -> Iterator[dict[Tap, torch.Tensor]]:
        """What the layers say during the passes inside, by tap: (B, ...) each, of the last pass."""
        heard: dict[Tap, torch.Tensor] = {}
        self._mine.heard = heard
        try:
            yield heard
        finally:
            self._mine.heard = None

    def __call__(self, pixels: torch.Tensor) -> dict[Tap, torch.Tensor]:
        """One forward pass: (B, 3, H, W) uint8 -> what each layer says, (B, ...).

        Raises what `forward` raises, and InputError for a layer that the images do not pass.
        """
        with self.listening() as heard:
            forward(self.backbone, pixels)
        self.check(heard)
        return heard

    def check(self, heard: dict[Tap, torch.Tensor]) -> None:
        """Raises InputError if a layer was silent."""
        silent = [tap.layer for tap in self.taps if tap not in heard]
        if silent:
            raise InputError(f"no image passes layer {silent[0]} of {self.backbone.name}: `resight layers "
                             f"{self.backbone.name}` lists those that it does")  # fmt: skip


def _tensor(value: Any) -> torch.Tensor | None:
    """The first tensor of what a module takes or gives."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (tuple, list)) and value:
        return _tensor(value[0])
    return None


def _shape(value: Any) -> tuple[int, ...]:
    tensor = _tensor(value)
    return () if tensor is None else tuple(tensor.shape[1:])


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
