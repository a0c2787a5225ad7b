"""A descriptor by name: the text a person writes ("gem:p=4"), checked, and what it does to a feature map."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resight import choices
from resight.choices import Option, Value
from resight.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

MOST_FIXED = 4096
_CLASSES = re.compile(r"([0-9]{1,7}(\+[0-9]{1,7})*)?")

# 16 levels of R-MAC are 1,496 regions on a square map: the bound keeps a request at a door from asking for millions.
OPTIONS: dict[str, dict[str, Option]] = {
    "mac": {},
    "spoc": {"centre": Option(bool, False, "true or false")},
    "gem": {"p": Option(float, 3.0, "a finite number above 0", lambda value: 0 < float(value) < math.inf)},
    "crow": {},
    "rmac": {
        "levels": Option(int, 3, "a whole number from 1 to 16", lambda value: 1 <= int(value) <= 16),
        "include_global": Option(bool, False, "true or false"),
    },
    "cam": {
        "count": Option(int, 64, "a whole number of at least 1", lambda value: int(value) >= 1),
        "fixed": Option(
            str,
            "",
            f"class numbers joined by +, as in 12+281+340, each once and at most {MOST_FIXED}",
            lambda value: _are_classes(str(value)),
        ),
    },
}


def _are_classes(text: str) -> bool:
    numbers = text.split("+")
    return _CLASSES.fullmatch(text) is not None and len(set(numbers)) == len(numbers) <= MOST_FIXED


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
        object.__setattr__(self, "options", choices.check(self.name, self.options, OPTIONS))

    def __str__(self) -> str:
        """The shortest text that `parse_descriptor` reads back as this descriptor."""
        return choices.write(self.name, self.options)

    @property
    def settings(self) -> dict[str, Value]:
        """Every option with its value, defaults included."""
        return choices.settings(self.name, self.options, OPTIONS)

    @property
    def power(self) -> float:
        """The power of the mean over scales (`fuse_scales`): p for gem, 1 for the others. Radenovic 2018."""
        return float(self.settings["p"]) if self.name == "gem" else 1.0

    @property
    def fixed_classes(self) -> tuple[int, ...] | None:
        """The classes of `cam:fixed=12+281`, or None if each image has its own."""
        text = str(self.settings.get("fixed", ""))
        return tuple(int(part) for part in text.split("+")) if text else None

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
        import torch

        from resight.features.pooling import POOLINGS

        given: dict[str, Any] = dict(self.settings)
        if self.name == "cam":
            given.pop("fixed")
            if classes is None and self.fixed_classes is not None:
                classes = torch.tensor(self.fixed_classes)
            given |= {"head_weight": fitting_head(maps, head_weight), "classes": classes, "logits": logits}
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
    return Descriptor(*choices.parse("descriptor", text, OPTIONS))


def fitting_head(maps: torch.Tensor, head_weight: torch.Tensor | None) -> torch.Tensor:
    """The head's weight if it is one for these maps. Raises InputError that says what cam needs otherwise."""
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
