"""Confusion matrices as heat maps: shares of rows in colour, numbers where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.show.typeface import drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 20  # classes up to which a cell has room for its count and share
NAMED = 150  # classes up to which each row has room for its name
LONGEST = 28  # characters of a name
SIDE = 21.0  # inches of the largest heat map
GAMMA = 0.5  # of the colours: a share of 4 % is seen, not only one of 40 %


def confusion_picture(counts: NDArray[np.integer[Any]], classes: Sequence[str], title: str = "") -> bytes:
    """A PNG of a confusion matrix, larger for more classes: 2 to about 1,000.

    counts:  (C, C)  rows truth, columns predicted
    classes: (C,)    names; long ones lose their middle

    Colour is the share of the row, so that rare classes count as much as common ones; empty rows are hatched. Up to
    20 classes the cells hold the count and the share in per cent, up to 150 every row has its name.
    Raises InputError if counts is not (C, C), or negative.

    >>> confusion_picture(np.array([[3, 1], [0, 2]]), ["cat", "dog"])[1:4]
    b'PNG'
    """
    matrix = np.asarray(counts)
    number = len(classes)
    if matrix.shape != (number, number) or not number or matrix.dtype.kind not in "iu" or (matrix < 0).any():
        raise InputError(f"expected counts (C, C) for {number} classes, got {matrix.dtype} of shape {matrix.shape}")
    names = [drawable(name, LONGEST) for name in classes]
    if len(set(names)) < number or number > NAMED:  # cut or undrawable names may look the same
        names = [f"{place}  {name}" for place, name in enumerate(names, 1)]
    with figure_style([*names, title]):
        figure, side, pitch = _page(names)
        axes = _heat_map(figure, matrix, names, side, pitch)
        axes.set_title(_heading(matrix, drawable(title, int(13 * (side + 1)))), loc="left", pad=8)
        return encode_png(figure)


def _page(names: Sequence[str]) -> tuple[Figure, float, float]:
    """The empty figure, the heat map's side and the pitch of its rows, in inches."""
    from matplotlib.figure import Figure

    number = len(names)
    pitch = max(0.44, min(0.8, 2.4 / number)) if number <= NUMBERED else max(0.14, 0.3 - 0.0018 * (number - NUMBERED))
    side = min(SIDE, pitch * number)
    margin = 0.075 * max(map(len, names))
    figure = Figure(figsize=(side + 1.7 + margin, side + 1.0 + margin), layout="constrained")
    return figure, side, side / number


def _heat_map(figure: Figure, matrix: NDArray[Any], names: Sequence[str], side: float, pitch: float) -> Axes:
    from matplotlib.colors import PowerNorm

    number = len(names)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    axes = figure.add_subplot()
    axes.set_facecolor("#f2f2f2")
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(GAMMA, 0, 1), interpolation="nearest")
    bar = figure.colorbar(drawn, ax=axes, shrink=min(1.0, 4 / side + 0.2), aspect=18, pad=0.02, fraction=0.05)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labels=["0", "1", "5", "10", "25", "50", "100 %"])
    bar.set_label("share of the row")
    bar.outline.set_visible(False)  # type: ignore[operator, unused-ignore]
    _label(axes, names, pitch)
    if number <= NUMBERED:
        _write_numbers(axes, matrix, shares)
    if number <= NAMED:
        axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2 if number <= NUMBERED else 0.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row in np.flatnonzero(totals[:, 0] == 0):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="none", edgecolor="#bbbbbb", hatch="////", linewidth=0)
    return axes


def _label(axes: Axes, names: Sequence[str], pitch: float) -> None:
    """Names beside all rows that have room, of every k-th where they have not."""
    every = int(np.ceil(0.13 / pitch))
    shown = list(range(0, len(names), every))
    size = float(np.clip(pitch * every * 72 * 0.72, 5.5, 8.0))
    upright = max(map(len, names)) * size * 0.6 < pitch * 72 * 0.9
    texts = [names[place] for place in shown]
    axes.set_yticks(shown, texts, fontsize=size)
    axes.set_xticks(shown, texts, fontsize=size, rotation=0 if upright else 90)
    axes.set_ylabel("truth")
    axes.set_xlabel("predicted")


def _write_numbers(axes: Axes, matrix: NDArray[Any], shares: NDArray[Any]) -> None:
    digits = len(f"{int(matrix.max()):,}")
    size = 7.5 if digits <= 4 else 6.0
    for row, column in zip(*np.nonzero(matrix)):
        share = shares[row, column]
        text = f"{matrix[row, column]:,}\n{_percent(share)}"
        colour = "white" if share > 0.4 else "#222222"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size, linespacing=1.1)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "<1 %"


def _heading(matrix: NDArray[Any], title: str) -> str:
    total, right = int(matrix.sum()), int(np.trace(matrix))
    facts = f"{right:,} of {total:,} right ({100 * right / total:.1f} %)" if total else "no image"
    return f"{title}\n{facts}" if title else facts
