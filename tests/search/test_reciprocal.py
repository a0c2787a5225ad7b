"""k-reciprocal re-ranking against dense loops: the same definition, and the published algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.neighbours import nearest_neighbours
from resight.search.reciprocal import ReciprocalIndex


def clustered(count, groups, width=24, spread=1.0, seed=0):
    """Unit vectors around `groups` centres, and which centre each belongs to."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % groups
    vectors = random.standard_normal((groups, width))[labels] + spread * random.standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def naive_distances(vectors, query, k1, k2, weight):
    """The definition, with Python sets and dense rows."""
    total, half = len(vectors), round(k1 / 2)
    cosines = (vectors.astype(float) @ vectors.T.astype(float)).astype(np.float32)
    to_query = (vectors.astype(float) @ query.astype(float)).astype(np.float32)
    near = [[j for j in np.argsort(-cosines[i], kind="stable") if j != i] for i in range(total)]

    def mutual(i, k):
        return {i} | {j for j in near[i][:k] if i in near[j][:k]}

    def expanded(own):
        return own.union(*(mutual(j, half) for j in own if 3 * len(mutual(j, half) & own) > 2 * len(mutual(j, half))))

    def row(members, sims):
        members = sorted(members)
        values = np.zeros(total)
        values[members] = np.exp(sims[members] - 1.0)
        return values / (values.sum() or 1)

    weights = np.array([row(expanded(mutual(i, k1)), cosines[i].astype(float)) for i in range(total)])
    means = np.array([weights[[i, *near[i][: k2 - 1]]].mean(0) for i in range(total)])
    first = list(np.argsort(-to_query, kind="stable")[:k1])
    k = min(k1, total - 1)
    mine = {g for g in first if k == 0 or to_query[g] >= cosines[g, near[g][k - 1]]}
    own = np.mean([row(expanded(mine), to_query.astype(float)), *weights[first[: k2 - 1]]], axis=0)
    shared = np.minimum(own, means).sum(1)
    return (1 - weight) * (1 - shared / (own.sum() + 1 - shared)) + weight * (1 - to_query.astype(float))


def published_weights(distance, k1, k2):
    """V before and after local expansion, as the paper's dense code makes them, from a symmetric distance matrix."""
    total, half = len(distance), int(np.around(k1 / 2))
    rank = np.argsort(distance, axis=1, kind="stable")

    def mutual(i, k):
        forward = rank[i, : k + 1]
        return forward[np.where(rank[forward, : k + 1] == i)[0]]

    weights = np.zeros_like(distance)
    for i in range(total):
        own = mutual(i, k1)
        members = own
        for j in own:
            theirs = mutual(j, half)
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        values = np.exp(-distance[i, members])
        weights[i, members] = values / values.sum()
    return weights, np.array([weights[rank[i, :k2]].mean(axis=0) for i in range(total)])


def published_distances(queries, gallery, k1, k2, weight):
    """The paper's dense code: queries and gallery in one matrix, distances divided by each column's largest."""
    everything = np.concatenate([queries, gallery]).astype(float)
    distance = np.maximum(2 - 2 * everything @ everything.T, 0)
    distance = (distance / distance.max(axis=0)).T
    _, weights = published_weights(distance, k1, k2)
    count = len(queries)
    shared = np.array([np.minimum(weights[q], weights).sum(1) for q in range(count)])
    return ((1 - weight) * (1 - shared / (2 - shared)) + weight * distance[:count])[:, count:]


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (7, 1), (5, 5), (1, 1)])
def test_equals_the_dense_definition(k1, k2):
    vectors, _ = clustered(153, 12)
    queries, vectors = vectors[:3], vectors[3:]
    index = ReciprocalIndex.build(vectors, k1, k2)
    for query in queries:
        expected = naive_distances(vectors, query, k1, k2, 0.3)
        np.testing.assert_allclose(index.distances(query, np.arange(150)), expected, atol=1e-6)


