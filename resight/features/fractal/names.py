"""Features of a result under their names in a table: those of the predecessors, exactly, and our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from resight.errors import InputError, unknown

if TYPE_CHECKING:
    from resight.features.fractal.result import Fractal

COLUMNS = 20  # scales in the predecessors' tables
PERCOLATION = ("clusters", "coverage", "percolation")


def feature_names(name: str = "default", scales: tuple[int, ...] = tuple(range(3, 42, 2))) -> tuple[str, ...]:
    """The names of a feature set in order, with percolation. `default` depends on the scales.

    Raises InputError for an unknown set.

    >>> feature_names("mink-44")[-4:]
    ('MinkAreaLAC', 'MinkSkewnessLAC', 'MinkAreaRatioLAC', 'MinkMaxLAC')
    """
    if name == "default":
        return (*_dimension_names(scales), *_own_names(("lacunarity", *PERCOLATION), scales))
    if name not in NAMES:
        raise unknown("feature set", name, FEATURE_SETS)
    return NAMES[name]


def features(result: Fractal, name: str = "default") -> dict[str, float]:
    """The features of a result, name -> value, in the set's order; NaN where a scale has no boxes.

    Raises InputError for an unknown set, another number of scales than it has, or percolation that was left out.
    """
    if name not in FEATURE_SETS:
        raise unknown("feature set", name, FEATURE_SETS)
    if name == "default":
        return _default(result)
    if len(result.scales) != COLUMNS:
        raise InputError(f"feature set {name!r} has {COLUMNS} scales, as 3:41:2; this result has {len(result.scales)}")
    return dict(zip(NAMES[name], FEATURE_SETS[name](result)))


def _numbered(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}{k}" for k in range(1, COLUMNS + 1))


# "AreaRation" is the predecessors' own spelling. Cluster, Perc, MaxCluster describe p, h, g.
NAMES: dict[str, tuple[str, ...]] = {
    "mink-44": (
        *_numbered("MinkLAC"), *_numbered("MinkDF"),
        "MinkAreaLAC", "MinkSkewnessLAC", "MinkAreaRatioLAC", "MinkMaxLAC",
    ),
    "percolation-72": (
        *_numbered("Minkp"), *_numbered("Minkg"), *_numbered("Minkh"),
        *(f"Mink{what}{which}" for which in ("Cluster", "Perc", "MaxCluster")
          for what in ("Area", "Skewness", "AreaRation", "Max")),
    ),
}  # fmt: skip
NAMES["gcc-116"] = NAMES["mink-44"] + NAMES["percolation-72"]


def _mink(result: Fractal) -> list[float]:
    return [*result.lacunarity.tolist(), *result.box_count.tolist(), *_descriptors(result, "lacunarity")]


def _percolation(result: Fractal) -> list[float]:
    if result.clusters is None or result.coverage is None or result.percolation is None:
        raise InputError("these features need percolation, and it was left out: compute with percolation=True")
    values = [*result.clusters.tolist(), *result.coverage.tolist(), *result.percolation.tolist()]
    for curve in ("clusters", "percolation", "coverage"):
        values += _descriptors(result, curve)
    return values


def _descriptors(result: Fractal, curve: str) -> list[float]:
    found = result.curves[curve]
    return [found.area, found.skewness, found.area_ratio, found.maximum]


def _default(result: Fractal) -> dict[str, float]:
    scales = tuple(result.scales.tolist())
    curves = tuple(result.curves)
    fit = result.dimension
    values = [fit.value, fit.standard_error, fit.r2]
    for curve in curves:
        values += [*getattr(result, curve).tolist(), *_descriptors(result, curve)]
    return dict(zip((*_dimension_names(scales), *_own_names(curves, scales)), values))


def _dimension_names(_scales: tuple[int, ...]) -> tuple[str, ...]:
    return ("dimension", "dimension_error", "dimension_r2")


def _own_names(curves: tuple[str, ...], scales: tuple[int, ...]) -> tuple[str, ...]:
    parts = ("area", "skewness", "area_ratio", "max")
    return tuple(f"{curve}_{part}" for curve in curves for part in (*(f"L{side}" for side in scales), *parts))


FEATURE_SETS: dict[str, Callable[[Fractal], list[float]]] = {
    "default": lambda result: list(_default(result).values()),
    "mink-44": _mink,
    "percolation-72": _percolation,
    "gcc-116": lambda result: [*_mink(result), *_percolation(result)],
}
