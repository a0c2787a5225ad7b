"""Cases for template finders, in tiers of difficulty: a template, a scene, and where the one is in the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, unknown
from resight.match.planes import Matrix, project, similarity
from resight.measure.locating_overlap import area_mask, share_within
from resight.measure.locating_pool import Pool, has_labels, object_box
from resight.measure.locating_scenes import (
    blurred,
    coverable,
    covered,
    filling,
    grained,
    occluded,
    recoloured,
    shaded,
    warp,
)

Image = NDArray[np.uint8]
Random = np.random.Generator
Size = tuple[int, int]

WITHIN = 0.9  # share of the template's area that must lie in the scene
TRIES = 60
FEWEST = 24.0  # pixels of a pasted instance's shorter side
GRAIN = (0.5, 3.0)  # grey levels of noise where geometry is what is asked


@dataclass(frozen=True, eq=False)
class Case:
    """A question with its answer.

    tier, number: what it is made from, with the seed: the same give the same case
    template:     (h, w, 3) uint8 RGB
    scene:        (H, W, 3) uint8 RGB, the longest side at most 640
    truths:       (3, 3) each, x, y, 1 in the template -> the scene; none if it is absent, several if it is there often
    source:       file names of the template's photograph, and of the scene's where that is another
    kind:         how it was made, within the tier
    """

    tier: str
    number: int
    template: Image = field(repr=False)
    scene: Image = field(repr=False)
    truths: tuple[Matrix, ...] = field(repr=False)
    source: str
    kind: str = ""

    @property
    def homography(self) -> Matrix | None:
        """(3, 3) of the only, or first, instance; None if the template is absent."""
        return self.truths[0] if self.truths else None


def make_case(pool: Pool, tier: str, number: int, seed: int = 0) -> Case:
    """The case of a tier with this number.

    The template depends on (seed, number) only, so that all tiers ask for the same things; the rest also on the tier.
    "boxes" takes the annotated objects one after the other, the scene being their image as it is.
    Raises InputError for an unknown tier, or "boxes" without annotations; WorkError if no photograph can be used.
    """
    if tier == "boxes":
        return _annotated(pool, number)
    if tier not in TIERS:
        raise unknown("tier", tier, (*TIERS, "boxes"))
    place = list(TIERS).index(tier)
    return TIERS[tier](_Draft(pool, tier, number, np.random.default_rng([seed, number]),
                              np.random.default_rng([seed, number, place + 1])))  # fmt: skip


class _Draft:
    """What a tier works with: the template that was cut, and the tier's own chance."""

    def __init__(self, pool: Pool, tier: str, number: int, first: Random, random: Random) -> None:
        self.pool, self.tier, self.number, self.random = pool, tier, number, random
        self.photo, self.image, self.box = pool.cut(first)
        self.size: Size = self.image.shape[0], self.image.shape[1]
        self.corners = np.array([[self.box[i], self.box[j]] for i, j in ((0, 1), (2, 1), (2, 3), (0, 3))], np.float64)

    def template(self) -> Image:
        """What is in the box."""
        x1, y1, x2, y2 = self.box
        return np.ascontiguousarray(self.image[y1:y2, x1:x2])

    def truth(self, matrix: Matrix) -> Matrix:
        """From a map of the photograph to that of the template."""
        shift = np.eye(3)
        shift[:2, 2] = self.box[:2]
        made = matrix @ shift
        return np.asarray(made / made[2, 2])

    def backdrop(self, size: Size | None = None) -> Image:
        """Another photograph, as large as this one or as said."""
        return filling(self.pool.another(self.random, self.photo)[1], size or self.size)

    def case(self, scene: Image, truths: tuple[Matrix, ...], kind: str = "", other: str = "") -> Case:
        """The case with this scene; other: the file that the scene is of, if it is not this photograph's."""
        source = f"{self.photo.path.name} in {other}" if other else self.photo.path.name
        return Case(self.tier, self.number, self.template(), scene, truths, source, kind)


