"""The result of the gliding box: every curve in scale order, the dimension, and how it was made."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, advice
from resight.features.fractal.curves import Curve
from resight.features.fractal.dimension import DimensionFit, same
from resight.features.fractal.options import Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fractal:
    """Fractal features of one image; n scales, NaN where a scale has no boxes.

    scales:           (n,)          box sides L
    boxes:            (n,)          how many boxes were counted
    probability:      n x (L^2,)    share of boxes with mass 1, 2, ... L^2
    mean_mass, mean_square_mass: (n,)   first and second moment of the mass
    box_count:        (n,)          N(L) = sum of P(m, L) / m
    lacunarity:       (n,)          (M2 - M1^2) / M1^2
    dimension:        -slope of log N(L) on log L
    clusters:         (n,) or None  mean number of clusters in a box
    coverage:         (n,) or None  mean share of a box that its largest cluster covers
    percolation:      (n,) or None  share of boxes at least 59.275 % full
    curves:           descriptors of lacunarity and, if computed, the three others
    shape:            (H, W, C) that was looked at
    warnings:         what a reader should know
    """

    scales: NDArray[np.int64]
    boxes: NDArray[np.int64]
    probability: tuple[Floats, ...]
    mean_mass: Floats
    mean_square_mass: Floats
    box_count: Floats
    lacunarity: Floats
    dimension: DimensionFit
    clusters: Floats | None
    coverage: Floats | None
    percolation: Floats | None
    curves: Mapping[str, Curve]
    shape: tuple[int, int, int]
    options: Options
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        height, width, channels = self.shape
        fit, o = self.dimension, self.options
        scales = f"{len(self.scales)} scales {self.scales[0]}..{self.scales[-1]}"
        notes = f", {len(self.warnings)} warning{'s'[: len(self.warnings) != 1]}" if self.warnings else ""
        return (
            f"Fractal(D={fit.value:.4f} +- {fit.standard_error:.4f}, r2={fit.r2:.4f}, {scales}, {o.rule}, "
            f"{o.distance}, {width} x {height} x {channels}{notes})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fractal) or not all(map(same, self.probability, other.probability)):
            return False
        names = [field.name for field in fields(self) if field.name not in ("probability", "curves")]
        return str(self.curves) == str(other.curves) and all(same(getattr(self, k), getattr(other, k)) for k in names)

    def __hash__(self) -> int:
        return hash((self.options, self.shape, self.box_count.tobytes()))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "curves": dict(self.curves)}  # a read-only view does not travel to other processes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"curves": MappingProxyType(state["curves"])})
        for array in (*self.probability, *(values for _, values in self._columns())):
            array.setflags(write=False)

    def features(self, set: str = "default") -> dict[str, float]:
        """Name -> value of a feature set: "default", "mink-44", "percolation-72", or "gcc-116" (both of them).

        The last three have the predecessors' names in their order; their numbers too if preset "gcc" was used. MinkDF
        is N(L), which they call fractal dimension. Raises InputError for an unknown set or one it cannot fill.
        """
        from resight.features.fractal.names import features

        return features(self, set)

    def plot(self, path: str | os.PathLike[str] | None = None, *, image: NDArray[np.uint8] | None = None) -> Figure:
        """A figure: log-log fit, residuals, local slopes, lacunarity, percolation and, given the image, its local map.

        path:  also written there, .png, .pdf or .svg by its suffix, whole or not at all
        image: the image that this is the result of; without it the last row is left out

        Raises InputError for another suffix or an image of another size, WorkError if the disk refuses.
        """
        from resight.features.fractal.figure import draw, encode

        figure = draw(self, image)
        if path is not None:
            from resight.show.files import write_atomic

            write_atomic(path, encode(figure, Path(path).suffix.lower()))
        return figure

    def _repr_png_(self) -> bytes:
        from resight.features.fractal.figure import draw, encode

        return encode(draw(self, None), ".png")

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write curves.csv (a row for each scale), probability.npz (P3, P5 ...) and, last, fractal.json (all the rest).

        Each file appears whole or not at all; fractal.json stands for a complete folder. Raises WorkError if the disk
        refuses, InputError if `folder` is a file.
        """
        from resight.show.files import write_atomic

        target = Path(folder)
        if target.exists() and not target.is_dir():
            raise InputError(f"{target} is a file: give a folder")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot make the folder {target}: {advice(error)}") from error
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"P{side}": p for side, p in zip(self.scales, self.probability)}
        np.savez_compressed(buffer, **arrays)
        write_atomic(target / "curves.csv", self._csv())
        write_atomic(target / "probability.npz", buffer.getvalue())
        write_atomic(target / "fractal.json", json.dumps(self.record(), indent=1, allow_nan=False) + "\n")

    def record(self) -> dict[str, Any]:
        """All but P(m, L) as plain values for JSON; NaN is None."""
        from resight._version import __version__

        fit = {field.name: getattr(self.dimension, field.name) for field in fields(self.dimension)}
        found: dict[str, Any] = {
            "resight": __version__, "options": asdict(self.options), "shape": self.shape, "dimension": fit,
            "curves": {name: asdict(curve) for name, curve in self.curves.items()}, "warnings": self.warnings,
            **dict(self._columns()),
        }  # fmt: skip
        return dict(_plain(found))

    def _columns(self) -> list[tuple[str, NDArray[Any]]]:
        names = "scales boxes mean_mass mean_square_mass box_count lacunarity clusters coverage percolation".split()
        return [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]

    def _csv(self) -> str:
        names, columns = zip(*self._columns())
        rows = [",".join(repr(value.item()) for value in row) for row in zip(*columns)]
        return "\n".join([",".join(names), *rows]) + "\n"


def _plain(value: Any) -> Any:
    """Only what JSON has, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
