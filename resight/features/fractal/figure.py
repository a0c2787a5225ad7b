"""The figure of a result: the fit, its residuals and local slopes, lacunarity, percolation, the image and its map."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.fractal.pixels import check_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resight.features.fractal.result import Fractal

FORMATS = {".png": "png", ".pdf": "pdf", ".svg": "svg"}
# Okabe and Ito's colours, told apart by all kinds of colour vision; markers differ as well, for print in black.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "legend.fontsize": 7.5, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.1, "lines.markersize": 3.2, "legend.frameon": False, "axes.titlelocation": "left",
    "svg.hashsalt": "resight", "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip
WIDTH = 7.2  # inches: two columns of a page


def draw(result: Fractal, image: NDArray[np.uint8] | None = None) -> Figure:
    """The figure, 7.2 inches wide; with the image, its map of local dimensions is computed and added.

    Raises InputError if the image is not of the size that the result is of.
    """
    import matplotlib
    from matplotlib.figure import Figure

    pixels = None if image is None else _same_image(result, image)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.4 if pixels is None else 7.4), layout="constrained", dpi=150)
        parts = figure.add_gridspec(1 if pixels is None else 2, 1, height_ratios=[1] if pixels is None else [1.45, 1])
        top = parts[0].subgridspec(6, 2, hspace=0.06, wspace=0.06)
        fit = figure.add_subplot(top[:3, 0])
        lower = [figure.add_subplot(top[row, 0], sharex=fit) for row in (slice(3, 4), slice(4, 6))]
        _draw_fit(fit, result)
        _draw_residuals(lower[0], result)
        _draw_slopes(lower[1], result)
        right = [figure.add_subplot(top[row : row + 2, 1], sharex=fit) for row in (0, 2, 4)]
        _draw_lacunarity(right[0], result)
        _draw_clusters(right[1], result)
        _draw_shares(right[2], result)
        if pixels is not None:
            _draw_maps(figure, parts[1].subgridspec(1, 2, wspace=0.06), result, pixels)
        for letter, axes in zip("abcdefgh", [a for a in figure.axes if a.get_label() != "<colorbar>"]):
            axes.set_title(f"({letter})  {axes.get_title(loc='left')}", loc="left")
    return figure


def encode(figure: Figure, suffix: str) -> bytes:
    """The figure as a file's content. Raises InputError for another suffix than .png, .pdf or .svg."""
    if suffix not in FORMATS:
        raise InputError(f"figures are written as {', '.join(FORMATS)}; got {suffix or 'no suffix'!r}")
    import matplotlib

    buffer = io.BytesIO()
    dates: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=FORMATS[suffix], dpi=200, metadata=dates.get(suffix))
    return buffer.getvalue()


def _same_image(result: Fractal, image: object) -> NDArray[np.uint8]:
    pixels = check_pixels(image)
    if pixels.shape[:2] != result.shape[:2]:
        raise InputError(f"this result is of {result.shape[:2]} pixels, and the image has {pixels.shape[:2]}")
    return pixels


def _draw_fit(axes: Axes, result: Fractal) -> None:
    fit = result.dimension
    ends = np.array(fit.fit_range, float)
    axes.loglog(fit.sizes, fit.counts, "o", color=BLUE, markerfacecolor="white", label="measured")
    if np.isfinite(fit.value):
        label = f"D = {fit.value:.4f} ± {fit.standard_error:.4f}"
        axes.loglog(
            ends, np.exp(fit.intercept) * ends**-fit.value, "-", color=RED, label=f"{label},  R² = {fit.r2:.5f}"
        )
    axes.set_ylabel("N(L)")
    axes.set_title("Dimension: slope of log N(L)", loc="left")
    axes.legend(loc="lower left")
    _ticks(axes, result)
    axes.tick_params(labelbottom=False)


def _ticks(axes: Axes, result: Fractal) -> None:
    """A few of the box sides themselves as ticks of the logarithmic axis, evenly spread."""
    from matplotlib.ticker import FixedLocator, NullLocator

    sides = result.scales.astype(float)
    wanted = np.geomspace(sides[0], sides[-1], 7)
    chosen = sorted({float(sides[np.abs(np.log(sides / x)).argmin()]) for x in wanted})
    axes.xaxis.set_major_locator(FixedLocator(chosen))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _position: f"{x:g}")


