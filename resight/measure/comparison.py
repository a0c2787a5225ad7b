"""Two runs over the same queries: is one better, by how much, how sure is that, and where."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from resight.errors import InputError, unknown
from resight.measure.resampling import EQUAL, drawn_means, interval_of, randomisation_p
from resight.measure.runs import Run, RunQuery

FIELDS = {"trapezoid": "ap_trapezoid", "standard": "ap"}
# What a method is made of. Any other key of the protocol is a condition that both runs should share.
ENCODER = ("backbone", "weights", "descriptor", "size", "fit", "scales", "stage", "precision")
METHOD = frozenset({*ENCODER, "space", "whitening", "whitening_key", "after"})
# What follows from other keys, and is named only if none of them tells the runs apart.
FOLLOWS = {"space": ENCODER, "whitening_key": ("whitening", "space"), "transductive_by": ("transductive",)}
FEWEST = 6  # with 5 queries, one method is better in all of them by chance once in 16 times


@dataclass(frozen=True)
class QueryChange:
    """One query's average precision in both runs."""

    name: str
    a: float
    b: float

    @property
    def change(self) -> float:
        """b - a."""
        return self.b - self.a


@dataclass(frozen=True)
class SettingComparison:
    """Both runs in one setting; all values from 0 to 1, differences are b - a.

    queries     how many count in this setting
    a, b        mean average precision of each run;  difference of the means
    interval    95 % interval of the difference, by drawing the queries anew
    better      share of those draws in which b is better
    wins        queries that b does better;  ties, losses likewise
    p_value     of the paired randomisation test: how often swapping the two runs' APs at random, query by query,
                gives a difference this large
    improved    queries that gained most, most first;  worsened likewise
    """

    setting: str
    queries: int
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    better: float
    wins: int
    ties: int
    losses: int
    p_value: float
    improved: tuple[QueryChange, ...]
    worsened: tuple[QueryChange, ...]

    @property
    def verdict(self) -> str:
        """One sentence, in points (mAP x 100).

        One run is called better only if the interval leaves zero out and there are queries enough to say so.
        """
        low, high = (100 * side for side in self.interval)
        if self.ties == self.queries:
            return f"no difference: all {self.queries:,} queries score the same"
        if self.queries < FEWEST:
            return f"too few queries to tell ({self.queries}): {_points(self.difference)}"
        if low > 0:
            return f"B is better: {_points(self.difference)} [{low:.1f}, {high:.1f}]"
        if high < 0:
            return f"A is better: {_points(-self.difference)} [{-high:.1f}, {-low:.1f}]"
        return (
            f"no difference that {self.queries:,} queries can show: {_points(self.difference)} [{low:.1f}, {high:.1f}]"
        )


@dataclass(frozen=True)
class ProtocolDifference:
    """One key of the fingerprint with its value in each run, as text; `method` if it belongs to the method."""

    key: str
    a: str
    b: str
    method: bool


