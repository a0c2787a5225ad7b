"""What an embedding network is trained on: triplet or contrastive loss, or one of pytorch-metric-learning by name."""

from __future__ import annotations

import importlib
import inspect
import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from resight.choices import Option, Value, parse, settings
from resight.errors import InputError, unknown

PACKAGE = "pytorch_metric_learning"
REDUCTIONS = ("mean", "sum")
_MARGIN = ("a number from 0 to 100", lambda value: 0 <= float(value) <= 100)
_REDUCTION = Option(str, "mean", "mean or sum", lambda value: value in REDUCTIONS)
OWN = {
    "triplet": {"margin": Option(float, 0.1, *_MARGIN), "reduction": _REDUCTION},
    "contrastive": {"margin": Option(float, 0.7, *_MARGIN), "reduction": _REDUCTION},
}
# Not for vectors with labels by themselves: they wrap other losses, or want two views, or no labels.
LEFT_OUT = {
    "BaseLossWrapper", "BaseMetricLossFunction", "CrossBatchMemory", "GenericPairLoss", "InstanceLoss", "ManifoldLoss",
    "MultipleLosses", "SelfSupervisedLoss", "VICRegLoss",
}  # fmt: skip
BATCH_ONLY = {"P2SGradLoss", "PNPLoss", "RankedListLoss"}  # they refuse triplets and look at all pairs of the batch
GIVEN = {"num_classes": "classes", "embedding_size": "dim", "descriptors_dim": "dim"}
OBJECTS = {
    "mat_based_loss",
    "weight_init_func",
    "weight_regularizer",
    "weight_reg_weight",
}  # no text says what they are


def triplet_loss(vectors: Tensor, triplets: Tensor, margin: float = 0.1, reduction: str = "mean") -> Tensor:
    """max(0, margin + |q - p|^2 - |q - n|^2), the mean or sum over the triplets; Schroff 2015, eq. 3.

    vectors:  (B, d)
    triplets: (T, 3)  places of query, positive, negative in vectors
    ->        ()      float32; 0 with a gradient of 0 where there are no triplets; zeros count in the mean

    >>> triplet_loss(torch.eye(2), torch.tensor([[0, 0, 1], [0, 1, 0]]), 0.5).item()
    1.25
    """
    query, positive, negative = (vectors[places].float() for places in _checked(vectors, triplets, 3).T)
    near, far = (query - positive).square().sum(1), (query - negative).square().sum(1)
    return _reduced((margin + near - far).clamp(min=0), vectors, reduction)


def contrastive_loss(
    vectors: Tensor, triplets: Tensor | tuple[Tensor, Tensor], margin: float = 0.7, reduction: str = "mean"
) -> Tensor:
    """.5 d^2 for each matching pair, .5 max(0, margin - d)^2 for each other, the mean or sum over the pairs.

    vectors:  (B, d)
    triplets: (T, 3)  query, positive, negative; or (matching (P, 2), other (M, 2)) pairs
    ->        ()      float32; 0 with a gradient of 0 where there are no pairs

    Of triplets each pair counts once, so that a query with its positive and five negatives makes six terms, as in
    cirtorch. Radenovic, Tolias and Chum 2018, eq. 3; Chopra 2005.

    >>> round(contrastive_loss(torch.eye(2), torch.tensor([[0, 0, 1]]), 2.0, "sum").item(), 6)  # .5 (2 - 2^.5)^2
    0.171573
    """
    if isinstance(triplets, Tensor):
        triplets = _checked(vectors, triplets, 3)
        pairs = torch.unique(triplets[:, :2], dim=0), torch.unique(triplets[:, [0, 2]], dim=0)
    else:
        pairs = _checked(vectors, triplets[0], 2), _checked(vectors, triplets[1], 2)
    near, far = ((vectors[a].float() - vectors[b].float()).square().sum(1) for a, b in (part.T for part in pairs))
    apart = far.clamp(min=1e-12).sqrt()  # whose slope at 0 is finite
    return _reduced(torch.cat([near, (margin - apart).clamp(min=0).square()]) / 2, vectors, reduction)


