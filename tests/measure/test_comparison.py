"""Two runs compared: by hand, against naive loops, and what is said when they cannot be compared."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.comparison import METHOD, compare_runs
from resight.measure.resampling import bootstrap_interval, drawn_means
from resight.measure.runs import Run, RunQuery

PROTOCOL = {"protocol": "oxford5k", "crop": "pixels", "database": 5063, "size": 1024, "scales": [1.0], "leak": False}


def run(values, name="one", protocol=PROTOCOL, setting="all", start=0, seconds=0.5):
    """A run of queries q0, q1, ...: values are APs of one setting, or {setting: APs}."""
    table = values if isinstance(values, dict) else {setting: values}
    rows = [dict(zip(table, row)) for row in zip(*table.values())]
    queries = [
        RunQuery(f"q{i}", f"/photos/{i}.jpg", None, {k: v / 2 for k, v in row.items()}, row, seconds)
        for i, row in enumerate(rows, start)
    ]
    return Run(name, dict(protocol), {}, tuple(queries))


def only(comparison):
    (part,) = comparison.settings
    return part


NOISE = np.random.default_rng(0).uniform(0.2, 0.8, 30).tolist()


# By hand


def test_identical_runs():
    part = only(compare_runs(run(NOISE), run(NOISE)))
    assert (part.difference, part.interval, part.better) == (0, (0, 0), 0)
    assert (part.wins, part.ties, part.losses, part.improved, part.worsened) == (0, 30, 0, (), ())
    assert part.p_value == 1
    assert part.verdict == "no difference: all 30 queries score the same"


@pytest.mark.parametrize(("shift", "letter"), [(0.1, "B"), (-0.1, "A")])
def test_a_constant_shift_is_certain(shift, letter):
    """All differences are equal, so drawing them anew changes nothing."""
    part = only(compare_runs(run(NOISE), run([value + shift for value in NOISE])))
    assert part.difference == pytest.approx(shift)
    assert part.interval == pytest.approx((shift, shift))
    assert part.better == (shift > 0)
    assert part.p_value == pytest.approx(1 / 10_001)  # 2 / 2^30 of the sign patterns reach it
    assert part.verdict == f"{letter} is better: +10.0 [10.0, 10.0]"


def test_five_queries_by_hand():
    a, b = run([0.5, 0.2, 0.9, 0.4, 0.1]), run([0.7, 0.2, 0.3, 0.5, 0.6])
    part = only(compare_runs(a, b, extremes=2))
    assert (part.queries, part.wins, part.ties, part.losses) == (5, 3, 1, 1)
    assert (part.a, part.b, part.difference) == pytest.approx((0.42, 0.46, 0.04))
    assert [(c.name, round(c.change, 6)) for c in part.improved] == [("q4", 0.5), ("q0", 0.2)]
    assert [(c.name, round(c.change, 6)) for c in part.worsened] == [("q2", -0.6)]
    assert part.verdict == "too few queries to tell (5): +4.0"


def test_what_few_queries_cannot_show():
    b = [value + change for value, change in zip(NOISE, [0.1, -0.08] * 15)]
    part = only(compare_runs(run(NOISE), run(b)))
    assert part.interval[0] < 0 < part.interval[1] and part.p_value > 0.05
    low, high = (100 * side for side in part.interval)
    assert part.verdict == f"no difference that 30 queries can show: +1.0 [{low:.1f}, {high:.1f}]"


def test_the_rule_chooses_the_average_precision():
    a, b = run([0.2, 0.4]), run([0.4, 0.8])
    assert only(compare_runs(a, b)).b == pytest.approx(0.6)
    assert only(compare_runs(a, b, rule="standard")).b == pytest.approx(0.3)


def test_each_setting_has_its_own_queries():
    nan = math.nan
    a = run({"E": [0.1, 0.2, nan], "M": [0.5, 0.5, 0.5], "H": [nan, nan, nan]})
    b = run({"E": [0.3, 0.4, nan], "M": [0.4, 0.5, 0.5], "H": [nan, nan, nan]})
    found = compare_runs(a, b)
    assert [(part.setting, part.queries) for part in found.settings] == [("E", 2), ("M", 3)]
    assert found.main.setting == "M" and found.settings[0].difference == pytest.approx(0.2)
    assert only(compare_runs(a, b, "E")).setting == "E"
    assert compare_runs(a, b, "E").main.setting == "E"
    with pytest.raises(InputError, match="has an average precision in H"):
        compare_runs(a, b, "H")


# Against naive loops


def test_the_interval_is_bootstrap_intervals():
    differences = np.random.default_rng(3).normal(0.01, 0.1, 55)
    part = only(compare_runs(run([0.5] * 55), run((0.5 + differences).tolist()), samples=700, seed=9))
    assert part.interval == pytest.approx(bootstrap_interval(differences, seed=9, rounds=700))


def test_the_share_of_draws_is_counted():
    values = np.random.default_rng(5).normal(0, 0.1, 12)
    part = only(compare_runs(run([0.5] * 12), run((0.5 + values).tolist()), samples=500, seed=4))
    assert part.better == np.mean(drawn_means(values, 500, 4) > 0)


# Properties


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_the_other_way_round(pairs):
    one, two = (run([pair[side] for pair in pairs]) for side in (0, 1))
    there, back = only(compare_runs(one, two, samples=200)), only(compare_runs(two, one, samples=200))
    assert back.difference == pytest.approx(-there.difference)
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert (back.wins, back.ties, back.losses) == (there.losses, there.ties, there.wins)
    assert back.p_value == there.p_value
    assert there.difference == pytest.approx(there.b - there.a)
    assert there.wins + there.ties + there.losses == len(pairs)


# Protocols


def test_what_the_method_differs_in_is_no_warning():
    other = {**PROTOCOL, "size": None, "scales": [1.0, 0.5], "whitening": "pca"}
    found = compare_runs(run(NOISE), run(NOISE, protocol=other))
    assert [(d.key, d.a, d.b, d.method) for d in found.differences] == [
        ("size", "1,024", "none", True), ("scales", "1.0", "1.0, 0.5", True), ("whitening", "(not said)", "pca", True),
    ]  # fmt: skip
    assert found.warnings == ()


def test_what_else_differs_is():
    other = {**PROTOCOL, "database": 105_063, "crop": "none", "leak": True, "size": 512}
    found = compare_runs(run(NOISE), run(NOISE, protocol=other))
    assert found.warnings == (
        "not the method's difference alone, the runs also differ in crop (pixels / none), database (5,063 / 105,063), "
        "leak (no / yes)",
    )


def test_every_key_of_a_fingerprint_has_its_kind():
    """A new key is a condition until METHOD names it: the warning errs on the careful side."""
    from inspect import signature

    from resight.measure.fingerprint import fingerprint

    assert set(signature(fingerprint).parameters) & METHOD == METHOD


def test_another_box_or_image_under_the_same_name():
    one, two = run([0.1, 0.2]), run([0.1, 0.2])
    moved = RunQuery("q1", "/elsewhere/1.jpg", (0.0, 0.0, 5.0, 5.0), two.queries[1].ap, two.queries[1].ap_trapezoid)
    away = RunQuery("q0", "/elsewhere/0.jpg", None, two.queries[0].ap, two.queries[0].ap_trapezoid)
    found = compare_runs(one, Run("two", PROTOCOL, {}, (away, moved)))
    assert found.warnings == ("the runs show another image or box for 1 (q1) of the queries",)


# Doors


def test_different_queries():
    a, b = run(NOISE[:8]), run(NOISE[:6], start=7)
    with pytest.raises(InputError) as caught:
        compare_runs(a, b)
    assert str(caught.value) == (
        "the runs have different queries: B lacks 7 (q0, q1, q2, q3, q4, ...); A lacks 5 (q8, q9, q10, q11, q12). "
        "Compare the 1 that both have with --common"
    )
    assert only(compare_runs(a, b, common=True)).queries == 1


def test_nothing_in_common():
    with pytest.raises(InputError, match=r"no query in common: are they runs of one ground truth\?"):
        compare_runs(run([0.1]), run([0.1], start=5), common=True)
    with pytest.raises(InputError, match="share no setting: A has all, B E"):
        compare_runs(run([0.1]), run([0.1], setting="E"))


def test_a_query_that_counts_in_one_run_only():
    a, b = run([0.1, math.nan, 0.3]), run([0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="query 'q1' is left out of setting all in A only: the runs have different gr"):
        compare_runs(a, b)
    assert only(compare_runs(a, b, common=True)).queries == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"setting": "X"}, "unknown setting 'X'"),
        ({"rule": "trapez"}, "unknown rule 'trapez', did you mean 'trapezoid'"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"extremes": -1}, "extremes at least 0"),
    ],
)
def test_door(options, message):
    with pytest.raises(InputError, match=message):
        compare_runs(run([0.1]), run([0.1]), **options)


def test_runs_without_queries():
    with pytest.raises(InputError, match="no query in common"):
        compare_runs(Run("a", {}, {}), Run("b", {}, {}))


# As text


def test_plain_values_for_json():
    found = compare_runs(run(NOISE, "one"), run([value + 0.1 for value in NOISE], "two", seconds=0.25))
    plain = json.loads(json.dumps(found.as_dict()))
    assert (plain["a"], plain["b"], plain["rule"], plain["seconds"]) == ("one", "two", "trapezoid", [0.5, 0.25])
    assert plain["settings"][0]["verdict"] == "B is better: +10.0 [10.0, 10.0]"
    assert plain["settings"][0]["improved"][0].keys() == {"name", "a", "b"}
    assert repr(found) == ("<Comparison of A 'one' and B 'two', trapezoid rule, all: B is better: +10.0 [10.0, 10.0]>")


def test_what_follows_from_another_difference_is_not_named_twice():
    def with_keys(name, **more):
        return run([0.5] * 8, name, {**PROTOCOL, "space": "s", "descriptor": "gem", "transductive_by": [], **more})

    plain = with_keys("a")
    other = compare_runs(plain, with_keys("b", descriptor="spoc", space="t"))
    assert [one.key for one in other.differences] == ["descriptor"] and other.warnings == ()
    other = compare_runs(plain, with_keys("b", space="t"))  # another preprocessing, say: nothing else tells of it
    assert [(one.key, one.method) for one in other.differences] == [("space", True)]
