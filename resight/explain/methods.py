"""The methods by their names, and their options: "score:channels=64"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from resight import choices
from resight.choices import Option
from resight.explain import lime
from resight.explain.ablation import by_ablation
from resight.explain.activation_maps import by_gradients, by_linear_head, by_principal_component
from resight.explain.gradients import GRADIENT_MAPS
from resight.explain.score import by_masking
from resight.explain.work import Ask, Batch, Found

Method = Callable[[Batch, Ask, str | None], Found]

_CHANNELS = Option(int, 0, "a whole number of at least 1, or 0 for all", lambda value: int(value) >= 0)

OPTIONS: dict[str, dict[str, Option]] = {
    "cam": {},
    **{name: {} for name in GRADIENT_MAPS},
    "eigen": {},
    "score": {"channels": _CHANNELS},
    "ablation": {"channels": _CHANNELS},
    "lime": lime.OPTIONS,
}


def find_method(text: str) -> tuple[str, Method]:
    """A method with its options: its name with those that are not at their default, and what runs it.

    text: name, or name:option=value,option=value

    Raises InputError for an unknown name or option (with the closest match), or a value that does not fit.

    >>> find_method("Score: channels=64")[0]
    'score:channels=64'
    """
    name, options = choices.parse("method", text, OPTIONS)
    return choices.write(name, options), partial(METHODS[name], **choices.settings(name, options, OPTIONS))


def _cam(batch: Batch, ask: Ask, layer: str | None) -> Found:
    from resight.errors import InputError

    if layer is not None:
        raise InputError("cam is made where the network pools, no layer can be chosen: use gradcam at a layer")
    return by_linear_head(batch, ask)


def _gradient(name: str) -> Method:
    def run(batch: Batch, ask: Ask, layer: str | None) -> Found:
        return by_gradients(batch, ask, GRADIENT_MAPS[name], layer)

    return run


# What runs a method: (batch, ask, layer), and its options by name.
METHODS: dict[str, Callable[..., Found]] = {
    "cam": _cam,
    **{name: _gradient(name) for name in GRADIENT_MAPS},
    "eigen": by_principal_component,
    "score": by_masking,
    "ablation": by_ablation,
    "lime": lime.by_superpixels,
}
