"""Expansion and augmentation as steps, against naive numpy, and what becomes of regions, boxes and matches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.after import Clock
from resight.search.by_vector import (
    Augment,
    Augmented,
    Discriminate,
    Expand,
    moved,
    query_vector,
    reordered,
    search_again,
    stand_ins,
)
from resight.search.database import Database
from resight.search.ranking import Matches, Ranking

WIDTH = 8


def unit(count, width=WIDTH, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def length_one(vector):
    return vector / np.linalg.norm(vector)


def database(count=40, seed=0):
    return Database(np.arange(count) * 2 + 1, unit(count, seed=seed), [f"{i}.jpg" for i in range(count)])


def ranking(images, seed=0, k=None):
    """What a first search gives."""
    query = unit(1, seed=seed + 5000)[0]
    ids, scores = images.search(query, len(images) if k is None else k)
    return Ranking(ids, *images.named(ids)[:1], scores, (None,) * len(ids), vector=query)


def act(step, asked):
    step.prepare()
    found, note = step(asked, Clock())
    return found, note


def by_cosine(images, vector):
    """ids, best first, by a plain sort."""
    return images.ids[np.argsort(-(images.vectors.astype(np.float64) @ vector), kind="stable")].tolist()


@given(st.integers(1, 12), st.integers(0, 50))
def test_aqe_equals_numpy(k, seed):
    images = database(seed=seed)
    asked = ranking(images, seed)
    found, note = act(Expand(images, "aqe", k=k), asked)
    rows = np.searchsorted(images.ids, asked.ids[:k])
    vector = length_one(asked.vector + images.vectors[rows].sum(0))
    np.testing.assert_allclose(found.vector, vector, atol=1e-6)
    assert (found.ids.tolist(), note) == (by_cosine(images, found.vector), "")
    np.testing.assert_allclose(found.scores, np.sort(images.vectors @ vector)[::-1], atol=1e-5)


@given(st.integers(1, 12), st.floats(0, 5), st.integers(0, 50))
def test_alpha_expansion_equals_numpy(k, alpha, seed):
    images = database(seed=seed)
    asked = ranking(images, seed)
    found, _ = act(Expand(images, "alpha-qe", k=k, alpha=alpha), asked)
    vector = asked.vector.astype(np.float64)
    for row in np.searchsorted(images.ids, asked.ids[:k]):
        weight = max(float(images.vectors[row] @ asked.vector), 0)
        vector = vector + (weight**alpha if alpha else 1.0) * images.vectors[row]
    np.testing.assert_allclose(found.vector, length_one(vector), atol=2e-5)


@given(st.sampled_from(["aqe", "alpha-qe"]), st.integers(0, 200))
def test_with_one_answer_the_first_stays_first(kind, seed):
    images = database(seed=seed)
    asked = ranking(images, seed)
    found, _ = act(Expand(images, kind, k=1, alpha=3), asked)
    assert found.ids[0] == asked.ids[0]


@given(st.permutations(range(40)), st.sampled_from(["aqe", "alpha-qe", "dqe", "dba"]), st.integers(0, 9))
@settings(max_examples=15)
def test_other_ids_for_the_same_images_permute_the_ranking(order, kind, seed):
    def step(images):
        if kind == "dqe":
            return Discriminate(images, positives=3, negatives=10)
        return Augment(Augmented(images, 4, 3.0)) if kind == "dba" else Expand(images, kind, k=5, alpha=3)

    plain = database(seed=seed)
    shuffled = Database(plain.ids, plain.vectors[order], [f"{i}.jpg" for i in order])
    one, _ = act(step(plain), ranking(plain, seed))
    two, _ = act(step(shuffled), ranking(shuffled, seed))
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)
    apart = np.flatnonzero(np.array(one.paths) != np.array(two.paths))
    assert all(np.abs(one.scores - one.scores[row])[np.arange(40) != row].min() < 1e-5 for row in apart)


def test_dqe_separates_the_first_from_the_last():
    """By hand: one positive at (1, 0), one negative at (-1, 0), the query at (0.8, 0.6): the SVM points right."""
    images = Database(np.array([1, 2]), np.float32([[1, 0], [-1, 0]]))
    asked = Ranking(np.array([1, 2]), ("", ""), np.float32([0.8, -0.8]), (None, None), vector=np.float32([0.8, 0.6]))
    found, note = act(Discriminate(images, positives=1, negatives=200), asked)
    assert note == ""
    assert found.vector[0] > 0.9
    assert found.ids.tolist() == [1, 2]


def test_dqe_takes_the_end_of_the_full_ranking_as_negatives(monkeypatch):
    seen = {}

    def record(query, positives, negatives):
        seen.update(positives=positives, negatives=negatives)
        return query

    monkeypatch.setattr("resight.search.by_vector.discriminative_expansion", record)
    images = database()
    full = ranking(images)
    act(Discriminate(images, positives=4, negatives=6), ranking(images, k=4))
    worst = np.searchsorted(images.ids, full.ids[::-1][:6])
    np.testing.assert_array_equal(seen["negatives"], images.vectors[worst])
    np.testing.assert_array_equal(seen["positives"], images.rows(full.ids[:4]))
    act(Discriminate(images, positives=4, negatives=200), full)
    assert len(seen["negatives"]) == 36  # never one of the positives


@pytest.mark.parametrize("kind", ["aqe", "dqe", "dba"])
def test_a_hidden_image_does_not_come_back(kind):
    """A protocol takes the query's own image out of its ranking: no step may put it in again, or learn from it."""
    images = database()
    own = int(images.ids[7])
    rest = Database(
        np.delete(images.ids, 7), np.delete(images.vectors, 7, 0), [f"{i}.jpg" for i in range(40) if i != 7]
    )
    images.hidden = own
    ids, scores = images.search(images.vectors[7], 39)
    asked = Ranking(ids, images.named(ids)[0], scores, (None,) * 39, vector=images.vectors[7])
    if kind == "dba":
        augmented = Augmented(images, 4, 3.0)
        found, _ = act(Augment(augmented), asked)
        found, _ = act(Expand(augmented, "aqe", k=3), found)
    else:
        step = {"aqe": lambda where: Expand(where, "aqe", k=3),
                "dqe": lambda where: Discriminate(where, positives=3, negatives=200)}[kind]  # fmt: skip
        found, _ = act(step(images), asked)
        expected, _ = act(step(rest), asked)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
        by_id = [np.argsort(one.ids) for one in (found, expected)]  # negatives on the margin of an SVM are tied
        assert found.ids[by_id[0]].tolist() == expected.ids[by_id[1]].tolist()
        np.testing.assert_allclose(found.scores[by_id[0]], expected.scores[by_id[1]], atol=1e-6)
    assert own not in found.ids.tolist()
    assert len(found) == 39


