"""One network of timm, by name: feature maps of any stage, logits, and the head's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from resight.errors import InputError, WorkError, unknown
from resight.models.folding import fold_batch_norm
from resight.models.hub import published
from resight.models.keras import KERAS_SUFFIXES, keras_state
from resight.models.preprocessing import Preprocessing
from resight.models.trained import MODEL, backbone_tensors, is_trained, read_tensors, read_trained
from resight.models.weights import (
    PACKAGED,
    adapt_keys,
    check_digest,
    load_state,
    packaged_file,
    read_state,
    weights_hash,
)

OF_RUNS = ("branches.", "frame.branches.", "learned.", "projection.")  # how names of a run's tensors begin
DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """ "auto" takes CUDA, then Apple's MPS, then the CPU. Raises InputError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.partition(":")[0] not in DEVICES:
        raise InputError(f"device {name!r} is not available here (known are auto, {', '.join(DEVICES)})")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # "meta" holds no values to bring back
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} is not available here ({str(error).splitlines()[0]})") from error
    return device


class Backbone:
    """A timm network with known weights, in evaluation mode, that gives feature maps.

    name       any name of `timm.list_models()`, e.g. "tf_efficientnet_lite0", "resnet50"
    weights    "package" | "hub" | a file's path | "random" (see resight.models.weights)
    precision  "float32" | "bfloat16"

    preprocessing  what the weights expect;  hash  of the weights as loaded;  head_weight  (C, K) or None

    Batch normalisation is folded into the convolutions (same values to 1e-6, fewer passes over memory); with
    fold=False every module gives what it gives in timm.

    Raises InputError for an unknown name or weights that do not fit, WorkError for a damaged file or failed download.
    """

    def __init__(
        self, name: str = "tf_efficientnet_lite0", *, weights: str = "package", device: str = "auto",
        precision: str = "float32", fold: bool = True,
    ) -> None:  # fmt: skip
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self.name, self.weights, self.precision = name, weights, precision
        self.device = choose_device(device)
        model, self.preprocessing = build(name, weights)
        self.hash = weights_hash(model)
        model = model.eval().requires_grad_(False)
        self.model = fold_batch_norm(model, self.preprocessing.size) if fold else model
        self.model.to(device=self.device, dtype=PRECISIONS[precision])
        cast(Any, self.model).to(memory_format=torch.channels_last)  # not in every torch's annotations

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, weights={self.weights!r}, hash={self.hash}, device={self.device})"

    def _head(self) -> nn.Linear | nn.Conv2d | None:
        model: Any = self.model
        if getattr(model, "global_pool", None) in ("token", "map"):
            return None
        head = model.get_classifier()
        if isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1):
            width = head.in_channels
        elif isinstance(head, nn.Linear):
            width = head.in_features
        else:
            return None
        between = getattr(getattr(model, "head", None), "norm", None)  # ConvNeXt's stands after the pooling
        straight = between is None or isinstance(between, nn.Identity)
        return head if straight and width == getattr(model, "num_features", width) else None

    @property
    def head_weight(self) -> torch.Tensor | None:
        """(C, K) float32 weights of a pooled + linear head, or None if the head is something else.

        A head on a class token or on attention pooling is something else: it never sees the mean of the map. So is a
        head behind further layers (VGG, MobileNetV3) or a normalisation of the mean (ConvNeXt).
        """
        head = self._head()
        return None if head is None else head.weight.detach().float().flatten(1)

    @property
    def head_bias(self) -> torch.Tensor | None:
        """(C,) float32 biases of the head that `head_weight` gives (zeros if it has none), or None."""
        head = self._head()
        if head is None:
            return None
        return head.weight.new_zeros(len(head.weight)).float() if head.bias is None else head.bias.detach().float()

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) uint8 -> the network's input on its device."""
        return self.preprocessing.normalise(pixels.to(self.device), PRECISIONS[self.precision])

    def maps(self, inputs: torch.Tensor, stage: int | None = None) -> torch.Tensor:
        """Feature maps.

        inputs: (B, 3, H, W)  normalised
        stage:  None for the last map before the head; 0, 1, ... or -1, -2, ... for an intermediate stage
        ->      (B, K, h, w)  tokens of transformers are laid out on their grid, class tokens dropped

        Raises InputError for a stage that the network does not have, or an input size it cannot take; WorkError if
        the network fails (out of memory, say).
        """
        return self.look(inputs, stage)[0]

    def look(
        self, inputs: torch.Tensor, stage: int | None = None, source: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Feature maps and, if `source`, also the last map, which the linear head pools: in one forward pass.

        inputs: (B, 3, H, W)  normalised
        stage:  as in `maps`
        ->      (B, K, h, w) what `maps` gives, and (B, K', h', w') or None: the map of which the mean over places times
                `head_weight`, plus `head_bias`, is the logits. None if not asked for, or if there is no such head.

        Raises what `maps` raises.
        """
        try:
            return self._look(inputs, stage, source and self._head() is not None)
        except (AssertionError, IndexError, AttributeError) as error:
            raise InputError(self._failure(inputs, stage, error)) from error
        except RuntimeError as error:
            raise WorkError(self._failure(inputs, stage, error)) from error

    def _look(self, inputs: torch.Tensor, stage: int | None, source: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        if stage is None:
            last = self._last(inputs)
            return last, last if source else None
        if not source:
            return self._stage(inputs, stage), None
        model: Any = self.model
        end, found = model.forward_intermediates(inputs, indices=[stage], output_fmt="NCHW")
        return cast(torch.Tensor, found[0]), self._grid(end, inputs)

    def _failure(self, inputs: torch.Tensor, stage: int | None, error: Exception) -> str:
        first = (str(error) or type(error).__name__).splitlines()[0]
        wanted = "take" if stage is None else f"give stage {stage} of"
        return f"{self.name} cannot {wanted} a {inputs.shape[-2]}x{inputs.shape[-1]} (H x W) input: {first}"

    def _stage(self, inputs: torch.Tensor, stage: int) -> torch.Tensor:
        model: Any = self.model
        found = model.forward_intermediates(
            inputs, indices=[stage], stop_early=True, intermediates_only=True, output_fmt="NCHW"
        )
        return cast(torch.Tensor, found[0])

    def _last(self, inputs: torch.Tensor) -> torch.Tensor:
        model: Any = self.model
        if hasattr(model, "cls_token") and not hasattr(model, "num_prefix_tokens"):
            return self._stage(inputs, -1)  # PiT and VOLO: the end is the class token, alone or uncounted
        features = model.forward_features(inputs)
        if not isinstance(features, torch.Tensor):
            return self._stage(inputs, -1)  # CoaT, CrossViT, EfficientViM: the end is several maps
        return self._grid(features, inputs)

    def _grid(self, features: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        model: Any = self.model
        if features.ndim == 3:
            tokens = features[:, int(getattr(model, "num_prefix_tokens", 0)) :]
            high, wide = inputs.shape[-2], inputs.shape[-1]
            rows = round((tokens.shape[1] * high / wide) ** 0.5)
            columns = tokens.shape[1] // max(rows, 1)
            if rows * columns != tokens.shape[1]:
                raise InputError(f"{self.name}: {tokens.shape[1]} tokens do not form a grid; choose a stage")
            return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, rows, columns)
        if getattr(model, "output_fmt", None) is not None and str(model.output_fmt).endswith("NHWC"):
            return features.permute(0, 3, 1, 2)
        return features

    def head(self, maps: torch.Tensor) -> torch.Tensor:
        """What the network's head makes of what is before it, for networks whose `maps` are just that."""
        model: Any = self.model
        return cast(torch.Tensor, model.forward_head(maps))

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) normalised -> (B, C) float32 class scores before softmax."""
        return cast(torch.Tensor, self.model(inputs)).float()


def is_network(name: str) -> bool:
    """Whether a backbone has this name."""
    import timm

    from resight.models import vgg_cam  # timm does not know it before

    vgg_cam.register()
    return bool(timm.is_model(name))


def check_name(name: str) -> None:
    """Raises InputError for a name, or a tag behind its dot, that timm does not know."""
    import timm

    if not is_network(name):
        raise unknown("backbone", name, timm.list_models())
    tags = [tag for tag in timm.list_pretrained(name.partition(".")[0]) if "." in tag]
    if "." in name and name not in tags:
        raise unknown("backbone", name, tags)


def build(name: str, weights: str) -> tuple[nn.Module, Preprocessing]:
    """The network with its weights, and the preprocessing that belongs to them."""
    check_name(name)
    if weights in ("hub", "random"):
        model: Any = published(name) if weights == "hub" else _untrained(name)
        return model, Preprocessing.of_timm(model.pretrained_cfg)
    if weights == "package":
        file, package = packaged_file(name), PACKAGED[name]
        check_digest(file, package.sha256_start)
        model = _untrained(name)
        load_state(model, adapt_keys(read_state(file), model), str(file))
        return model, package.preprocessing
    return _from_file(name, weights)


def _untrained(name: str, **options: Any) -> Any:
    """The network with random weights: the same each time, and torch's own random numbers go on as if nothing was."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would also reseed every GPU
        return timm.create_model(name, **options)


def _from_run(name: str, folder: Path) -> tuple[nn.Module, Preprocessing]:
    """The backbone of a run of `resight train embed`, and the preprocessing that it was trained with."""
    trained = read_trained(folder)
    if trained.backbone != name:
        raise InputError(f"{folder} has trained {trained.backbone!r}, got the backbone {name!r}")
    state = backbone_tensors(read_tensors(trained))
    try:
        model = _with_head_of(name, state)
        load_state(model, state, str(folder / MODEL))
    except InputError as error:  # of what the run itself has recorded: no mistake of the caller
        raise WorkError(f"{folder} is damaged, or of another version: {error}") from error
    return model, trained.preprocessing


def _with_head_of(name: str, state: dict[str, torch.Tensor]) -> Any:
    """The network, untrained, with a head for as many classes as these weights have: perhaps none."""
    model = _untrained(name)
    own = model.state_dict()
    named = model.pretrained_cfg.get("classifier") or ()
    for head in [f"{one}.weight" for one in ([named] if isinstance(named, str) else named)]:
        if head in own and head not in state:
            return _untrained(name, num_classes=0)
        if head in own and own[head].shape != state[head].shape and own[head].ndim == state[head].ndim:
            return _untrained(name, num_classes=int(state[head].shape[0]))
    return model


def _from_file(name: str, file: str) -> tuple[nn.Module, Preprocessing]:
    path = Path(os.path.expanduser(file))  # not Path.expanduser, which raises for an unknown user
    if path.name == MODEL and is_trained(path.parent):
        return _from_run(name, path.parent)
    model = _untrained(name)
    raw = keras_state(file, model) if Path(file).suffix.lower() in KERAS_SUFFIXES else read_state(file)
    if any(key.startswith(OF_RUNS) for key in raw):
        raise InputError(f"weights {file} are those of a training run, not of {name} alone: a new training can start "
                         "from them, if weights is the folder of the run (--weights RUN)")  # fmt: skip
    state = adapt_keys(raw, model)
    head = str(model.pretrained_cfg.get("classifier", "")) + ".weight"
    own = model.state_dict()
    if head in state and head in own and state[head].shape != own[head].shape and state[head].ndim == own[head].ndim:
        model = _untrained(name, num_classes=int(state[head].shape[0]))  # a head for other classes
    load_state(model, state, file)
    if "_conv_stem.weight" in raw and name in PACKAGED:  # the packaged file's port, trained on (pixel - 127) / 128
        return model, PACKAGED[name].preprocessing
    return model, Preprocessing.of_timm(model.pretrained_cfg)
