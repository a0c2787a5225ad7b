"""What is right in an image set: queries with their boxes and groups of answers, and which groups count."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from resight.errors import InputError, unknown

Box = tuple[float, float, float, float]
OWN = ("counts", "removed", "absent")


def nowhere(_: str) -> str:
    """Where a name stands in a ground truth that was read from no file: ""."""
    return ""


@dataclass(frozen=True)
class Query:
    """One query and the images that are known about it.

    name:   its name in the ground truth, such as "all_souls_1"
    image:  the image it is, by name
    box:    x1, y1, x2, y2 in pixels of that image, or None for the whole image
    groups: group -> names of images, such as "good", "ok", "junk"; no image in two groups
    place:  where its box stands, such as "gt/all_souls_1_query.txt, line 1"; does not count when queries are compared

    Raises InputError if the box is not finite and in order, or an image is in two groups.

    >>> Query("q", "a", (0, 0, 5, 5), {"positive": frozenset("b")}).answers("positive")
    frozenset({'b'})
    """

    name: str
    image: str
    box: Box | None = None
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.box is not None:
            object.__setattr__(self, "box", checked_box(self.box, f"query {self.name!r}"))
        for (one, first), (two, second) in combinations(self.groups.items(), 2):
            if both := first & second:
                raise InputError(f"query {self.name!r}: {min(both)!r} is both {one} and {two}")

    def answers(self, *groups: str) -> frozenset[str]:
        """The names in these groups; a group that this query does not have is empty."""
        return frozenset().union(*(self.groups.get(group, frozenset()) for group in groups))

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(names)} {group}" for group, names in self.groups.items())
        return f"<Query {self.name}: {self.image}{', box' if self.box else ''}; {counts or 'no answers'}>"


@dataclass(frozen=True)
class Setting:
    """Which groups are right answers, and which are taken out of the ranking; all other images are wrong."""

    positive: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.positive or set(self.positive) & set(self.ignored):
            raise InputError(f"a setting needs positive groups, none of them ignored, got {self!r}")


@dataclass(frozen=True)
class Truth:
    """The ground truth of an image set: every query, and how a ranking for it is scored.

    name:             the protocol, such as "roxford5k"
    queries:          in the order of the source, each with a name of its own
    settings:         {"all": ...} or {"E": ..., "M": ..., "H": ...}; a query without positives is left out of a setting
    database:         the names of the images that are searched; None for every image of the collection
    own:              what the query's own image is: "counts" (stays in the database and is scored as its groups say),
                      "removed" (taken out of its own ranking) or "absent" (queries are not in the database)
    published_images: how many images the published database has, None where there is none
    source:           where the ground truth was read, for the record
    distractors:      images of the collection that `database` does not name are searched too (queries that are
                      "absent" never are); without meaning where database is None
    place_of:         image name -> where the source has it first, such as "bridge_1_ok.txt, line 2", "" if unknown;
                      does not count when ground truths are compared

    Raises InputError if two queries share a name, there is no query or setting, or `own` is another word.

    >>> Truth("pairs", (Query("q", "a", None, {"positive": frozenset("b")}),), {"all": Setting(("positive",))})
    <Truth pairs: 1 queries, all images, own image removed>
    """

    name: str
    queries: tuple[Query, ...]
    settings: dict[str, Setting]
    database: tuple[str, ...] | None = None
    own: str = "removed"
    published_images: int | None = None
    source: str = ""
    distractors: bool = False
    place_of: Callable[[str], str] = field(default=nowhere, compare=False)

    def __post_init__(self) -> None:
        if self.own not in OWN:
            raise unknown("rule for the query's own image", self.own, OWN)
        if not self.queries or not self.settings:
            raise InputError(f"{self.source or self.name}: no queries, so nothing to measure")
        seen: set[str] = set()
        for query in self.queries:
            if query.name in seen:
                raise InputError(f"{self.source or self.name}: two queries are called {query.name!r}")
            seen.add(query.name)

    def positives(self, query: Query, setting: str) -> frozenset[str]:
        """Names of the right answers to a query in one setting; without its own image if that is removed."""
        names = query.answers(*self._setting(setting).positive)
        return names if self.own == "counts" else names - {query.image}

    def ignored(self, query: Query, setting: str) -> frozenset[str]:
        """Names of the images taken out of a query's ranking in one setting, its own included if that is removed."""
        names = query.answers(*self._setting(setting).ignored)
        return names | {query.image} if self.own == "removed" else names

    def names(self) -> tuple[str, ...]:
        """Every image that the ground truth names: queries, answers and database, each once, in order of first use."""
        found = dict.fromkeys(query.image for query in self.queries)
        seen: set[int] = set()  # a label's group is one object that all its queries share
        for query in self.queries:
            for group in query.groups.values():
                if id(group) not in seen:
                    seen.add(id(group))
                    found.update(dict.fromkeys(sorted(group)))
        found.update(dict.fromkeys(self.database or ()))
        return tuple(found)

    def _setting(self, name: str) -> Setting:
        if name not in self.settings:
            raise unknown(f"setting of {self.name}", name, self.settings)
        return self.settings[name]

    def __repr__(self) -> str:
        database = "all images" if self.database is None else f"database of {len(self.database):,}"
        return f"<Truth {self.name}: {len(self.queries):,} queries, {database}, own image {self.own}>"


def checked_name(name: str, where: str) -> str:
    """The name of an image: a path's trailing components. Raises InputError that starts with `where` for "" and "..".

    >>> checked_name("jpg/a.jpg", "line 1")
    'jpg/a.jpg'
    """
    parts = [part for part in name.replace(os.sep, "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise InputError(f"{where}: expected an image name, without '..', got {name[:80]!r}")
    return name


def checked_box(values: object, where: str) -> Box:
    """Four finite numbers x1 < x2, y1 < y2 as floats. Raises InputError that starts with `where`.

    >>> checked_box(["1", 2, 3.5, 4], "line 1")
    (1.0, 2.0, 3.5, 4.0)
    """
    try:
        x1, y1, x2, y2 = (float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected a box of four numbers x1 y1 x2 y2, got {_short(values)}") from error
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        raise InputError(f"{where}: expected a box x1 y1 x2 y2 with x1 < x2 and y1 < y2, got {_short(values)}")
    return x1, y1, x2, y2


def say(value: object) -> str:
    """A value from a file in a few letters; only the type of what is neither text nor number.

    >>> say("a.jpg"), say([1, 2]), say(math.nan)
    ("'a.jpg'", 'list', 'nan')
    """
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1e300):
        return f"{value:.6g}"
    return type(value).__name__


def _short(values: object) -> str:
    if not isinstance(values, list | tuple):
        return say(values)
    return " ".join(map(say, values[:6])) + (" ..." if len(values) > 6 else "")
