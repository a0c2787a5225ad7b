"""Diffusion against a dense construction and numpy's solver; what no path reaches; stopping early; refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.diffusion import DiffusionGraph
from resight.search.neighbours import nearest_neighbours


def unit(count, width=16, seed=0, spread=None):
    """Unit vectors; with `spread`, all around one direction, so that their cosines are positive."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, width))
    if spread:
        vectors = random.standard_normal(width) + spread * vectors
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def dense(vectors, k, gamma):
    """A, entry by entry."""
    total = len(vectors)
    cosines = (vectors.astype(float) @ vectors.T.astype(float)).astype(np.float32)
    near = [[j for j in np.argsort(-cosines[i], kind="stable") if j != i][:k] for i in range(total)]
    affinity = np.zeros((total, total))
    for i in range(total):
        for j in near[i]:
            if i in near[j] and cosines[i, j] > 0:
                affinity[i, j] = float(cosines[i, j]) ** gamma
    return affinity


def normalised(affinity):
    """S of some images' A."""
    degree = affinity.sum(1)
    root = np.sqrt(np.where(degree > 0, degree, 1))
    return affinity / root[:, None] / root


def solved(matrix, ids, sims, kq, alpha, gamma=3.0):
    """f by a dense solver."""
    seeds = sorted(range(len(sims)), key=lambda place: (-sims[place], place))[:kq]
    heat = np.zeros(len(ids))
    heat[seeds] = [max(float(sims[place]), 0) ** gamma if sims[place] > 0 else 0 for place in seeds]
    return np.linalg.solve(np.eye(len(ids)) - alpha * normalised(matrix[np.ix_(ids, ids)]), heat)


def test_by_hand():
    """A path 0 - 1 - 2 (0 and 2 are at right angles), gamma 1: A = [.6, .8], degrees .6, 1.4, .8."""
    vectors = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    graph = DiffusionGraph.build(vectors, k=2, gamma=1)
    np.testing.assert_allclose(graph.matrix.toarray(), [[0, 0.6, 0], [0.6, 0, 0.8], [0, 0.8, 0]], atol=1e-7)
    s, t = 0.6 / np.sqrt(0.6 * 1.4), 0.8 / np.sqrt(1.4 * 0.8)
    # f = (I - a S)^-1 e0: f1 = a (s f0 + t f2), f0 = 1 + a s f1, f2 = a t f1
    a = 0.5
    middle = a * s / (1 - a * a * (s * s + t * t))
    found = graph.scores(vectors[0], np.arange(3), np.float32([1, 0, 0]), kq=1, alpha=a)
    np.testing.assert_allclose(found, [1 + a * s * middle, middle, a * t * middle], atol=1e-6)
    assert repr(graph) == "<DiffusionGraph of 3 images, 2 edges, gamma 1>"


@given(st.integers(1, 40), st.integers(1, 45), st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 99))
@settings(max_examples=60)
def test_graph_equals_a_dense_construction(count, k, gamma, seed):
    vectors = unit(count, 6, seed)
    vectors[seed % count] = 0
    found = DiffusionGraph.build(vectors, k, gamma).matrix
    np.testing.assert_allclose(found.toarray(), dense(vectors, k, gamma), atol=1e-6)
    assert (found != found.T).nnz == 0


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_many_iterations_equal_a_dense_solver(alpha):
    vectors = unit(300, spread=0.7)
    query, vectors = vectors[0], vectors[1:]
    sims = vectors @ query
    ids = np.argsort(-sims)[:120]
    found = DiffusionGraph.build(vectors, 12).scores(query, ids, sims[ids], kq=5, alpha=alpha, iterations=500)
    expected = solved(dense(vectors, 12, 3), ids, sims[ids], 5, alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 12), st.floats(0.01, 0.95), st.integers(0, 99))
