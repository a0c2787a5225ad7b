"""Weights of VGG-16-CAM from Keras 1 and 2 .h5 files, whichever backend wrote them.

What differs between the files, and what is done about it:

| file                   | kernel       | backend computes | to torch                           |
|------------------------|--------------|------------------|------------------------------------|
| Keras 1, "th" ordering | (O, I, h, w) | convolution      | rotate by 180 degrees              |
| Keras 1, "tf" ordering | (h, w, I, O) | correlation      | transpose                          |
| Keras 2, Theano        | (h, w, I, O) | convolution      | transpose, rotate by 180 degrees   |
| Keras 2, any other     | (h, w, I, O) | correlation      | transpose                          |

Dense weights are (in, out) in all of them. Networks converted from Caffe take blue first; ours take red first.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from resight.errors import InputError, WorkError
from resight.models.weights import weights_path

KERAS_SUFFIXES = (".h5", ".hdf5")
MAX_LAYERS = 10_000
MAX_PARAMETER_BYTES = 4 << 30  # of all arrays unpacked: a few kilobytes can claim to be terabytes
NAMES = {"W": "kernel", "b": "bias", "param_0": "kernel", "param_1": "bias"}  # Keras 1 and 0.3 -> 2


@dataclass(frozen=True)
class KerasWeights:
    """What a Keras file holds.

    layers   (name, {parameter: array}) in the network's order; "kernel" and "bias" whatever the file calls them;
             layers without parameters are left out
    version  of Keras, 1 or 2;  backend  "theano", "tensorflow" ..., or None where the file does not say
    """

    layers: tuple[tuple[str, dict[str, np.ndarray]], ...]
    version: int
    backend: str | None

    def __repr__(self) -> str:
        return f"KerasWeights({len(self.layers)} layers, version={self.version}, backend={self.backend!r})"


def keras_state(file: str | os.PathLike[str], model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of a VGG-16-CAM from a Keras file. Raises what `read_keras` and `to_state` raise."""
    if not hasattr(model, "why_not"):
        raise InputError(
            f"Keras files are read for vgg16_cam only, not for {type(model).__name__}: in a network with branches the "
            "order of the layers is a guess; convert the file to .safetensors with the network's own names"
        )
    return to_state(read_keras(file), model)


def read_keras(file: str | os.PathLike[str]) -> KerasWeights:
    """The layers of a Keras 1 or 2 weights file (save_weights) or model file (save).

    Only what lies in the file itself is read: links and external storage are refused, sizes are checked first.

    Raises InputError if it is missing, or h5py is; WorkError if it is damaged, hostile or of another kind.
    """
    path = weights_path(file)
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise InputError(f"reading {path.name} needs h5py: pip install 'resight[keras]'") from error
    try:
        with h5py.File(path, "r") as root:
            return _read(h5py, root)
    except WorkError as error:
        raise WorkError(f"cannot read Keras weights {path}: {error}") from error
    except PermissionError as error:
        raise WorkError(f"cannot read Keras weights {path}: permission denied") from error
    except Exception as error:  # h5py passes on a dozen types from damaged files
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise WorkError(f"cannot read Keras weights {path}: damaged, or not an HDF5 file ({first})") from error


def _read(h5py: Any, root: Any) -> KerasWeights:
    top = root
    if "layer_names" not in root.attrs and "nb_layers" not in root.attrs:
        if "model_weights" not in root:
            raise WorkError("no layer_names in it: not a weights file of Keras 1 or 2")
        top = _open(h5py, root, "model_weights")
    old = "layer_names" not in top.attrs  # before Keras 1.0: layer_0, layer_1 ... with param_0, param_1
    count = int(top.attrs["nb_layers"]) if old else 0
    names = [f"layer_{i}" for i in range(min(count, MAX_LAYERS))] if old else _names(top, "layer_names")
    layers, budget = [], MAX_PARAMETER_BYTES
    for name in names:
        group = _open(h5py, top, name)
        inside = [f"param_{i}" for i in range(min(int(group.attrs["nb_params"]), 16))] if old else (
            _names(group, "weight_names"))  # fmt: skip
        found = {}
        for path in inside:
            data = _open(h5py, group, path)
            found[_parameter(path)] = array = _array(h5py, data, f"{name}/{path}", budget)
            budget -= array.nbytes
        if found:
            layers.append((name, found))
    version = _text(root.attrs.get("keras_version", top.attrs.get("keras_version", "1")))
    backend = root.attrs.get("backend", top.attrs.get("backend"))
    return KerasWeights(tuple(layers), 1 if version.startswith("1") else 2, None if backend is None else _text(backend))


