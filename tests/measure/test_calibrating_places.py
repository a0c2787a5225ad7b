"""Cases of a calibration: which are planned, and what is proposed in them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locating_samples import photographs

from resight.errors import InputError, WorkError
from resight.match import Finder
from resight.match.score import CALIBRATION, NAMES, PLAIN
from resight.measure.calibrating import probabilities
from resight.measure.calibrating_places import MIX, Place, as_row, ask, ask_cases, from_row, plan_mix
from resight.measure.locating_pool import Pool
from resight.measure.tiers import TIERS, make_case


def test_the_usual_plan():
    plan = plan_mix(MIX, 900)
    assert len({number for _, number in plan}) == 900
    count = Counter(tier for tier, _ in plan)
    assert count["absent"] == 300 and count["perspective"] == count["occlusion"] == 100 and count["identity"] == 50


@given(st.lists(st.sampled_from(sorted(set(TIERS) - {"absent"})), min_size=1, max_size=11), st.integers(1, 300))
def test_a_plan_begins_like_a_longer_one_and_its_absent_ones_are_of_all_kinds(tiers, cases):
    plan, longer = plan_mix(tiers, cases), plan_mix([*tiers, "absent"], cases + 40)
    assert longer[:cases] == plan and len({number for _, number in plan}) == cases
    turn = len(tiers) + -(-len(tiers) // 2)
    whole = plan[: cases // turn * turn]
    assert sum(tier == "absent" for tier, _ in whole) == len(whole) // turn * -(-len(tiers) // 2)
    long = [number for tier, number in plan_mix(tiers, 600) if tier == "absent"]
    for kinds in (2, 3):  # as many as the tier absent has, taken by the number
        shares = np.bincount([number % kinds for number in long], minlength=kinds) / len(long)
        assert (abs(shares - 1 / kinds) < 0.05).all()


@pytest.mark.parametrize(
    ("tiers", "message"), [(["absent"], "a tier in which the template is there"), (["blurr"], "did you mean 'blur'"),
                           ([], "a tier in which the template is there")],
)  # fmt: skip
def test_plans_that_cannot_be(tiers, message):
    with pytest.raises(InputError, match=message):
        plan_mix(tiers, 5)


def test_a_copy_is_right_to_the_pixel_and_other_places_by_half():
    plain, featured = (0.0,) * len(PLAIN), (0.0,) * len(NAMES)
    assert [Place("copy", overlap, plain).right for overlap in (0.5, 0.89, 0.9)] == [False, False, True]
    assert [Place("fine", overlap, featured).right for overlap in (0.49, 0.5)] == [False, True]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return Pool.read(photographs(tmp_path_factory.mktemp("photos")))


def test_what_is_proposed_and_answered(pool):
    case = make_case(pool, "identity", 3, 0)
    found = ask(case)
    assert {one.stage for one in found.proposed} >= {"copy", "features", "closely", "fine"}
    assert found.proposed[0].stage == "copy" and found.proposed[0].right and found.proposed[0].plain
    assert all(one.plain == (one.stage == "copy") for one in found.proposed)
    match = Finder(case.template).find(case.scene)
    assert probabilities(CALIBRATION, found.answers).max() == pytest.approx(match.score, abs=1e-12)
    absent = ask(make_case(pool, "absent", 4, 0))
    assert not absent.present and not any(one.right or one.overlap for one in (*absent.proposed, *absent.answers))


def test_rows_and_back(pool):
    for tier in ("similarity", "several", "absent"):
        found = ask(make_case(pool, tier, 2, 0))
        assert from_row(json.loads(json.dumps(as_row(found)))) == found


@pytest.mark.parametrize(
    "change",
    [{"tier": "x"}, {"tier": []}, {"number": "1"}, {"kind": None}, {"proposed": [["copy"]]}, {"answers": [[1, 2]]},
     {"answers": [["answer", 2.0, *[0.0] * len(NAMES)]]}, {"answers": [["answer", 1.0, *[0.0] * 3]]},
     {"answers": [["answer", 1.0, *[float("nan")] * len(NAMES)]]}, {"answers": 3},
     {"answers": [["answer", 10**400, *[0.0] * len(NAMES)]]}],
)  # fmt: skip
def test_rows_of_something_else(change):
    row = {"tier": "blur", "number": 1, "kind": "", "proposed": [], "answers": []}
    from_row(row)
    with pytest.raises(InputError, match="not a case of a calibration"):
        from_row({**row, **change})


def test_a_case_that_cannot_be_made_is_told_of():
    def make(tier, number):
        raise WorkError("no room")

    left = []
    assert list(ask_cases([("blur", 1)], make, left_out=lambda *one: left.append(one))) == []
    assert left == [("blur", 1, "no room")]
    with pytest.raises(WorkError, match="no room"):
        list(ask_cases([("blur", 1)], make))