def _unmoved(change: Callable[[Image, Random], Image] | None) -> Callable[[_Draft], Case]:
    def make(draft: _Draft) -> Case:
        scene = draft.image.copy() if change is None else change(draft.image, draft.random)
        return draft.case(scene, (draft.truth(np.eye(3)),))

    return make


def _moved(turn: float, scale: float, jitter: float = 0.0, cover: bool = False) -> Callable[[_Draft], Case]:
    """turn: degrees to either side; scale: from 1/scale to scale; jitter: of corners, in shares of the sides."""

    def make(draft: _Draft) -> Case:
        matrix = _placed(draft, turn, scale, jitter)
        scene = grained(warp(draft.image, matrix, draft.backdrop()), draft.random, GRAIN)
        if cover:
            area_there = area_mask(
                draft.truth(matrix), (draft.template().shape[0], draft.template().shape[1]), draft.size
            )
            scene = occluded(scene, area_there, draft.backdrop(), draft.random)
        return draft.case(scene, (draft.truth(matrix),))

    return make


def _placed(draft: _Draft, turn: float, scale: float, jitter: float) -> Matrix:
    """A map of the photograph that moves the template so, turned about its middle, and keeps 90 % of it in the frame.

    What does not fit is drawn anew, and after many tries made smaller.
    """
    middle = draft.corners.mean(0)
    height, width = draft.size
    for step in range(TRIES):
        factor = scale ** draft.random.uniform(-1, 1) * (1.0 if step < TRIES // 2 else 0.96 ** (step - TRIES // 2))
        matrix = similarity(factor, math.radians(draft.random.uniform(-turn, turn)), middle, middle)
        if jitter:
            sides = draft.corners[2] - draft.corners[0]
            moved = draft.corners + draft.random.uniform(-jitter, jitter, (4, 2)) * sides
            matrix = matrix @ four_points(draft.corners, moved)
        quad = project(matrix, draft.corners)
        if not _is_sound(matrix, draft.corners):
            continue
        low, high = quad.min(0), quad.max(0)
        # Moved into the frame if it fits there, to its middle otherwise.
        fits = high - low <= (width, height)
        shift = np.where(fits, np.clip(0, -low, (width, height) - high), (np.array([width, height]) - low - high) / 2)
        if share_within(quad + shift, draft.size) >= WITHIN:
            return similarity(1, 0, (0, 0), shift) @ matrix
    raise WorkError(
        f"{draft.photo.path.name}: no {draft.tier} of its template fits a scene of {width} x {height} (W x H)"
    )


def _is_sound(matrix: Matrix, corners: Matrix) -> bool:
    """Whether a quadrilateral still shows what is in it: convex, no corner flat, no part hundreds of times smaller."""
    made = project(matrix, corners)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    edges = np.roll(made, -1, 0) - made
    after = np.roll(edges, -1, 0)
    lengths = np.linalg.norm(edges, axis=1)
    turns = (edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]) / (lengths * np.roll(lengths, -1))
    return bool((depth > 0).all() and (turns > 0.3).all() and depth.max() < 4 * depth.min() and lengths.min() > 12)


def four_points(source: Matrix, target: Matrix) -> Matrix:
    """The homography (3, 3) that takes four points (4, 2) to four others, last entry 1.

    Raises InputError if three of them lie on a line.
    """
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    try:
        found = np.linalg.solve(np.array(rows, np.float64), target.reshape(-1))
    except np.linalg.LinAlgError as error:
        raise InputError("four points, of which no three lie on a line, determine a homography") from error
    return np.append(found, 1.0).reshape(3, 3)


