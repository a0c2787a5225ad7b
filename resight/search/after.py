"""Steps after the first search, Ranking -> Ranking: query expansion and re-ranking, one after the other.

>>> parse_step("alpha-qe: k=5")
Step('alpha-qe:k=5')
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from resight import choices
from resight.choices import Option, Value
from resight.errors import InputError
from resight.search.ranking import Done, Ranking

if TYPE_CHECKING:
    from resight.search.database import Database, Progress
    from resight.search.views import Views


def _count(default: int, least: int = 1, most: int = 10**9) -> Option:
    expected = f"a whole number of at least {least}" if most == 10**9 else f"a whole number from {least} to {most}"
    return Option(int, default, expected, lambda value: least <= int(value) <= most)


def _share(default: float) -> Option:
    return Option(float, default, "a number above 0 and below 1", lambda value: 0 < float(value) < 1)


def _power(default: float) -> Option:
    return Option(float, default, "a number from 0 to 100", lambda value: 0 <= float(value) <= 100)


STEPS: dict[str, dict[str, Option]] = {
    "aqe": {"k": _count(10)},
    "alpha-qe": {"k": _count(10), "alpha": _power(3.0)},
    "dqe": {"positives": _count(5), "negatives": _count(200)},
    "dba": {"k": _count(10), "alpha": _power(3.0)},
    "cam-online": {"top": _count(0, 0), "count": _count(64)},
    "cam-regions": {"top": _count(100), "classes": _count(6), "heat": _count(2)},
    "ransac": {
        "top": _count(100),
        "model": Option(str, "homography", "homography or affine", lambda v: v in ("homography", "affine")),
        "least": _count(8, 4),
        "longest": _count(1024, 64, 8192),
        "most": _count(2048, 16, 20_000),
    },
    "k-reciprocal": {"top": _count(1000), "k1": _count(20), "k2": _count(6), "weight": _share(0.3)},
    "diffusion": {
        "top": _count(1000),
        "k": _count(50),
        "gamma": _power(3.0),
        "alpha": _share(0.99),
        "kq": _count(10),
        "iterations": _count(20),
        "transductive": Option(str, "no", "no or yes", lambda v: v in ("no", "yes")),
    },
}
# These compare the images among themselves. No search finds `Database.hidden`, yet it stays in neighbour lists, graphs
# and augmented vectors: a query's own image, hidden in a leave-one-out protocol, has a say in its ranking.
NEIGHBOURHOOD = ("dba", "k-reciprocal", "diffusion")


class Clock:
    """Time spent since it was made, and what is left of a budget in seconds (None: no end)."""

    def __init__(self, budget: float | None = None) -> None:
        self.budget = budget
        self._start = time.perf_counter()

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._start

    def allows(self, cost: float = 0.0) -> bool:
        """Whether something that takes `cost` seconds would end within the budget."""
        return self.budget is None or self.spent + cost < self.budget


class Act(Protocol):
    """What a step does; `depth` is how many results of the first search it needs."""

    depth: int

    def prepare(self, progress: Progress | None = None) -> None:
        """Do what does not depend on the query, once; its time counts towards no budget."""

    def __call__(self, ranking: Ranking, clock: Clock) -> tuple[Ranking, str]:
        """The new ranking, and what was left undone for lack of time ("" if nothing)."""


@dataclass(frozen=True)
class Step:
    """A step by name with its options; options at their default are dropped.

    Raises InputError for an unknown name or option, or a value of the wrong type or range.
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in STEPS:
            from resight.errors import unknown

            raise unknown("step", self.name, STEPS)
        object.__setattr__(self, "options", choices.check(self.name, self.options, STEPS))

    def __str__(self) -> str:
        return choices.write(self.name, self.options)

    def __repr__(self) -> str:
        return f"Step({str(self)!r})"

    @property
    def settings(self) -> dict[str, Any]:
        """Every option with its value, defaults included."""
        return choices.settings(self.name, self.options, STEPS)

    @property
    def uses_neighbours(self) -> bool:
        """Whether the neighbours of the images count: a leave-one-out score is then transductive, see NEIGHBOURHOOD.

        >>> parse_step("dba").uses_neighbours, parse_step("aqe").uses_neighbours
        (True, False)
        """
        return self.name in NEIGHBOURHOOD

    @property
    def looks_at_files(self) -> bool:
        """Whether the image files of queries and results are read again."""
        return self.name in ("cam-online", "cam-regions", "ransac")

    @property
    def transductive(self) -> bool:
        """Whether the query itself becomes one of the images, for its own ranking only: diffusion if asked to.

        >>> parse_step("diffusion:transductive=yes").transductive, parse_step("diffusion").transductive
        (True, False)
        """
        return self.settings.get("transductive") == "yes"


