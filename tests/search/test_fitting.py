"""Whitening fitted on a store: which pairs are drawn, what is fitted on them, and the search that comes of it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.whitening import learned_whitening, pca_whitening
from resight.search import Collection, Item, fitting
from resight.search.embedded import create_store
from resight.search.fitting import fit_whitening, label_pairs, shrinkage

WIDTH = 6


def places(groups=8, members=5, seed=0, noise=0.05):
    """(N, WIDTH) unit vectors and their labels: the first two directions differ within a group, the rest between."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.standard_normal((groups, WIDTH)), members, axis=0)
    vectors = 0.4 * centres + noise * draw.standard_normal(centres.shape)
    vectors[:, :2] = draw.standard_normal((groups * members, 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"place {i // members}" for i in range(groups * members)]


def stored(folder, vectors, labels):
    store = create_store(folder, {"dim": str(vectors.shape[1]).encode(), "uuid": b"1", "space": b"s", "encoder": b"{}"})
    store.put([Item(path=f"{i}.jpg", label=label, vector=v) for i, (v, label) in enumerate(zip(vectors, labels))])
    return store


@pytest.fixture
def store(tmp_path):
    made = stored(tmp_path / "s", *places())
    yield made
    made.close()


# Pairs


def rows_of(vectors, found):
    """The row of each vector that was found."""
    return [int(np.flatnonzero((vectors == one).all(1))[0]) for one in found]


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=14), st.integers(1, 6), st.integers(0, 3))
@settings(max_examples=25)
def test_each_image_is_once_a_query_in_every_round_and_never_with_itself(tmp_path_factory, labels, rounds, seed):
    vectors = np.arange(len(labels) * 2, dtype=np.float32).reshape(-1, 2)
    store = stored(tmp_path_factory.mktemp("p") / "s", vectors, labels)
    queries, positives = label_pairs(store, rounds, seed)
    again = label_pairs(store, rounds, seed)
    store.close()
    pairs = list(zip(rows_of(vectors, queries), rows_of(vectors, positives)))
    assert len(set(pairs)) == len(pairs)
    assert all(one != other and labels[one] == labels[other] is not None for one, other in pairs)
    sizes = Counter(label for label in labels if label is not None)
    paired = [row for row, label in enumerate(labels) if sizes.get(label, 0) > 1]
    once = Counter(one for one, _ in pairs)
    assert set(once) == {other for _, other in pairs} == set(paired)
    assert all(1 <= once[row] <= min(rounds, sizes[labels[row]] - 1) for row in paired)
    if rounds == 1:
        assert len(pairs) == len(paired)
    np.testing.assert_array_equal(queries, again[0])
    np.testing.assert_array_equal(positives, again[1])


def test_two_images_of_a_label_are_one_pair_both_ways(tmp_path):
    store = stored(tmp_path / "s", np.float32([[1, 2], [3, 4], [5, 6], [7, 8]]), ["a", "b", "a", None])
    queries, positives = label_pairs(store)
    store.close()
    assert queries.tolist() == [[1, 2], [5, 6]]
    assert positives.tolist() == [[5, 6], [1, 2]]


def test_no_more_than_so_many_pairs_and_images(store, monkeypatch):
    monkeypatch.setattr(fitting, "PAIRS", 80)
    assert 40 < len(label_pairs(store)[0]) <= 80  # two rounds of forty
    monkeypatch.setattr(fitting, "SAMPLE", 20)
    vectors, _ = places()
    chosen = set(rows_of(vectors, np.concatenate(label_pairs(store))))
    assert len(chosen) <= 20 and max(chosen) >= 20  # from everywhere, not the first twenty


def test_failed_images_are_in_no_pair(tmp_path):
    vectors, labels = places(2, 3)
    store = stored(tmp_path / "s", vectors, labels)
    store.put([Item(path="0.jpg", label=labels[0], status="failed", error="gone")])
    queries, positives = label_pairs(store)
    store.close()
    assert 0 not in rows_of(vectors, np.concatenate([queries, positives]))


