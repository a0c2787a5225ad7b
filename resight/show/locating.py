"""Pictures of a benchmark of template finders: distributions, and cases in which methods differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from resight.errors import InputError
from resight.images.rle import decode_rle
from resight.match.planes import project, rectangle
from resight.measure.locating import HIT, Answer
from resight.measure.tiers import Case
from resight.show.picture import Picture
from resight.show.sheet import sheet
from resight.show.typeface import BLUE, GREY, RED, drawable, encode_png, figure_style

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 12  # cases of a kind that are shown
SIDE = 300  # pixels of a panel
TRUTH, MODEL, OTHER = "#F0E442", BLUE, RED  # yellow, blue and orange of Okabe and Ito
KINDS = ("model-better", "sift-better", "both-failed")


def histograms(answers: Sequence[Answer], title: str = "") -> bytes:
    """A PNG: for each method how often which overlap (of templates that are there), and which time, is met.

    Raises InputError without answers.
    """
    methods = list(dict.fromkeys(one.method for one in answers))
    if not methods:
        raise InputError("expected answers to draw, got none")
    from matplotlib.figure import Figure

    times = np.array([max(one.find_ms, 1e-3) for one in answers])
    edges = np.geomspace(times.min() * 0.9, times.max() * 1.1, 40)
    heading = drawable(title, 90)
    with figure_style([heading, *methods]):
        figure = Figure(figsize=(7.2, 0.8 + 1.15 * len(methods)), layout="constrained")
        panels = figure.subplots(len(methods), 2, squeeze=False, sharex="col")
        for row, method in zip(panels, methods, strict=True):
            own = [one for one in answers if one.method == method]
            overlaps = [one.iou for one in own if one.present]
            row[0].hist(overlaps, bins=np.linspace(0, 1, 41), color=BLUE)
            row[0].set_ylabel(f"{drawable(method, 22)}\ncases")
            row[1].hist([max(one.find_ms, 1e-3) for one in own], bins=edges, color=GREY)
            middle = float(np.median([one.find_ms for one in own]))
            row[1].axvline(middle, color=RED, linewidth=0.9)
            text = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
            row[1].text(middle, 0.93, f" {text}", color=RED, transform=row[1].get_xaxis_transform(), fontsize=7)
            row[1].set_xscale("log")
            row[1].xaxis.set_major_formatter(lambda value, _position: f"{value:g}")  # powers are drawn with mathtext
            row[1].xaxis.set_minor_formatter(lambda _value, _position: "")
        panels[-1][0].set_xlabel("overlap with the truth (IoU), 0 where nothing is found")
        panels[-1][1].set_xlabel("milliseconds to find, line: median")
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9)
        return encode_png(figure)


def panels(answers: Sequence[Answer], make: Callable[[str, int], Case], model: str, sift: str) -> dict[str, Image]:
    """Contact sheets "model-better", "sift-better" and "both-failed", of those kinds that have cases.

    model, sift: the two methods that are compared
    make:        (tier, number) -> the case, made again to be drawn

    Shown are the cases with the largest difference in overlap, tiers in turn; of those in which both failed some evenly
    spread. Yellow is the truth, blue the model, orange the other; the template is in the corner.
    """
    chosen = chosen_cases(answers, model, sift)
    made = {}
    for kind, cases in chosen.items():
        pictures = [_picture(make(one.tier, one.number), one, two) for one, two in cases]
        if pictures:
            heading = {KINDS[0]: f"{model} better than {sift}", KINDS[1]: f"{sift} better than {model}"}
            title = f"{heading.get(kind, f'{model} and {sift} failed')}; yellow: truth, blue: {model}, orange: {sift}"
            made[kind] = sheet(pictures, columns=4, side=SIDE, title=title)
    return made


def chosen_cases(answers: Sequence[Answer], model: str, sift: str) -> dict[str, list[tuple[Answer, Answer]]]:
    """For each kind of panel the answers of both methods to at most 12 cases with something to find."""
    one, two = ({(a.tier, a.number): a for a in answers if a.method == name and a.present} for name in (model, sift))
    both = [(one[key], two[key]) for key in one if key in two]
    ordered = sorted(both, key=lambda pair: pair[1].iou - pair[0].iou)
    failed = [pair for pair in both if max(pair[0].iou, pair[1].iou) < HIT]
    return {
        KINDS[0]: _in_turn([pair for pair in ordered if pair[0].iou >= HIT > pair[1].iou]),
        KINDS[1]: _in_turn([pair for pair in reversed(ordered) if pair[1].iou >= HIT > pair[0].iou]),
        KINDS[2]: failed[:: max(1, math.ceil(len(failed) / MOST))],
    }


def _in_turn(pairs: list[tuple[Answer, Answer]]) -> list[tuple[Answer, Answer]]:
    """At most 12, the first of each tier, then the second of each, and so on."""
    ranks: Counter[str] = Counter()
    ranked = []
    for pair in pairs:
        ranked.append((ranks[pair[0].tier], pair))
        ranks[pair[0].tier] += 1
    return [pair for _, pair in sorted(ranked, key=lambda one: one[0])][:MOST]


def _picture(case: Case, one: Answer, two: Answer) -> Picture:
    caption = f"{case.tier} {case.number}: {one.iou:.2f} / {two.iou:.2f}"
    return Picture(draw_case(case, [(one, MODEL), (two, OTHER)]), caption=caption, note=case.source)


def draw_case(case: Case, answers: Sequence[tuple[Answer, str]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(H, W, 3) uint8: the scene with the truth in yellow and answers in their colours, the template in a corner."""
    from PIL import Image, ImageDraw

    scale = max(1.0, 2 * SIDE / max(case.scene.shape[:2]))  # lines are drawn on a picture that is large enough
    size = round(case.scene.shape[1] * scale), round(case.scene.shape[0] * scale)
    page = Image.fromarray(case.scene).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(page)
    line = max(3, round(max(size) / 150))
    for truth in case.truths:
        quad = scale * project(truth, rectangle((case.template.shape[0], case.template.shape[1])))
        for colour, width in (("black", line + 6), (TRUTH, line + 4)):
            _outline(draw, quad, colour, width)
    for answer, colour in answers:
        if answer.mask and not answer.corners:
            inside = Image.fromarray(decode_rle(answer.mask).astype(np.uint8) * 110).resize(size)
            page.paste(Image.new("RGB", size, colour), (0, 0), inside)
        for corners in answer.corners if answer.found else ():
            _outline(draw, scale * np.array(corners), colour, line)
    small = Image.fromarray(case.template)
    small.thumbnail((size[0] // 4, size[1] // 4))
    corner = _free_corner(case, (size[0], size[1]), scale, small.size)
    ImageDraw.Draw(page).rectangle([corner[0] - 3, corner[1] - 3, corner[0] + small.width + 2,
                                    corner[1] + small.height + 2], fill="white")  # fmt: skip
    page.paste(small, corner)
    return np.array(page)


def _outline(draw: object, quad: np.ndarray[tuple[int, ...], np.dtype[np.float64]], colour: str, width: int) -> None:
    from PIL.ImageDraw import ImageDraw

    points = [(float(x), float(y)) for x, y in np.clip(quad, -1e4, 1e4)]
    if isinstance(draw, ImageDraw):
        draw.line([*points, points[0], points[1]], fill=colour, width=width, joint="curve")
        x, y = points[0]
        draw.ellipse([x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width], fill=colour)


def _free_corner(case: Case, size: tuple[int, int], scale: float, small: tuple[int, int]) -> tuple[int, int]:
    """Left and top of the template's picture: in the corner of the scene that is farthest from the truth."""
    places = [
        (3, 3),
        (size[0] - small[0] - 3, 3),
        (3, size[1] - small[1] - 3),
        (size[0] - small[0] - 3, size[1] - small[1] - 3),
    ]
    if not case.truths:
        return places[0]
    middles = [
        scale * project(t, rectangle((case.template.shape[0], case.template.shape[1]))).mean(0) for t in case.truths
    ]
    return max(
        places, key=lambda place: min(math.dist((place[0] + small[0] / 2, place[1] + small[1] / 2), m) for m in middles)
    )
