"""The runner: who is asked what and when, and how answers are judged."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from locating_samples import answer, photograph, saying

from resight.errors import InputError, WorkError
from resight.images.rle import decode_rle
from resight.match.planes import similarity
from resight.match.result import Match
from resight.measure.locating import answer_case, answer_from, limited, locate_cases, plan_cases, timed
from resight.measure.locating_methods import Method
from resight.measure.locating_text import finite
from resight.measure.tiers import Case

HERE, NEAR, FAR = (similarity(1, 0, (0, 0), place) for place in ((10, 10), (14, 10), (100, 60)))


def case(*truths, tier="identity", number=0):
    photo = photograph(1)
    return Case(tier, number, photo[10:50, 10:60].copy(), photo, truths, "a.png")


def all_at(*places, found=True):
    """A method that finds these places at once."""

    def prepare(template):
        def find_all(scene):
            return tuple(
                Match(found, 0.9 - 0.1 * n, place, "x", scene.shape[:2], template.size)
                for n, place in enumerate(places)
            )

        return find_all

    return Method("x", lambda template: lambda scene: prepare(template)(scene)[0], prepare)


def test_a_right_answer_by_hand():
    one = answer_case(saying("x", NEAR), case(HERE))
    overlap = 46 * 40 / (2 * 50 * 40 - 46 * 40)  # moved by 4 of 50 columns
    assert one.iou == one.best_iou == pytest.approx(overlap) and one.hits == 1 and one.false == 0 and one.found
    assert one.corner_px == pytest.approx(4) and one.inside_px == pytest.approx(4) and one.inliers == 7
    assert one.template == (40, 50) and one.scene == (120, 160) and one.present == 1 and one.share == 1
    assert one.corners == (((14, 10), (64, 10), (64, 50), (14, 50)),) and one.mask == "" and one.error == ""
    assert one.memory > 1e6 and one.gpu_memory == 0 and one.find_ms > 0


def test_a_place_that_is_not_believed_counts_for_the_best_candidate_only():
    one = answer_case(saying("x", HERE, found=False, score=0.3), case(HERE))
    assert (one.iou, one.best_iou, one.hits, one.false, one.found) == (0, 1, 0, 0, False)
    assert math.isnan(one.corner_px) and one.score == 0.3


def test_a_wrong_place_is_false():
    one = answer_case(saying("x", FAR), case(HERE))
    assert (one.iou, one.hits, one.false) == (0, 0, 1) and math.isnan(one.corner_px)


def test_absent_templates():
    one, two = (answer_case(saying("x", FAR, found), case(tier="absent")) for found in (True, False))
    assert (one.present, one.hits, one.false, one.found) == (0, 0, 1, True) and math.isnan(one.iou)
    assert (two.false, two.found) == (0, False) and math.isnan(two.share)
    nothing = answer_case(saying("x", None, False, 0.0), case(tier="absent"))
    assert nothing.corners == () and nothing.score == 0


def test_several_each_place_takes_one_instance():
    truths = [similarity(0.8, 0, (0, 0), place) for place in ((0, 0), (60, 10), (100, 70))]
    moved = similarity(0.8, 0, (0, 0), (62, 10))
    one = answer_case(all_at(truths[0], moved, moved), case(*truths, tier="several"))
    assert one.present == 3 and one.hits == 2 and one.false == 1 and one.share == pytest.approx(2 / 3)
    assert one.iou == pytest.approx((1 + 38 / 42) / 3)  # 40 columns wide, moved by 2
    single = answer_case(saying("x", truths[1]), case(*truths, tier="several"))
    assert single.hits == 1 and single.iou == pytest.approx(1 / 3)
    none = answer_case(all_at(), case(*truths, tier="several"))
    assert none.hits == 0 and none.iou == 0 and not none.found


def test_masks_are_kept_where_they_say_more():
    outline = np.zeros((120, 160), bool)
    outline[10:50, 10:35] = True

    def prepare(template):
        return lambda scene: Match(True, 0.9, None, "x", scene.shape[:2], template.size, outline=outline)

    one = answer_case(Method("x", prepare), case(HERE))
    assert one.iou == 0.5 and np.array_equal(decode_rle(one.mask), outline) and one.corners == ()
    two = answer_case(saying("x", HERE), case(HERE), masks=True)
    assert decode_rle(two.mask)[10:50, 10:60].all() and decode_rle(two.mask).sum() == 2000


def test_a_method_that_cannot_do_it_is_told_of():
    def prepare(template):
        raise InputError("too small\nto find")

    one = answer_case(Method("x", prepare), case(HERE))
    assert one.error == "too small to find" and not one.found and one.iou == 0 and one.score == 0


def test_turns_and_warming_up():
    log = []
    methods = [saying(name, HERE, log=log) for name in "abc"]
    made = []

    def make(tier, number):
        made.append((tier, number))
        return case(HERE, tier=tier, number=number)

    plan = plan_cases(["identity", "blur"], 2)
    found = list(locate_cases(plan, make, methods))
    assert [one.method for one in found[1]] == ["a", "b", "c"]  # in the order given, whoever began
    assert [(row[0].tier, row[0].number) for row in found] == plan == made
    searches = "".join(name for name, what in log if what == "find")
    assert searches == "abc" + "abc" + "bca" + "cab" + "abc"  # the first three are not counted
    assert [what for _, what in log] == ["prepare", "find"] * 15


def test_cases_that_cannot_be_made():
    def make(tier, number):
        if number == 1:
            raise WorkError("damaged")
        return case(HERE, number=number)

    lost = []
    plan = plan_cases(["identity"], 3)
    found = list(locate_cases(plan, make, [saying("a", HERE)], left_out=lambda *what: lost.append(what)))
    assert [row[0].number for row in found] == [0, 2] and lost == [("identity", 1, "damaged")]
    with pytest.raises(WorkError, match="damaged"):
        list(locate_cases(plan, make, [saying("a", HERE)]))
    with pytest.raises(InputError, match="at least one method"):
        list(locate_cases(plan, make, []))


def test_plans():
    assert plan_cases(["boxes"], 0, objects=3) == [("boxes", 0), ("boxes", 1), ("boxes", 2)]
    some = plan_cases(["boxes"], 5, objects=100, seed=1)
    assert len(set(some)) == 5 and some == sorted(some) and some == plan_cases(["boxes"], 5, objects=100, seed=1)
    assert some != plan_cases(["boxes"], 5, objects=100, seed=2)
    assert plan_cases(["absent", "boxes"], 1, objects=9)[0] == ("absent", 0)


def test_threads_are_given_back():
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    with limited(1):
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (1, 1)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before
    with pytest.raises(InputError, match="threads must be at least 1"), limited(0):
        pass


def test_the_clock():
    made, ms = timed(lambda: sum(range(1000)))
    assert made == 499500 and ms > 0


def test_answers_come_back_from_json():
    one = answer(iou=float("nan"), kind="x", mask="1,1:", error="e")
    back = answer_from(json.loads(json.dumps(finite(asdict(one)))))
    assert math.isnan(back.iou)
    assert asdict(back) | {"iou": 0} == asdict(one) | {"iou": 0}


@pytest.mark.parametrize("change", [{"number": "0"}, {"found": 1}, {"score": "x"}, {"tier": None}, {"corners": 3}])
def test_hostile_answers_are_refused(change):
    with pytest.raises(InputError, match="not an answer of a benchmark"):
        answer_from({**asdict(answer()), **change})
    with pytest.raises(InputError, match="not an answer"):
        answer_from({})
