"""How good explanations are over many images: a table of methods and measures, with intervals, beside baselines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError, unknown
from resight.explain.baselines import BASELINES
from resight.explain.faithfulness import STEPS
from resight.explain.judging import KNOWING, MEASURES, Judge, Judged, checked_boxes
from resight.measure.resampling import bootstrap_interval

if TYPE_CHECKING:
    from resight.explain.subject import Subject

MOST = 16  # methods of a report
WHOLE = ("drop", "increase")  # measures for which the uniform map is the image itself


@dataclass(frozen=True)
class Mean:
    """A mean over images and its 95 % interval by drawing them anew. count: of images.

    Without images both are nan; one image alone has no interval, it is nan.
    """

    value: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True, eq=False)
class Report:
    """What the maps of several methods are worth on the same images.

    model      its name;  steps  of the curves
    methods    (M,) names, then those of the baselines, (B,)
    measures   (K,) see `MEASURES`
    values     (M + B, K, N) each image's number, nan where there is none
    items      (N,) the images;  labels  (N,) the class that was explained;  probabilities  (N,)
    curves     {"deletion": (M + B, steps + 1)} mean probabilities after each step, rows of nan for "uniform"
    skipped    messages about images that could not be read
    """

    model: str
    methods: tuple[str, ...]
    baselines: tuple[str, ...]
    measures: tuple[str, ...]
    values: NDArray[np.float64] = field(repr=False)
    items: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    probabilities: NDArray[np.float64] = field(repr=False)
    curves: dict[str, NDArray[np.float64]] = field(repr=False)
    steps: int = STEPS
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<Report of {', '.join(self.methods)} on {len(self)} images, {self.model}>"

    @property
    def unboxed(self) -> int:
        """Images without a box of the class explained, which have no part in "pointing"."""
        if "pointing" not in self.measures:
            return 0
        return int(np.isnan(self.each(self.methods[0], "pointing")).sum())

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the methods and baselines."""
        return (*self.methods, *self.baselines)

    def each(self, method: str, measure: str) -> NDArray[np.float64]:
        """(N,) a method's numbers. Raises InputError for a name that is not in the report."""
        for kind, name, known in (("method", method, self.rows), ("measure", measure, self.measures)):
            if name not in known:
                raise unknown(f"{kind} of the report", name, known)
        found: NDArray[np.float64] = self.values[self.rows.index(method), self.measures.index(measure)]
        return found

    def mean(self, method: str, measure: str) -> Mean:
        """The mean over the images that have a number."""
        return _mean(self.each(method, measure))

    def gain(self, method: str, other: str, measure: str) -> Mean:
        """By how much a method is better than another, image by image: above 0 is better, whatever the measure.

        Without images (count 0) for drop and increase beside "uniform", which shows the image itself: a map that shows
        less of it is no worse for that.
        Raises InputError for "head" and "weights", which baselines do not have and of which less need not be better.
        """
        sign = MEASURES[measure].better if measure in MEASURES else 1
        if not sign:
            raise InputError(f"{measure} is a check that a map passes near 0, methods are not better by it")
        if other == "uniform" and measure in WHOLE:
            return _mean(np.empty(0))
        return _mean(sign * (self.each(method, measure) - self.each(other, measure)))

    def text(self) -> str:
        """The tables for people."""
        from resight.explain.report_text import report_text

        return report_text(self)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write report.txt, report.json, table.csv, images.csv and curves.png.

        folder: appears whole or not at all; nothing may be there yet

        Raises InputError if there is something in the folder, WorkError if the disk refuses.
        """
        from resight.explain.report_text import report_files
        from resight.show.folders import write_folder
        from resight.show.removal_curves import removal_picture

        files: dict[str, bytes | str] = {**report_files(self)}
        if self.curves:
            fractions = np.arange(self.steps + 1) / self.steps
            named = {
                name: {row: curve for row, curve in zip(self.rows, curves, strict=True) if np.isfinite(curve).all()}
                for name, curves in self.curves.items()
            }
            title = f"{self.model}, {len(self):,} images"
            files["curves.png"] = removal_picture(fractions, named, plain=self.baselines, title=title)
        write_folder(folder, files)


def _mean(values: NDArray[np.float64]) -> Mean:
    known = values[np.isfinite(values)]
    if not known.size:
        return Mean(float("nan"), (float("nan"), float("nan")), 0)
    interval = bootstrap_interval(known) if known.size > 1 else (float("nan"), float("nan"))
    return Mean(float(known.mean()), interval, known.size)


def explain_report(
    images: Any, model: Any = "tf_efficientnet_lite0", methods: Sequence[str] = ("gradcam",), *,
    baselines: Sequence[str] = ("random", "gaussian", "uniform"), measures: Sequence[str] | None = None,
    targets: Sequence[str | int | None] | str | int | None = None, boxes: Sequence[Any] | None = None,
    steps: int = STEPS, cells: int | None = None, seed: int = 0, layer: str | None = None, weights: str = "package",
    device: str = "auto", batch: int | None = None, progress: Callable[[int, int], None] | None = None,
) -> Report:  # fmt: skip
    """Measures how faithful maps are, over many images.

    images:    paths, (H, W, 3) uint8 arrays or Pillow images, several or one alone
    methods:   of `explain`
    baselines: random, gaussian, uniform: what methods are compared with
    measures:  names in MEASURES; default: all, pointing where there are boxes
    targets:   a class for all images, or a list with one for each; None: the most probable
    boxes:     for pointing, one entry for each image: (n, 4) in its pixels around objects of its target, a `Boxes`, of
               which only those with the target's label count, or None; `read_boxes` reads a file
    steps:     of deletion and insertion: each costs a forward pass per image, method and curve
    cells:     None: pixels are removed one by one; n: in cells of n x n
    progress:  called with (done, failed)
    others:    as in `explain`

    Of 14 steps a method or baseline costs 26 passes for both curves, 10 for road, 1 for drop and increase.
    Raises InputError for unknown names, for lists that do not fit the images, or for sequences; WorkError if no image
    can be read. The model is not changed; nothing is left behind if it is interrupted.
    """
    from resight.explain.subject import open_subject
    from resight.train.inputs import one_or_many

    items = list(one_or_many(images))
    asked = _targets(targets, len(items))
    known = checked_boxes(boxes, len(items))
    chosen = _measures(measures, boxes is not None)
    names = _names("baseline", baselines, BASELINES, 0)
    if steps < 1 or (batch is not None and batch < 1):
        raise InputError(f"steps and batch must be at least 1, got {steps} and {batch}")
    subject = open_subject(model, weights=weights, device=device)
    own = _checked_methods(methods, names, subject, layer)
    if subject.frames:
        raise InputError(f"{subject.name} takes sequences, whose maps are not measured: take a run on images")
    drawn = _drawn(subject, chosen, seed)
    judge = Judge(subject, own, names, chosen, drawn, steps, cells=cells, seed=seed, layer=layer, batch=batch)
    done: dict[int, Judged] = {}
    skipped = []
    for place, (item, target, box) in enumerate(zip(items, asked, known, strict=True)):
        # Nothing of one image is needed for the next: a report of many costs no memory but its numbers.
        try:
            done[place] = judge.judge(item, target, box)
        except ImageError as error:
            skipped.append(str(error))
        except WorkError as error:
            raise WorkError(f"{_name(item, place)}: {error}") from error
        if progress is not None:
            progress(len(done), len(skipped))
    if not done:
        if skipped:
            raise WorkError(f"no image could be read: {skipped[0]}")
        raise InputError("no images to explain")
    return _gathered(judge, tuple(_name(items[place], place) for place in done), list(done.values()), skipped)


def _gathered(judge: Judge, names: tuple[str, ...], found: list[Judged], skipped: list[str]) -> Report:
    rows = (*judge.methods, *judge.baselines)
    values = [[[one.values[row][measure] for one in found] for measure in judge.measures] for row in rows]
    empty = np.full(judge.steps + 1, np.nan)
    curves: dict[str, NDArray[np.float64]] = {
        measure: np.array([
            np.mean([one.curves[measure][row].scores for one in found], 0) if row in found[0].curves[measure] else empty
            for row in rows
        ])
        for measure in ("deletion", "insertion") if measure in judge.measures
    }  # fmt: skip
    return Report(
        judge.subject.name, judge.methods, judge.baselines, judge.measures, np.array(values), names,
        tuple(one.label for one in found), np.array([one.probability for one in found]), curves, judge.steps,
        tuple(skipped),
    )  # fmt: skip


def _name(item: Any, place: int) -> str:
    return os.fspath(item) if isinstance(item, (str, os.PathLike)) else f"image {place + 1}"


def _targets(targets: Any, count: int) -> list[Any]:
    if targets is None or isinstance(targets, (str, int)):
        return [targets] * count
    if len(targets) != count:
        raise InputError(f"expected a class for each of {count:,} images, got {len(targets):,}: give None for the most "
                         "probable")  # fmt: skip
    return list(targets)


def _measures(measures: Sequence[str] | None, boxes: bool) -> tuple[str, ...]:
    if measures is None:
        return tuple(name for name in MEASURES if boxes or name != "pointing")
    chosen = _names("measure", measures, MEASURES, 1)
    if "pointing" in chosen and not boxes:
        raise InputError("pointing needs boxes around the objects: give boxes, or leave it out")
    return chosen


def _names(kind: str, given: Sequence[str], known: Iterable[str], least: int) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InputError(f"expected a list of {kind}s, got {given!r}: give [{given!r}]")
    for name in given:
        if name not in list(known):
            raise unknown(kind, name, list(known))
    if len(given) < least:
        raise InputError(f"no {kind}: take some of {', '.join(known)}")
    return tuple(dict.fromkeys(given))


def _checked_methods(
    methods: Sequence[str], baselines: Sequence[str], subject: Subject, layer: str | None
) -> tuple[str, ...]:
    """The methods as `find_method` writes them, and the layer, tried before the first image."""
    from resight.explain.layers import find_layers
    from resight.explain.methods import find_method

    if isinstance(methods, str):
        raise InputError(f"expected a list of methods, got {methods!r}: give [{methods!r}]")
    names = tuple(dict.fromkeys(find_method(name)[0] for name in methods))
    if not 1 <= len(names) <= MOST:
        raise InputError(f"a report is of 1 to {MOST} methods, got {len(names)}")
    if layer is not None:
        find_layers(subject, layer)
    if set(names) & set(baselines):
        raise InputError(f"a method is called as a baseline: {', '.join(set(names) & set(baselines))}")
    return names


def _drawn(subject: Subject, measures: Sequence[str], seed: int) -> dict[str, Subject]:
    from resight.explain.layers import find_layers
    from resight.explain.randomisation import randomised

    if not set(KNOWING) & set(measures):
        return {}
    find_layers(subject)  # of the true network: copies look at the same layer
    layers = {"head": 1, "weights": None}
    return {name: randomised(subject, layers[name], seed) for name in KNOWING if name in measures}
