"""The fit of the finder's score, its threshold, and what is said of both."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from calibrating_samples import TRUE, drawn_cases, drawn_place
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.match.score import CALIBRATION
from resight.match.verify import Agreement
from resight.measure.calibrating import calibrate, check_enough, fit, least_threshold, probabilities
from resight.measure.calibrating_places import Place
from resight.measure.proportion import wilson_interval


def test_the_fit_recovers_known_weights():
    random = np.random.default_rng(0)
    places = [drawn_place(random, plain) for plain in (True, False) for _ in range(12_000)]
    found = fit(places)
    assert found.threshold == 0.5
    # Five standard errors; with this many rows each is about .03.
    assert found.weights == pytest.approx(TRUE.weights, abs=0.15) and found.bias == pytest.approx(TRUE.bias, abs=0.15)
    assert found.plain_weights == pytest.approx(TRUE.plain_weights, abs=0.15)
    assert found.plain_bias == pytest.approx(TRUE.plain_bias, abs=0.15)


def test_the_fit_is_the_maximum_of_the_penalised_likelihood():
    random = np.random.default_rng(1)
    places = [drawn_place(random, plain) for plain in (True, False) for _ in range(200)]
    found = fit(places)

    def value(model):
        p = probabilities(model, places)
        right = np.array([one.right for one in places])
        ridge = sum(weight**2 for weight in (*model.weights, *model.plain_weights)) / (2 * 10.0)
        return float(np.log(np.where(right, p, 1 - p)).sum()) - ridge

    best = value(found)
    for name in ("weights", "plain_weights"):
        own = getattr(found, name)
        for place in range(len(own)):
            for step in (-0.01, 0.01):
                moved = replace(found, **{name: (*own[:place], own[place] + step, *own[place + 1 :])})
                assert value(moved) < best
    assert value(replace(found, bias=found.bias + 0.01)) < best > value(replace(found, bias=found.bias - 0.01))


def test_what_speaks_against_in_the_cases_has_no_weight_rather_than_a_negative_one():
    random, places = np.random.default_rng(2), []
    for plain in (True, False):
        for _ in range(400):
            one = drawn_place(random, plain)
            against = 1.0 if one.right else 2.0  # the last measure is higher where the place is wrong
            places.append(replace(one, measures=(*one.measures[:-1], against + 0.1 * random.standard_normal())))
    found = fit(places)
    assert found.weights[-1] == found.plain_weights[-1] == 0 and min(found.plain_weights) >= 0
    assert found.weights[2] < 0  # free


def test_probabilities_are_those_of_the_finder():
    seen = Agreement(0.7, 0.5, 0.4, 0.8, 0.9, 1.0, np.zeros((5, 5)))
    for inliers, features in ((4, 30), (0, None), (2000, 2000)):
        from resight.match.score import measures

        place = Place("", 1.0, measures(inliers, features, seen, 0.6))
        expected = CALIBRATION.probability(inliers, features, seen, 0.6)
        assert probabilities(CALIBRATION, [place])[0] == pytest.approx(expected, abs=1e-12)


SCORES = st.lists(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.floats(0, 0.999)), min_size=1, max_size=40)


@given(SCORES, st.one_of(st.sampled_from([0.0, 0.02, 0.1, 0.25, 0.29, 0.5]), st.floats(0, 0.999)))
def test_the_threshold_is_the_smallest(scores, rate):
    absent = np.array(scores)
    found = least_threshold(absent, rate)
    allowed = max(k for k in range(len(scores) + 1) if k / len(scores) <= rate + 1e-12)
    assert (absent >= found).sum() <= allowed
    # Brute force: at every smaller threshold at which anything changes more pass.
    below = {0.0, float(np.nextafter(found, -1)), *(float(one) for one in scores if one < found)}
    for other in (one for one in below if 0 <= one < found):
        assert (absent >= other).sum() > allowed


def test_thresholds_at_the_ends():
    assert least_threshold(np.array([0.2, 0.9]), 0.999) == np.nextafter(0.2, 1)
    assert least_threshold(np.full(100, 0.5), 0.29) == np.nextafter(0.5, 1)
    assert least_threshold(np.arange(100) / 100, 0.29) == np.nextafter(0.70, 1)  # .29 * 100 is 28.999999999999996
    with pytest.raises(WorkError, match="more than 0 of 3 absent templates score 1"):
        least_threshold(np.array([0.1, 1.0, 0.3]), 0.0)
    assert least_threshold(np.array([0.1, 1.0, 0.3]), 0.4) == np.nextafter(0.3, 1)


def test_what_is_said_of_a_calibration():
    cases = drawn_cases(300)
    found = calibrate(cases, false_alarms=0.05)
    assert found.calibration == replace(fit([place for one in cases for place in one.proposed]),
                                        threshold=found.chosen.threshold)  # fmt: skip
    absent = found.scores[[one.tier == "absent" for one in cases]]
    assert found.chosen.threshold == least_threshold(absent, 0.05) and found.chosen.false == 5
    assert found.chosen.interval == wilson_interval(5, 100) and found.chosen.rate == 0.05
    assert not found.right[::3].any() and (found.present == [one.tier != "absent" for one in cases]).all()
    for point in (found.usual, found.chosen):
        assert point.false == sum(score >= point.threshold for score in absent)
        for tier in ("blur", "noise"):
            own = [place for place, one in enumerate(cases) if one.tier == tier]
            hits = sum(bool(found.right[one] and found.scores[one] >= point.threshold) for one in own)
            assert point.recall[tier] == (hits, len(own))
        assert point.found == tuple(map(sum, zip(*point.recall.values(), strict=True)))
    p = np.where(found.right, found.scores, 1 - found.scores)
    assert found.log_loss == pytest.approx(-np.log(p).mean()) and found.brier == pytest.approx(((1 - p) ** 2).mean())
    assert found.reliability.counts.sum() == 300
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["at_threshold"]["false"] == 5
    assert repr(found).startswith("<Calibrated on 300 cases: from 0.") and "\n" not in repr(found)


def test_a_case_is_scored_by_a_model_that_has_not_seen_it():
    """Naive oracle: every fold fitted anew; the answer of highest probability counts."""
    from sklearn.model_selection import GroupKFold

    cases = drawn_cases(60, seed=3)
    found = calibrate(cases)
    # All cases have as many places, so the folds of cases are those of their places.
    for learned, tested in GroupKFold(5).split(np.repeat(cases, 4), groups=np.repeat(np.arange(60), 4)):
        seen = {one // 4 for one in learned}
        assert not seen & {one // 4 for one in tested}
        model = fit([place for one in sorted(seen) for place in cases[one].proposed])
        for one in {one // 4 for one in tested}:
            best = max(cases[one].answers, key=lambda place: probabilities(model, [place])[0])
            assert found.scores[one] == pytest.approx(probabilities(model, [best])[0], rel=1e-9)
            assert found.right[one] == best.right


def test_the_same_cases_give_the_same():
    one, two = (calibrate(drawn_cases(60)) for _ in range(2))
    assert one.calibration == two.calibration and (one.scores == two.scores).all() and one.as_dict() == two.as_dict()


def test_cases_without_any_place_score_nothing():
    cases = drawn_cases(90)
    cases += [replace(cases[place], number=1000 + place, proposed=(), answers=()) for place in range(6)]
    found = calibrate(cases)
    assert (found.scores[-6:] == 0).all() and not found.right[-6:].any()


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "0 of 0 are such in which the template is absent, at least 10 are needed; ask for other tiers"),
        (drawn_cases(12), "4 of 12 are such in which the template is absent, .* about 36 cases in all would do"),
        ([replace(one, proposed=tuple(p for p in one.proposed if not p.plain)) for one in drawn_cases(60)],
         "0 of 60 are such with a right place by plain correlation"),
        ([replace(one, proposed=tuple(p for p in one.proposed if p.plain or p.right)) for one in drawn_cases(60)],
         "0 of 60 are such with a wrong place by local features"),
    ],
)  # fmt: skip
def test_too_few_of_a_kind(cases, message):
    with pytest.raises(InputError, match=f"too few cases to calibrate: {message}"):
        check_enough(cases)
    with pytest.raises(InputError, match="too few cases"):
        calibrate(cases)


@pytest.mark.parametrize("share", [-0.1, 1, 2, math.nan])
def test_shares_that_cannot_be(share):
    with pytest.raises(InputError, match="a share from 0 to below 1"):
        calibrate(drawn_cases(60), false_alarms=share)


def test_places_all_right_or_all_wrong_cannot_be_fitted():
    random = np.random.default_rng(0)
    places = [one for one in (drawn_place(random, False) for _ in range(50)) if one.right]
    with pytest.raises(InputError, match="expected right and wrong places"):
        fit(places)
