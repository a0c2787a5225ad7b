"""The choices that make an encoder, as one frozen value shared by the library, the command line and config files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from resight.errors import InputError, WorkError, unknown
from resight.features.descriptor import parse_descriptor
from resight.images import FITS

SMALLEST_SIDE = 32
LARGEST_SIDE = 4096
OF_RUN = ("backbone", "descriptor", "weights", "stage")  # what the run of an encoder decides
PRECISIONS = ("float32", "bfloat16")  # the keys of resight.models.backbone.PRECISIONS, without loading torch


class _Unsaid(str):
    """A default: text that nobody gave, which the run of an encoder may replace."""

    __slots__ = ()


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides a descriptor, plus the device (which does not).

    With `encoder`, the folder of a run of `resight train embed`, that run decides backbone, descriptor, weights (its
    model.safetensors) and stage, and what size and fit are if they are not given: the fields then say what it has
    decided. It is read once, here; a configuration that says all of it already (`dataclasses.asdict` of one) reads
    nothing, so that it can be had where the folder is gone.

    Raises InputError for an unknown name (with the closest match), a value of another type or out of range, no run, or
    an option that differs from the run's; WorkError for a damaged run.
    """

    backbone: str = _Unsaid("tf_efficientnet_lite0")
    """Name of a timm model."""
    descriptor: str = _Unsaid("gem")
    """Pooling: mac, spoc, gem (gem:p=3), crow, rmac (rmac:levels=3), cam (cam:count=64)."""
    weights: str = _Unsaid("package")
    """package (PyPI, offline), hub (timm's, one download), a file's path, or random."""
    size: int | None = None
    """Side in pixels; default: the weights' native size."""
    fit: str = _Unsaid("squash")
    """squash (to a square), crop (centre, timm's rule), longest (aspect kept, never enlarged)."""
    scales: tuple[float, ...] = (1.0,)
    """Factors at which each image is seen, e.g. 1 0.7071 0.5."""
    stage: int | None = None
    """Number of an intermediate stage; default: the last map before the head."""
    precision: str = "float32"
    """float32 or bfloat16 (its own embedding space)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    encoder: str | None = None
    """Folder of a run of `resight train embed`: its network, descriptor and projection."""

    def __post_init__(self) -> None:
        self._check_types()
        self._take_run()
        for name in ("backbone", "weights", "fit"):
            object.__setattr__(self, name, str(getattr(self, name)))
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
        run = values.pop("encoder")
        if run is not None:
            from resight.models.trained import run_folder

            object.__setattr__(self, "encoder", run_folder(run))
        for name, text in values.items():
            plain = os.fspath(text) if name == "weights" and isinstance(text, os.PathLike) else text
            if not isinstance(plain, str):
                raise InputError(f"{name} must be text, got {text!r}")
            object.__setattr__(self, name, plain)

    def _take_run(self) -> None:
        """Let the run decide what it decides."""
        if self.encoder is None:
            return
        from resight.models.trained import MODEL, read_trained

        weights = os.path.join(self.encoder, MODEL)
        texts = (self.backbone, self.descriptor, self.weights, self.fit)
        said = not any(isinstance(text, _Unsaid) for text in texts)
        if said and self.weights == weights and self.size is not None and self.stage is None:
            return
        run = read_trained(self.encoder)
        try:
            descriptor = str(parse_descriptor(run.descriptor))
        except InputError as error:  # of what the run itself has recorded: no mistake of the caller
            raise WorkError(f"{self.encoder} is damaged, or of another version: {error}") from error
        own = {"backbone": run.backbone, "descriptor": descriptor, "weights": weights, "stage": None}
        for name in OF_RUN:
            given = getattr(self, name)
            if given is not None and not isinstance(given, _Unsaid) and _comparable(name, given) != own[name]:
                decided = "no stage, but the last map" if name == "stage" else repr(own[name])
                raise InputError(f"{name} {given!r} has no place beside the encoder {self.encoder}, which decides it "
                                 f"({decided}): leave it out")  # fmt: skip
            object.__setattr__(self, name, own[name])
        if isinstance(self.fit, _Unsaid):
            object.__setattr__(self, "fit", run.fit)
        if self.size is None:
            object.__setattr__(self, "size", run.size)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EncoderConfig:
        """Inverse of `dataclasses.asdict`; an unknown key is an error with the closest match."""
        names = [f.name for f in fields(EncoderConfig)]
        for key in values:
            if key not in names:
                raise unknown("encoder option", key, names)
        return EncoderConfig(**values)


def _comparable(name: str, given: Any) -> Any:
    """What was given, as the run would say it."""
    if name == "descriptor":
        return str(parse_descriptor(given))
    return os.path.abspath(os.path.expanduser(given)) if name == "weights" else given


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
