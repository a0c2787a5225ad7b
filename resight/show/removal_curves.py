"""Curves of a probability while parts of images are taken away or brought back, one for each method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from resight.errors import InputError
from resight.show.typeface import BLUE, GREEN, RED, drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, RED, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")
PLAIN = "#888888"
LABELS = {
    "deletion": ("Deletion (low is good)", "taken away"), "insertion": ("Insertion (high is good)", "brought back"),
}  # fmt: skip
TITLE = 90  # characters


def removal_picture(
    fractions: Sequence[float] | ArrayLike, curves: Mapping[str, Mapping[str, Sequence[float] | ArrayLike]], *,
    plain: Collection[str] = (), title: str = "",
) -> bytes:  # fmt: skip
    """A PNG of a panel for each kind of curve, with the area under each curve in the legend.

    fractions: (n + 1,) of the image, from 0 to 1
    curves:    {"deletion" | "insertion": {method: (n + 1,) mean probability}}
    plain:     methods that are drawn in grey: the baselines

    Raises InputError if a curve is not as long as fractions, or there is none.

    >>> removal_picture([0, 1], {"deletion": {"gradcam": [0.9, 0.1]}})[1:4]
    b'PNG'
    """
    import numpy as np

    along = np.asarray(fractions, float)
    known = {kind: {name: np.asarray(v, float) for name, v in own.items()} for kind, own in curves.items()}
    for own in known.values():
        for name, values in own.items():
            if values.shape != along.shape:
                raise InputError(f"expected {len(along)} values, got {len(values)} for {name}")
    if not any(known.values()):
        raise InputError("expected at least one curve to draw, got none")
    from matplotlib.figure import Figure

    heading = drawable(title, TITLE)
    with figure_style([heading, *(name for own in known.values() for name in own)]):
        figure = Figure(figsize=(3.6 * len(known), 3.2), layout="constrained")
        panels = figure.subplots(1, len(known), squeeze=False)[0]
        for axes, (kind, own) in zip(panels, known.items(), strict=True):
            named, below = LABELS.get(kind, (kind, "exchanged"))
            axes.set_title(named)
            axes.set_xlabel(f"share of the image {below}, highest places first")
            _draw(axes, along, own, plain)
        panels[0].set_ylabel("probability of the class, mean")
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9)
        return encode_png(figure)


def _draw(axes: Axes, along: ArrayLike, curves: Mapping[str, ArrayLike], plain: Collection[str]) -> None:
    import numpy as np

    ends, coloured, grey = np.asarray(along), 0, 0
    for name, curve in curves.items():
        values = np.asarray(curve)
        area = float((np.diff(ends) * (values[1:] + values[:-1]) / 2).sum())
        if name in plain:
            colour, line, grey = PLAIN, LINES[1 + grey % 3], grey + 1
        else:
            colour, line, coloured = COLOURS[coloured % 8], LINES[coloured // 8 % 4], coloured + 1
        axes.plot(ends, values, line, color=colour, label=f"{drawable(name, 30)}  {area:.3f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.legend(loc="best", title="area", title_fontsize=7.5)
