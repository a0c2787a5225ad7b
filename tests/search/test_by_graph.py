"""k-reciprocal and diffusion as steps: what they may move, what they do not depend on, budgets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.search.after import Clock
from resight.search.by_graph import Diffuse, Reciprocal
from resight.search.database import Database
from resight.search.diffusion import DiffusionGraph
from resight.search.ranking import Ranking
from resight.search.reciprocal import ReciprocalIndex

WIDTH = 6


def grouped(groups=6, members=7, seed=0, spread=0.35):
    """Unit vectors in groups, as images of the same places are."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.standard_normal((groups, WIDTH)), members, axis=0)
    vectors = (centres + spread * draw.standard_normal(centres.shape)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def database(seed=0, order=None):
    vectors = grouped(seed=seed)
    order = list(range(len(vectors))) if order is None else order
    return Database(np.arange(len(vectors)) * 2 + 1, vectors[order], [f"{i}.jpg" for i in order])


def ranking(images, seed=0, query=0):
    vector = grouped(seed=seed, spread=0.5)[query * 7]
    ids, scores = images.search(vector, len(images))
    return Ranking(ids, *images.named(ids)[:1], scores, (None,) * len(ids), vector=vector)


def reciprocal(images, top=20, weight=0.3):
    return Reciprocal(images, top=top, k1=6, k2=3, weight=weight)


def diffusion(images, top=20, iterations=20):
    return Diffuse(images, top=top, k=6, gamma=3.0, alpha=0.9, kq=3, iterations=iterations)


def joining(images, top=20, iterations=20):
    return Diffuse(images, top=top, k=6, gamma=3.0, alpha=0.9, kq=3, iterations=iterations, transductive="yes")


BOTH = pytest.mark.parametrize("step", [reciprocal, diffusion, joining])


@BOTH
@given(top=st.integers(1, 60), seed=st.integers(0, 20))
def test_only_the_first_are_moved_and_none_is_lost(step, top, seed):
    images = database(seed)
    asked = ranking(images, seed)
    found, note = step(images, top)(asked, Clock())
    assert note == ""
    assert found.ids[top:].tolist() == asked.ids[top:].tolist()
    assert sorted(found.ids[:top].tolist()) == sorted(asked.ids[:top].tolist())
    assert (np.diff(found.scores[: min(top, 42)]) <= 0).all()
    np.testing.assert_array_equal(found.vector, asked.vector)


@BOTH
@given(order=st.permutations(range(42)), seed=st.integers(0, 5))
@settings(max_examples=15)
def test_other_ids_for_the_same_images_permute_the_ranking(step, order, seed):
    plain, shuffled = database(seed), database(seed, order)
    one, _ = step(plain)(ranking(plain, seed), Clock())
    two, _ = step(shuffled)(ranking(shuffled, seed), Clock())
    scores = dict(zip(two.paths, two.scores.tolist()))
    np.testing.assert_allclose(one.scores, [scores[path] for path in one.paths], atol=1e-5)


@BOTH
@given(seed=st.integers(0, 20))
def test_other_queries_change_nothing(step, seed):
    images = database(seed)
    shared = step(images)
    asked = [ranking(images, seed, query) for query in range(4)]
    forwards = [shared(one, Clock())[0] for one in asked]
    backwards = [shared(one, Clock())[0] for one in asked[::-1]][::-1]
    alone = [step(database(seed))(one, Clock())[0] for one in asked]
    assert forwards == backwards == alone


def test_scores_are_those_of_the_methods():
    images = database()
    asked = ranking(images)
    rows = np.searchsorted(images.ids, asked.ids[:20])
    distances = ReciprocalIndex.build(images.vectors, 6, 3).distances(asked.vector, rows, weight=0.3)
    found, _ = reciprocal(images)(asked, Clock())
    by_id = dict(zip(asked.ids[:20].tolist(), (1 - distances).tolist()))
    np.testing.assert_allclose(found.scores[:20], [by_id[i] for i in found.ids[:20].tolist()], atol=1e-6)
    flow = DiffusionGraph.build(images.vectors, 6, 3.0).scores(
        asked.vector, rows, images.vectors[rows] @ asked.vector, kq=3, alpha=0.9
    )
    found, _ = diffusion(images)(asked, Clock())
    by_id = dict(zip(asked.ids[:20].tolist(), flow.tolist()))
    np.testing.assert_allclose(found.scores[:20], [by_id[i] for i in found.ids[:20].tolist()], atol=1e-6)


def test_a_query_that_joins_the_graph_scores_as_the_method_says():
    images = database()
    asked = ranking(images)
    rows = np.searchsorted(images.ids, asked.ids[:20])
    graph = DiffusionGraph.build(images.vectors, 6, 3.0)
    flow = graph.scores(asked.vector, rows, images.vectors[rows] @ asked.vector, alpha=0.9, transductive=True)
    by_id = dict(zip(asked.ids[:20].tolist(), flow.tolist()))
    found, _ = joining(images)(asked, Clock())
    np.testing.assert_allclose(found.scores[:20], [by_id[i] for i in found.ids[:20].tolist()], atol=1e-6)
    assert not np.allclose(found.scores[:20], diffusion(images)(asked, Clock())[0].scores[:20], atol=1e-2)


def test_almost_all_weight_on_the_original_is_the_original_order():
    images = database()
    asked = ranking(images)
    assert reciprocal(images, weight=1 - 1e-9)(asked, Clock())[0].ids.tolist() == asked.ids.tolist()


def test_images_of_the_same_group_come_first():
    """The point of both: of a query near the edge of its group, the group's members are gathered."""
    images = database(3)
    for step in (reciprocal, diffusion, joining):
        found, _ = step(images)(ranking(images, 3), Clock())
        assert {path.removesuffix(".jpg") for path in found.paths[:5]} <= {str(i) for i in range(7)}


class Stopped(Clock):
    """A clock that allows so many looks at it."""

    def __init__(self, looks):
        super().__init__(1.0)
        self.looks = looks

    def allows(self, cost=0.0):
        self.looks -= 1
        return self.looks >= 0


def test_diffusion_that_could_not_begin_leaves_the_ranking():
    images = database()
    asked = ranking(images)
    found, note = diffusion(images)(asked, Stopped(0))
    assert note == "left out: the budget was spent"
    assert found == asked


def test_diffusion_that_is_stopped_has_fewer_iterations():
    images = database()
    asked = ranking(images)
    found, note = diffusion(images)(asked, Stopped(2))
    assert note == "budget: fewer iterations"
    assert found == diffusion(images, iterations=2)(asked, Clock())[0]


@BOTH
@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_images_are_left_as_they_are(step, count):
    images = Database(np.arange(count), grouped()[:count], ["a.jpg"] * count)
    asked = Ranking(images.ids, ("a.jpg",) * count, np.ones(count), (None,) * count, vector=grouped()[0])
    found, note = step(images)(asked, Clock())
    assert found is asked
    assert note == "left out: it takes two images or more"


@BOTH
def test_an_empty_ranking_stays_empty(step):
    none = Ranking(np.empty(0, np.int64), (), np.empty(0, np.float32), (), vector=grouped()[0])
    assert len(step(database())(none, Clock())[0]) == 0


@BOTH
def test_doors(step):
    images = database()
    asked = ranking(images)
    bare = Ranking(asked.ids, asked.paths, asked.scores, asked.labels)
    with pytest.raises(InputError, match="needs the query's descriptor"):
        step(images)(bare, Clock())
    foreign = Ranking(asked.ids + 1, asked.paths, asked.scores, asked.labels, vector=asked.vector)
    with pytest.raises(InputError, match="not in this database"):
        step(images)(foreign, Clock())


def test_k2_above_k1_is_refused_before_anything_is_searched():
    with pytest.raises(InputError, match="k2 of k-reciprocal must be at most k1, got k1=3, k2=5"):
        Reciprocal(database(), top=10, k1=3, k2=5, weight=0.3)
