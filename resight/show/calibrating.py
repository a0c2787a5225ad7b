"""The picture of a calibration: how often it is right at a score, and the scores of present and absent templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resight.measure.proportion import wilson_interval
from resight.show.typeface import BLUE, GREEN, GREY, RED, drawable, encode_png, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from resight.measure.calibrating import Calibrated

BINS = 25


def calibration_picture(found: Calibrated, title: str = "") -> bytes:
    """A PNG of two panels: reliability, and distributions of scores with the threshold; of cross-validated scores.

    In the first each bin of scores is a point, share right against mean score, with its 95 % interval and its count.
    """
    from matplotlib.figure import Figure

    heading = drawable(title, 90)
    with figure_style([heading]):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_reliability(left, found)
        _draw_scores(right, found)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9)
        return encode_png(figure)


def _draw_reliability(axes: Axes, found: Calibrated) -> None:
    own = found.reliability
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=0.9)
    for count, sure, right in zip(own.counts, own.confidence, own.accuracy, strict=True):
        if not count:
            continue
        low, high = wilson_interval(round(right * count), int(count))
        axes.plot([sure, sure], [low, high], color=BLUE, linewidth=0.9, alpha=0.6)
        axes.plot(sure, right, "o", color=BLUE)
        axes.annotate(f"{count:,}", (sure, right), xytext=(4, -8), textcoords="offset points", fontsize=6, color=GREY)
    axes.set_xlim(-0.02, 1.04)
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlabel("score")
    axes.set_ylabel("share right")
    axes.set_title(f"log loss {found.log_loss:.3f}, Brier {found.brier:.3f}, ECE {own.error:.3f}")


def _draw_scores(axes: Axes, found: Calibrated) -> None:
    edges, there = np.linspace(0, 1, BINS + 1), found.present
    groups = [("there, place right", there & found.right, BLUE), ("there, place wrong", there & ~found.right, GREY),
              ("absent", ~there, RED)]  # fmt: skip
    for name, chosen, colour in groups:
        axes.hist(found.scores[chosen], bins=edges.tolist(), histtype="step", color=colour, linewidth=1.2,
                  label=f"{name} ({int(chosen.sum()):,})")  # fmt: skip
    axes.axvline(found.chosen.threshold, color=GREEN, linewidth=1.0, label=f"threshold {found.chosen.threshold:.3f}")
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")  # powers are drawn with mathtext
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("score")
    axes.set_ylabel("cases")
    axes.legend(loc="upper center")
    axes.set_title(f"{found.chosen.rate:.1%} of the absent ones are called found")