@dataclass(frozen=True)
class Comparison:
    """What `compare_runs` found.

    a, b         names of the runs
    rule         of average precision, "trapezoid" or "standard"
    settings     one entry per setting
    differences  what the protocols differ in
    warnings     what makes the difference of the scores not the method's alone
    seconds      mean time of a query in each run
    """

    a: str
    b: str
    rule: str
    settings: tuple[SettingComparison, ...]
    differences: tuple[ProtocolDifference, ...]
    warnings: tuple[str, ...]
    seconds: tuple[float, float]

    @property
    def main(self) -> SettingComparison:
        """The setting to look at first: Medium of the revisited sets, else the first."""
        return next((part for part in self.settings if part.setting == "M"), self.settings[0])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, verdicts included."""
        found = asdict(self)
        for plain, part in zip(found["settings"], self.settings):
            plain["verdict"] = part.verdict
        return found

    def __repr__(self) -> str:
        verdicts = "; ".join(f"{part.setting}: {part.verdict}" for part in self.settings)
        return f"<Comparison of A {self.a!r} and B {self.b!r}, {self.rule} rule, {verdicts}>"


def compare_runs(
    a: Run, b: Run, setting: str | None = None, *, rule: str = "trapezoid", common: bool = False,
    samples: int = 10_000, seed: int = 0, extremes: int = 5,
) -> Comparison:  # fmt: skip
    """Two runs compared query by query: b against a.

    setting:  one of those the runs have, None for all they have in common
    rule:     "trapezoid" or "standard" average precision
    common:   leave out queries that only one run has, instead of an error
    samples:  how many times the queries are drawn anew for the interval, and swapped for the p value
    extremes: how many of the most improved and most worsened queries to name

    Interval: percentile bootstrap over the paired differences (Efron 1979), so what makes a query hard for both runs
    cancels. P value: Fisher's randomisation test, which Smucker 2007 recommend for retrieval over sign and Wilcoxon.
    Raises InputError if the runs share no setting, or do not have the same queries.
    """
    if rule not in FIELDS:
        raise unknown("rule", rule, FIELDS)
    if samples < 1 or extremes < 0:
        raise InputError(f"samples must be at least 1 and extremes at least 0, got {samples} and {extremes}")
    pairs = _paired(a, b, common)
    parts = []
    for name in _settings(a, b, setting):
        changes = list(_changes(pairs, FIELDS[rule], name, common))
        if changes:
            parts.append(_compare(name, changes, samples, seed, extremes))
    if not parts:
        raise InputError(
            f"no query of {a.name!r} and {b.name!r} has an average precision in {setting or 'any setting'}"
        )
    differences = tuple(_differences(a.protocol, b.protocol))
    return Comparison(
        a=a.name, b=b.name, rule=rule, settings=tuple(parts), differences=differences,
        warnings=tuple(_warnings(differences, pairs)),
        seconds=(_mean([one.seconds for one, _ in pairs]), _mean([two.seconds for _, two in pairs])),
    )  # fmt: skip


def _compare(setting: str, changes: Sequence[QueryChange], samples: int, seed: int, extremes: int) -> SettingComparison:
    change = np.array([one.change for one in changes])
    means = drawn_means(change, samples, seed)
    ordered = sorted(changes, key=lambda one: one.change)  # stable: equal changes stay in the order of the queries
    return SettingComparison(
        setting=setting,
        queries=len(changes),
        a=_mean([one.a for one in changes]),
        b=_mean([one.b for one in changes]),
        difference=float(change.mean()),
        interval=interval_of(means),
        better=float((means > EQUAL).mean()),
        wins=int((change > EQUAL).sum()),
        ties=int((np.abs(change) <= EQUAL).sum()),
        losses=int((change < -EQUAL).sum()),
        p_value=randomisation_p(change, samples, seed),
        improved=tuple(one for one in reversed(ordered) if one.change > EQUAL)[:extremes],
        worsened=tuple(one for one in ordered if one.change < -EQUAL)[:extremes],
    )


def _paired(a: Run, b: Run, common: bool) -> list[tuple[RunQuery, RunQuery]]:
    in_a, in_b = ({query.name: query for query in run.queries} for run in (a, b))
    lacking = {"B": [name for name in in_a if name not in in_b], "A": [name for name in in_b if name not in in_a]}
    shared = [(query, in_b[name]) for name, query in in_a.items() if name in in_b]
    if not shared:
        raise InputError(f"{a.name!r} and {b.name!r} have no query in common: are they runs of one ground truth?")
    if any(lacking.values()) and not common:
        parts = [f"{run} lacks {_named(names)}" for run, names in lacking.items() if names]
        raise InputError(f"the runs have different queries: {'; '.join(parts)}. Compare the {len(shared):,} that both "
                         "have with --common")  # fmt: skip
    return shared


def _named(names: Sequence[str]) -> str:
    return f"{len(names):,} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"


def _settings(a: Run, b: Run, setting: str | None) -> list[str]:
    shared = [name for name in a.settings if name in b.settings]
    if not shared:
        raise InputError(
            f"the runs share no setting: A has {', '.join(a.settings) or 'none'}, B {', '.join(b.settings) or 'none'}"
        )
    if setting is None:
        return shared
    if setting not in shared:
        raise unknown("setting", setting, shared)
    return [setting]


def _changes(
    pairs: Sequence[tuple[RunQuery, RunQuery]], field: str, setting: str, common: bool
) -> Iterator[QueryChange]:
    for one, two in pairs:
        first, second = getattr(one, field)[setting], getattr(two, field)[setting]
        if math.isnan(first) != math.isnan(second) and not common:
            run = "A" if math.isnan(first) else "B"
            raise InputError(f"query {one.name!r} is left out of setting {setting} in {run} only: the runs have "
                             "different ground truths; compare what both have with --common")  # fmt: skip
        if not math.isnan(first) and not math.isnan(second):
            yield QueryChange(one.name, first, second)


def _differences(a: dict[str, Any], b: dict[str, Any]) -> Iterator[ProtocolDifference]:
    apart = {}
    for key in [*a, *(key for key in b if key not in a)]:
        first, second = ("(not said)" if key not in run else _text(run[key]) for run in (a, b))
        if first != second:
            apart[key] = ProtocolDifference(key, first, second, key in METHOD)
    yield from (one for key, one in apart.items() if not any(other in apart for other in FOLLOWS.get(key, ())))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)


def _warnings(differences: Sequence[ProtocolDifference], pairs: Sequence[tuple[RunQuery, RunQuery]]) -> Iterator[str]:
    others = [f"{one.key} ({one.a} / {one.b})" for one in differences if not one.method]
    if others:
        yield f"not the method's difference alone, the runs also differ in {', '.join(others)}"
    moved = [one.name for one, two in pairs if _asked(one) != _asked(two)]
    if moved:
        yield f"the runs show another image or box for {_named(moved)} of the queries"


def _asked(query: RunQuery) -> tuple[str, object]:
    return PurePath(query.image).name, query.box  # the images may lie in another folder


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
