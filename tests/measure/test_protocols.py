"""Protocol scores against the published evaluators, written as the plain loops that they are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.images.groups import ukbench
from resight.images.truth import Query, Setting, Truth, read_truth, truth_from_labels
from resight.measure.protocols import RankingScorer, name_index, score_rankings
from resight.measure.retrieval import evaluate_labels

REVISITED = {
    "E": Setting(("easy",), ("junk", "hard")),
    "M": Setting(("easy", "hard"), ("junk",)),
    "H": Setting(("hard",), ("junk", "easy")),
}
GROUPS = ("easy", "hard", "junk")


def compute_ap(ranking, positives, ignored):
    """compute_ap.cpp, line for line."""
    old_recall, old_precision, ap, intersect, j = 0.0, 1.0, 0.0, 0, 0
    for item in ranking:
        if item in ignored:
            continue
        if item in positives:
            intersect += 1
        recall, precision = intersect / len(positives), intersect / (j + 1.0)
        ap += (recall - old_recall) * ((old_precision + precision) / 2.0)
        old_recall, old_precision, j = recall, precision, j + 1
    return ap


def revisited_precision(ranking, positives, ignored, k):
    places = [place for place, item in enumerate([i for i in ranking if i not in ignored], 1) if item in positives]
    kq = min(max(places), k)
    return sum(place <= kq for place in places) / kq


@st.composite
def revisited_case(draw, images=24):
    """A truth of two queries with every image in one group or none, and rankings of all images."""
    names = [f"i{number}" for number in range(images)]
    queries = []
    for number in range(2):
        group_of = draw(st.lists(st.sampled_from([*GROUPS, "", ""]), min_size=images, max_size=images))
        members = {g: frozenset(n for n, own in zip(names, group_of) if own == g) for g in GROUPS}
        queries.append(Query(f"q{number}", f"q{number}", None, members))
    truth = Truth("toy", tuple(queries), REVISITED, tuple(names), "absent")
    return truth, [draw(st.permutations(range(images))) for _ in queries]


def index_of(truth):
    return name_index(truth, truth.database, allow_missing=True)


@given(revisited_case())
def test_equals_both_published_loops(case):
    truth, rankings = case
    if not any(truth.positives(query, "M") for query in truth.queries):
        return
    scores = score_rankings(rankings, truth, index_of(truth), ks=(1, 5, 10))
    for name, found in scores.settings.items():
        expected, at = [], {1: [], 5: [], 10: []}
        for number, (query, ranking) in enumerate(zip(truth.queries, rankings)):
            positives, ignored = truth.positives(query, name), truth.ignored(query, name)
            named = [truth.database[row] for row in ranking]
            if not positives:
                assert math.isnan(found.ap[number]) and math.isnan(found.ap_trapezoid[number])
                continue
            expected.append(compute_ap(named, positives, ignored))
            assert found.ap_trapezoid[number] == pytest.approx(expected[-1], abs=1e-12)
            for k in at:
                at[k].append(revisited_precision(named, positives, ignored, k))
        assert (found.queries, found.skipped) == (len(expected), 2 - len(expected))
        if expected:
            assert found.map_trapezoid == pytest.approx(np.mean(expected), abs=1e-12)
            assert found.mp == pytest.approx({k: np.mean(values) for k, values in at.items()}, abs=1e-12)
        else:
            assert math.isnan(found.map) and found.as_dict()["map_standard"] is None


@pytest.mark.oracle
@given(revisited_case())
def test_standard_column_equals_scikit_learn(case):
    from sklearn.metrics import average_precision_score

    truth, rankings = case
    if not any(truth.positives(query, "M") for query in truth.queries):
        return
    scores = score_rankings(rankings, truth, index_of(truth))
    for name, found in scores.settings.items():
        for number, (query, ranking) in enumerate(zip(truth.queries, rankings)):
            kept = [truth.database[row] for row in ranking if truth.database[row] not in truth.ignored(query, name)]
            right = [item in truth.positives(query, name) for item in kept]
            if any(right):
                expected = average_precision_score(right, -np.arange(len(right)))
                assert found.ap[number] == pytest.approx(expected, abs=1e-12)


@given(revisited_case(), st.randoms())
def test_junk_and_the_order_of_wrong_images_never_matter(case, random):
    truth, rankings = case
    if not any(truth.positives(query, "M") for query in truth.queries):
        return
    index = index_of(truth)
    moved = []
    for query, ranking in zip(truth.queries, rankings):
        kind = {row: next((g for g in GROUPS if name in query.groups[g]), "") for name, row in index.rows.items()}
        kept = [row for row in ranking if kind[row] != "junk"]
        wrong = [row for row in kept if not kind[row]]
        random.shuffle(wrong)
        shuffled = [row if kind[row] else wrong.pop() for row in kept]
        for row in ranking:
            if kind[row] == "junk" and random.random() < 0.8:  # elsewhere, or nowhere
                shuffled.insert(random.randint(0, len(shuffled)), row)
        moved.append(shuffled)
    before, after = (score_rankings(given, truth, index).as_dict() for given in (rankings, moved))
    assert before == after


def toy(own="absent", **changes):
    query = Query("q", "q", None, {"good": frozenset("abc"), "junk": frozenset("j")} | changes)
    return Truth("toy", (query,), {"all": Setting(("good",), ("junk",))}, tuple("axjbycq"), own)


def test_golden():
    truth = toy()
    index = name_index(truth, list("axjbycq"))
    scores = score_rankings([np.arange(6)], truth, index, ks=(1, 2, 3, 50)).settings["all"]
    assert scores.map_trapezoid == pytest.approx(0.711111, abs=1e-6)
    assert scores.map == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert scores.mp == pytest.approx({1: 1, 2: 1 / 2, 3: 2 / 3, 50: 3 / 5})
    assert scores.precision == pytest.approx({1: 1, 2: 1 / 2, 3: 2 / 3, 50: 3 / 5})  # 5 are left to rank
    assert scores.recall == {1: 1, 2: 1, 3: 1, 50: 1}
    assert repr(score_rankings([np.arange(6)], truth, index)).startswith(
        "<ProtocolScores toy: all mAP 0.7111 (standard"
    )


def test_one_positive_at_rank_two():
    truth = toy(good=frozenset("x"))
    scores = score_rankings([[0, 1]], truth, name_index(truth, list("axjbycq"))).settings["all"]
    assert (scores.map_trapezoid, scores.map) == (0.25, 0.5)


@pytest.mark.parametrize(("own", "standard"), [("counts", 1.0), ("removed", 1.0), ("absent", 1.0)])
def test_own_image_by_rule(own, standard):
    """The query first, then its positives: perfect by each rule, though the ranks differ."""
    truth = toy(own, good=frozenset("abcq" if own == "counts" else "abc"))
    index = name_index(truth, list("axjbycq"))
    assert score_rankings([[6, 0, 3, 5, 1]], truth, index).settings["all"].map == standard


def test_own_image_counts_as_wrong_unless_it_is_among_the_answers():
    truth = toy("counts")
    index = name_index(truth, list("axjbycq"))
    assert score_rankings([[6, 0, 3, 5]], truth, index).settings["all"].map == pytest.approx(
        (1 / 2 + 2 / 3 + 3 / 4) / 3
    )


def test_images_that_are_not_searched_do_not_count():
    truth = toy()
    index = name_index(truth, ["z1", *"axjbycq", "z2"])
    assert score_rankings([[0, 8, *range(1, 7)]], truth, index).settings["all"].map_trapezoid == pytest.approx(0.711111)


def test_partial_rankings_and_missing_images_count_as_never_found():
    truth = toy()
    index = name_index(truth, list("axjby"), allow_missing=True)  # c is missing
    scores = score_rankings([[0, 1, 3]], truth, index, ks=(1, 10)).settings["all"]
    assert scores.map == pytest.approx((1 + 2 / 3) / 3)
    assert scores.mp == pytest.approx({1: 1, 10: 2 / 10})
    empty = score_rankings([[]], truth, index, ks=(1,)).settings["all"]
    assert (empty.map, empty.map_trapezoid, empty.mp, empty.recall) == (0, 0, {1: 0}, {1: 0})


def test_labels_equal_leave_one_out():
    random = np.random.default_rng(3)
    labels = [f"l{number}" for number in random.integers(0, 6, 60)]
    vectors = random.standard_normal((60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = evaluate_labels(vectors, labels, ks=(1, 5, 100))
    truth = truth_from_labels([f"{i}.jpg" for i in range(60)], labels)
    index = name_index(truth, [f"/d/{i}.jpg" for i in range(60)])
    rankings = [np.argsort(-(vectors @ vectors[row]), kind="stable") for row in index.queries]
    found = score_rankings(rankings, truth, index, ks=(1, 5, 100)).settings["all"]
    np.testing.assert_allclose(found.ap, expected.ap)
    np.testing.assert_allclose(found.ap_trapezoid, expected.ap_trapezoid)
    assert found.precision == pytest.approx(expected.precision) and found.recall == pytest.approx(expected.recall)


def test_ukbench_score():
    """Four of one object, then its images at places 1, 2, 5: N-S 4 and 2."""
    truth = ukbench([f"ukbench{number:05d}.jpg" for number in range(8)])
    index = name_index(truth, [f"ukbench{number:05d}.jpg" for number in range(8)])
    best, worse = [0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 0, 1, 6, 7, 2, 3]
    assert score_rankings([best] * 4 + [worse] * 4, truth, index).ns == pytest.approx(3.0)
    assert score_rankings([[0, 3, 5, 4, 1, 2]], toy(), name_index(toy(), list("axjbycq"))).ns is None


def test_one_at_a_time_in_any_order():
    truth = truth_from_labels(list("abcd"), ["x", "x", "y", "y"])
    index = name_index(truth, list("abcd"))
    rankings = [[0, 2, 1, 3], [1, 0, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]]
    scorer = RankingScorer(truth, index)
    for query in (2, 0, 3, 1):
        scorer.add(query, rankings[query])
    assert scorer.scores().as_dict() == score_rankings(rankings, truth, index).as_dict()
    assert scorer.one(0) == ({"all": 0.5}, {"all": 0.25})


def test_published_ground_truth(real_images):
    """All images of a query's groups first: mAP 1 by both rules, with the junk in front of them."""
    truth = read_truth("oxford5k", real_images("oxford5k-groundtruth"))
    names = [*truth.names(), *(f"other_{number:06d}" for number in range(5063 - len(truth.names())))]
    index = name_index(truth, [f"/images/{name}.jpg" for name in names])
    rankings = []
    for query in truth.queries:
        first = [index.rows[name] for group in ("junk", "good", "ok") for name in sorted(query.groups[group])]
        rankings.append(np.concatenate([first, np.setdiff1d(np.arange(5063), first)]))
    found = score_rankings(rankings, truth, index).settings["all"]
    assert (found.map, found.map_trapezoid, found.queries, found.skipped) == (1.0, 1.0, 55, 0)
    backwards = score_rankings([ranking[::-1] for ranking in rankings], truth, index).settings["all"]
    for number, query in enumerate(truth.queries):
        named = [names[row] for row in rankings[number][::-1]]
        expected = compute_ap(named, truth.positives(query, "all"), truth.ignored(query, "all"))
        assert backwards.ap_trapezoid[number] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 0], "query 'q': 1 images are ranked twice"),
        ([7], "query 'q': expected rows from 0 to 6, got 7 to 7"),
        ([-1], "expected rows from 0 to 6, got -1"),
        ([0.5], "whole numbers"),
        ([[0]], r"shape \(1, 1\)"),
    ],
)
def test_rankings_that_are_none(ids, message):
    truth = toy()
    with pytest.raises(InputError, match=message):
        score_rankings([ids], truth, name_index(truth, list("axjbycq")))


def test_door():
    truth = toy()
    index = name_index(truth, list("axjbycq"))
    with pytest.raises(InputError, match="got 0 for 1 queries"):
        score_rankings([], truth, index)
    with pytest.raises(InputError, match="more rankings than the 1 queries"):
        score_rankings([[0], [0]], truth, index)
    with pytest.raises(InputError, match="k must be whole numbers of at least 1"):
        score_rankings([[0]], truth, index, ks=[0])
    scorer = RankingScorer(truth, index)
    with pytest.raises(InputError, match="1 queries have no ranking, such as 'q'"):
        scorer.scores()
    scorer.add(0, [0])
    with pytest.raises(InputError, match="scored before"):
        scorer.add(0, [0])
    with pytest.raises(InputError, match="query must be from 0 to 0, got 1"):
        scorer.add(1, [0])
    with pytest.raises(InputError, match="the index is for 1 queries, the truth has 2"):
        RankingScorer(truth_from_labels(["a", "b"], ["x", "x"]), index)