@settings(max_examples=60)
def test_any_candidates_equal_a_dense_solver(count, kq, alpha, seed):
    vectors = unit(40, 6, seed)
    ids = np.random.default_rng(seed).permutation(39)[:count]
    sims = vectors[1:][ids] @ vectors[0]
    found = DiffusionGraph.build(vectors[1:], 6).scores(vectors[0], ids, sims, kq, alpha, 200)
    np.testing.assert_allclose(found, solved(dense(vectors[1:], 6, 3), ids, sims, kq, alpha), rtol=1e-5, atol=1e-6)


def test_conjugate_gradient_is_scipys():
    from scipy.sparse import csr_array, eye_array
    from scipy.sparse.linalg import cg

    vectors = unit(200, spread=0.7)
    sims = vectors[1:] @ vectors[0]
    graph = DiffusionGraph.build(vectors[1:], 10)
    heat = np.zeros(199)
    best = np.argsort(-sims)[:10]
    heat[best] = sims[best].astype(float) ** 3
    expected, _ = cg(csr_array(eye_array(199) - 0.99 * normalised(graph.matrix.toarray())), heat, rtol=0, maxiter=7)
    found = graph.scores(vectors[0], np.arange(199), sims, iterations=7)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_image_left_out_does_not_weaken_its_neighbours():
    """Two equal groups, one image of the first is no candidate (the query, hidden): its group still comes first."""
    first, second = unit(8, 8, 0, 0.3), unit(8, 8, 0, 0.3)
    vectors = np.zeros((16, 16), np.float32)
    vectors[:8, :8], vectors[8:, 8:] = first, second
    vectors[8:, :8] = 0.3 * first  # near enough to be seeds too
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.arange(1, 16)
    found = DiffusionGraph.build(vectors, 7).scores(vectors[0], ids, vectors[ids] @ vectors[0], kq=12, iterations=200)
    assert found[:7].min() > found[7:].max()


def test_what_no_path_reaches_is_zero():
    """Two groups at right angles: seeds in the first leave the second at exactly 0."""
    first, second = unit(20, 8, 0, 0.3), unit(20, 8, 1, 0.3)
    vectors = np.zeros((40, 16), np.float32)
    vectors[:20, :8], vectors[20:, 8:] = first, second
    found = DiffusionGraph.build(vectors, 19).scores(vectors[0], np.arange(40), vectors @ vectors[0], kq=3)
    assert (found[:20] > 0).all() and (found[20:] == 0).all()


def test_query_without_positive_neighbours_scores_nothing():
    vectors = unit(10, spread=0.3)
    found = DiffusionGraph.build(vectors, 3).scores(-vectors[0], np.arange(10), -(vectors @ vectors[0]))
    assert found.dtype == np.float32 and (found == 0).all()


def test_finds_what_the_cosine_does_not():
    """A chain on a half circle: diffusion from one end follows it past an outlier that is nearer to the query."""
    angles = np.linspace(0, np.pi, 60)
    chain = np.stack([np.cos(angles), np.sin(angles), np.zeros(60), np.zeros(60)], axis=1)
    outlier = np.array([[0.3, 0, np.sqrt(1 - 0.09), 0]])
    lone = np.array([[0.2, 0, 0, np.sqrt(1 - 0.04)]])
    vectors = np.concatenate([chain, outlier, lone]).astype(np.float32)
    sims = vectors @ vectors[0]
    found = DiffusionGraph.build(vectors, 4).scores(vectors[0], np.arange(62), sims, kq=2, iterations=100)
    assert sims[60] > sims[40] and found[40] > found[60] == 0


# With the query as a node


def joined(vectors, query, ids, k, gamma=3.0):
    """S of the candidates and the query, entry by entry; only candidates may have the query in their lists."""
    total = len(vectors)
    everything = np.concatenate([vectors, query[None]]).astype(float)
    cosines = (everything @ everything.T).astype(np.float32)
    near = []
    for i in range(total + 1):
        order = [j for j in np.argsort(-cosines[i], kind="stable") if j != i]
        own = {total, *ids.tolist()} if i == total else {*range(total), *([total] if i in ids else [])}
        near.append([j for j in order if j in own][:k])
    affinity = np.zeros((total + 1, total + 1))
    for i in range(total + 1):
        for j in near[i]:
            if i in near[j] and cosines[i, j] > 0:
                affinity[i, j] = float(cosines[i, j]) ** gamma
    return normalised(affinity[np.ix_([*ids, total], [*ids, total])])


