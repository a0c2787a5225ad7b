"""The images a step may ask: in memory and in a store, which must answer alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.database import Database, StoredDatabase, stored_vectors
from resight.search.store import Where


def unit(count, width=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def database(count=30, seed=0):
    ids = np.arange(count) * 3 + 5
    return Database(ids, unit(count, seed=seed), [f"/p/{i}.jpg" for i in ids], [str(i % 2) for i in ids])


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 99))
def test_search_equals_a_sort(count, k, seed):
    images, query = database(count, seed), unit(1, seed=seed + 1000)[0]
    naive = sorted(zip(images.ids.tolist(), (images.vectors @ query).tolist()), key=lambda pair: (-pair[1], pair[0]))
    ids, scores = images.search(query, k)
    assert ids.tolist() == [i for i, _ in naive[:k]]
    np.testing.assert_allclose(scores, [s for _, s in naive[:k]], atol=1e-6)


@given(st.permutations(range(20)), st.integers(0, 9))
@settings(max_examples=15)
def test_other_ids_for_the_same_images_permute_the_ranking(order, seed):
    vectors, query = unit(20, seed=seed), unit(1, seed=seed + 100)[0]
    straight, _ = Database(np.arange(20), vectors).search(query, 20)
    shuffled, _ = Database(np.arange(20), vectors[order]).search(query, 20)
    assert np.array(order)[shuffled].tolist() == straight.tolist()


def test_equal_scores_go_to_the_lower_id():
    ids, _ = Database(np.array([2, 4, 9]), np.ones((3, 1))).search(np.float32([1]), 2)
    assert ids.tolist() == [2, 4]


def test_rows_and_names_follow_the_ids_asked_for():
    images = database()
    wanted = np.array([14, 5, 92])
    assert images.places(wanted).tolist() == [3, 0, 29]
    assert np.array_equal(images.rows(wanted), images.vectors[[3, 0, 29]])
    assert images.named(wanted) == (("/p/14.jpg", "/p/5.jpg", "/p/92.jpg"), ("0", "1", "0"))
    assert Database(np.arange(2), unit(2)).named(np.array([1])) == (("",), (None,))


@pytest.mark.parametrize("foreign", [6, 0, 95])
def test_an_id_that_is_not_there_is_said(foreign):
    with pytest.raises(InputError, match="images that are not in this database"):
        database().rows(np.array([5, foreign]))


def test_neighbours_equal_a_loop_and_are_kept_for_smaller_k(monkeypatch):
    images = database()
    near, cosines = images.neighbours(7)
    for row, vector in enumerate(images.vectors):
        sims = images.vectors @ vector
        sims[row] = -2
        assert near[row].tolist() == np.argsort(-sims, kind="stable")[:7].tolist()
        np.testing.assert_allclose(cosines[row], np.sort(sims)[::-1][:7], atol=1e-6)
    monkeypatch.setattr("resight.search.database.nearest_neighbours", None)
    assert np.array_equal(images.neighbours(3)[0], near[:, :3])


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_or_none_has_no_neighbours(count):
    near, cosines = Database(np.arange(count), unit(count)).neighbours(5)
    assert near.shape == cosines.shape == (count, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.array([1, 1]), unit(2)), "ascending ids"),
        ((np.array([2, 1]), unit(2)), "ascending ids"),
        ((np.arange(3), unit(2)), r"got \(3,\) \(2, 8\)"),
        ((np.arange(2), unit(2)[0]), "ascending ids"),
        ((np.arange(2), unit(2), ["a"]), "2 images needs as many paths and labels"),
        ((np.arange(2), unit(2), ["a", "b"], ["x"]), "as many paths and labels"),
    ],
)
def test_door(arguments, message):
    with pytest.raises(InputError, match=message):
        Database(*arguments)


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("label", [None, "a", "nobody"])
def test_a_stored_database_answers_as_one_in_memory(collection, whitened, label):
    if whitened:
        collection.whiten(5)
    where = Where(label=label)
    items, vectors = stored_vectors(collection.store, collection.whitening, where)
    assert len(items) == {None: 12, "a": 6, "nobody": 0}[label]
    assert vectors.shape[1] == (5 if whitened else collection.dim)
    memory = Database([i.id for i in items], vectors, [i.path for i in items], [i.label for i in items])
    stored = StoredDatabase(collection.store, collection.whitening, where)
    everyone = [item.id for item in collection.items()]
    query = stored_vectors(collection.store, collection.whitening, Where())[1][4]
    ids, scores = stored.search(query, 4)
    expected, cosines = memory.search(query, 4)
    assert ids[ids >= 0].tolist() == expected.tolist()
    np.testing.assert_allclose(scores[ids >= 0], cosines, atol=1e-5)
    assert "_everything" not in vars(stored)  # a search alone reads no other vectors
    first = stored.rows(memory.ids[:2])
    np.testing.assert_allclose(first, memory.vectors[:2], atol=1e-6)
    assert stored.named(memory.ids) == memory.named(memory.ids)
    assert stored.ids.tolist() == memory.ids.tolist()
    np.testing.assert_allclose(stored.rows(memory.ids[:2]), first, atol=1e-6)
    assert len(stored) == len(memory) <= len(everyone)


@pytest.mark.parametrize("stored", [False, True])
def test_a_hidden_image_is_found_by_no_search(collection, stored):
    items, vectors = collection.vectors()
    images = Database([i.id for i in items], vectors)
    if stored:
        images = StoredDatabase(collection.store, None, Where())
    query = vectors[4]
    everything = images.search(query, 12)[0].tolist()
    images.hidden = items[4].id
    assert everything[0] == images.hidden
    assert images.search(query, 3)[0].tolist() == everything[1:4]
    assert [i for i in images.search(query, 99)[0].tolist() if i >= 0] == everything[1:]
    images.hidden = 10**6
    assert images.search(query, 3)[0].tolist() == everything[:3]


def test_an_unreadable_image_is_in_no_database(collection, photos):
    (photos / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    collection.add(photos)
    stored = StoredDatabase(collection.store, None, Where())
    assert len(stored) == len(collection) == 12