def _absent(draft: _Draft) -> Case:
    """The template is not in the scene: it is of another photograph (in turn of any, and of one with the same label if
    there are labels), or of this one, in which something else lies in its place."""
    labels = has_labels(draft.pool, draft.photo)
    kinds = ("other", "label", "covered") if labels else ("other", "covered")
    kind = kinds[draft.number % len(kinds)]
    if kind == "covered" and not coverable(draft.box, draft.size):
        kind = "other"
    if kind == "covered":
        photo, image = draft.photo, covered(draft.image, draft.box, draft.random)
    else:
        label = draft.photo.label if kind == "label" else None
        photo, image = draft.pool.another(draft.random, draft.photo, label=label)
    size = image.shape[0], image.shape[1]
    middle = (size[1] / 2, size[0] / 2)
    turn, scale = math.radians(draft.random.uniform(-180, 180)), 2 ** draft.random.uniform(-0.5, 0.5)
    scene = image
    if draft.random.random() < 0.5:  # half of the scenes are photographs as they are
        scene = warp(image, similarity(scale, turn, middle, middle), draft.backdrop(size))
    return draft.case(grained(scene, draft.random, GRAIN), (), kind, "" if kind == "covered" else photo.path.name)


def _several(draft: _Draft) -> Case:
    """2 or 5 instances of the template, turned, scaled by .5-1.25 and apart from each other, on another photograph.

    They are made smaller, and of 5 only 2 are left, where the photograph has no room for them.
    """
    photo, scene = draft.pool.another(draft.random, draft.photo)
    template, size = draft.template(), (scene.shape[0], scene.shape[1])
    tall, wide = template.shape[:2]
    count, largest = (2, 5)[draft.number % 2], 1.25
    for step in range(TRIES):
        count = 2 if step > TRIES // 2 else count
        least = max(FEWEST / min(tall, wide), min(0.5, largest / 2))
        spots = _spots(draft.random, size, math.hypot(tall, wide) / 2, count, (least, max(least, largest)))
        if len(spots) == count:
            break
        largest *= 0.93
    else:
        raise WorkError(f"{draft.photo.path.name}: 2 instances of its template do not fit {photo.path.name}")
    truths = []
    for x, y, scale in spots:
        turn = draft.random.uniform(-math.pi, math.pi)
        truths.append(similarity(scale, turn, (wide / 2, tall / 2), (x, y)))
        scene = warp(template, truths[-1], scene)
    return draft.case(grained(scene, draft.random, GRAIN), tuple(truths), f"{count} instances", photo.path.name)


def _spots(
    random: Random, size: Size, radius: float, count: int, scales: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """x, y, scale of circles within (H, W) that do not touch, fewer than count where no room was found."""
    height, width = size
    spots: list[tuple[float, float, float]] = []
    for _ in range(40 * count):
        if len(spots) == count:
            break
        scale, x, y = random.uniform(*scales), random.uniform(0, width), random.uniform(0, height)
        inside = scale * radius <= min(x, y, width - x, height - y)
        if inside and all(math.hypot(x - u, y - v) > radius * (scale + other) for u, v, other in spots):
            spots.append((x, y, scale))
    return spots


def _annotated(pool: Pool, number: int) -> Case:
    if not 0 <= number < len(pool.objects):
        raise InputError(f"expected the number of an annotated object below {len(pool.objects):,}, got {number:,}: the "
                         "tier boxes takes annotations")  # fmt: skip
    photo, one = pool.objects[number]
    image = pool.image(photo)
    x1, y1, x2, y2 = object_box(one, image)
    place = np.array([[1.0, 0, x1], [0, 1, y1], [0, 0, 1]])
    return Case("boxes", number, np.ascontiguousarray(image[y1:y2, x1:x2]), image, (place,), one.image, one.label)


TIERS: dict[str, Callable[[_Draft], Case]] = {
    "identity": _unmoved(None),
    "photometric": _unmoved(recoloured),
    "blur": _unmoved(blurred),
    "noise": _unmoved(grained),
    "light": _unmoved(shaded),
    "rotation": _moved(180, 1),
    "scale": _moved(0, 2),
    "similarity": _moved(180, 2),
    "perspective": _moved(30, 1.6, jitter=0.25),
    "occlusion": _moved(20, 1.25, cover=True),
    "several": _several,
    "absent": _absent,
}