def _draw_residuals(axes: Axes, result: Fractal) -> None:
    fit = result.dimension
    axes.axhline(0, color=RED, linewidth=0.8)
    axes.plot(fit.sizes, fit.residuals, "o-", color=BLUE, linewidth=0.6)
    axes.set_ylabel("residual\n(log)")
    axes.margins(y=0.25)
    axes.tick_params(labelbottom=False)
    axes.set_title("Residuals", loc="left")


def _draw_slopes(axes: Axes, result: Fractal) -> None:
    fit = result.dimension
    between = np.sqrt(fit.sizes[1:] * fit.sizes[:-1])
    axes.axhline(fit.value, color=RED, linewidth=0.8)
    axes.plot(between, fit.local_slopes, "s-", color=BLUE, linewidth=0.8)
    for end in fit.fit_range:
        axes.axvline(end, color=GREY, linewidth=0.6, linestyle=":")
    axes.set_ylabel("local slope")
    axes.set_xlabel("box side L (pixels)")
    axes.set_title("Local slopes, D, and range of the fit", loc="left")


def _draw_lacunarity(axes: Axes, result: Fractal) -> None:
    axes.plot(result.scales, result.lacunarity, "o-", color=BLUE)
    positive = result.lacunarity[np.isfinite(result.lacunarity)]
    if len(positive) and positive.min() > 0 and positive.max() > 20 * positive.min():
        axes.set_yscale("log")
    axes.set_ylabel("Λ(L)")
    axes.set_title("Lacunarity", loc="left")
    axes.tick_params(labelbottom=False)


def _draw_clusters(axes: Axes, result: Fractal) -> None:
    axes.set_title("Clusters", loc="left")
    axes.tick_params(labelbottom=False)
    if result.clusters is None:
        _say(axes, "not computed")
        return
    axes.plot(result.scales, result.clusters, "^-", color=BLUE)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("clusters in a box")


def _draw_shares(axes: Axes, result: Fractal) -> None:
    axes.set_xlabel("box side L (pixels)")
    axes.set_title("Percolation", loc="left")
    if result.percolation is None or result.coverage is None:
        _say(axes, "not computed")
        return
    axes.plot(result.scales, result.percolation, "o-", color=RED, label="boxes that percolate")
    axes.plot(result.scales, result.coverage, "s-", color=GREEN, label="coverage by the largest cluster")
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("share")
    axes.legend(loc="best")


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_yticks([])


def _draw_maps(figure: Figure, place: Any, result: Fractal, pixels: NDArray[np.uint8]) -> None:
    from resight.features.fractal.local import local_dimension

    shown = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    left, right = figure.add_subplot(place[0]), figure.add_subplot(place[1])
    left.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    left.set_title("Image", loc="left")
    o = result.options
    fitting = [side for side in o.scales if side <= min(pixels.shape[:2])]
    channels: Any = o.channels
    if channels in ("rgb", "all") or channels.startswith("all "):
        channels = "all"
    elif channels.replace(",", "").isdigit():
        channels = tuple(int(k) for k in channels.split(","))
    if len(fitting) < 2:
        _say(right, "no map: fewer than two scales fit")
    else:
        slopes = local_dimension(pixels, scales=fitting, rule=o.rule, channels=channels, distance=o.distance)
        low, high = np.nanpercentile(slopes, [1, 99])
        half = max(0.05, (high - low) / 2)  # a level image is not painted with its rounding errors
        ends = ((low + high) / 2 - half, (low + high) / 2 + half)
        drawn = right.imshow(slopes, cmap="cividis", vmin=ends[0], vmax=ends[1], interpolation="nearest")
        bar = figure.colorbar(drawn, ax=right, shrink=0.85, aspect=25, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator, unused-ignore]
    right.set_title("Local dimension (slope of log mass)", loc="left")
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
