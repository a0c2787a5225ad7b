"""What a calibration is fitted on: the places that the finder proposes in cases whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, unknown
from resight.match.planes import project, rectangle
from resight.match.score import NAMES, PLAIN
from resight.measure.locating import LeftOut, limited, made_cases
from resight.measure.locating_overlap import quad_overlap
from resight.measure.tiers import TIERS, Case

if TYPE_CHECKING:
    from resight.match.evidence import Evidence
    from resight.match.scene import Scene
    from resight.match.template import Template

# The tiers of the cases in which the template is there; the harder two come twice.
MIX = (
    "identity", "photometric", "light", "blur", "noise", "rotation", "scale", "similarity", "perspective", "occlusion",
    "perspective", "occlusion",
)  # fmt: skip
ABSENT = "absent"
RIGHT, RIGHT_COPY = 0.5, 0.9  # overlap from which a place is right; a copy lies to the pixel or is another place
BEST = 4  # places of each stage, those most convincing
CLOSELY = 2  # of them are looked at closely
PYRAMID = 3  # in each so-many-th case the pyramid is asked: it takes longest


@dataclass(frozen=True)
class Place:
    """A proposed place.

    stage:    which proposed it: copy, features, closely, fine, pyramid; answer: what a search by all of them returns
    overlap:  0..1 with the truth (of several the nearest), 0 if the template is absent
    measures: what speaks for it, of `score.NAMES`, or of `score.PLAIN` if local features were not looked at
    """

    stage: str
    overlap: float
    measures: tuple[float, ...]

    @property
    def plain(self) -> bool:
        """Whether local features were not looked at."""
        return len(self.measures) == len(PLAIN)

    @property
    def right(self) -> bool:
        """Whether it counts as right."""
        return self.overlap >= (RIGHT_COPY if self.plain else RIGHT)


@dataclass(frozen=True)
class Asked:
    """A case and what was proposed in it.

    proposed: of every stage, on which the calibration is fitted
    answers:  of the search as the finder does it, by which the calibration is judged
    """

    tier: str
    number: int
    kind: str
    proposed: tuple[Place, ...]
    answers: tuple[Place, ...]

    @property
    def present(self) -> bool:
        """Whether the template is in the scene."""
        return self.tier != ABSENT


def plan_mix(tiers: Sequence[str], cases: int) -> list[tuple[str, int]]:
    """(tier, number) of so many cases: the tiers in turn, and for each two of them an absent template.

    More cases begin with the same ones. Numbers leave gaps where otherwise the absent ones, whose kind goes by their
    number, would all be of one kind. Raises InputError for an unknown tier, or none in which the template is there.

    >>> plan_mix(["blur", "noise"], 5)
    [('blur', 0), ('noise', 1), ('absent', 2), ('blur', 5), ('noise', 6)]
    """
    known = [name for name in TIERS if name != ABSENT]
    for name in tiers:
        if name not in TIERS:
            raise unknown("tier", name, known)
    present = [name for name in tiers if name != ABSENT]
    if not present:
        raise InputError("expected a tier in which the template is there; absent ones are always a third of the cases")
    turn = [*present, *[ABSENT] * math.ceil(len(present) / 2)]
    stride = next(step for step in range(len(turn), len(turn) + 6) if math.gcd(step, 6) == 1)
    return [(turn[one % len(turn)], one // len(turn) * stride + one % len(turn)) for one in range(cases)]


def ask_cases(
    plan: Sequence[tuple[str, int]], make: Callable[[str, int], Case], *,
    left_out: LeftOut | None = None,
) -> Iterator[Asked]:  # fmt: skip
    """What is proposed in each case of a plan, in its order; on one thread, so that it is the same each time.

    make:     (tier, number) -> the case
    left_out: called as (tier, number, reason) for a case that cannot be made; without it that ends the work
    """
    with limited(1):
        for case in made_cases(plan, make, left_out):
            yield ask(case)


def ask(case: Case) -> Asked:
    """The places that every stage of the finder proposes in a case, and those that the whole search returns.

    The stages are asked whether or not an earlier one was sure: there is no other way to learn what their places are
    worth. The built-in calibration decides, as it does in each search, which of its places a stage aligns and keeps.
    """
    from resight.match.finding import SEARCHES
    from resight.match.scene import Scene
    from resight.match.template import Template

    template, scene = Template(case.template), Scene(case.scene)
    return Asked(
        case.tier, case.number, case.kind,
        tuple(_place(name, one, case, template) for name, found in _stages(template, scene, case.number)
              for one in found[:BEST]),
        tuple(_place("answer", one, case, template) for one in SEARCHES["auto"](template, scene, 1)),
    )  # fmt: skip


def _stages(template: Template, scene: Scene, number: int) -> Iterator[tuple[str, list[Evidence]]]:
    from resight.match.closely import look_closely
    from resight.match.correlate import by_correlation, by_pyramid
    from resight.match.sift import by_features

    yield "copy", by_correlation(template, scene)
    found = by_features(template, scene)
    yield "features", found
    yield "closely", [look_closely(template, scene, one, 2) for one in found[:CLOSELY]]
    yield "fine", by_features(template, scene, level=2)
    if number % PYRAMID == 0:
        yield "pyramid", by_pyramid(template, scene)


def _place(stage: str, found: Evidence, case: Case, template: Template) -> Place:
    from resight.match.score import measures

    corners, size = rectangle(template.size), (case.scene.shape[0], case.scene.shape[1])
    there = project(found.homography, corners)
    overlap = max((quad_overlap(there, project(truth, corners), size) for truth in case.truths), default=0.0)
    values = measures(found.inliers, found.features, found.agreement, found.colour)
    return Place(stage, float(overlap), tuple(float(value) for value in values))


def as_row(asked: Asked) -> dict[str, Any]:
    """The case as plain values for JSON."""
    return {
        "tier": asked.tier, "number": asked.number, "kind": asked.kind,
        "proposed": [[one.stage, one.overlap, *one.measures] for one in asked.proposed],
        "answers": [[one.stage, one.overlap, *one.measures] for one in asked.answers],
    }  # fmt: skip


def from_row(row: Mapping[str, Any]) -> Asked:
    """The case of the values that `as_row` made. Raises InputError if they are something else."""
    try:
        tier, number, kind = row["tier"], row["number"], row["kind"]
        if tier not in TIERS or type(number) is not int or not isinstance(kind, str):
            raise InputError("not a case of a calibration")
        proposed, answers = ([_read(one) for one in row[name]] for name in ("proposed", "answers"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"not a case of a calibration: {error}") from error
    return Asked(tier, number, kind, tuple(proposed), tuple(answers))


def _read(values: Sequence[Any]) -> Place:
    stage, numbers = values[0], tuple(float(value) for value in values[1:])
    fits = len(numbers) - 1 in (len(NAMES), len(PLAIN)) and all(map(math.isfinite, numbers))
    if not isinstance(stage, str) or not fits or not 0 <= numbers[0] <= 1:
        raise ValueError("a place is a stage, an overlap and its measures")
    return Place(stage, numbers[0], numbers[1:])