def test_dqe_without_negatives_is_left_out():
    images = database(3)
    asked = ranking(images)
    found, note = act(Discriminate(images, positives=5, negatives=200), asked)
    assert found is asked
    assert note == "left out: no images are left to be negatives"


@given(st.integers(1, 10), st.integers(0, 20))
def test_dba_equals_numpy(k, seed):
    images = database(20, seed)
    asked = ranking(images, seed)
    found, _ = act(Augment(Augmented(images, k, 3.0)), asked)
    better = []
    for row, vector in enumerate(images.vectors.astype(np.float64)):
        sims = images.vectors @ vector
        near = [i for i in np.argsort(-sims) if i != row][:k]
        better.append(length_one(vector + sum(max(sims[i], 0) ** 3 * images.vectors[i] for i in near)))
    scores = np.array(better) @ asked.vector
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1], atol=1e-5)
    np.testing.assert_allclose(found.scores, scores[np.searchsorted(images.ids, found.ids)], atol=1e-5)
    np.testing.assert_array_equal(found.vector, asked.vector)


@pytest.mark.parametrize("count", [1, 2])
def test_dba_of_a_tiny_database_changes_nothing_it_cannot(count):
    images = database(count)
    found, note = act(Augment(Augmented(images, 10, 3.0)), ranking(images))
    assert sorted(found.ids.tolist()) == images.ids.tolist()
    assert note == ""


def with_region(asked, row, vector):
    """The same ranking, of whose result `row` a region was described and its points matched."""
    regions, boxes = np.full((len(asked), WIDTH), np.nan, np.float32), np.full((len(asked), 4), np.nan)
    regions[row], boxes[row] = vector, (1, 2, 30, 40)
    matches = [None] * len(asked)
    matches[row] = Matches(np.zeros((9, 2)), np.ones((9, 2)))
    return Ranking(
        asked.ids, asked.paths, asked.scores, asked.labels, vector=asked.vector, regions=regions, boxes=boxes,
        matches=tuple(matches),
    )  # fmt: skip


