"""The weight randomisation test: a map that stays when the network's weights are drawn anew does not explain them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resight.errors import InputError
from resight.explain.listening import listening, undisturbed
from resight.explain.stability import rank_correlation
from resight.explain.subject import Subject, open_subject

STAGES = 6


@dataclass(frozen=True, eq=False)
class Cascade:
    """What became of a map while layers were drawn anew, from the network's output on.

    layers        (n,) how many layers were drawn
    names         (n,) the last of them
    correlations  (n,) Spearman's rank correlation of the map with that of the true network: 1 is no change at all, nan
                  where a map is constant
    """

    layers: tuple[int, ...]
    names: tuple[str, ...]
    correlations: NDArray[np.float64]


def cascade(
    image: Any, model: Any = "tf_efficientnet_lite0", method: str = "gradcam", target: str | int | None = None, *,
    stages: int = STAGES, seed: int = 0, layer: str | None = None, weights: str = "package", device: str = "auto",
) -> Cascade:  # fmt: skip
    """A map beside those of the same network with ever more layers drawn anew: the head first, all at last.

    stages: how many such networks, evenly over the layers; each is a copy, the model is not changed
    others: as in `explain`; the target is the same throughout

    Adebayo 2018, section 3.1, cascading randomisation. Raises what `explain` raises, and InputError for less than two
    stages or a network that cannot be copied.
    """
    from resight.explain.explaining import explain

    if stages < 2:
        raise InputError(f"stages must be at least 2, the head and all layers, got {stages}")
    subject = open_subject(model, weights=weights, device=device)
    true = explain(image, subject, method, target, layer=layer)
    names = weighted_layers(subject)
    counts = tuple(dict.fromkeys(np.linspace(1, len(names), stages).round().astype(int).tolist()))
    found = []
    for count in counts:
        other = explain(image, randomised(subject, count, seed), method, true.target, layer=layer)
        found.append(rank_correlation(true.map, other.map))
    return Cascade(counts, tuple(names[count - 1] for count in counts), np.array(found))


def randomised(subject: Subject, layers: int | None = None, seed: int = 0) -> Subject:
    """A copy whose weights are drawn anew in some layers from the output on; None: in all.

    Each tensor is drawn from the normal distribution with its own mean and deviation, which keeps activations in range;
    statistics of batch normalisation stay. Raises InputError if the network cannot be copied, or layers is below 1.
    """
    if layers is not None and layers < 1:
        raise InputError(f"layers to draw anew must be at least 1, got {layers}")
    other = copied(subject)
    names = weighted_layers(other)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in names[:layers]:
            for one in other.module.get_submodule(name).parameters(recurse=False):
                wide = one.float().std(correction=0).cpu()
                drawn = torch.randn(one.shape, generator=draw) * wide + one.float().mean().cpu()
                one.copy_(drawn.to(one))
    return other


def weighted_layers(subject: Subject) -> tuple[str, ...]:
    """Names of the modules with weights of their own, the last to run first; those that are not run as such at last."""
    named = {name: one for name, one in subject.module.named_modules() if _weighted(one)}
    with undisturbed(subject.module), torch.no_grad(), listening(named) as heard:
        subject.forward(*_trial(subject))
    run = [name for name in heard.calls if name in named]
    return (*reversed(run), *(name for name in reversed(named) if name not in heard.calls))


def _weighted(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _trial(subject: Subject) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, subject.size, subject.size), generator=draw).byte().to(subject.device)
    return (pixels[:, None].expand(-1, 2, -1, -1, -1), torch.tensor([2])) if subject.frames else (pixels,)


def copied(subject: Subject) -> Subject:
    """The subject with a copy of its network. Raises InputError if that cannot be copied."""
    try:
        return replace(subject, module=deepcopy(subject.module), known=dict(subject.known))
    except (TypeError, RuntimeError, ValueError) as error:
        raise InputError(f"{subject.name} cannot be copied to draw its weights anew: {error}") from error