def parse_step(text: str | Step) -> Step:
    """A step from its text, "alpha-qe:k=10,alpha=3"; the inverse of `str(step)`. Raises InputError as `Step` does."""
    return text if isinstance(text, Step) else Step(*choices.parse("step", text, STEPS))


class After:
    """Steps made ready for one collection (`Collection.after`): called with a ranking, it returns the new one.

    steps   in order
    budget  seconds for all of them together, per query; None: no limit. A step that works through the results one by
            one stops at the last whole one that fits; what is not done is said in `Ranking.steps`
    depth   how many results of the first search the steps need
    """

    def __init__(self, steps: Sequence[Step], acts: Sequence[Act], budget: float | None = None) -> None:
        if budget is not None and not 0 < budget < math.inf:
            raise InputError(f"a budget is a time above 0 seconds, got {budget}")
        self.steps, self.budget = tuple(steps), budget
        self._acts = tuple(acts)
        self.prepared = 0.0

    def __repr__(self) -> str:
        return f"After({', '.join(map(str, self.steps))}{f'; {self.budget:g} s' if self.budget else ''})"

    @property
    def depth(self) -> int:
        """How many results of the first search the steps need."""
        return max((act.depth for act in self._acts), default=0)

    def prepare(self, progress: Progress | None = None) -> None:
        """Do what depends on no query (neighbour graphs, kept maps); `prepared` is the seconds it took."""
        start = time.perf_counter()
        for act in self._acts:
            act.prepare(progress)
        self.prepared += time.perf_counter() - start

    def __call__(self, ranking: Ranking) -> Ranking:
        """The ranking after all steps; `steps` of it says what was done, how long it took and what was left undone."""
        self.prepare()
        clock = Clock(self.budget)
        done: list[Done] = []
        for step, act in zip(self.steps, self._acts, strict=True):
            start = clock.spent
            if clock.allows():
                ranking, note = act(ranking, clock)
            else:
                note = "left out: the budget was spent"
            done.append(Done(str(step), clock.spent - start, note))
        return replace(ranking, steps=(*ranking.steps, *done))


def make_acts(steps: Sequence[Step], database: Database, views: Views) -> list[Act]:
    """What each step does, on these images."""
    from resight.search import by_graph, by_image, by_vector  # here: by_image loads torch

    acts: list[Act] = []
    for step in steps:
        name, options = step.name, step.settings
        if name in ("aqe", "alpha-qe"):
            acts.append(by_vector.Expand(database, name, **options))
        elif name == "dqe":
            acts.append(by_vector.Discriminate(database, **options))
        elif name == "dba":
            augmented = by_vector.Augmented(database, **options)
            acts.append(by_vector.Augment(augmented))
            database = augmented  # for the steps that follow
        elif name == "k-reciprocal":
            acts.append(by_graph.Reciprocal(database, **options))
        elif name == "diffusion":
            acts.append(by_graph.Diffuse(database, **options))
        elif name == "cam-online":
            acts.append(by_image.Online(views, **options))
        elif name == "cam-regions":
            acts.append(by_image.Regions(views, **options))
        else:
            acts.append(by_image.Verify(views, **options))
    return acts
