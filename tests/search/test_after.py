"""Steps by name, in chains, under a budget and within filters; asked through `Collection.search` and `after`."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oxford_miniature import build, photographs

import resight
from resight.errors import InputError
from resight.search.after import STEPS, After, Clock, Step, parse_step
from resight.search.database import Database
from resight.search.ranking import Ranking

pytestmark = pytest.mark.usefixtures("one_thread")

EACH = (
    "aqe:k=3", "alpha-qe:k=3", "dqe:positives=3", "dba:k=3", "cam-online", "cam-regions:top=5",
    "ransac:top=3,longest=160", "k-reciprocal:k1=6,k2=3,top=12", "diffusion:k=6,top=12",
    "diffusion:k=6,top=12,transductive=yes",
)  # fmt: skip
RE_RANKING = (
    "cam-online:top=7",
    "cam-regions:top=7",
    "ransac:top=7",
    "k-reciprocal:k1=6,k2=3,top=7",
    "diffusion:top=7",
)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return build(tmp_path_factory.mktemp("mini"), photographs(), landmarks=2, distractors=6)


@pytest.fixture(scope="module")
def shop(mini, one_thread):
    encoder = resight.Encoder(descriptor="cam:count=8", size=160, fit="longest")
    with resight.Collection.create(mini.images.parent / "c.resight", encoder) as made:
        made.add(mini.images, labels="none")
        items = list(made.items())
        labels = ["odd" if item.id % 2 else "even" for item in items]
        made.store.put(
            [dataclasses.replace(i, label=n) for i, n in zip(made.get([i.id for i in items], vectors=True), labels)]
        )
        yield made


def asked(shop, mini, query="old_mill_1", k=20, **options):
    image, box = mini.queries[query]
    return shop.search(mini.path(image), k, box=box, **options)


def options_of(name):
    """Values that fit, for each option of a step."""
    words = {"model": st.sampled_from(["homography", "affine"]), "transductive": st.sampled_from(["no", "yes"])}
    number = {int: st.integers(64, 100), float: st.floats(0.01, 0.99)}
    return st.fixed_dictionaries(
        {}, optional={key: words.get(key, number.get(option.kind)) for key, option in STEPS[name].items()}
    )


@given(st.data())
def test_a_step_is_its_text(data):
    name = data.draw(st.sampled_from(sorted(STEPS)))
    options = data.draw(options_of(name))
    step = Step(name, tuple(options.items()))
    assert parse_step(str(step)) == step
    assert parse_step(step) is step
    assert step.settings == {key: option.default for key, option in STEPS[name].items()} | options
    assert repr(step) == f"Step({str(step)!r})"


def test_defaults_are_not_written():
    assert str(parse_step(" AQE : k = 10 ")) == "aqe"
    assert parse_step("alpha-qe:k=10,alpha=3") == Step("alpha-qe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha_qe", "unknown step 'alpha_qe', did you mean 'alpha-qe'"),
        ("ransack", "did you mean 'ransac'"),
        ("", "unknown step ''"),
        ("aqe:n=3", "n"),
        ("cam-regions:topp=3", "did you mean 'top'"),
        ("aqe:k=0", "k of aqe must be a whole number of at least 1, got 0"),
        ("aqe:k=2.5", "k of aqe must be a whole number"),
        ("aqe:k", "expected option=value"),
        ("aqe:k=1,k=2", "given more than once"),
        ("ransac:model=afine", "model of ransac must be homography or affine"),
        ("ransac:longest=99999", "from 64 to 8192"),
        ("diffusion:alpha=1", "above 0 and below 1"),
        ("diffusion:transductive=true", "transductive of diffusion must be no or yes, got 'true'"),
        ("k-reciprocal:weight=nan", "weight"),
        ("dba:alpha=-1", "from 0 to 100"),
    ],
)
def test_unknown_names_and_values_are_said(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_step(text)
    assert "\n" not in str(caught.value)


def test_which_steps_use_neighbours_and_which_make_the_query_one():
    assert {name for name in STEPS if Step(name).uses_neighbours} == {"dba", "k-reciprocal", "diffusion"}
    assert not any(Step(name).transductive for name in STEPS)
    assert parse_step("diffusion:transductive=yes,k=9").transductive
    assert not parse_step("diffusion:transductive=no").transductive


def test_a_step_is_read_without_torch():
    code = (
        "import sys; from resight.search.after import parse_step; parse_step('diffusion'); print(sorted(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = ("torch", "timm", "faiss", "scipy", "sklearn", "cv2")
    assert not [name for name in heavy if f"'{name}'" in loaded]
    assert "'resight.search.after'" in loaded


def test_public_names_load_on_first_use():
    import resight.search

    assert len(resight.search.__all__) == 11
    assert all(getattr(resight.search, name) is not None for name in resight.search.__all__)
    assert resight.search.parse_step is parse_step


def test_an_empty_database_is_searched_and_not_the_collection(shop, mini):
    """It has length 0, which is false, and is given all the same."""
    none = Database(np.empty(0, np.int64), np.empty((0, shop.dim), np.float32))
    first = asked(shop, mini).take([])
    assert len(shop.after(["dba:k=3"], database=none)(first)) == 0
    act = shop.after(["aqe"], database=none)._acts[0]
    assert act.database is none


def test_dqe_fetches_the_vectors_beforehand(shop):
    """They depend on no query, so they count towards no budget."""
    after = shop.after(["dqe"])
    assert "_everything" not in vars(after._acts[0].database)
    after.prepare()
    assert "_everything" in vars(after._acts[0].database)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_a_time(budget):
    with pytest.raises(InputError, match="a budget is a time above 0 seconds"):
        After([], [], budget)


class Count:
    """An act that notes its calls."""

    depth = 4

    def __init__(self, note=""):
        self.note, self.calls, self.prepared = note, 0, 0

    def prepare(self, progress=None):
        self.prepared += 1

    def __call__(self, ranking, clock):
        self.calls += 1
        return ranking.take(range(len(ranking) - 1)), self.note


def ranking_of(count):
    return Ranking(np.arange(count), ("",) * count, np.zeros(count), (None,) * count)


def test_steps_are_taken_in_order_and_noted():
    acts = [Count(), Count("half")]
    after = After([Step("aqe"), Step("dqe")], acts)
    found = after(after(ranking_of(9)))
    assert len(found) == 5
    assert [(done.step, done.note) for done in found.steps] == [("aqe", ""), ("dqe", "half")] * 2
    assert str(found.steps[1]).startswith("dqe (")
    assert str(found.steps[1]).endswith(" ms; half)")
    assert after.depth == 4
    assert repr(after) == "After(aqe, dqe)"


def test_a_spent_budget_leaves_the_rest_out(monkeypatch):
    times = iter(np.arange(0, 100, 0.4))
    monkeypatch.setattr("resight.search.after.time.perf_counter", lambda: next(times))
    acts = [Count(), Count()]
    found = After([Step("aqe"), Step("dqe")], acts, 1.5)(ranking_of(9))
    assert [act.calls for act in acts] == [1, 0]
    assert [done.note for done in found.steps] == ["", "left out: the budget was spent"]
    assert len(found) == 8


def test_a_clock_without_a_budget_never_ends():
    assert Clock().allows(1e12)
    assert not Clock(1e-9).allows()
    assert Clock(100).allows(50)
    assert not Clock(100).allows(200)


@pytest.mark.parametrize("step", EACH)
def test_no_time_at_all_leaves_the_ranking_and_says_so(shop, mini, step):
    ranking = asked(shop, mini)
    found = shop.after([step], budget=1e-9)(ranking)
    assert found == ranking
    assert [done.note for done in found.steps] == ["left out: the budget was spent"]
    np.testing.assert_array_equal(found.vector, ranking.vector)


@pytest.mark.parametrize("step", EACH)
def test_much_time_changes_nothing(shop, mini, step):
    ranking = asked(shop, mini)
    plain, timed = shop.after([step])(ranking), shop.after([step], budget=1e4)(ranking)
    assert plain == timed
    assert timed.steps[0].note == ""


@pytest.mark.parametrize(
    "chain", [(a, b) for a in EACH if a != "dba:k=3" for b in ("aqe:k=3", "cam-regions:top=5", "diffusion:k=6")]
)
def test_a_chain_is_its_steps_one_after_the_other(shop, mini, chain):
    """But for dba, whose vectors are those that the steps after it see: see the next test."""
    ranking = asked(shop, mini)
    whole = shop.after(chain)(ranking)
    parts = ranking
    for step in chain:
        parts = shop.after([step])(parts)
    assert whole == parts
    np.testing.assert_array_equal(whole.vector, parts.vector)
    for one, other in ((whole.boxes, parts.boxes), (whole.regions, parts.regions)):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other, equal_nan=True)


def test_steps_after_dba_see_its_vectors(shop, mini):
    items, vectors = shop.vectors()
    better = []
    for row, vector in enumerate(vectors):
        sims = vectors @ vector
        near = [i for i in np.argsort(-sims, kind="stable") if i != row][:3]
        mixed = vector + sum(max(sims[i], 0) ** 3 * vectors[i] for i in near)
        better.append(mixed / np.linalg.norm(mixed))
    database = Database([i.id for i in items], np.array(better), [i.path for i in items], [i.label for i in items])
    ranking = asked(shop, mini)
    ids, scores = database.search(ranking.vector, 20)
    first = dataclasses.replace(ranking, ids=ids, scores=scores, paths=database.named(ids)[0])
    expected = shop.after(["aqe:k=3"], database=database)(first)
    found = shop.after(["dba:k=3", "aqe:k=3"])(ranking)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize("step", RE_RANKING)
def test_re_ranking_moves_the_first_and_loses_none(shop, mini, step):
    ranking = asked(shop, mini)
    found = shop.after([step])(ranking)
    assert found.ids[7:].tolist() == ranking.ids[7:].tolist()
    assert sorted(found.ids.tolist()) == sorted(ranking.ids.tolist())


@pytest.mark.parametrize("step", EACH)
def test_a_search_is_deep_enough_for_its_steps(shop, mini, step):
    """The first 3 of a short answer are those of a long one: the steps do not see how many were asked for."""
    long, short = asked(shop, mini, then=[step]), asked(shop, mini, k=3, then=[step])
    assert len(short) == 3
    assert short.ids.tolist() == long.ids[:3].tolist()
    np.testing.assert_allclose(short.scores, long.scores[:3], atol=1e-5)


@pytest.mark.parametrize("step", EACH)
def test_many_queries_at_once_are_each_by_itself(shop, mini, step):
    paths = [mini.path(image) for image, _ in mini.queries.values()]
    boxes = [box for _, box in mini.queries.values()]
    after = shop.after([step])
    together = shop.search_many(paths, 6, boxes=boxes, after=after)
    reverse = shop.search_many(paths[::-1], 6, boxes=boxes[::-1], after=shop.after([step]))[::-1]
    alone = [shop.search(path, 6, box=box, then=[step]) for path, box in zip(paths, boxes)]
    for one, other, single in zip(together, reverse, alone):
        assert one.ids.tolist() == other.ids.tolist() == single.ids.tolist()
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_allclose(one.scores, single.scores, atol=1e-6)


@pytest.mark.parametrize("step", EACH)
@pytest.mark.parametrize("where", [{"label": "odd"}, {"path": "*elsewhere*"}])
def test_filters_hold_through_every_step(shop, mini, step, where):
    allowed = {item.id for item in shop.items(**where)}
    found = asked(shop, mini, then=[step, "aqe:k=2"], **where)
    assert set(found.ids.tolist()) == allowed
    assert set(found.labels) <= {"odd"} | ({"even"} if "path" in where else set())


@pytest.mark.parametrize("step", EACH)
@pytest.mark.parametrize("members", [0, 1])
def test_filters_that_leave_one_or_none(shop, mini, step, members):
    where = {"path": "*/north_gate_004.jpg" if members else "*/nowhere.jpg"}
    found = asked(shop, mini, then=[step], **where)
    assert len(found) == members
    assert found.vector is not None


def test_nothing_is_done_unless_asked(shop, mini):
    ranking = asked(shop, mini)
    assert ranking.steps == ()
    assert (ranking.boxes, ranking.matches, ranking.regions) == (None, None, None)
    assert shop.after([])(ranking) == ranking


def test_a_whitened_collection_takes_every_step(mini, tmp_path, one_thread):
    """All in the whitened space: an image asked for by itself has cosine 1 with itself before and after."""
    encoder = resight.Encoder(descriptor="cam:count=4", size=64)
    with resight.Collection.create(tmp_path / "w", encoder) as made:
        made.add(sorted(mini.images.iterdir())[:12])
        made.whiten(6)
        for step in ("aqe:k=1", "cam-online:count=4", "dba:k=2", "k-reciprocal:k1=4,k2=2", "diffusion:k=4"):
            found = made.search(3, 12, then=[step])
            assert found.vector.shape == (6,)
            assert sorted(found.ids.tolist()) == [item.id for item in made.items()]
            if step in ("aqe:k=1", "cam-online:count=4"):
                assert found.ids[0] == 3
                assert found.scores[0] == pytest.approx(1, abs=1e-3)


def test_doors(shop, mini):
    ranking = asked(shop, mini)
    bare = Ranking(ranking.ids, ranking.paths, ranking.scores, ranking.labels)
    for step in EACH:
        with pytest.raises(InputError, match=r"take a ranking that Collection\.search has made"):
            shop.after([step])(bare)
    with pytest.raises(InputError, match="did you mean 'cam-regions'"):
        shop.search(mini.path("old_mill_000"), then=["cam-region"])
    with pytest.raises(InputError, match="k2 of k-reciprocal must be at most k1"):
        shop.after(["k-reciprocal:k1=3,k2=5"])


def test_steps_that_read_image_files_say_so():
    assert {name for name in STEPS if Step(name).looks_at_files} == {"cam-online", "cam-regions", "ransac"}