@given(st.integers(1, 25), st.integers(1, 30), st.integers(1, 8), st.floats(0, 1), st.integers(0, 50))
@settings(max_examples=60)
def test_equals_the_dense_definition_when_small(count, k1, k2, weight, seed):
    vectors, _ = clustered(count + 1, 3, 6, 0.5, seed)
    k2 = min(k1, k2)
    found = ReciprocalIndex.build(vectors[1:], k1, k2).distances(vectors[0], np.arange(count), weight=weight)
    np.testing.assert_allclose(found, naive_distances(vectors[1:], vectors[0], k1, k2, weight), atol=1e-6)


@pytest.mark.oracle
def test_database_weights_are_the_published_ones():
    """With nothing but the database in the matrix and distances 1 - cosine, V is the published V."""
    vectors, _ = clustered(300, 15)
    index = ReciprocalIndex.build(vectors, 20, 6)
    distance = 1 - vectors.astype(float) @ vectors.T.astype(float)
    np.fill_diagonal(distance, 0)
    weights, means = published_weights(distance, 20, 6)
    np.testing.assert_allclose(index.weights.toarray(), weights, atol=1e-6)
    np.testing.assert_allclose(index.expanded.toarray(), means, atol=1e-6)


@pytest.mark.oracle
def test_ranks_nearly_as_the_published_algorithm():
    """Queries outside of the sets and a constant for the maximum change ranks little, and precision not at all.

    Spearman's correlation of the two distances over the gallery: 0.9986 in the mean, 0.9946 at least.
    """
    from scipy.stats import spearmanr

    vectors, labels = clustered(620, 15)
    queries, gallery = vectors[:20], vectors[20:]
    published = published_distances(queries, gallery, 20, 6, 0.3)
    index = ReciprocalIndex.build(gallery, 20, 6)
    found = np.array([index.distances(query, np.arange(600)) for query in queries])
    correlations = [spearmanr(one, other).statistic for one, other in zip(found, published)]
    assert np.mean(correlations) > 0.998 and np.min(correlations) > 0.99

    def precision(distances):
        first = labels[20:][np.argsort(distances, axis=1)[:, :40]]
        return (first == labels[:20, None]).mean()

    assert abs(precision(found) - precision(published)) < 0.01
    assert precision(found) > precision(-queries @ gallery.T) + 0.15


def test_by_hand():
    """Two pairs, 23 and 10 degrees apart, and a query 10 degrees from image 0, with k1 = k2 = 1.

    The query has image 0 only, which has itself and image 1, by 1 : exp(cos 23 - 1); images 2 and 3 share nothing.
    """
    angles = np.radians([0, 23, 90, 100, 10])
    *vectors, query = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    index = ReciprocalIndex.build(np.array(vectors), k1=1, k2=1)
    other = np.exp(np.cos(np.radians(23)) - 1)
    np.testing.assert_allclose(index.weights.toarray()[0], np.array([1, other, 0, 0]) / (1 + other), atol=1e-6)
    shared = np.array([1, other, 0, 0]) / (1 + other)
    jaccard = 1 - shared / (2 - shared)
    np.testing.assert_allclose(index.distances(query, np.arange(4), weight=0.0), jaccard, atol=1e-6)
    mixed = 0.7 * jaccard + 0.3 * (1 - np.cos(np.radians([10, 13, 80, 90])))
    np.testing.assert_allclose(index.distances(query, np.arange(4)), mixed, atol=1e-6)


def test_weight_one_is_the_cosine():
    vectors, _ = clustered(60, 4)
    found = ReciprocalIndex.build(vectors[1:], 5, 2).distances(vectors[0], np.arange(59), weight=1)
    np.testing.assert_allclose(found, 1 - vectors[1:] @ vectors[0], atol=1e-6)


