"""Curves of a training: losses, accuracies and the learning rate over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from resight.errors import InputError
from resight.show.typeface import BLUE, GREEN, GREY, RED, drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {"train": (GREY, "--", "o"), "val": (BLUE, "-", "s"), "test": (RED, "-.", "^")}
OTHER = (GREEN, "-", "d")
TITLE = 90  # characters of a title
STEPS = 8  # learning rates of a schedule of steps, which is drawn on a logarithmic axis, unlike a cosine to zero


def curves_picture(
    epochs: Sequence[float],
    losses: Mapping[str, Sequence[float]],
    accuracies: Mapping[str, Sequence[float]],
    lr: Sequence[float] = (),
    *,
    best: float | None = None,
    title: str = "",
    score: str = "Accuracy",
) -> bytes:
    """A PNG of up to three panels over the epochs, 7.2 inches wide.

    epochs:     (E,)                     what stands below, usually 1 .. E
    losses:     {"train": (E,), "val": (E,)}  NaN where an epoch was not measured
    accuracies: the same, in [0, 1]
    lr:         (E,) learning rates, or none
    best:       the epoch whose weights were kept, marked in every panel
    score:      what the second panel is called

    Raises InputError if a curve is not as long as epochs, or there is no epoch.

    >>> curves_picture([1, 2], {"train": [0.9, 0.4]}, {"val": [0.5, 0.8]})[1:4]
    b'PNG'
    """
    named = {**{f"loss of {k}": v for k, v in losses.items()}, **{f"accuracy of {k}": v for k, v in accuracies.items()}}
    for name, values in {**named, **({"lr": lr} if len(lr) else {})}.items():
        if len(values) != len(epochs):
            raise InputError(f"expected {len(epochs)} values, one an epoch, got {len(values)} for {name}")
    if not len(epochs):
        raise InputError("expected at least one epoch to draw, got none")
    from matplotlib.figure import Figure

    heading = drawable(title, TITLE)
    with figure_style([heading]):
        panels = 2 + bool(len(lr))
        figure = Figure(figsize=(7.2, 2.5 if panels == 2 else 2.4), layout="constrained")
        axes = list(figure.subplots(1, panels))
        _draw(axes[0], "Loss", epochs, losses)
        _draw(axes[1], score[:1].upper() + score[1:], epochs, accuracies)
        _limit(axes[1], accuracies)
        if len(lr):
            _draw(axes[2], "Learning rate", epochs, {"lr": lr})
            if len(set(lr)) <= STEPS and min(lr) > 0 and max(lr) > 30 * min(lr):
                axes[2].set_yscale("log")
            axes[2].yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
        for one in axes:
            _finish(one, epochs, best)
        for one in axes[:2]:
            if len(one.lines) > 1:
                one.legend(loc="best")
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9)
        return encode_png(figure)


def _draw(axes: Axes, title: str, epochs: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    axes.set_title(title)
    for name, values in curves.items():
        colour, line, marker = STYLES.get(name, OTHER)
        few = sum(map(math.isfinite, values)) <= 40
        axes.plot(epochs, values, line, color=colour, marker=marker if few else None, label=name)
    if len(curves) == 1 and "lr" not in curves:
        axes.set_title(f"{title} ({next(iter(curves))})")


def _limit(axes: Axes, accuracies: Mapping[str, Sequence[float]]) -> None:
    """Accuracies end at 1, and small differences near it stay visible."""
    values = [value for curve in accuracies.values() for value in curve if math.isfinite(value)]
    if values:
        low = min(0.95, *values, 1.0)
        axes.set_ylim(low - 0.08 * (1.02 - low), 1 + 0.04 * (1.02 - low))


def _finish(axes: Axes, epochs: Sequence[float], best: float | None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.5)
    axes.set_axisbelow(True)
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    if best is not None:
        axes.axvline(best, color=GREEN, linewidth=0.8, linestyle=":", zorder=0, label=f"epoch {best:g} kept")
