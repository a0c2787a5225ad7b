"""A descriptor by name: the text a person writes ("gem:p=4"), checked, and what it does to a feature map."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

Value = bool | int | float


@dataclass(frozen=True, slots=True)
class _Option:
    kind: type[bool] | type[int] | type[float]
    default: Value
    expected: str
    fits: Callable[[Value], bool] = lambda value: True


# 16 levels of R-MAC are 1,496 regions on a square map: the bound keeps a request at a door from asking for millions.
OPTIONS: dict[str, dict[str, _Option]] = {
    "mac": {},
    "spoc": {"centre": _Option(bool, False, "true or false")},
    "gem": {"p": _Option(float, 3.0, "a finite number above 0", lambda value: 0 < value < math.inf)},
    "crow": {},
    "rmac": {
        "levels": _Option(int, 3, "a whole number from 1 to 16", lambda value: 1 <= value <= 16),
        "include_global": _Option(bool, False, "true or false"),
    },
    "cam": {"count": _Option(int, 64, "a whole number of at least 1", lambda value: value >= 1)},
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pooling and its options; options at their default are dropped, so equal descriptors compare equal.

    name:    one of OPTIONS
    options: ((option, value), ...) sorted by option, without the defaults

    Raises InputError for an unknown name or option, or a value of the wrong type or range.

    >>> Descriptor("gem", (("p", 3),)) == Descriptor("gem")
    True
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in OPTIONS:
            raise unknown("descriptor", self.name, OPTIONS)
        keys = [key for key, _ in self.options]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise InputError(f"option {twice[0]} of {self.name} is given more than once")
        checked = {key: self._checked(key, value) for key, value in self.options}
        kept = sorted((key, value) for key, value in checked.items() if value != OPTIONS[self.name][key].default)
        object.__setattr__(self, "options", tuple(kept))

    def _checked(self, key: str, value: object) -> Value:
        option = _option(self.name, key)
        typed: Value | None = None
        if isinstance(value, bool):
            typed = value if option.kind is bool else None
        elif isinstance(value, int | float) and option.kind is not bool and math.isfinite(value):
            typed = option.kind(value) if option.kind is float or value == int(value) else None
        if typed is None or not option.fits(typed):
            raise InputError(f"{key} of {self.name} must be {option.expected}, got {value!r}")
        return typed

    def __str__(self) -> str:
        """The shortest text that `parse_descriptor` reads back as this descriptor."""
        written = ",".join(f"{key}={_text(value)}" for key, value in self.options)
        return f"{self.name}:{written}" if written else self.name

    @property
    def settings(self) -> dict[str, Value]:
        """Every option with its value, defaults included."""
        return {key: option.default for key, option in OPTIONS[self.name].items()} | dict(self.options)

    @property
    def power(self) -> float:
        """The power of the mean over scales (`fuse_scales`): p for gem, 1 for the others. Radenovic 2018."""
        return float(self.settings["p"]) if self.name == "gem" else 1.0

    def pool(
        self,
        maps: torch.Tensor,
        head_weight: torch.Tensor | None = None,
        *,
        classes: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The descriptors of a batch of feature maps.

        maps:            (B, K, H, W)
        head_weight:     (C, K)   for cam only, as are classes and logits; see `resight.features.cam`
        ->               (B, K)   L2-normalised

        Raises InputError if maps is not (B, K, H, W) of floats, or cam lacks a head that fits.
        """
        from resight.features.pooling import POOLINGS

        given: dict[str, Any] = dict(self.settings)
        if self.name == "cam":
            given |= {"head_weight": _fitting_head(maps, head_weight), "classes": classes, "logits": logits}
        return POOLINGS[self.name](maps, **given)


def parse_descriptor(text: str) -> Descriptor:
    """A descriptor from its text: a name, or a name and options as in "rmac:levels=4,include_global=true".

    Case and blanks do not matter. The inverse of `str(descriptor)`.
    Raises InputError for an unknown name or option, or a value of the wrong type or range.

    >>> str(parse_descriptor("GeM: p = 4"))
    'gem:p=4'
    >>> parse_descriptor("rmac:levels=3") == parse_descriptor("rmac")
    True
    """
    name, colon, rest = text.strip().lower().partition(":")
    name = name.strip()
    if name not in OPTIONS:
        raise unknown("descriptor", name, OPTIONS)
    pairs = []
    for part in rest.split(",") if colon else []:
        key, equals, raw = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise InputError(f"expected option=value after '{name}:', got {part.strip()!r} in {text!r}")
        pairs.append((key, _read(name, key, raw)))
    return Descriptor(name, tuple(pairs))


def _read(name: str, key: str, raw: str) -> Value:
    option = _option(name, key)
    if option.kind is bool and raw in ("true", "false"):
        return raw == "true"
    if option.kind is int and re.fullmatch(r"[+-]?[0-9]{1,18}", raw):
        return int(raw)
    if option.kind is float and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", raw):
        return float(raw)
    raise InputError(f"{key} of {name} must be {option.expected}, got {raw!r}")


def _option(name: str, key: str) -> _Option:
    known = OPTIONS[name]
    if not known:
        raise InputError(f"{name} takes no options, got {key!r}")
    if key not in known:
        raise unknown(f"option of {name}", key, known)
    return known[key]


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0")


def _fitting_head(maps: torch.Tensor, head_weight: torch.Tensor | None) -> torch.Tensor:
    channels = maps.shape[1] if maps.ndim == 4 else None
    if head_weight is None:
        found = "got none"
    elif head_weight.ndim != 2 or channels not in (None, head_weight.shape[1]):
        found = f"got shape {tuple(head_weight.shape)}"
    else:
        return head_weight
    raise InputError(
        f"cam needs the weight (C, K) of a linear head on the pooled feature map, with K = {channels} as the map, "
        f"{found}: take the last map of a backbone with global average pooling and one linear layer after it "
        "(resnet50, densenet161, efficientnet_lite0, ...), or a descriptor without a head (gem, rmac)"
    )
