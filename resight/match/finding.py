"""Finds a template in a scene, by the method that is asked for or by several that are weighed by one score."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from resight.errors import InputError, unknown
from resight.images.read import ImageLike
from resight.match.calibration_file import as_calibration
from resight.match.correlate import by_correlation, by_pyramid
from resight.match.evidence import Evidence, gather
from resight.match.fine import template_features
from resight.match.result import Match
from resight.match.scene import Scene
from resight.match.score import CALIBRATION, SURE, Calibration
from resight.match.sift import ENOUGH, by_sift, distinct
from resight.match.template import Template, as_template

METHODS = ("auto", "sift", "correlate", "mask")
THRESHOLD = 0.5  # of mask
AGAIN = 0.5  # score from which a thing that is surely there once counts as there again
FAINT = 0.02  # score of a copy below which it is not looked at further
PLAIN = 30  # fine features of a template below which it is looked for by correlation as well


class Finder:
    """A template, prepared once, to be found in many scenes.

    template:  Template, or an image as `resight.read_image` takes it
    method:    "auto", "sift", "correlate" or "mask"
    threshold: score, 0..1, from which it counts as found; default the calibration's own, 0.5 for mask
    model:     for mask: a run of `resight train locate`
    calibration: how evidence becomes the score: a Calibration, or a file of `resight calibrate`; default the built-in
               one. Its threshold is then the default. Which places are tried, and whether a search is sure enough to
               end early, is still decided by the built-in one. Not for mask, whose score is its network's

    Raises InputError for an unknown method, a threshold out of range, a model that is missing or useless, or a
    calibration that is none, or is given for mask.
    """

    def __init__(
        self, template: Template | ImageLike, *, method: str = "auto", threshold: float | None = None,
        model: Any = None, calibration: Calibration | str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        if method not in METHODS:
            raise unknown("method", method, METHODS)
        if threshold is not None and not 0 <= threshold <= 1:
            raise InputError(f"expected threshold from 0 to 1, got {threshold!r}")
        self.template = as_template(template)
        self.method = method
        if model is not None and method != "mask":
            raise InputError("a model is for method mask: no other uses it")
        if model is None and method == "mask":
            raise InputError("method mask needs a model: a run of `resight train locate`")
        if calibration is not None and method == "mask":
            raise InputError(
                "a calibration is for methods auto, sift and correlate: the score of mask is its network's"
            )
        self.calibration = CALIBRATION if calibration is None else as_calibration(calibration)
        usual = THRESHOLD if method == "mask" else self.calibration.threshold
        self.threshold = usual if threshold is None else float(threshold)
        self._again = self.threshold if threshold is not None or method == "mask" else min(self.threshold, AGAIN)
        self._network = None
        if method == "mask":
            from resight.match.mask_finder import MaskFinder

            self._network = MaskFinder(self.template, model, threshold=self.threshold)

    def find(self, scene: ImageLike) -> Match:
        """Where the template most likely lies in the scene; `found` says whether that is believed."""
        if self._network is not None:
            return self._network.find(scene)
        where = Scene(scene)
        places = self._searched(where, 1)
        if not places:
            return Match(False, 0.0, None, self.method, where.size, self.template.size)
        return self._match(places[0], where, self.threshold)

    def find_all(self, scene: ImageLike, most: int = 20) -> tuple[Match, ...]:
        """All places where the template is found, most likely first, without overlaps; at most `most`.

        Where it is found beyond doubt (a score of 0.9) further places count from 0.5 on, as what is there once is
        likelier to be there again; not so if a threshold was given.
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InputError(f"expected most as a whole number from 1, got {most!r}")
        if self._network is not None:
            return self._network.find_all(scene, most)
        where = Scene(scene)
        places = self._searched(where, most)
        least = self._again if places and places[0].score >= SURE else self.threshold
        return tuple(self._match(place, where, least) for place in places if place.score >= least)[:most]

    def scored(self, place: Evidence) -> Evidence:
        """The place with the score that this finder's calibration gives its evidence."""
        return replace(
            place, score=self.calibration.probability(place.inliers, place.features, place.agreement, place.colour)
        )

    def _searched(self, scene: Scene, most: int) -> list[Evidence]:
        """The places that the method proposes, the most convincing by this finder's calibration first."""
        places = map(self.scored, SEARCHES[self.method](self.template, scene, most))
        return sorted(places, key=lambda one: -one.score)

    def _match(self, place: Evidence, scene: Scene, least: float) -> Match:
        return Match(
            place.score >= least, place.score, place.homography, place.method, scene.size, self.template.size,
            place.inliers, place.as_dict(), template_mask=self.template.mask,
        )  # fmt: skip


def match(
    template: Template | ImageLike, scene: ImageLike, *, method: str = "auto", threshold: float | None = None,
    model: Any = None, calibration: Calibration | str | os.PathLike[str] | None = None,
) -> Match:  # fmt: skip
    """Where a template lies in a scene, or that it is absent; see `Finder`.

    template, scene: a path, an array (H, W, 3) uint8 RGB or a Pillow image

    Raises ImageError if one cannot be read; InputError as Finder does.
    """
    finder = Finder(template, method=method, threshold=threshold, model=model, calibration=calibration)
    return finder.find(scene)


def match_all(
    template: Template | ImageLike, scene: ImageLike, *, method: str = "auto", threshold: float | None = None,
    model: Any = None, calibration: Calibration | str | os.PathLike[str] | None = None, most: int = 20,
) -> tuple[Match, ...]:  # fmt: skip
    """All places of a template in a scene, most likely first; arguments as of `match`."""
    finder = Finder(template, method=method, threshold=threshold, model=model, calibration=calibration)
    return finder.find_all(scene, most)


def _auto(template: Template, scene: Scene, most: int) -> list[Evidence]:
    """The cheapest first; the next as long as none is sure."""
    copies = by_correlation(template, scene, most=most)
    if most == 1 and copies and copies[0].score >= SURE:
        return copies
    # Of places that only correlate the features are asked as well.
    found = [gather(template, scene, one.homography, one.method, 1) for one in copies if one.score >= FAINT]
    found = distinct([*found, *by_sift(template, scene, most=most)], template)
    if most == 1 and found and found[0].score >= ENOUGH:
        return found
    if len(template_features(template, 2)) < PLAIN:
        found = distinct([*found, *by_pyramid(template, scene, most=most)], template)
    # Of a plain template what lies a little off is as convincing as the copy itself.
    return distinct(found, template, [one for one in copies if one.score >= SURE])


def _correlate(template: Template, scene: Scene, most: int) -> list[Evidence]:
    found = by_correlation(template, scene, most=most)
    if most == 1 and found and found[0].score >= SURE:
        return found
    return distinct([*found, *by_pyramid(template, scene, most=most)], template)


SEARCHES: dict[str, Callable[[Template, Scene, int], list[Evidence]]] = {
    "auto": _auto,
    "sift": lambda template, scene, most: by_sift(template, scene, most=most),
    "correlate": _correlate,
}