@given(st.integers(0, 9), st.integers(0, 50))
def test_a_region_stands_for_its_image_and_for_no_other_query(row, seed):
    images = database(seed=seed)
    before = images.vectors.copy()
    asked, vector = ranking(images, seed), unit(1, seed=seed + 9)[0]
    marked = with_region(asked, row, vector)
    found, _ = act(Expand(images, "aqe", k=10), marked)
    rows = images.rows(asked.ids[:10])
    rows[row] = vector
    np.testing.assert_allclose(found.vector, length_one(asked.vector + rows.sum(0)), atol=1e-6)
    own = int(asked.ids[row])
    scores = images.vectors @ found.vector
    scores[np.searchsorted(images.ids, own)] = vector @ found.vector
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1], atol=1e-5)
    place = found.ids.tolist().index(own)
    assert found.scores[place] == pytest.approx(float(vector @ found.vector), abs=1e-5)
    assert found.found_in(place) == (1, 2, 30, 40)
    assert len(found.matches[place]) == 9
    assert sum(m is not None for m in found.matches) == 1
    assert int((~np.isnan(found.boxes).any(1)).sum()) == 1
    np.testing.assert_array_equal(images.vectors, before)
    assert act(Expand(images, "aqe", k=10), asked)[0] == act(Expand(database(seed=seed), "aqe", k=10), asked)[0]


@given(st.integers(1, 39), st.integers(0, 50))
def test_a_short_ranking_with_regions_equals_the_first_of_a_long_one(k, seed):
    images = database(seed=seed)
    vector, better = unit(1, seed=seed + 9)[0], unit(1, seed=seed + 10)[0]
    marked = with_region(ranking(images, seed), 0, vector)
    long = search_again(marked, better, images)
    short = search_again(marked.take(range(k)), better, images)
    assert len(short) == k
    assert short.ids.tolist() == long.ids[:k].tolist()


def test_stand_ins_are_regions_where_there_are_any():
    images = database()
    asked = ranking(images)
    vector = unit(1, seed=77)[0]
    rows = stand_ins(with_region(asked, 1, vector), images, 3)
    np.testing.assert_array_equal(rows[1], vector)
    np.testing.assert_array_equal(rows[[0, 2]], images.rows(asked.ids[[0, 2]]))


def test_moved_keeps_what_belongs_to_an_image_and_knows_nothing_of_new_ones():
    images = database()
    marked = with_region(ranking(images, k=5), 2, unit(1)[0])
    own = int(marked.ids[2])
    stranger = int(ranking(images).ids[20])
    after = moved(marked, np.array([stranger, own]), np.float32([2, 1]), marked.vector, images)
    assert after.found_in(0) is None
    assert after.found_in(1) == (1, 2, 30, 40)
    assert (after.matches[0], len(after.matches[1])) == (None, 9)
    assert np.isnan(after.regions[0]).all()
    assert after.paths == images.named(np.array([stranger, own]))[0]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_reordered_is_a_stable_sort_of_the_first(scores):
    images = database()
    asked = ranking(images)
    count = len(scores)
    found = reordered(asked, np.array(scores, np.float32), count)
    naive = sorted(range(count), key=lambda row: -scores[row])
    assert found.ids[:count].tolist() == asked.ids[naive].tolist()
    assert found.ids[count:].tolist() == asked.ids[count:].tolist()
    assert found.scores[:count].tolist() == [float(scores[row]) for row in naive]
    np.testing.assert_array_equal(found.scores[count:], asked.scores[count:])


@pytest.mark.parametrize("kind", ["aqe", "alpha-qe", "dqe", "dba"])
def test_an_empty_ranking_stays_empty(kind):
    """What a search within a label that nobody has gives."""
    images = database()
    none = Ranking(np.empty(0, np.int64), (), np.empty(0, np.float32), (), vector=unit(1)[0])
    step = {
        "dqe": Discriminate(images, positives=3, negatives=10),
        "dba": Augment(Augmented(images, 4, 3.0)),
    }.get(kind) or Expand(images, kind, k=5, alpha=3)
    assert len(act(step, none)[0]) == 0


def test_a_ranking_without_a_vector_is_refused():
    images = database()
    asked = ranking(images)
    bare = Ranking(asked.ids, asked.paths, asked.scores, asked.labels)
    with pytest.raises(InputError, match=r"needs the query's descriptor: take a ranking that Collection\.search"):
        query_vector(bare)
    for step in (Expand(images, "aqe", k=3), Discriminate(images, positives=3, negatives=9)):
        with pytest.raises(InputError, match="descriptor"):
            act(step, bare)