def test_rows_of_weights_sum_to_one():
    index = ReciprocalIndex.build(clustered(90, 4)[0])
    np.testing.assert_allclose(index.weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(index.expanded.sum(axis=1), 1, atol=1e-6)
    assert repr(index) == f"<ReciprocalIndex of 90 images, k1 20, k2 6, {index.expanded.nnz:,} weights>"


def test_other_candidates_and_the_order_of_the_database_do_not_matter():
    vectors, _ = clustered(401, 20)
    query, vectors = vectors[0], vectors[1:]
    whole = ReciprocalIndex.build(vectors).distances(query, np.arange(400))
    some = np.array([7, 3, 390])
    np.testing.assert_array_equal(ReciprocalIndex.build(vectors).distances(query, some), whole[some])
    order = np.random.default_rng(1).permutation(400)
    shuffled = ReciprocalIndex.build(vectors[order]).distances(query, np.arange(400))
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-6)


def test_blocks_and_given_neighbours_change_nothing(monkeypatch):
    vectors, _ = clustered(200, 10)
    plain = ReciprocalIndex.build(vectors, 10, 3)
    monkeypatch.setattr("resight.search.reciprocal.ROWS", 33)
    given_ = ReciprocalIndex.build(vectors, 10, 3, neighbours=nearest_neighbours(vectors, 40))
    np.testing.assert_array_equal(plain.expanded.toarray(), given_.expanded.toarray())
    np.testing.assert_array_equal(plain.edge, given_.edge)


def test_finds_more_of_a_group_than_the_cosine_does():
    vectors, labels = clustered(610, 30, 16, 1.0, 3)
    index = ReciprocalIndex.build(vectors[10:])
    before, after = [], []
    for query, label in zip(vectors[:10], labels[:10]):
        mates = labels[10:] == label
        before.append(mates[np.argsort(-(vectors[10:] @ query))[:20]].mean())
        after.append(mates[np.argsort(index.distances(query, np.arange(600)))[:20]].mean())
    assert np.mean(after) > np.mean(before) + 0.05


def test_zero_vectors_and_lone_images():
    vectors, _ = clustered(30, 3)
    vectors[4] = 0
    index = ReciprocalIndex.build(vectors, 5, 3)
    for query in (vectors[0], np.zeros(24, np.float32), vectors[4]):
        found = index.distances(query, np.arange(30))
        np.testing.assert_allclose(found, naive_distances(vectors, query, 5, 3, 0.3), atol=1e-6)
    alone = ReciprocalIndex.build(vectors[:1])
    np.testing.assert_allclose(alone.distances(vectors[0], np.array([0])), [0], atol=1e-6)
    assert index.distances(vectors[0], np.array([], int)).shape == (0,)


def test_build_door():
    vectors, _ = clustered(5, 2)
    for k1, k2 in [(0, 1), (5, 0), (5, 6)]:
        with pytest.raises(InputError, match=f"k1 of at least 1 and k2 from 1 to k1, got k1={k1}, k2={k2}"):
            ReciprocalIndex.build(vectors, k1, k2)
    with pytest.raises(InputError, match="at least 1 image"):
        ReciprocalIndex.build(vectors[:0])
    with pytest.raises(InputError, match="NaN"):
        ReciprocalIndex.build(vectors * np.nan)
    with pytest.raises(InputError, match=r"ids and sims \(5, 3 or more\)"):
        ReciprocalIndex.build(vectors, 3, 2, neighbours=nearest_neighbours(vectors, 2))


def test_distances_door():
    vectors, _ = clustered(5, 2)
    index = ReciprocalIndex.build(vectors, 2, 1)
    for query, ids, weight, message in [
        (vectors[0, 1:], [0], 0.3, r"query must have shape \(24,\)"),
        (vectors[0] * np.nan, [0], 0.3, "NaN"),
        (vectors[0], [5], 0.3, r"whole numbers \(R,\) from 0 to 4"),
        (vectors[0], [-1], 0.3, "from 0 to 4"),
        (vectors[0], [0.5], 0.3, "from 0 to 4"),
        (vectors[0], [[0]], 0.3, r"got shape \(1, 1\)"),
        (vectors[0], [0], 1.1, "from 0 to 1, got 1.1"),
        (vectors[0], [0], np.nan, "from 0 to 1, got nan"),
    ]:
        with pytest.raises(InputError, match=message):
            index.distances(query, np.array(ids), weight=weight)
