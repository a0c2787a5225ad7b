"""The choices that make an encoder, as one frozen value shared by the library, the command line and config files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from resight.errors import InputError, unknown
from resight.features.descriptor import parse_descriptor
from resight.images import FITS

SMALLEST_SIDE = 32
LARGEST_SIDE = 4096
PRECISIONS = ("float32", "bfloat16")  # the keys of resight.models.backbone.PRECISIONS, without loading torch


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides a descriptor, plus the device (which does not).

    Raises InputError for an unknown name (with the closest match), a value of another type or out of range.
    """

    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm model."""
    descriptor: str = "gem"
    """Pooling: mac, spoc, gem (gem:p=3), crow, rmac (rmac:levels=3), cam (cam:count=64)."""
    weights: str = "package"
    """package (PyPI, offline), hub (timm's, one download), a file's path, or random."""
    size: int | None = None
    """Side in pixels; default: the weights' native size."""
    fit: str = "squash"
    """squash (to a square), crop (centre, timm's rule), longest (aspect kept, never enlarged)."""
    scales: tuple[float, ...] = (1.0,)
    """Factors at which each image is seen, e.g. 1 0.7071 0.5."""
    stage: int | None = None
    """Number of an intermediate stage; default: the last map before the head."""
    precision: str = "float32"
    """float32 or bfloat16 (its own embedding space)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "descriptor", str(parse_descriptor(self.descriptor)))
        if self.fit not in FITS:
            raise unknown("fit", self.fit, FITS)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.size is not None and not SMALLEST_SIDE <= self.size <= LARGEST_SIDE:
            raise InputError(f"size must be {SMALLEST_SIDE}..{LARGEST_SIDE} pixels, got {self.size}")
        if not self.scales or not all(0.1 <= s <= 4 for s in self.scales):
            raise InputError(f"scales must be one or more numbers from 0.1 to 4, got {list(self.scales)}")

    def _check_types(self) -> None:
        """Plain str, int and float in every field, which JSON can hold: numpy's numbers and paths become that."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        scales = values.pop("scales")
        listed: list[Any] = list(scales) if isinstance(scales, Iterable) and not isinstance(scales, str) else [None]
        if not all(_is(scale, Real) for scale in listed):
            raise InputError(f"scales must be one or more numbers from 0.1 to 4, got {scales!r}")
        object.__setattr__(self, "scales", tuple(float(scale) for scale in listed))
        for name in ("size", "stage"):
            number = values.pop(name)
            if number is not None and not _is(number, Integral):
                raise InputError(f"{name} must be a whole number, got {number!r}")
            object.__setattr__(self, name, None if number is None else int(number))
        for name, text in values.items():
            plain = os.fspath(text) if name == "weights" and isinstance(text, os.PathLike) else text
            if not isinstance(plain, str):
                raise InputError(f"{name} must be text, got {text!r}")
            object.__setattr__(self, name, plain)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EncoderConfig:
        """Inverse of `dataclasses.asdict`; an unknown key is an error with the closest match."""
        names = [f.name for f in fields(EncoderConfig)]
        for key in values:
            if key not in names:
                raise unknown("encoder option", key, names)
        return EncoderConfig(**values)


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