# Fits


@pytest.mark.oracle
def test_shrinkage_is_ledoit_and_wolfs(store):
    """S + ridge mean variance I, divided by 1 + ridge, is their covariance of the differences of one pair per image."""
    from sklearn.covariance import LedoitWolf

    queries, positives = label_pairs(store, rounds=1)
    fitted = LedoitWolf(assume_centered=True).fit(queries.astype(float) - positives)
    ridge = shrinkage(store)
    assert ridge / (1 + ridge) == pytest.approx(fitted.shrinkage_, rel=1e-6)
    differences = queries.astype(float) - positives
    spread = differences.T @ differences / len(differences)
    ours = (spread + ridge * np.trace(spread) / WIDTH * np.eye(WIDTH)) / (1 + ridge)
    np.testing.assert_allclose(ours, fitted.covariance_, rtol=1e-6, atol=1e-12)


def test_pca_is_that_of_the_stored_vectors(store):
    vectors, _ = places()
    assert fit_whitening(store, 3, how="pca", fitted_on="x") == pca_whitening(vectors, 3)
    full = fit_whitening(store, None, how="pca", fitted_on="x")
    assert full.projection.shape == (WIDTH, WIDTH)
    assert (full.fitted_on, full.sample) == ("x", 40)


def test_pca_of_few_images_takes_what_they_support(tmp_path):
    store = stored(tmp_path / "s", places()[0][:4], [None] * 4)
    assert fit_whitening(store, None, how="pca", fitted_on="x").projection.shape == (WIDTH, 3)
    store.close()


def test_pca_of_many_is_that_of_a_sample(store, monkeypatch):
    monkeypatch.setattr(fitting, "SAMPLE", 12)
    one, other = (fit_whitening(store, 2, how="pca", fitted_on="x") for _ in range(2))
    assert one.sample == 12
    assert one == other


@pytest.mark.oracle
def test_learned_is_whitenlearn_of_the_pairs(store):
    """Step by step, as the paper's code goes about it, on the pairs that are drawn."""
    queries, positives = (part.astype(float) for part in label_pairs(store))
    differences = queries - positives
    spread = differences.T @ differences / len(differences)
    spread += shrinkage(store) * np.trace(spread) / WIDTH * np.eye(WIDTH)
    inverse = np.linalg.inv(np.linalg.cholesky(spread))
    mean = queries.mean(0)
    moved = inverse @ (np.concatenate([queries, positives]) - mean).T
    values, directions = np.linalg.eigh(moved @ moved.T)
    expected = (inverse.T @ directions[:, np.argsort(-values)])[:, :3]
    found = fit_whitening(store, 3, how="learned", fitted_on="x")
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.projection), np.abs(expected), rtol=1e-4, atol=1e-5)
    assert found == learned_whitening(queries, positives, 3, ridge=shrinkage(store))
    assert (found.sample, found.fitted_on) == (len(queries), "x")
    assert fit_whitening(store, None, how="learned", fitted_on="x").projection.shape == (WIDTH, WIDTH)


def first_hits(collection, vectors, labels):
    """Share of images whose nearest other has their label."""
    ids, _ = collection.search_vectors(vectors, 2)
    own = [item.id for item in collection.items()]
    near = [next(i for i in line if i != mine) for line, mine in zip(ids.tolist(), own)]
    return np.mean([collection.get([i])[0].label == label for i, label in zip(near, labels)])