class Loss(nn.Module):
    """A loss by its name: (vectors (B, d), labels (B,), triplets (T, 3) or None) -> ().

    name:          "triplet", "contrastive", or the class of pytorch-metric-learning
    uses_triplets:  whether mined triplets choose or weigh what it is computed from; else it sees the whole batch
    needs_triplets: whether it cannot do without
    """

    def __init__(self, name: str, uses_triplets: bool, needs_triplets: bool) -> None:
        super().__init__()
        self.name, self.uses_triplets, self.needs_triplets = name, uses_triplets, needs_triplets


class TripletsLoss(Loss):
    """`triplet_loss` or `contrastive_loss` with their options."""

    def __init__(self, name: str, margin: float, reduction: str) -> None:
        super().__init__(name, uses_triplets=True, needs_triplets=True)
        self.margin, self.reduction = margin, reduction

    def forward(self, vectors: Tensor, labels: Tensor, triplets: Tensor | None = None) -> Tensor:
        """(B, d), (B,), (T, 3) -> (). Raises InputError without triplets."""
        if triplets is None:
            raise InputError(f"the loss {self.name} is computed from triplets: choose a miner")
        compute = triplet_loss if self.name == "triplet" else contrastive_loss
        return compute(vectors, triplets, self.margin, self.reduction)


class PackageLoss(Loss):
    """A loss of pytorch-metric-learning; its own weights (proxies, centres) are this module's parameters.

    What it keeps from batch to batch without training it (a histogram, a margin) becomes a buffer, so that a checkpoint
    holds that too.
    """

    def __init__(self, loss: nn.Module) -> None:
        name = type(loss).__name__
        super().__init__(name, uses_triplets=name not in BATCH_ONLY, needs_triplets=False)
        for key, value in list(vars(loss).items()):
            if isinstance(value, Tensor):
                delattr(loss, key)
                loss.register_buffer(key, value)
        self.loss = loss

    def forward(self, vectors: Tensor, labels: Tensor, triplets: Tensor | None = None) -> Tensor:
        """(B, d), (B,) from 0 to classes - 1, (T, 3) -> (), in float32.

        Triplets go to losses that can take them; of an empty set of triplets the loss is 0 with a gradient of 0.
        """
        if triplets is not None and self.uses_triplets:
            triplets = _checked(vectors, triplets, 3)
            if not len(triplets):
                return vectors.float().sum() * 0
            made = self.loss(vectors.float(), labels, tuple(triplets.T))
        else:
            made = self.loss(vectors.float(), labels)
        for key, kept in list(self.loss.named_buffers(recurse=False)):
            setattr(self.loss, key, kept.detach())  # or the next batch's gradient would run back into this one
        return torch.as_tensor(made)


def make_loss(text: str, *, classes: int | None = None, dim: int | None = None) -> Loss:
    """The loss that a text names: "triplet:margin=0.2", "multi-similarity:alpha=2,beta=50", "ContrastiveLoss".

    text:    "triplet" and "contrastive" are this module's; any other name is a loss of pytorch-metric-learning, as its
             class ("ContrastiveLoss") or in small letters with hyphens ("multi-similarity")
    classes: how many classes are trained on, for losses with weights for each (proxies, ArcFace)
    dim:     length of the vectors, for the same

    Weights are drawn from torch's random state, as any layer's.
    Raises InputError for an unknown name or option (with the closest match), a value that does not fit, a package that
    is not installed.

    >>> make_loss("triplet:margin=0.2").margin
    0.2
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if name.lower() in OWN:
        name, pairs = parse("loss", text, OWN)
        options = settings(name, pairs, OWN)
        return TripletsLoss(name, float(options["margin"]), str(options["reduction"]))
    made = _class_of(name)
    known = _parameters(made)
    values = _read(made.__name__, rest if colon else "", known)
    return PackageLoss(_construct(made, known, values, {"classes": classes, "dim": dim}))


def loss_names() -> list[str]:
    """Names that `make_loss` knows: this module's, then those of pytorch-metric-learning where it is installed."""
    try:
        return [*OWN, *sorted({_kebab(name) for name in _classes()} - set(OWN))]
    except ModuleNotFoundError:
        return list(OWN)


def _checked(vectors: Tensor, places: Tensor, width: int) -> Tensor:
    if vectors.ndim != 2 or places.ndim != 2 or places.shape[1] != width or places.is_floating_point():
        raise InputError(
            f"expected vectors (B, d) and whole numbers (T, {width}), got shapes {tuple(vectors.shape)} and "
            f"{places.dtype} {tuple(places.shape)}"
        )
    return places