def pulled(matrix, alpha):
    """What reaches the others from the last node, by a dense solver."""
    return np.linalg.solve(np.eye(len(matrix)) - alpha * matrix, np.eye(len(matrix))[-1])[:-1]


def test_the_query_as_a_node_by_hand():
    """A path 0 - 1 - q: q at 36.9 degrees between the axes takes 1's place in 0's list of one, and 0's in 1's."""
    vectors = np.float32([[1, 0], [0, 1]])
    graph = DiffusionGraph.build(vectors, k=2, gamma=1)  # 0 and 1 are at right angles: no edge
    query = np.float32([0.6, 0.8])
    found = graph.scores(query, np.arange(2), vectors @ query, alpha=0.5, transductive=True)
    # degrees .6, .8, 1.4; f0 = a s fq, f1 = a t fq, fq = 1 + a (s f0 + t f1)
    s, t = 0.6 / np.sqrt(0.6 * 1.4), 0.8 / np.sqrt(0.8 * 1.4)
    own = 1 / (1 - 0.25 * (s * s + t * t))
    np.testing.assert_allclose(found, [0.5 * s * own, 0.5 * t * own], atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_the_query_as_one_of_all_images_equals_a_dense_solver(alpha):
    """The plain graph of n + 1 images, of which the query is the last."""
    vectors = unit(121, spread=0.7)
    query, images = vectors[-1], vectors[:-1]
    ids = np.random.default_rng(0).permutation(120)
    found = DiffusionGraph.build(images, 9).scores(
        query, ids, images[ids] @ query, alpha=alpha, iterations=500, transductive=True
    )
    order = [*ids, 120]
    np.testing.assert_allclose(
        found, pulled(normalised(dense(vectors, 9, 3)[np.ix_(order, order)]), alpha), rtol=1e-5, atol=1e-6
    )


@pytest.mark.oracle
@given(st.integers(1, 30), st.integers(1, 45), st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 99))
@settings(max_examples=60)
def test_the_query_among_any_candidates_equals_a_dense_solver(count, k, gamma, seed):
    vectors = unit(40, 6, seed, spread=[None, 0.8][seed % 2])
    ids = np.random.default_rng(seed).permutation(39)[:count]
    if seed % 5 == 0:
        vectors[ids[0]] = vectors[39]  # the query's own image
    query, images = vectors[39], vectors[:39]
    sims = (images[ids].astype(float) @ query.astype(float)).astype(np.float32)
    found = DiffusionGraph.build(images, k, gamma).scores(
        query, ids, sims, alpha=0.9, iterations=300, transductive=True
    )
    np.testing.assert_allclose(found, pulled(joined(images, query, ids, k, gamma), 0.9), rtol=1e-5, atol=1e-6)


def test_a_query_that_nobody_has_among_his_nearest_reaches_nothing():
    vectors = unit(30, 8, spread=0.2)
    far = -vectors[0]
    found = DiffusionGraph.build(vectors, 3).scores(far, np.arange(30), vectors @ far, transductive=True)
    assert (found == 0).all()


def test_a_query_that_joined_leaves_no_trace():
    vectors = unit(60, spread=0.7)
    graph, ids = DiffusionGraph.build(vectors[2:], 6), np.arange(58)
    before, kept = graph.scores(vectors[0], ids, vectors[2:] @ vectors[0], transductive=True), graph.matrix.copy()
    graph.scores(vectors[1], ids, vectors[2:] @ vectors[1], transductive=True)
    np.testing.assert_array_equal(graph.scores(vectors[0], ids, vectors[2:] @ vectors[0], transductive=True), before)
    assert (graph.matrix != kept).nnz == 0


