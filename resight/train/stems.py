"""How dense SIFT enters a network that was made for three colours: a new first convolution, the rest as it was.

full   the architecture's own first convolution, with as many channels as the descriptor has
conv   a 5 x 5 convolution of stride 2 in its place (of the old one's stride if that is greater)
patch  for SIFT at every fourth pixel: a 1 x 1 convolution, and no strides until the map is as small as it would be
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.features.dense_sift import DenseSift, dense_sift
from resight.train.options import TrainOptions

PATCH = 4  # pixels from descriptor to descriptor that stem patch is made for
Maker = Callable[..., nn.Module]


class SiftMap(nn.Module):
    """Dense SIFT up to the image's border as a network's input: a descriptor at every step-th pixel.

    options: those of `DenseSift` but half and border

    On the CPU its numba kernels compute it, at step 1 in a 15th of the time that torch takes; elsewhere, and while the
    network is being exported, torch does. They agree to 1e-5. No gradient passes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.given = {**options, "border": "keep"}
        self.layer = DenseSift(**self.given)

    @property
    def channels(self) -> int:
        """Numbers of a descriptor."""
        return self.layer.channels

    def side(self, size: int) -> int:
        """Side of the map of images of this side."""
        return len(self.layer.frames((size, size)).y)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, channels, ceil(H / step), ceil(W / step)) float32."""
        jit: Any = torch.jit
        if pixels.device.type != "cpu" or torch.compiler.is_compiling() or jit.is_tracing():
            return cast(Tensor, self.layer(pixels))
        images = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        shape = self.layer.frames((images.shape[1], images.shape[2])).shape
        found = torch.empty((len(images), *shape, self.channels))
        threads = torch.get_num_threads()

        def describe(at: int, share: int = 1) -> None:
            dense_sift(images[at], out=found[at].numpy(), threads=share, **self.given)

        if len(images) < threads or threads == 1:
            for number in range(len(images)):
                describe(number, threads)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(describe, range(len(images))))
        return found.permute(0, 3, 1, 2)


def make_sift(options: TrainOptions) -> SiftMap:
    """The descriptor that the options ask for."""
    given: dict[str, Any] = dict(options.sift_settings)
    definition = given.pop("definition")
    chosen = {key: value for key, value in given.items() if value != 0}
    return SiftMap(**chosen, preset=None if definition == "vlfeat" else definition)


def sift_model(plain: nn.Module, make: Maker, sift: SiftMap, stem: str, size: int) -> tuple[nn.Module, list[str]]:
    """A network on descriptors, from the same one on pixels.

    plain: the network on (B, 3, size, size), without its last layer
    make:  makes it anew, with random weights: make(in_chans=128)
    stem:  "full", "conv" or "patch"
    size:  side of the image in pixels
    ->     the network on (B, channels, m, m), m = size / step, and what in it is new, in words

    Weights are those of `plain` but for the first convolution. Raises InputError if the stem cannot be made.
    """
    side = sift.side(size)
    model = make(in_chans=sift.channels)
    for one in (model, plain):
        set_size(one, size if stem == "patch" else side)
    own, given = model.state_dict(), plain.state_dict()
    firsts = sorted({key.rpartition(".")[0] for key in own if key not in given or given[key].shape != own[key].shape})
    model.load_state_dict({key: own[key] if key.rpartition(".")[0] in firsts else given[key] for key in own})
    if stem != "full":
        _replace_first(model, firsts, stem, side)
    if stem == "patch":
        _take_strides_away(model, plain, firsts, size)
        _compare_sizes(model, plain, sift.channels, side, size)
    return model, [_told(model.get_submodule(name), name, len(firsts) == 1) for name in firsts]


def set_size(model: nn.Module, size: int, present: int | None = None) -> None:
    """Make a network with a grid of its own (ViT, Swin) ready for images of this size; others take any.

    present: the size that it is ready for; default: that of its published weights

    Raises InputError if it cannot be.
    """
    change: Any = getattr(model, "set_input_size", None)
    if change is None:
        return
    config: Any = getattr(model, "pretrained_cfg", {})
    native = tuple(config.get("input_size", ()))[-1:]
    if size == present or (present is None and native == (size,)):
        return
    try:
        change(img_size=(size, size))
    except (AssertionError, ValueError, RuntimeError, TypeError, IndexError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{_name(model)} cannot take a map of {size} x {size}: {first}; take another size") from error


def _replace_first(model: nn.Module, firsts: list[str], stem: str, side: int) -> None:
    for name in firsts:
        old = model.get_submodule(name)
        if not isinstance(old, nn.Conv2d) or old.groups != 1 or name == "":
            raise InputError(f"stem {stem} cannot be made for {_name(model)}, which does not begin with a plain "
                             "convolution: use stem full")  # fmt: skip
        stride = int(old.stride[0])
        if stem == "conv":
            stride = max(stride, 2)
            kernel, pad = max(5, stride), int(stride <= 5)
        else:
            kernel, pad = (1 if stride <= PATCH else int(old.kernel_size[0]) // PATCH), 0
            stride = max(stride // PATCH, 1)
        new = nn.Conv2d(old.in_channels, old.out_channels, kernel, stride, pad, bias=old.bias is not None)
        nn.init.kaiming_normal_(new.weight, nonlinearity="relu")
        if new.bias is not None:
            nn.init.zeros_(new.bias)
        _put(model, name, new)
        around: Any = model.get_submodule(name.rpartition(".")[0])
        if stem == "patch" and hasattr(around, "set_input_size") and hasattr(around, "patch_size"):
            around.set_input_size(img_size=(side, side), patch_size=(kernel, kernel))


def _take_strides_away(model: nn.Module, plain: nn.Module, firsts: list[str], size: int) -> None:
    """Of every module that still reduces what is larger than size / 4 in the network on pixels."""
    for name, before in _strided(plain, size).items():
        reduced = round(size / before)
        if reduced >= PATCH or name in firsts:
            continue
        module: Any = model.get_submodule(name)
        left = max(_pair(module.stride) * reduced // PATCH, 1)
        if isinstance(module, nn.Conv2d):
            module.stride = (left, left)
        elif left == 1 and not list(module.parameters()):
            _put(model, name, nn.Identity())


def _strided(model: nn.Module, size: int) -> dict[str, int]:
    """Modules with a stride above 1 in the order of a pass of an image, each with the side of what it takes first."""
    found: dict[str, int] = {}

    def listen(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, takes: Any) -> None:
            found.setdefault(name, int(takes[0].shape[-1]))

        return module.register_forward_pre_hook(hook)

    handles = [
        listen(name, module)
        for name, module in model.named_modules()
        if _pair(getattr(module, "stride", 1)) > 1 and not list(module.children())
    ]
    try:
        last_sizes(model, 3, size)
    finally:
        for handle in handles:
            handle.remove()
    return found


def last_sizes(model: nn.Module, channels: int, side: int) -> list[tuple[int, ...]]:
    """Shapes of what a network makes of (1, channels, side, side) before its head; one, or one for each of its scales.

    Raises InputError if it cannot take that.
    """
    forward: Any = model.forward_features
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = forward(torch.zeros(1, channels, side, side))
    except (AssertionError, IndexError, AttributeError, RuntimeError, TypeError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{_name(model)} cannot take a map of {side} x {side}: {first}") from error
    finally:
        model.train(was)
    return [tuple(one.shape) for one in (found if isinstance(found, (list, tuple)) else [found])]


def _compare_sizes(model: nn.Module, plain: nn.Module, channels: int, side: int, size: int) -> None:
    reason = f"stem patch cannot be made for {_name(model)}: use stem full"
    try:
        found = last_sizes(model, channels, side)
    except InputError as error:
        raise InputError(f"{reason} ({error})") from error
    wanted = last_sizes(plain, 3, size)
    if found != wanted:
        raise InputError(f"{reason} (its last map would be {found[-1][1:]} instead of {wanted[-1][1:]})")


def _told(module: nn.Module, name: str, single: bool) -> str:
    where = "first convolution" if single else name
    sizes = f" ({module.in_channels} -> {module.out_channels} channels)" if isinstance(module, nn.Conv2d) else ""
    return f"{where}{sizes}"


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    around, _, last = name.rpartition(".")
    setattr(model.get_submodule(around), last, module)


def _pair(stride: Any) -> int:
    first = stride[0] if isinstance(stride, (tuple, list)) and stride else stride
    return first if isinstance(first, int) else 1


def _name(model: nn.Module) -> str:
    config: Any = getattr(model, "pretrained_cfg", {})
    return str(config.get("architecture") or type(model).__name__)