def test_a_collection_learns_what_does_not_matter(tmp_path):
    """End to end: what differs within labels is turned down, on other places than those that were learned from."""
    vectors, labels = places(30, 5, seed=1)
    seen, unseen = slice(0, 75), slice(75, 150)
    with (
        Collection(tmp_path / "a", stored(tmp_path / "a", vectors[seen], labels[seen]), None) as learner,
        Collection(tmp_path / "b", stored(tmp_path / "b", vectors[unseen], labels[unseen]), None) as searched,
    ):
        plain = first_hits(searched, vectors[unseen], labels[unseen])
        whitening = searched.whiten(4, how="learned", fitted_on=learner)
        assert whitening == fit_whitening(learner.store, 4, how="learned", fitted_on="")
        assert whitening.fitted_on == str(tmp_path / "a")
        assert first_hits(searched, vectors[unseen], labels[unseen]) > plain + 0.3
        ids, scores = searched.search_vectors(vectors[unseen][:3], 75)
        white = whitening.apply(vectors[unseen])
        cosines = white[:3] @ white.T
        own = np.array([item.id for item in searched.items()])
        np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1), atol=1e-5)
        np.testing.assert_array_equal(ids[:, 0], own[cosines.argmax(1)])
        assert learner.whiten(how="learned").fitted_on == "itself"
    with Collection.open(tmp_path / "b") as again:
        assert again.whitening == whitening
        np.testing.assert_array_equal(again.search_vectors(vectors[unseen][:3], 75)[0], ids)


def test_an_empty_collection_to_fit_on_is_not_the_searched_one(tmp_path):
    """It has length 0, which is false: fitting on the searched images instead would be a leak that nobody sees."""
    vectors, labels = places()
    with (
        Collection(tmp_path / "a", stored(tmp_path / "a", vectors[:0], []), None) as none,
        Collection(tmp_path / "b", stored(tmp_path / "b", vectors, labels), None) as searched,
    ):
        with pytest.raises(InputError, match=r"at least 3 images, .*a has 0"):
            searched.whiten(2, fitted_on=none)
        with pytest.raises(InputError, match=r"images with the same label, .*a has no two"):
            searched.whiten(2, how="learned", fitted_on=none)
        assert searched.whitening is None


# Doors


@pytest.mark.parametrize(
    ("count", "labels", "options", "message"),
    [
        (40, None, {"how": "learnt"}, "unknown whitening 'learnt', did you mean 'learned'"),
        (2, None, {"how": "pca"}, "at least 3 images, mine has 2"),
        (40, None, {"how": "pca", "dim": 7}, "7"),
        (40, None, {"how": "pca", "dim": 0}, "0"),
        (40, None, {"how": "learned", "dim": 7}, "take dim from 1 to 6"),
        (40, [None] * 40, {"how": "learned"}, "images with the same label, mine has no two"),
        (4, ["a", "b", "c", None], {"how": "learned"}, "images with the same label, mine has no two"),
    ],
)
def test_doors(tmp_path, count, labels, options, message):
    vectors, own = places()
    store = stored(tmp_path / "s", vectors[:count], labels or own[:count])
    with pytest.raises(InputError, match=message):
        fit_whitening(store, **{"dim": None, "fitted_on": "mine", **options})
    store.close()


def test_a_collection_without_pairs_is_called_so(tmp_path):
    vectors, labels = places()
    store = stored(tmp_path / "s", vectors, [f"{i}" for i in range(len(labels))])
    with pytest.raises(InputError, match=r"learned whitening needs .* same label, this collection has no two of one"):
        fit_whitening(store, 2, how="learned", fitted_on="itself")
    store.close()


def test_what_was_seen_are_the_images_of_the_pairs_or_of_the_sample(tmp_path):
    store = create_store(tmp_path / "s", {"dim": b"6", "uuid": b"1", "space": b"s", "encoder": b"{}"})
    vectors, labels = places()
    labels = [label if i >= 5 else None for i, label in enumerate(labels)]
    store.put([
        Item(path=f"{i}.jpg", label=label, vector=v, sha256=f"{i + 1:016x}" + "0" * 48)
        for i, (v, label) in enumerate(zip(vectors, labels))
    ])  # fmt: skip
    found = {how: fit_whitening(store, 2, how=how, fitted_on="x").seen.tolist() for how in ("pca", "learned")}
    assert found == {"pca": list(range(1, 41)), "learned": list(range(6, 41))}
    store.close()
