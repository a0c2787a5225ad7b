from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.search.vectors import IndexState, VectorIndex, top

NONE = np.empty(0, np.int64)


def unit(rng, n, d):
    x = rng.standard_normal((n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def state(d=8):
    return IndexState("collection", "space", d)


def naive(vectors, ids, query, k):
    scored = sorted(((-float(np.dot(v, query)), int(i)) for v, i in zip(vectors, ids)))
    return [i for _, i in scored[:k]]


@given(st.integers(1, 400), st.integers(1, 90), st.integers(0, 5), st.booleans())
@settings(max_examples=60, deadline=None)
def test_top_equals_a_full_sort(n, k, seed, coarse):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, n).astype(np.float32) if coarse else rng.random(n, np.float32)
    ids = rng.permutation(n).astype(np.int64)
    expected = sorted(range(n), key=lambda place: (-scores[place], ids[place]))[:k]
    assert top(scores, ids, k).tolist() == expected


def test_top_on_many_scores_equals_a_full_sort():
    scores = np.random.default_rng(0).integers(0, 900, 50_000).astype(np.float32)  # many ties
    ids = np.arange(50_000, dtype=np.int64)[::-1]
    assert top(scores, ids, 30).tolist() == np.lexsort((ids, -scores))[:30].tolist()


def test_search_equals_a_naive_loop_alone_and_in_a_batch():
    rng = np.random.default_rng(1)
    vectors, queries, ids = unit(rng, 300, 8), unit(rng, 7, 8), np.arange(1, 301)
    index = VectorIndex(state())
    index.apply(1, NONE, ids, vectors)
    found, scores = index.search(queries, 10)
    for query, row, line in zip(queries, found, scores):
        assert row.tolist() == naive(vectors, ids, query, 10)
        np.testing.assert_allclose(line, [query @ vectors[i - 1] for i in row], atol=1e-6)
        assert index.search(query[None], 10)[0][0].tolist() == row.tolist()


def test_filter_is_exact_and_fills_up_with_nothing():
    rng = np.random.default_rng(2)
    vectors, ids = unit(rng, 50, 8), np.arange(100, 150)
    index = VectorIndex(state())
    index.apply(1, NONE, ids, vectors)
    allowed = np.array([103, 149, 120])
    found, scores = index.search(vectors[:1], 5, allowed)
    assert found[0, :3].tolist() == naive(vectors[[3, 20, 49]], [103, 120, 149], vectors[0], 3)
    assert found[0, 3:].tolist() == [-1, -1]
    assert scores[0, 3:].tolist() == [-np.inf] * 2
    assert index.search(vectors[:1], 2, NONE)[0].tolist() == [[-1, -1]]


def test_apply_takes_out_and_replaces():
    rng = np.random.default_rng(3)
    vectors = unit(rng, 5, 8)
    index = VectorIndex(state())
    index.apply(1, NONE, np.arange(5), vectors)
    index.apply(2, np.array([1, 3]), np.array([3]), vectors[:1])  # 1 goes, 3 gets the vector of 0
    assert len(index) == 4
    assert index.search(vectors[:1], 9)[0][0, :2].tolist() == [0, 3]
    assert 1 not in index.search(vectors[:1], 4)[0]
    assert index.state.seq == 2


def test_save_and_load_give_the_same_answers(tmp_path):
    rng = np.random.default_rng(4)
    vectors = unit(rng, 40, 8)
    index = VectorIndex(state())
    index.apply(7, NONE, np.arange(40), vectors)
    index.save(tmp_path / "index.faiss")
    assert [f.name for f in tmp_path.iterdir()] == ["index.faiss"]
    again = VectorIndex.load(tmp_path / "index.faiss", replace(state(), seq=7))
    assert again is not None
    assert again.state == index.state
    assert again.search(vectors, 5)[0].tolist() == index.search(vectors, 5)[0].tolist()
    again.apply(8, np.array([0]), NONE, vectors[:0])
    assert len(again) == 39


@pytest.mark.parametrize(
    "change", [{"collection": "other"}, {"space": "other"}, {"dim": 9}, {"seq": 6}], ids=lambda c: next(iter(c))
)
def test_a_file_of_something_else_is_not_loaded(tmp_path, change):
    index = VectorIndex(state())
    index.apply(7, NONE, np.arange(3), unit(np.random.default_rng(0), 3, 8))
    index.save(tmp_path / "i")
    assert VectorIndex.load(tmp_path / "i", replace(replace(state(), seq=9), **change)) is None


def test_a_damaged_file_is_not_loaded(tmp_path):
    index = VectorIndex(state())
    index.apply(1, NONE, np.arange(3), unit(np.random.default_rng(0), 3, 8))
    index.save(tmp_path / "i")
    data = (tmp_path / "i").read_bytes()
    for damaged in (b"", data[:10], data[:60], data[: len(data) // 2], b"x" + data[1:], data[:-5]):
        (tmp_path / "i").write_bytes(damaged)
        assert VectorIndex.load(tmp_path / "i", replace(state(), seq=1)) is None
    assert VectorIndex.load(tmp_path / "nothing", replace(state(), seq=1)) is None


def clusters(rng, n, d):
    centres = unit(np.random.default_rng(9), 60, d)
    x = centres[rng.integers(0, 60, n)] + 0.25 * rng.standard_normal((n, d)).astype(np.float32)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_lists_reach_the_recall_they_state_on_queries_they_have_not_seen(tmp_path):
    rng = np.random.default_rng(5)
    vectors, queries = clusters(rng, 12_000, 24), clusters(rng, 200, 24)
    exact = VectorIndex(state(24))
    exact.apply(1, NONE, np.arange(12_000), vectors)
    truth = exact.search(queries, 10)[0]
    lists = VectorIndex(state(24))
    lists.apply(1, NONE, np.arange(12_000), vectors)
    lists.to_lists(0.95)
    assert lists.state.kind == "ivf"
    assert lists.state.probes < lists._index.nlist  # it did not simply visit everything
    found = lists.search(queries, 10)[0]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.tolist(), found.tolist())])
    assert lists.state.recall >= 0.95
    assert abs(recall - lists.state.recall) < 0.04

    allowed = np.sort(rng.choice(12_000, 300, replace=False))
    assert lists.search(queries, 10, allowed)[0].tolist() == exact.search(queries, 10, allowed)[0].tolist()

    lists.save(tmp_path / "i")
    again = VectorIndex.load(tmp_path / "i", replace(state(24), seq=1))
    assert again is not None
    assert again.search(queries, 10)[0].tolist() == found.tolist()
    again.apply(2, np.array([5]), np.array([99_999]), vectors[5:6])
    assert again.search(vectors[5:6], 1)[0].tolist() == [[99_999]]
