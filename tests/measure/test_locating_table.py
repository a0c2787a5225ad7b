"""What answers come to, by hand and beside pandas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locating_samples import absent, answer, wrong

from resight.errors import InputError
from resight.measure.locating_table import describe, described, gains, recall_allowing, table_lines
from resight.measure.resampling import bootstrap_interval

IOUS = [0.9, 0.7, 0.0, 0.95]
ANSWERS = [
    *(answer(number=n, iou=iou, find_ms=10.0 * (n + 1), corner_px=float(n)) for n, iou in enumerate(IOUS) if iou),
    wrong(number=2, find_ms=30.0, false=1, found=True),
    *(answer(number=n, method="two", iou=0.8) for n in range(4)),
    *(absent(number=n, found=n == 0, false=int(n == 0), score=0.95 if n == 0 else 0.2) for n in range(4)),
    *(absent(number=n, method="two") for n in range(4)),
    *(answer(tier="blur", number=n, iou=0.6, find_ms=1.0) for n in range(2)),
    *(wrong(tier="blur", number=n, method="two", error="no") for n in range(2)),
    answer(tier="several", present=5, hits=4, false=1, iou=0.8),
    answer(tier="several", method="two", present=5, hits=1, iou=0.2),
]  # fmt: skip


def line(method, tier):
    return next(one for one in table_lines(ANSWERS) if (one.method, one.tier) == (method, tier))


def test_a_line_by_hand():
    one = line("one", "identity")
    assert one.cases == 4 and one.iou == pytest.approx(np.mean(IOUS)) and one.success == 0.75 and one.false == 0.25
    assert one.interval == bootstrap_interval([0.9, 0.7, 0.95, 0.0])
    assert one.corner_px == 1 and one.inside_px == 0.5  # of those that are right: 0, 1, 3
    assert one.find_ms == 25 and one.find_90 == pytest.approx(37) and one.prepare_ms == 2


def test_absent_several_and_failed():
    one = line("one", "absent")
    assert math.isnan(one.iou) and math.isnan(one.success) and one.false == 0.25 and math.isnan(one.interval[0])
    assert line("two", "absent").false == 0
    one = line("one", "several")
    assert one.success == 0.8 and one.false == 1
    assert line("two", "several").success == 0.2
    one = line("two", "blur")
    assert one.failed == 2 and one.success == 0 and math.isnan(one.find_ms)


def test_the_line_over_all():
    one = line("one", "all")
    assert one.cases == 6 and one.success == pytest.approx(5 / 6) and one.false == 0.25
    assert one.iou == pytest.approx((np.sum(IOUS) + 1.2) / 6)
    assert one.recall_1 == 0  # a false alarm at .95 bars all that have .9
    assert line("two", "all").recall_1 == pytest.approx(4 / 6)
    lone = table_lines([one for one in ANSWERS if one.tier == "identity"])
    assert [one.tier for one in lone] == ["identity"] * 2


def test_recall_when_one_percent_may_pass():
    there = [answer(number=n, score=score) for n, score in enumerate((0.2, 0.5, 0.7, 0.9))]
    none = [absent(number=n, score=n / 200) for n in range(100)]  # 0 .. .495: one of them may pass
    assert recall_allowing([*there, *none]) == 0.75
    assert recall_allowing([*there, *none, *[absent(number=n, score=0.6) for n in range(2)]]) == 0.5
    assert recall_allowing([*there, *none], 0.7) == 1
    assert math.isnan(recall_allowing(there)) and math.isnan(recall_allowing(none))
    hidden = answer(score=0.4, found=False, iou=0.0, best_iou=0.9)
    assert recall_allowing([hidden, absent(score=0.3)]) == 1  # its own threshold does not count here


def test_gains_are_paired():
    found = {one.tier: one for one in gains(ANSWERS)}
    assert list(found) == ["identity", "blur", "several", "all"]
    change = np.array([0.9, 0.7, 0.95, 0.0]) - 0.8
    one = found["identity"]
    assert (one.method, one.other, one.cases, one.better, one.worse) == ("one", "two", 4, 2, 2)
    assert one.difference == pytest.approx(change.mean())
    assert one.interval == pytest.approx(bootstrap_interval(change))
    assert found["all"].cases == 6 and found["all"].difference == pytest.approx((change.sum() + 1.2) / 6)


def test_gains_of_cases_that_both_have():
    (one,) = gains([answer(number=0), answer(number=1), answer(number=1, method="two", iou=0.5)])
    assert one.cases == 1 and one.difference == pytest.approx(0.4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_describe_is_pandas(values):
    pandas = pytest.importorskip("pandas")
    wanted = pandas.Series(values).describe()
    assert list(describe(values).values()) == pytest.approx(wanted.tolist()[1:], rel=1e-9, abs=1e-6)


def test_describe_by_hand():
    found = describe([4.0, 1.0, 3.0, 2.0])
    assert found == {"mean": 2.5, "std": math.sqrt(5 / 3), "min": 1, "low": 1.75, "median": 2.5, "high": 3.25, "max": 4}
    assert math.isnan(describe([1.0])["std"])
    with pytest.raises(InputError, match="n >= 1"):
        describe([])


def test_described_leaves_out_what_is_not_there():
    found = {(one.method, one.tier, one.quantity): one for one in described(ANSWERS)}
    assert ("one", "absent", "iou") not in found and found["one", "absent", "find_ms"].count == 4
    assert found["one", "all", "iou"].count == 7 and found["one", "identity", "iou"].max == 0.95


def test_nothing_is_refused():
    with pytest.raises(InputError, match="expected answers"):
        table_lines([])
