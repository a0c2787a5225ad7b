"""The gliding box: fractal dimension, lacunarity and percolation of colour images at many scales in one pass."""

from __future__ import annotations

from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from resight.features.fractal.counting import Integers, check_threads, cluster_totals, make_plan, mass_counts
from resight.features.fractal.curves import describe_curve
from resight.features.fractal.dimension import DimensionFit, fit_dimension, within
from resight.features.fractal.options import DEFAULT_SCALES, Options, Scales, make_options
from resight.features.fractal.pixels import Channels, Pixels, check_mask, check_pixels, choose_channels
from resight.features.fractal.result import Fractal

Floats: TypeAlias = NDArray[np.float64]

THRESHOLD = 0.59275  # share of sites at which a square lattice percolates
SATURATED = 2.0  # below this mean mass, boxes hold little more than their own centre


def fractal(
    image: NDArray[np.uint8],
    *,
    scales: Scales = DEFAULT_SCALES,
    rule: str | None = None,
    centers: str = "each",
    channels: Channels = None,
    distance: str = "chebyshev",
    connectivity: int = 4,
    percolation: bool = True,
    fit: tuple[int, int] | None = None,
    preset: str | None = None,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Fractal:
    """Fractal features by the gliding box.

    image:        (H, W) or (H, W, C) uint8; 2 or 4 channels only with channels="all"
    scales:       odd box sides L, "first:last:step" or a list; 3..253
    rule:         a pixel of the box counts if its colour is at most so far from the centre's: "hypercube" (L - 1) / 2
                  (the default), "glidingbox" L
    centers:      "each": all complete boxes of a scale; "common": the centres that have them at all scales
    channels:     None, "all", "grey", "red", "green", "blue", a number or numbers
    distance:     of colours: "chebyshev", "manhattan" or "euclidean"
    connectivity: of clusters: 4 or 8
    percolation:  False leaves out clusters, coverage and percolation, which take 10 to 30 times as long as the rest
    fit:          smallest and largest L of the line; None: all
    preset:       "gcc": the predecessors' rule and curve areas
    mask:         (H, W) bool, which pixels may be centres; boxes look beyond it
    threads:      None: one a core; results do not depend on it

    Mass m of a box: its pixels that count, the centre included. P(m, L) their shares; N(L) = sum P / m. Ivanovici and
    Richard, Fractal dimension of color fractal images, IEEE TIP 2011; percolation: Roberto et al. 2017. A box larger
    than the image: NaN at that scale, and a warning. Raises InputError for an image or an option that cannot be.

    >>> fractal(np.zeros((20, 30), np.uint8), scales="3:9:2").dimension.value.__round__(9)
    2.0
    """
    pixels, channel_names = choose_channels(check_pixels(image), channels)
    options = make_options(
        scales, rule=rule, centers=centers, distance=distance, connectivity=connectivity, channels=channel_names,
        preset=preset,
    )  # fmt: skip
    allowed, workers = check_mask(mask, pixels.shape), check_threads(threads)
    warnings = _fitting(options, pixels.shape)
    counts, totals = _count(pixels, options, allowed, workers, percolation)
    sides = np.array(options.scales)
    probability, moments = _moments(counts)
    number, mean, square, box_count, lacunarity = moments
    boxes = number.astype(np.int64)
    if (boxes == 0).any() and not warnings:
        warnings = ("no centre inside the mask has a complete box at every scale: NaN where there is none",)
    fitted = _dimension(sides, box_count, mean, fit)
    warnings += (fitted.note,) if fitted.note else ()
    curves = {"lacunarity": lacunarity, **_percolation_curves(counts, totals)}
    described = {name: describe_curve(sides, y, biased=preset == "gcc") for name, y in curves.items()}
    for array in (sides, boxes, *probability, *moments, *curves.values()):
        array.setflags(write=False)
    height, width, depth = pixels.shape
    return Fractal(
        sides, boxes, probability, mean, square, box_count, lacunarity, fitted,
        curves.get("clusters"), curves.get("coverage"), curves.get("percolation"),
        MappingProxyType(described), (height, width, depth), options, warnings,
    )  # fmt: skip


def _fitting(options: Options, shape: tuple[int, ...]) -> tuple[str, ...]:
    small = min(shape[:2])
    missing = [side for side in options.scales if side > small]
    if not missing:
        return ()
    which = f"box {missing[0]}" if len(missing) == 1 else f"boxes {missing[0]}..{missing[-1]}"
    return (f"{which} do{'es' * (len(missing) == 1)} not fit into {shape[1]} x {shape[0]} pixels: NaN there",)


def _count(
    pixels: Pixels, options: Options, mask: Pixels, threads: int, percolation: bool
) -> tuple[list[Integers], Integers | None]:
    """Boxes by mass for each scale, empty for those that do not fit; and cluster totals, (n, 3)."""
    missing = [np.zeros(side * side, np.int64) for side in options.scales if side > min(pixels.shape[:2])]
    empty = np.zeros((len(missing), 3), np.int64)
    if len(missing) == len(options.scales):
        return missing, empty if percolation else None
    plan = make_plan(options, pixels.shape)
    counts = [*mass_counts(pixels, plan, mask, threads), *missing]
    if not percolation:
        return counts, None
    return counts, np.concatenate([cluster_totals(pixels, plan, mask, threads), empty])


def _moments(counts: list[Integers]) -> tuple[tuple[Floats, ...], Floats]:
    """P(m, L) and (5, n): boxes, M1, M2, N(L), lacunarity. Sums are whole numbers of any length: nothing cancels."""
    probability, rows = [], []
    for count in counts:
        boxes, mass = int(count.sum()), np.arange(1, len(count) + 1)
        if boxes == 0:
            probability.append(np.full(len(count), np.nan))
            rows.append((0.0, np.nan, np.nan, np.nan, np.nan))
            continue
        first = sum(m * int(count[m - 1]) for m in mass[count > 0].tolist())
        second = sum(m * m * int(count[m - 1]) for m in mass[count > 0].tolist())
        probability.append(count / boxes)
        lacunarity = (boxes * second - first * first) / (first * first)
        rows.append((boxes, first / boxes, second / boxes, float((count / mass).sum()) / boxes, lacunarity))
    return tuple(probability), np.array(rows, np.float64).T.copy()


def _dimension(sides: Integers, box_count: Floats, mean: Floats, fit: tuple[int, int] | None) -> DimensionFit:
    inside = np.isfinite(mean) & (True if fit is None else within(sides, fit))
    low, above = sides[inside & (mean < SATURATED)], sides[inside & (mean >= SATURATED)]
    note = ""
    if len(low):
        which = f"L = {low[0]}" if len(low) == 1 else f"L = {low[0]}..{low[-1]}"
        note = f"saturated at {which}: mean mass below 2, a box holds little but its centre and the slope is too small"
        note += f"; fit=({above[0]}, {above[-1]}) leaves that out" if len(above) > 1 else ""
    return fit_dimension(sides, box_count, fit, note)


def _percolation_curves(counts: list[Integers], totals: Integers | None) -> dict[str, Floats]:
    """clusters, coverage, percolation, each (n,); nothing if they were left out."""
    if totals is None:
        return {}
    boxes = np.where(totals[:, 2] > 0, totals[:, 2], np.nan)
    areas = np.array([len(count) for count in counts], np.float64)
    full = [int(count[(np.arange(1, len(count) + 1) / len(count)) >= THRESHOLD].sum()) for count in counts]
    return {
        "clusters": totals[:, 0] / boxes,
        "coverage": totals[:, 1] / (boxes * areas),
        "percolation": np.array(full, np.float64) / boxes,
    }
