"""The finder by local features: RootSIFT, matches, pose voting, guided matching, alignment, verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.features.local import LocalFeatures
from resight.match.closely import look_closely
from resight.match.evidence import Evidence, better, gather, overlap
from resight.match.fine import template_features
from resight.match.guided import refine
from resight.match.planes import believable, similarity
from resight.match.scene import Scene
from resight.match.score import SURE
from resight.match.template import Template
from resight.match.voting import Candidate, candidates, vote

Floats = NDArray[np.floating[Any]]

RATIO, BACK, CLEAR = 0.92, 0.85, 1.2  # nearest over second nearest; what a vote counts is 1.2 - ratio
TRIED, ALIGNED, CLOSELY = 6, 1, 2  # candidates refined, aligned to the pixel in any case, looked at closely
ENOUGH = 0.8  # score of what was looked at closely, at which nothing further is tried
HOPE = 0.2  # score from which others are aligned as well
DOUBT = 0.02  # score from which a place may be an instance
SAME = 0.3  # intersection over union above which two places are one


def by_sift(template: Template, scene: Scene, *, most: int = 1) -> list[Evidence]:
    """Places where the template may lie by its local features, most convincing first, without overlaps.

    First by the features as SIFT finds them. The best places that these leave in doubt are looked at closely, and only
    if that settles nothing, the whole scene is searched by finer features: it takes as long again.

    most: how many are wanted; more are tried
    """
    found = by_features(template, scene, most=most)
    if most == 1 and found:
        if found[0].score >= SURE:
            return found
        for one in found[:CLOSELY]:
            found = distinct([*found, look_closely(template, scene, one, 2)], template)
            if found[0].score >= ENOUGH:
                return found
    found = distinct([*found, *by_features(template, scene, most=most, level=2)], template)
    if most > 1:  # of several instances those that hide behind others' features
        found = [look_closely(template, scene, one, 2) if DOUBT < one.score < ENOUGH else one for one in found]
    return distinct(found, template)


def by_features(template: Template, scene: Scene, *, most: int = 1, level: int = 1) -> list[Evidence]:
    """The same by the features of one level of detail, see `fine`."""
    own, ground = template_features(template, level), scene.ground(level)
    if not len(own) or len(ground.features) < 2:
        return []
    pairs, weights = matches(own, ground.features, both=most > 1)
    places = candidates(vote(own, ground.features, pairs, weights), own.size, max(TRIED, 2 * most))
    found: list[Evidence] = []
    for place in places:
        one = _judged(template, scene, place, level)
        if one is not None and one.score >= SURE and most == 1:
            return [better(template, scene, one, level)]
        found += [] if one is None else [one]
    return aligned(distinct(found, template), template, scene, level)


def aligned(found: list[Evidence], template: Template, scene: Scene, level: int) -> list[Evidence]:
    """Places, most convincing first, after those that may be right are aligned to the pixel."""
    hopeful = [place < ALIGNED or one.score > HOPE for place, one in enumerate(found)]
    moved = (better(template, scene, one, level) if may else one for one, may in zip(found, hopeful, strict=True))
    return distinct(list(moved), template)


def matches(a: LocalFeatures, b: LocalFeatures, *, both: bool = False) -> tuple[NDArray[np.int64], Floats]:
    """(n, 2) features of template and scene that look alike, and (n,) how clearly.

    Of each feature of the template the nearest, if it is clearly nearer than the second (Lowe 2004); with `both` also
    of each of the scene, by which every copy of the template in the scene has its matches.
    """
    alike = a.descriptors @ b.descriptors.T
    theirs, ratio = _nearest(alike)
    kept = ratio < RATIO
    pairs, weights = np.stack([np.arange(len(a)), theirs], 1)[kept], CLEAR - ratio[kept]
    if both:
        ours, ratio = _nearest(alike.T)
        kept = ratio < BACK
        pairs = np.concatenate([pairs, np.stack([ours, np.arange(len(b))], 1)[kept]])
        weights = np.concatenate([weights, CLEAR - ratio[kept]])
        pairs, place = np.unique(pairs, axis=0, return_index=True)
        weights = weights[place]
    return pairs, weights.astype(np.float64)


def distinct(found: list[Evidence], template: Template, sure: Sequence[Evidence] = ()) -> list[Evidence]:
    """Most convincing first; of places that overlap the better, or that which is sure already."""
    kept: list[Evidence] = list(sure)
    for one in sorted(found, key=lambda one: -one.score):
        if all(overlap(one.homography, other.homography, template.size) < SAME for other in kept):
            kept.append(one)
    return kept


def _judged(template: Template, scene: Scene, place: Candidate, level: int) -> Evidence | None:
    centre = (template.size[1] / 2, template.size[0] / 2)
    found = refine(template_features(template, level), scene.ground(level), place)
    homography = similarity(place.scale, place.turn, centre, place.centre) if found is None else found
    return gather(template, scene, homography, "sift", level) if believable(homography, template.size) else None


def _nearest(alike: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each row the column of the largest inner product, and its distance over that of the second."""
    rows = np.arange(len(alike))
    nearest = alike.argmax(1)
    best = alike[rows, nearest]
    if alike.shape[1] < 2:
        return nearest, np.zeros(len(alike), np.float32)
    alike[rows, nearest] = -2
    second = alike.max(1)
    alike[rows, nearest] = best
    return nearest, np.sqrt(np.maximum(2 - 2 * best, 0) / np.maximum(2 - 2 * second, 1e-6))
