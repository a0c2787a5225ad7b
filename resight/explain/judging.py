"""Judges the maps of several methods, and of baselines, on one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.explain.baselines import BASELINES
from resight.explain.explaining import explain
from resight.explain.faithfulness import FRACTIONS, STEPS, Curve, class_scorer, deletion, drop, insertion, road
from resight.explain.heat import Heat
from resight.explain.pointing import Boxes, pointing
from resight.explain.stability import rank_correlation
from resight.explain.subject import Subject
from resight.images.read import read_image

KNOWING = ("head", "weights")  # measures of a method by another network


@dataclass(frozen=True)
class Measure:
    """A number that a map gets. better: 1 if high is good, -1 if low is, 0 if near 0 is."""

    better: int
    about: str


MEASURES = {
    "deletion": Measure(-1, "mean probability while the highest places are taken away first (Petsiuk 2018)"),
    "insertion": Measure(1, "mean probability while the highest places are brought back first (Petsiuk 2018)"),
    "drop": Measure(-1, "share of the probability lost where only the map's places are shown (Chattopadhay 2018)"),
    "increase": Measure(1, "share of images whose probability grows then (Chattopadhay 2018)"),
    "road": Measure(1, "half of what removing the lowest places keeps over removing the highest (Rong 2022)"),
    "pointing": Measure(1, "share of images whose highest place is on an object of the class (Zhang 2018)"),
    "head": Measure(0, "rank correlation with the map after the last layer was drawn anew (Adebayo 2018)"),
    "weights": Measure(0, "rank correlation with the map after all layers were drawn anew (Adebayo 2018)"),
}


@dataclass(frozen=True, eq=False)
class Judged:
    """One image's numbers.

    target, label, probability  the class that was explained
    values   {method: {measure: number}}, nan where a measure does not apply
    curves   {measure: {method: Curve}} of deletion and insertion
    """

    target: int
    label: str
    probability: float
    values: dict[str, dict[str, float]]
    curves: dict[str, dict[str, Curve]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Judge:
    """What is asked of every image.

    methods   of `explain`;  baselines  names in BASELINES
    measures  names in MEASURES
    drawn     {"head" | "weights": the subject with weights drawn anew}
    cells     see `removal_ranks`;  layer  see `explain`;  batch  images of a pass
    """

    subject: Subject
    methods: tuple[str, ...]
    baselines: tuple[str, ...]
    measures: tuple[str, ...]
    drawn: Mapping[str, Subject] = field(default_factory=dict)
    steps: int = STEPS
    fractions: Sequence[float] = FRACTIONS
    cells: int | None = None
    seed: int = 0
    layer: str | None = None
    batch: int | None = None

    def judge(self, item: Any, target: str | int | None = None, boxes: Boxes | None = None) -> Judged:
        """One image's numbers. Raises ImageError if it cannot be read."""
        image = read_image(item)
        square = self.subject.fit(image).permute(1, 2, 0).contiguous().numpy()
        heats = self._heats(image, target)
        first = heats[self.methods[0]]
        score = class_scorer(self.subject, first.target, self.batch)
        whole = float(score([square])[0])
        known = None if boxes is None else boxes.of(first.target, self.subject.classes)
        values: dict[str, dict[str, float]] = {}
        curves: dict[str, dict[str, Curve]] = {"deletion": {}, "insertion": {}}
        for name, heat in heats.items():
            own = values[name] = dict.fromkeys(self.measures, float("nan"))
            if name != "uniform":
                for measure, curve in self._curves(square, heat, score, whole).items():
                    curves[measure][name] = curve
                    own[measure] = curve.area
                if "road" in own:
                    found = road(square, heat.map, score, fractions=self.fractions, cells=self.cells, seed=self.seed)
                    own["road"] = found.gain
            if {"drop", "increase"} & set(own):
                pair = drop(square, heat.map, score, whole)
                own.update({key: value for key, value in zip(("drop", "increase"), pair) if key in own})
            if "pointing" in own and known is not None and len(known):
                own["pointing"] = pointing(heat, known)
            if name in self.methods:
                own.update(self._knowing(image, heat, name))
        return Judged(first.target, first.label, first.probability, values, curves)

    def _heats(self, image: NDArray[np.uint8], target: str | int | None) -> dict[str, Heat]:
        """Maps of the methods, and of the baselines as if they were of the first method."""
        found: dict[str, Heat] = {}
        for name in self.methods:
            found[name] = explain(image, self.subject, name, target, layer=self.layer)
            target = found[name].target  # the methods' passes may differ in their last bits
        random = np.random.default_rng([self.seed, *image.shape, int(image.sum())])
        first = found[self.methods[0]]
        for name in self.baselines:
            found[name] = replace(first, map=BASELINES[name](random).astype(np.float32), method=name, layer="")
        return found

    def _curves(self, square: NDArray[np.uint8], heat: Heat, score: Any, whole: float) -> dict[str, Curve]:
        ways = {"deletion": deletion, "insertion": insertion}
        return {
            name: way(square, heat.map, score, steps=self.steps, cells=self.cells, whole=whole)
            for name, way in ways.items()
            if name in self.measures
        }

    def _knowing(self, image: NDArray[np.uint8], heat: Heat, method: str) -> dict[str, float]:
        return {
            name: rank_correlation(heat.map, explain(image, other, method, heat.target, layer=self.layer).map)
            for name, other in self.drawn.items()
        }


def checked_boxes(boxes: Sequence[Any] | None, count: int) -> list[Boxes | None]:
    """Boxes for each image, None for one without. Raises InputError if they are not one entry an image."""
    if boxes is None:
        return [None] * count
    if len(boxes) != count:
        raise InputError(f"expected boxes for each of {count:,} images, got {len(boxes):,}: give None for none")
    return [_checked(one) for one in boxes]


def _checked(boxes: Any) -> Boxes | None:
    if boxes is None or isinstance(boxes, Boxes):
        return boxes
    return Boxes(boxes) if np.size(boxes) else None
