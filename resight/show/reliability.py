"""The reliability diagram: how often a classifier is right when it says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from resight.errors import InputError
from resight.show.typeface import BLUE, GREY, RED, drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float] | ArrayLike


def reliability_picture(
    edges: Numbers,
    counts: Numbers,
    confidence: Numbers,
    accuracy: Numbers,
    *,
    error: float,
    title: str = "",
    unit: str = "images",
) -> bytes:
    """A PNG: accuracy in each bin of confidence above, how many images are in it below. Guo 2017, figure 1.

    edges:      (B + 1,)  of the bins, ascending in [0, 1]
    counts:     (B,)      images in each
    confidence: (B,)      their mean confidence, NaN in an empty bin
    accuracy:   (B,)      their accuracy, NaN in an empty bin
    error:      the expected calibration error, for the heading
    unit:       what they are, if not images

    Raises InputError if the lengths do not fit.

    >>> reliability_picture([0, 0.5, 1], [0, 4], [float("nan"), 0.9], [float("nan"), 0.75], error=0.15)[1:4]
    b'PNG'
    """
    ends, number, sure, right = (np.asarray(values, float) for values in (edges, counts, confidence, accuracy))
    if not len(ends) - 1 == len(number) == len(sure) == len(right) >= 1:
        raise InputError(
            f"expected edges (B + 1,), counts, confidence and accuracy (B,), got {len(ends)}, {len(number)}, "
            f"{len(sure)}, {len(right)}"
        )
    from matplotlib.figure import Figure

    heading = drawable(title, 60)
    with figure_style([heading]):
        figure = Figure(figsize=(3.6, 4.4), layout="constrained")
        parts = figure.add_gridspec(2, 1, height_ratios=[3.2, 1])
        upper = figure.add_subplot(parts[0])
        lower = figure.add_subplot(parts[1], sharex=upper)
        _draw_accuracy(upper, ends, number, sure, right)
        _draw_counts(lower, ends, number, sure, right, unit)
        upper.set_title(f"{heading}\nECE {error:.3f}" if heading else f"ECE {error:.3f}")
        return encode_png(figure, 200)


def _draw_accuracy(axes: Axes, ends: ArrayLike, number: ArrayLike, sure: ArrayLike, right: ArrayLike) -> None:
    ends, number, sure, right = (np.asarray(values) for values in (ends, number, sure, right))
    full = number > 0
    left, width = ends[:-1][full], np.diff(ends)[full]
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=0.9, label="as sure as right", zorder=3)
    axes.bar(left, right[full], width, align="edge", color=BLUE, edgecolor="white", linewidth=0.7, label="accuracy")
    gap = sure[full] - right[full]
    axes.bar(
        left, gap, width, right[full], align="edge", color=RED, alpha=0.25, edgecolor=RED, hatch="////",
        linewidth=0.5, label="gap to confidence",
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_ylabel("accuracy")
    axes.tick_params(labelbottom=False)
    axes.legend(loc="upper left")


def _draw_counts(
    axes: Axes, ends: ArrayLike, number: ArrayLike, sure: ArrayLike, right: ArrayLike, unit: str
) -> None:  # fmt: skip
    from matplotlib.ticker import MaxNLocator

    ends, number, sure, right = (np.asarray(values) for values in (ends, number, sure, right))
    axes.bar(ends[:-1], number, np.diff(ends), align="edge", color="#bdbdbd", edgecolor="white", linewidth=0.7)
    total = number.sum()
    for values, colour, name in ((sure, RED, "mean confidence"), (right, BLUE, "accuracy")):
        if total:
            mean = float(np.nansum(values * number) / total)
            axes.axvline(mean, color=colour, linewidth=1.1, linestyle="-" if colour == BLUE else "--", label=name)
    axes.set_ylabel(unit)
    axes.set_xlabel("confidence")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if total:
        axes.legend(loc="upper left", handlelength=1.4)
