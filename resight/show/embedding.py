"""Where images lie in an embedding, before and after it was trained, as points in the plane."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.show.typeface import drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = NDArray[np.floating[Any]]
# Okabe and Ito's colours without yellow, which is too light for points; a second round has another marker.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#222222")
MARKERS = ("o", "^")
COLOURED = len(COLOURS) * len(MARKERS)  # classes that have a colour and a marker of their own: the largest
GREY_POINT = "#bdbdbd"
LEGEND_POINT = 30.0  # square points
LONGEST = 28  # characters of a name


def embedding_picture(panels: Mapping[str, Points], labels: Sequence[str], *, title: str = "") -> bytes:
    """A PNG with a panel for each embedding of the same images, side by side.

    panels: {heading: (N, 2)}   points in the plane, of one image each
    labels: N of them

    The 12 largest classes have a colour, a marker and a name each; points of all others are grey. Axes have no numbers.
    Raises InputError if a panel is not (N, 2), or there is nothing to draw.

    >>> embedding_picture({"before": np.zeros((2, 2))}, ["cat", "dog"])[1:4]
    b'PNG'
    """
    if not panels or not len(labels):
        raise InputError("expected at least one panel and one image to draw")
    for name, points in panels.items():
        if points.shape != (len(labels), 2) or not np.isfinite(points).all():
            raise InputError(f"expected finite points ({len(labels)}, 2) for {name!r}, got shape {points.shape}")
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

    counts = Counter(labels)
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:COLOURED]
    names = {label: drawable(label, LONGEST) for label in sorted(largest)}
    headings = [drawable(name, 60) for name in panels]
    heading = drawable(title, 110)
    with figure_style([*names.values(), *headings, heading]):
        figure = Figure(figsize=(3.8 * len(panels) + 0.2, 4.1), layout="constrained")
        axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
        for one, text, points in zip(axes, headings, panels.values(), strict=True):
            one.set_title(text)
            _frame(one)
            _draw(one, points, labels, names, len(counts) - len(names))
        handles, texts = axes[0].get_legend_handles_labels()
        lines = math.ceil(len(texts) / (3 * len(panels)))
        columns = math.ceil(len(texts) / lines)
        legend = figure.legend(handles, texts, loc="outside lower center", ncols=columns)
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([LEGEND_POINT])
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9)
        return encode_png(figure)


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_box_aspect(1)
    axes.margins(0.06)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cccccc")


def _draw(axes: Axes, points: Points, labels: Sequence[str], names: Mapping[str, str], others: int) -> None:
    own, size = np.array(labels, object), _size(len(labels))
    style: dict[str, Any] = {"linewidths": 0, "alpha": 0.8}
    rest = ~np.isin(own, list(names))
    if others:  # first, so that they lie below
        axes.scatter(points[rest, 0], points[rest, 1], size, GREY_POINT, zorder=1, **style)
    for place, label in enumerate(names):
        marker, colour = MARKERS[place // len(COLOURS)], COLOURS[place % len(COLOURS)]
        shown = points[own == label]
        # A name that begins with an underscore would be left out of the legend.
        text = names[label] if not names[label].startswith("_") else f" {names[label]}"
        axes.scatter(shown[:, 0], shown[:, 1], size, colour, marker=marker, label=text, zorder=2, **style)
    if others:
        text = f"{others:,} other {'class' if others == 1 else 'classes'}"
        axes.scatter([], [], size, GREY_POINT, label=text, **style)


def _size(count: int) -> float:
    """Of a point, in square points: smaller where there are many."""
    return float(np.clip(6_000 / count, 3.0, 22.0))