def test_order_of_the_database_and_of_the_candidates_does_not_matter():
    vectors = unit(400, spread=0.7)
    query, vectors = vectors[0], vectors[1:]
    sims = vectors @ query
    plain = DiffusionGraph.build(vectors, 20).scores(query, np.arange(399), sims)
    order = np.random.default_rng(1).permutation(399)
    shuffled = DiffusionGraph.build(vectors[order], 20).scores(query, np.arange(399), sims[order])
    np.testing.assert_allclose(shuffled, plain[order], atol=1e-6)


def test_given_neighbours_change_nothing():
    vectors = unit(80)
    found = DiffusionGraph.build(vectors, 7, neighbours=nearest_neighbours(vectors, 30))
    np.testing.assert_array_equal(found.matrix.toarray(), DiffusionGraph.build(vectors, 7).matrix.toarray())
    assert len(found) == 80


def test_stop_is_asked_before_each_iteration():
    vectors = unit(200, spread=0.7)
    graph, ids, sims = DiffusionGraph.build(vectors, 10), np.arange(200), vectors @ vectors[0]
    for allowed in (0, 1, 4):
        answers = iter([False] * allowed + [True])
        found = graph.scores(vectors[0], ids, sims, stop=answers.__next__)
        np.testing.assert_array_equal(found, graph.scores(vectors[0], ids, sims, iterations=allowed))
        assert list(answers) == []
    assert (graph.scores(vectors[0], ids, sims, iterations=0) == 0).all()


def test_small_databases():
    vectors = unit(2, spread=0.1)
    for count in (0, 1, 2):
        graph = DiffusionGraph.build(vectors[:count])
        found = graph.scores(vectors[0], np.arange(count), vectors[:count] @ vectors[0])
        assert graph.matrix.shape == (count, count) and found.shape == (count,)
    for way in (False, True):
        assert graph.scores(vectors[0], np.array([], int), np.array([]), transductive=way).shape == (0,)
    alone = DiffusionGraph.build(vectors[:1]).scores(vectors[0], np.array([0]), np.float32([0.5]))
    np.testing.assert_allclose(alone, [0.125])


def test_build_door():
    vectors = unit(5)
    with pytest.raises(InputError, match="k of at least 1 neighbour, got 0"):
        DiffusionGraph.build(vectors, 0)
    for gamma in (-1, np.nan, np.inf):
        with pytest.raises(InputError, match="gamma must be at least 0 and finite"):
            DiffusionGraph.build(vectors, 2, gamma)
    with pytest.raises(InputError, match="NaN"):
        DiffusionGraph.build(vectors * np.nan, 2)
    with pytest.raises(InputError, match=r"ids and sims \(5, 3 or more\), got \(5, 2\)"):
        DiffusionGraph.build(vectors, 3, neighbours=nearest_neighbours(vectors, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.zeros(3)}, r"query must have shape \(16,\) as the vectors, got \(3,\)"),
        ({"query": np.full(16, np.nan)}, "NaN"),
        ({"ids": np.arange(4)}, r"ids \(T,\) and sims \(T,\), got int64 \(4,\) and \(5,\)"),
        ({"ids": np.arange(5.0)}, "got float64"),
        ({"ids": np.arange(5) + 1}, "rows from 0 to 4, got 1 to 5"),
        ({"ids": np.arange(5) - 1}, "got -1 to 3"),
        ({"ids": np.zeros(5, int)}, "listed twice"),
        ({"sims": np.full(5, np.nan)}, "sims hold NaN"),
        ({"kq": 0}, "kq must be at least 1"),
        ({"alpha": 1.0}, "alpha of diffusion must be above 0 and below 1, got 1.0"),
        ({"alpha": 0.0}, "above 0"),
        ({"alpha": np.nan}, "above 0"),
        ({"iterations": -1}, "iterations must be at least 0"),
    ],
)
def test_scores_door(changes, message):
    vectors = unit(5)
    arguments = {"query": vectors[0], "ids": np.arange(5), "sims": np.ones(5)}
    with pytest.raises(InputError, match=message):
        DiffusionGraph.build(vectors, 2).scores(**arguments | changes)
