"""Finds a template in a scene, by the method that is asked for or by several that are weighed by one score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resight.errors import InputError, unknown
from resight.images.read import ImageLike
from resight.match.correlate import by_correlation, by_pyramid
from resight.match.evidence import Evidence, gather
from resight.match.fine import LEVELS, template_features
from resight.match.result import Match
from resight.match.scene import Scene
from resight.match.score import SURE
from resight.match.sift import by_features, by_fine_features, distinct
from resight.match.template import Template, as_template
from resight.match.verify import face

METHODS = ("auto", "sift", "correlate", "mask")
THRESHOLD = 0.5
PLAIN = 30  # fine features of a template below which it is looked for by correlation as well


class Finder:
    """A template, prepared once, to be found in many scenes.

    template:  Template, or an image as `resight.read_image` takes it
    method:    "auto", "sift", "correlate" or "mask"
    threshold: score, 0..1, from which it counts as found; default 0.5
    model:     for mask: a run of `resight train locate`

    Raises InputError for an unknown method, a threshold out of range, or a model that is missing or useless.
    """

    def __init__(
        self, template: Template | ImageLike, *, method: str = "auto", threshold: float | None = None,
        model: Any = None,
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
        self.threshold = THRESHOLD if threshold is None else float(threshold)
        self._network = None
        if method == "mask":
            from resight.match.mask_finder import MaskFinder

            self._network = MaskFinder(self.template, model, threshold=self.threshold)

    def prepare(self) -> None:
        """Do now what is done once for the template; otherwise the first scene waits for it."""
        if self._network is None:
            face(self.template)
            for level in LEVELS:
                template_features(self.template, level)

    def find(self, scene: ImageLike) -> Match:
        """Where the template most likely lies in the scene; `found` says whether that is believed."""
        if self._network is not None:
            return self._network.find(scene)
        where = Scene(scene)
        places = SEARCHES[self.method](self.template, where, 1)
        if not places:
            return Match(False, 0.0, None, self.method, where.size, self.template.size)
        return self._match(places[0], where)

    def find_all(self, scene: ImageLike, most: int = 20) -> tuple[Match, ...]:
        """All places where the template is found, most likely first, without overlaps; at most `most`."""
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InputError(f"expected most as a whole number from 1, got {most!r}")
        if self._network is not None:
            return self._network.find_all(scene, most)
        where = Scene(scene)
        places = SEARCHES[self.method](self.template, where, most)
        found = (self._match(place, where) for place in places)
        return tuple(one for one in found if one.found)[:most]

    def _match(self, place: Evidence, scene: Scene) -> Match:
        return Match(
            place.score >= self.threshold, place.score, place.homography, place.method, scene.size, self.template.size,
            place.inliers, place.as_dict(),
        )  # fmt: skip


def match(
    template: Template | ImageLike, scene: ImageLike, *, method: str = "auto", threshold: float | None = None,
    model: Any = None,
) -> Match:  # fmt: skip
    """Where a template lies in a scene, or that it is absent; see `Finder`.

    template, scene: a path, an array (H, W, 3) uint8 RGB or a Pillow image

    Raises ImageError if one cannot be read; InputError as Finder does.
    """
    return Finder(template, method=method, threshold=threshold, model=model).find(scene)


def match_all(
    template: Template | ImageLike, scene: ImageLike, *, method: str = "auto", threshold: float | None = None,
    model: Any = None, most: int = 20,
) -> tuple[Match, ...]:  # fmt: skip
    """All places of a template in a scene, most likely first; arguments as of `match`."""
    return Finder(template, method=method, threshold=threshold, model=model).find_all(scene, most)


def _auto(template: Template, scene: Scene, most: int) -> list[Evidence]:
    """The cheapest first; the next as long as none is sure."""
    copies = by_correlation(template, scene, most=most)
    if most == 1 and copies and copies[0].score >= SURE:
        return copies
    # Of places that only correlate the features are asked as well.
    found = distinct([gather(template, scene, one.homography, one.method, 1) for one in copies], template)
    plain = len(template_features(template, 2)) < PLAIN
    for search in (by_features, by_fine_features, *([by_pyramid] if plain else [])):
        found = distinct([*found, *search(template, scene, most=most)], template)
        if most == 1 and found and found[0].score >= SURE:
            break
    return found


def _correlate(template: Template, scene: Scene, most: int) -> list[Evidence]:
    found = by_correlation(template, scene, most=most)
    if most == 1 and found and found[0].score >= SURE:
        return found
    return distinct([*found, *by_pyramid(template, scene, most=most)], template)


SEARCHES: dict[str, Callable[[Template, Scene, int], list[Evidence]]] = {
    "auto": _auto,
    "sift": lambda template, scene, most: by_features(template, scene, most=most),
    "correlate": _correlate,
}