def _reduced(losses: Tensor, vectors: Tensor, reduction: str) -> Tensor:
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)
    if not len(losses):
        return vectors.float().sum() * 0
    return losses.mean() if reduction == "mean" else losses.sum()


def _classes() -> dict[str, type[nn.Module]]:
    library: Any = importlib.import_module(f"{PACKAGE}.losses")
    found = inspect.getmembers(library, lambda thing: inspect.isclass(thing) and issubclass(thing, nn.Module))
    return {name: made for name, made in found if name.endswith("Loss") and name not in LEFT_OUT}


def _class_of(name: str) -> type[nn.Module]:
    try:
        classes = _classes()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != PACKAGE:
            raise
        raise InputError(
            f"the loss {name!r} needs pytorch-metric-learning: pip install 'resight[embed]', or take {' or '.join(OWN)}"
        ) from error
    for known, made in classes.items():
        if _plain(name) in (_plain(known), _plain(known).removesuffix("loss")):
            return made
    raise unknown("loss", name, {*OWN, *map(_kebab, classes)})


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _kebab(name: str) -> str:
    """
    >>> _kebab("MultiSimilarityLoss"), _kebab("NTXentLoss")
    ('multi-similarity', 'nt-xent')
    """
    words = re.findall(r"[A-Z0-9]+(?=[A-Z][a-z])|[A-Z0-9]*[a-z]+|[A-Z0-9]+", name.removesuffix("Loss"))
    return "-".join(words).lower()


def _parameters(made: type) -> dict[str, inspect.Parameter]:
    """What a loss's constructor and those it hands on to take, where a text can say it."""
    known: dict[str, inspect.Parameter] = {}
    for part in made.__mro__:
        if "__init__" not in vars(part) or not part.__module__.startswith(f"{PACKAGE}.losses."):
            continue
        for name, parameter in list(inspect.signature(vars(part)["__init__"]).parameters.items())[1:]:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and name not in OBJECTS and not name.startswith("embedding_reg"):
                known.setdefault(name, parameter)
    return known


def _read(loss: str, text: str, known: dict[str, inspect.Parameter]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    settable = [name for name in known if name not in GIVEN]
    for part in text.split(",") if text else []:
        key, equals, raw = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not raw:
            raise InputError(f"expected option=value after '{loss}:', got {part.strip()!r}")
        if key in GIVEN and key in known:
            raise InputError(f"{key} of {loss} is known from the training data and the network: leave it out")
        if key not in settable:
            raise unknown(f"option of {loss}", key, settable) if settable else InputError(f"{loss} takes no options")
        if key in values:
            raise InputError(f"option {key} of {loss} is given more than once")
        values[key] = _value(loss, key, raw, known[key].default)
    return values


def _value(loss: str, key: str, raw: str, default: object) -> Value:
    """A value of the kind that the default has: yes or no, a number, or, where the default is a word, a word."""
    if isinstance(default, bool):
        if raw.lower() not in ("true", "false"):
            raise InputError(f"{key} of {loss} must be true or false, got {raw!r}")
        return raw.lower() == "true"
    try:
        number = float(raw)
    except ValueError:
        if isinstance(default, str):
            return raw
        raise InputError(f"{key} of {loss} must be a number, got {raw!r}") from None
    if not math.isfinite(number) or abs(number) > 1e6:
        raise InputError(f"{key} of {loss} must be a number within a million of 0, got {raw!r}")
    return int(number) if re.fullmatch(r"[+-]?[0-9]+", raw) else number


def _construct(
    made: type[nn.Module],
    known: dict[str, inspect.Parameter],
    values: dict[str, Value],
    given: dict[str, int | None],
) -> nn.Module:
    needed = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    if missing := [name for name in needed if name not in values and name not in GIVEN]:
        options = ",".join(f"{name}=..." for name in missing)
        raise InputError(f"{made.__name__} needs {' and '.join(missing)}: write {_kebab(made.__name__)}:{options}")
    own = {name: given[GIVEN[name]] for name in needed if name in GIVEN}
    if None in own.values():
        raise InputError(f"{made.__name__} has weights of its own: give make_loss classes and dim")
    try:
        return made(**values, **own)
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or "it refuses these options"
        raise InputError(f"{made.__name__} cannot be made: {reason[:200]}") from error