def _names(group: Any, key: str) -> list[str]:
    shape = group.attrs.get_id(key).shape
    if len(shape) != 1 or shape[0] > MAX_LAYERS:
        raise WorkError(f"{key} has shape {shape}, expected a list of at most {MAX_LAYERS:,}")
    return [_text(name) for name in group.attrs[key]]


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _parameter(path: str) -> str:
    """ "conv1/kernel:0" and "convolution2d_1_W" -> "kernel"."""
    last = path.rsplit("/", 1)[-1].split(":")[0]
    return NAMES.get(last) or NAMES.get(last.rsplit("_", 1)[-1]) or last


def _open(h5py: Any, group: Any, path: str) -> Any:
    """What lies at `path` below `group`, if every step of the way is the file's own."""
    for step in path.split("/"):
        link = group.get(step, getlink=True) if step not in ("", ".") else None
        if not isinstance(link, h5py.HardLink):
            raise WorkError(f"{path!r} is {'missing' if link is None else 'a link, which is not followed'}")
        group = group[step]
    return group


def _array(h5py: Any, data: Any, name: str, budget: int) -> np.ndarray:
    if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.ndim > 4:
        raise WorkError(f"{name} is not an array of at most four axes of floating-point numbers")
    if data.is_virtual or data.external:
        raise WorkError(f"{name} lies outside the file, which is not followed")
    if data.size * max(data.dtype.itemsize, 4) > budget:
        raise WorkError(f"the arrays take more than {MAX_PARAMETER_BYTES >> 30} GiB")
    return np.asarray(data[()], dtype=np.float32)


def to_state(weights: KerasWeights, model: nn.Module) -> dict[str, torch.Tensor]:
    """Keras layers as torch's state dict: first to first, in order, turned as the file's kind demands.

    model: a chain of convolutions and linear layers that are registered in the order of the computation
    ->     every weight and bias of the model by its own name; the first convolution takes red, green, blue

    Raises InputError if the layers do not pair up.
    """
    own = [(name, part) for name, part in model.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    if len(own) != len(weights.layers):
        raise InputError(
            f"the Keras file has {len(weights.layers)} layers with weights, the network has {len(own)}: "
            "expected VGG-16-CAM (13 convolutions, the CAM convolution, one dense layer)"
        )
    convolutions = [(layer, part) for (_, part), layer in zip(own, weights.layers) if isinstance(part, nn.Conv2d)]
    last_axis = weights.version >= 2 or not all(_height_and_width_last(layer, part) for layer, part in convolutions)
    rotate = weights.backend == "theano" if last_axis else True
    state: dict[str, torch.Tensor] = {}
    for (name, part), (layer, found) in zip(own, weights.layers):
        if set(found) != {"kernel", "bias"}:
            raise InputError(f"layer {layer!r} of the Keras file has {sorted(found)}, expected a kernel and a bias")
        kernel = found["kernel"]
        if kernel.ndim != part.weight.ndim:
            raise InputError(f"layer {layer!r} of the Keras file is {kernel.shape}, where the network has {name!r}, "
                             f"{tuple(part.weight.shape)}")  # fmt: skip
        kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 and last_axis else kernel
        kernel = kernel[:, :, ::-1, ::-1] if kernel.ndim == 4 and rotate else kernel
        kernel = kernel[:, ::-1] if not state else kernel  # blue, green, red -> red, green, blue
        kernel = kernel.T if kernel.ndim == 2 else kernel
        state[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f"{name}.bias"] = torch.from_numpy(found["bias"])
    return state


def _height_and_width_last(layer: tuple[str, dict[str, np.ndarray]], part: nn.Conv2d) -> bool:
    kernel = layer[1].get("kernel")
    return kernel is not None and kernel.shape[2:] == part.kernel_size
