"""What a grid of retrieval experiments consists of, as a TOML or YAML file says it; every value is checked at once."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from resight.errors import InputError, unknown
from resight.features.config import EncoderConfig
from resight.features.descriptor import parse_descriptor
from resight.images.settings import read_settings
from resight.images.truth import PROTOCOLS
from resight.measure.fingerprint import CROPS
from resight.measure.times import parse_time
from resight.search.after import parse_step

MOST_CELLS = 10_000
MOST_STEPS = 20
PARTED = ("cam", "rmac")  # the descriptors that sum parts, as resight.features.encoder.PARTED, without loading torch
LEARNED = "learned:"
OWN_WEIGHTS = ("package", "hub", "random")  # anything else is a file


@dataclass(frozen=True)
class Cell:
    """One experiment: a descriptor, dimensions of its parts' and of its own whitening (0: none), steps afterwards.

    whitening: dimensions, or "learned:256" for a whitening learned from labels, as in `Grid`
    """

    descriptor: str
    part_whitening: int
    whitening: int | str
    then: tuple[str, ...]

    @property
    def how(self) -> str:
        """How the whitening is fitted, "pca" or "learned"."""
        return "learned" if isinstance(self.whitening, str) else "pca"

    @property
    def dim(self) -> int:
        """Dimensions of the whitened descriptor, 0 without whitening."""
        return _dim(self.whitening)

    def __str__(self) -> str:
        """
        >>> str(Cell("cam", 128, 64, ("aqe", "dba")))
        'cam, parts whitened to 128, whitened to 64, aqe -> dba'
        """
        parts = [self.descriptor]
        parts += [f"parts whitened to {self.part_whitening}"] if self.part_whitening else []
        parts += [f"whitened to {self.dim}{' (learned)' if self.how == 'learned' else ''}"] if self.whitening else []
        parts += [" -> ".join(self.then)] if self.then else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Grid:
    """A grid of experiments: every descriptor with every whitening and every chain of steps.

    Raises InputError, naming the key, for a value that cannot be: all that can be seen without looking at the disk.
    """

    images: tuple[str, ...]
    """Folders, globs, CSV lists or images that are evaluated."""
    descriptors: tuple[str, ...]
    """As in `EncoderConfig.descriptor`."""
    labels: str | None = None
    """folder, stored (folder or CSV column, as `resight index` takes them) or csv:FILE; folder without a protocol."""
    protocol: str | None = None
    """A published protocol instead of labels, a key of `resight.images.truth.PROTOCOLS`; needs `truth`."""
    truth: str | None = None
    """The protocol's ground truth."""
    queries: str | None = None
    """Folder of the query images that are not among `images`."""
    crop: str = "pixels"
    """What a query's box cuts: pixels, map or none."""
    distractors: bool = False
    """Search also the images that the protocol's ground truth does not list."""
    whiten_from: tuple[str, ...] = ()
    """Images that whitenings are fitted on: others than those evaluated."""
    whitening: tuple[int | str, ...] = (0,)
    """Dimensions of the whitened descriptor, 0 for none; "learned:256" learns from the labels of `whiten_from`."""
    part_whitening: tuple[int, ...] = (0,)
    """Dimensions of the whitened parts of cam and rmac, 0 for none."""
    then: tuple[tuple[str, ...], ...] = ((),)
    """Chains of steps after the search."""
    budget: float | None = None
    """Seconds for the steps of a chain, per query; "200ms" in a file."""
    ks: tuple[int, ...] = (1, 10)
    """Depths of precision."""
    allow_missing: bool = False
    """Images of the ground truth that are not there count as never found."""
    allow_leak: bool = False
    """Fit whitenings on images that are evaluated; the protocol of the scores says so."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """All of the encoder but the descriptor."""
    out: str = "table"
    """Folder of features, cells and tables; grids over the same images may share it."""
    name: str = "table"
    """Of the tables in it; the file's own name, so that grids that share a folder have their own."""

    def __post_init__(self) -> None:
        self._set("descriptors", [str(parse_descriptor(text)) for text in self.descriptors])
        self._set("whitening", [_whitening(value) for value in self.whitening])
        self._set("then", [tuple(str(parse_step(step)) for step in chain) for chain in self.then])
        for name in ("images", "descriptors", "whitening", "part_whitening", "then", "ks"):
            values = getattr(self, name)
            if not values:
                raise InputError(f"{name} is empty: give at least one")
            twice = [value for i, value in enumerate(values) if value in values[:i]]
            if twice:
                raise InputError(f"{name} has {_said(twice[0])} twice")
        for name, least in (("whitening", 0), ("part_whitening", 0), ("ks", 1)):
            smallest = min(map(_dim, getattr(self, name)))
            if smallest < least:
                raise InputError(f"{name} takes whole numbers of at least {least}, got {smallest}")
        if self.crop not in CROPS:
            raise unknown("crop", self.crop, CROPS)
        if self.budget is not None and not (0 < self.budget < math.inf and any(self.then)):
            raise InputError("budget is a time above 0 for the steps of `then`"
                             + ("" if any(self.then) else ", and no chain has any"))  # fmt: skip
        self._check_truth()
        self._check_cells()

    def _set(self, name: str, values: Sequence[object]) -> None:
        object.__setattr__(self, name, tuple(values))

    def _check_truth(self) -> None:
        if self.protocol is None:
            lost = [name for name in ("truth", "queries", "distractors") if getattr(self, name)]
            if lost:
                raise InputError(f"{lost[0]} belongs to a protocol: add protocol = one of {', '.join(PROTOCOLS)}")
            object.__setattr__(self, "labels", self.labels or "folder")
            return
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if self.labels is not None:
            raise InputError(f"labels and protocol exclude each other, got {self.labels!r} and {self.protocol!r}")
        if self.truth is None:
            raise InputError(f"protocol {self.protocol} needs truth = PATH, see `resight datasets {self.protocol}`")

    def _check_cells(self) -> None:
        if self.whitens and not self.whiten_from:
            raise InputError("whitening needs whiten_from = images that it is fitted on, others than those evaluated")
        count = len(self.descriptors) * len(self.part_whitening) * len(self.whitening) * len(self.then)
        if count > MOST_CELLS:
            raise InputError(f"a grid has at most {MOST_CELLS:,} cells, this one has {count:,}: make several")
        lost = [name for name in self.descriptors if name not in {cell.descriptor for cell in self.cells}]
        if lost:
            raise InputError(f"nothing is left to do for {lost[0]}: part whitening is for {' and '.join(PARTED)}, a "
                             "whitening no longer than its parts, cam-online for cam; add 0 to part_whitening and a "
                             "chain without cam-online")  # fmt: skip
        too_long = [value for value in self.whitening if value not in {cell.whitening for cell in self.cells}]
        if too_long:
            raise InputError(f"whitening {_said(too_long[0])} is longer than all whitened parts: add a larger number, "
                             "or 0, to part_whitening")  # fmt: skip

    @property
    def whitens(self) -> bool:
        """Whether any cell has a whitening."""
        return any((*self.whitening, *self.part_whitening))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its experiments in the order of the file, without combinations that have no meaning: whitened parts of a
        descriptor that has no parts, a whitening that is longer than they are, cam-online without cam."""
        every = product(self.descriptors, self.part_whitening, self.whitening, self.then)
        return tuple(Cell(*values) for values in every if _has_meaning(values[0].partition(":")[0], *values[1:]))


def _has_meaning(name: str, parts: int, whitening: int | str, then: tuple[str, ...]) -> bool:
    online = any(step.partition(":")[0] == "cam-online" for step in then)
    short = 0 < parts < _dim(whitening)
    return not (parts and name not in PARTED) and not short and not (online and name != "cam")


def read_grid(file: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Grid:
    """The grid in a TOML or YAML file.

    out: folder of results, instead of the file's own

    Keys are the fields of `Grid` but `name`; `encoder` is a table of `EncoderConfig`'s. Paths are relative to the
    file's folder. A chain of `then` is a list of steps, or one step as text.
    Raises InputError if it cannot be read, a key is unknown (with the closest match), or a value is wrong.
    """
    path = Path(file)
    try:
        content = read_settings(path)
        grid = replace(_grid(content, Path(os.path.abspath(path)).parent), name=path.stem)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error
    return grid if out is None else replace(grid, out=os.path.abspath(os.path.expanduser(out)))


def _grid(content: dict[str, Any], folder: Path) -> Grid:
    names = [one.name for one in fields(Grid) if one.name != "name"]
    for key in content:
        if key not in names:
            raise unknown("key", key, names)
    for key in ("images", "descriptors"):
        if key not in content:
            raise InputError(f"expected a key {key!r}, such as {key} = {EXAMPLES[key]}")
    values = {key: KINDS[key](value, key) for key, value in content.items()}
    for key in ("images", "whiten_from"):
        values[key] = tuple(_placed(folder, text) for text in values.get(key, ()))
    for key in ("truth", "queries"):
        if key in values:
            values[key] = _placed(folder, values[key])
    labels = values.get("labels", "")
    if labels.startswith("csv:"):
        values["labels"] = "csv:" + _placed(folder, labels.removeprefix("csv:"))
    values["out"] = _placed(folder, values.get("out", "table"))
    values["encoder"] = _encoder(values.get("encoder", {}), folder)
    return Grid(**values)


def _encoder(values: dict[str, Any], folder: Path) -> EncoderConfig:
    if "descriptor" in values:
        raise InputError("encoder.descriptor: name it under descriptors, which every cell takes one of")
    weights = values.get("weights")
    if isinstance(weights, str) and weights not in OWN_WEIGHTS:
        values = {**values, "weights": _placed(folder, weights)}
    if isinstance(values.get("encoder"), str):
        values = {**values, "encoder": _placed(folder, values["encoder"])}
    try:
        return EncoderConfig.from_dict(values)
    except InputError as error:
        raise InputError(f"encoder: {error}") from error


def _placed(folder: Path, text: str) -> str:
    return os.path.normpath(folder / os.path.expanduser(text))


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{key} must be text, got {_said(value)}")
    return value


def _time(value: object, key: str) -> float:
    if not isinstance(value, str):
        raise InputError(f'{key} is a time as text, such as "200ms", got {_said(value)}')
    return parse_time(value, key)


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, got {_said(value)}")
    return value


def _number(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{key} takes whole numbers, got {_said(value)}")
    return value


def _dim(whitening: int | str) -> int:
    return int(whitening.removeprefix(LEARNED)) if isinstance(whitening, str) else whitening


def _whitening(value: object, key: str = "whitening") -> int | str:
    """A number of dimensions as it is, or "learned:N" in its plainest form."""
    if not isinstance(value, str):
        return _number(value, key)
    found = re.fullmatch(r"learned\s*:\s*0*([1-9][0-9]{0,8})", value.strip().lower())
    if found is None:
        raise InputError(f'{key} takes whole numbers, or "learned:256" to learn from labels, got {_said(value)}')
    return f"{LEARNED}{found[1]}"


def _whitenings(value: object, key: str) -> tuple[int | str, ...]:
    return tuple(_whitening(one, key) for one in _list(value, key))


def _table(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{key} must be a table, such as [encoder] with size = 224 below, got {_said(value)}")
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    return tuple(_text(one, key) for one in _list(value, key))


def _numbers(value: object, key: str) -> tuple[int, ...]:
    return tuple(_number(one, key) for one in _list(value, key))


def _chains(value: object, key: str) -> tuple[tuple[str, ...], ...]:
    chains = []
    for one in _list(value, key):
        if isinstance(one, list) and len(one) > MOST_STEPS:  # YAML can name one long list ten thousand times
            raise InputError(f"{key}: a chain has at most {MOST_STEPS} steps, got {len(one):,}")
        chains.append((one,) if isinstance(one, str) else _texts(one, f"{key}, a chain"))
    return tuple(chains)


def _list(value: object, key: str) -> Iterator[object]:
    if not isinstance(value, list):
        raise InputError(f"{key} must be a list, such as {EXAMPLES.get(key, '[...]')}, got {_said(value)}")
    if len(value) > MOST_CELLS:
        raise InputError(f"{key} has {len(value):,} entries, at most {MOST_CELLS:,} are taken")
    return iter(value)


def _said(value: object) -> str:
    """A value for an error message; a list that quotes itself a thousand times (YAML can) is only named."""
    if isinstance(value, tuple):
        return repr(" -> ".join(value)) if value else "no steps, []"
    return repr(value)[:60] if isinstance(value, str | int | float | bool | None) else type(value).__name__


EXAMPLES = {
    "images": '["photos"]', "descriptors": '["gem", "rmac"]', "whitening": '[0, 128, "learned:128"]',
    "part_whitening": "[0]", "then": '[[], ["alpha-qe:k=5"]]', "ks": "[1, 10]", "whiten_from": '["other-photos"]',
}  # fmt: skip
KINDS: dict[str, Callable[[object, str], Any]] = {
    "images": _texts, "descriptors": _texts, "labels": _text, "protocol": _text, "truth": _text, "queries": _text,
    "crop": _text, "whiten_from": _texts, "whitening": _whitenings, "part_whitening": _numbers, "then": _chains,
    "distractors": _flag, "ks": _numbers, "budget": _time,
    "allow_missing": _flag, "allow_leak": _flag, "encoder": _table, "out": _text,
}  # fmt: skip
