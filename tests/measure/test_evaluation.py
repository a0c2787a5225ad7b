"""A collection measured by a protocol: scores against loops of a few lines, and what the fingerprint says."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from oxford_miniature import build, photographs

import resight
from resight.errors import InputError
from resight.images import crop_box, read_image
from resight.images.truth import Query, Setting, Truth, read_truth, truth_from_labels
from resight.measure.collections import labelled_truth
from resight.measure.evaluation import evaluate_truth, with_distractors
from resight.measure.missing import MissingImages
from resight.search.after import STEPS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return build(tmp_path_factory.mktemp("mini"), photographs(), landmarks=2, distractors=8)


@pytest.fixture(scope="module")
def shop(mini, one_thread):
    encoder = resight.Encoder(descriptor="cam:count=8", size=160, fit="longest")
    with resight.Collection.create(mini.images.parent / "c.resight", encoder) as made:
        made.add(mini.images)
        yield made


@pytest.fixture
def truth(mini):
    return read_truth("oxford5k", mini.truth)


def stem(path):
    return path.rpartition("/")[2].removesuffix(".jpg")


def compute_ap(ranking, positives, junk):
    """The loop of Philbin's compute_ap.cpp."""
    old_recall, old_precision, ap, hits, rank = 0.0, 1.0, 0.0, 0, 0
    for name in ranking:
        if name in junk:
            continue
        hits += name in positives
        recall, precision = hits / len(positives), hits / (rank + 1)
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
        rank += 1
    return ap


def by_hand(shop, mini, describe):
    """mAP of a sort by cosine, for queries described by `describe(path, box)`."""
    items, vectors = shop.vectors()
    total = []
    for query, (image, box) in mini.queries.items():
        order = np.argsort(-(vectors @ describe(mini.path(image), box)), kind="stable")
        junk = mini.groups[query.rpartition("_")[0]]["junk"]
        total.append(compute_ap([stem(items[i].path) for i in order], mini.positives(query), junk))
    return float(np.mean(total))


def test_the_miniature_is_what_it_says(mini, truth):
    """In a query's box is its landmark: it correlates, and less so with the box moved by four pixels."""
    import cv2

    assert len(truth.queries) == 4
    for query in truth.queries:
        pixels = read_image(mini.path(query.image))
        patch = mini.patches[query.name.rpartition("_")[0]].mean(2)

        def alike(dx, dy, box=query.box, pixels=pixels, patch=patch):
            part = crop_box(pixels, [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy])
            return np.corrcoef(cv2.resize(part, (200, 150)).mean(2).ravel(), patch.ravel())[0, 1]

        assert alike(0, 0) > 0.95
        assert all(alike(*move) < alike(0, 0) for move in ((4, 0), (-4, 0), (0, 4), (0, -4)))


@pytest.mark.parametrize("crop", ["pixels", "map", "none"])
def test_map_equals_a_loop(shop, mini, truth, crop):
    def describe(path, box):
        if crop == "pixels":  # the query is cut out before anything else
            return shop.encoder.encode(crop_box(read_image(path), box))
        return shop.encoder.encode(path, box=box if crop == "map" else None, box_on="map")

    result = evaluate_truth(shop, truth, crop=crop)
    assert result.scores.settings["all"].map_trapezoid == pytest.approx(by_hand(shop, mini, describe), abs=1e-9)
    assert result.protocol["crop"] == crop
    assert result.protocol["database"] == 22


def test_a_perfect_ranking_and_the_worst(shop, mini, truth, monkeypatch):
    """With vectors made to order, mAP is 1, and what the loop says for the reverse."""
    items, vectors = shop.vectors()
    places = {landmark: axis for axis, landmark in enumerate(mini.groups)}
    made = np.zeros_like(vectors)
    for row, item in enumerate(items):
        landmark = mini.places.get(stem(item.path), ("elsewhere",))[0]
        made[row, places.get(landmark, 5)] = 1
    shown = {query.image: made[[stem(i.path) for i in items].index(query.image)] for query in truth.queries}
    monkeypatch.setattr(type(shop), "vectors", lambda self, where=None: (items, made))
    for sign, expected in ((1, 1.0), (-1, None)):
        monkeypatch.setattr(type(shop.encoder), "encode", lambda self, path, sign=sign, **_: sign * shown[stem(path)])
        result = evaluate_truth(shop, truth).scores.settings["all"]
        worst = compute_ap([*range(15), *"abcdef"], set("abcdef"), ())  # junk out, positives behind the 15 others
        assert result.map_trapezoid == pytest.approx(expected or worst)


def test_every_step_is_scored_as_its_ranking(shop, mini, truth):
    seen = {}
    steps = ["alpha-qe:k=3", "k-reciprocal:k1=5,k2=2"]
    result = evaluate_truth(shop, truth, then=steps, each=lambda query, paths: seen.update({query.name: paths}))
    total = []
    for query in truth.queries:
        ranking = shop.search(mini.path(query.image), 22, box=query.box, then=steps)
        assert seen[query.name] == list(ranking.paths)
        names = [stem(path) for path in ranking.paths]
        total.append(compute_ap(names, query.answers("good", "ok"), query.answers("junk")))
    assert result.scores.settings["all"].map_trapezoid == pytest.approx(np.mean(total), abs=1e-9)
    assert result.protocol["after"] == ["alpha-qe:k=3", "k-reciprocal:k1=5,k2=2"]
    assert [round(query.seconds, 9) > 0 for query in result.run.queries] == [True] * 4


def test_the_order_of_the_queries_changes_nothing(shop, truth):
    steps = ["cam-regions:top=6", "aqe:k=3"]
    forwards = evaluate_truth(shop, truth, then=steps)
    backwards = evaluate_truth(shop, dataclasses.replace(truth, queries=truth.queries[::-1]), then=steps)
    one = evaluate_truth(shop, dataclasses.replace(truth, queries=truth.queries[2:3]), then=steps)
    ap = forwards.scores.settings["all"].ap_trapezoid
    np.testing.assert_array_equal(ap, backwards.scores.settings["all"].ap_trapezoid[::-1])
    np.testing.assert_array_equal(ap[2:3], one.scores.settings["all"].ap_trapezoid)


EVERY = {
    "aqe": "k=3", "alpha-qe": "k=3", "dqe": "positives=3", "dba": "k=2", "cam-online": "count=8",
    "cam-regions": "top=4", "ransac": "top=3", "k-reciprocal": "k1=5,k2=2,top=9", "diffusion": "k=4,top=9",
}  # fmt: skip


def test_every_step_is_tried_for_the_own_image():
    assert set(EVERY) == set(STEPS)


@pytest.mark.parametrize("step", [*(":".join(pair) for pair in EVERY.items()), "diffusion:transductive=yes,k=4,top=9"])
def test_a_query_taken_out_of_its_ranking_does_not_come_back(shop, mini, step):
    """Leave-one-out by labels: a step that searches again must not find the query itself, nor learn from it."""
    items = list(shop.items())
    labels = [mini.places.get(stem(item.path), (None,))[0] for item in items]
    truth = truth_from_labels([item.path for item in items], labels)
    seen = {}
    for chain in ([step], [step, "aqe:k=3"], ["aqe:k=3", step]):
        result = evaluate_truth(shop, truth, then=chain, each=lambda query, paths: seen.update({query.image: paths}))
        assert len(seen) == 14
        for image, paths in seen.items():
            assert sorted(paths) == sorted(item.path for item in items if item.path != image)
        assert result.protocol["transductive"] is (step.partition(":")[0] in ("dba", "k-reciprocal", "diffusion"))
        seen.clear()


def test_leave_one_out_expansion_equals_numpy(shop, mini):
    items, vectors = shop.vectors()
    labels = [mini.places.get(stem(item.path), (None,))[0] for item in items]
    truth = truth_from_labels([item.path for item in items], labels)
    total = []
    for row, label in enumerate(labels):
        if label is None:
            continue
        scores = vectors @ vectors[row]
        scores[row] = -9
        first = np.argsort(-scores, kind="stable")[:3]
        again = vectors @ (vectors[row] + vectors[first].sum(0))
        again[row] = -9
        order = [i for i in np.argsort(-again, kind="stable") if i != row]
        total.append(compute_ap(order, {i for i, n in enumerate(labels) if n == label and i != row}, ()))
    result = evaluate_truth(shop, truth, then=["aqe:k=3"])
    assert result.scores.settings["all"].map_trapezoid == pytest.approx(np.mean(total), abs=1e-6)


def test_first_results_say_what_is_right(shop, mini, truth):
    result = evaluate_truth(shop, truth, then=["cam-regions:top=3"])
    for query, kept in zip(truth.queries, result.run.queries):
        assert (kept.name, kept.box) == (query.name, query.box)
        assert len(kept.shown) == 20
        for one in kept.shown:
            name = stem(one.path)
            expected = True if name in query.answers("good", "ok") else None if name in query.answers("junk") else False
            assert one.right is expected
        assert all(one.box is not None for one in kept.shown[:3])
        assert all(one.box is None for one in kept.shown[3:])


def test_queries_beside_the_collection(shop, mini, truth, tmp_path):
    """Query images that are not searched come from a folder; a name may have a suffix or a folder before it."""
    for query in truth.queries:
        (tmp_path / f"q-{query.image}.jpg").write_bytes(mini.path(query.image).read_bytes())
    outside = Truth(
        "revisited", tuple(Query(q.name, f"jpg/q-{q.image}.jpg", q.box, q.groups) for q in truth.queries),
        truth.settings, None, "absent",
    )  # fmt: skip
    found = evaluate_truth(shop, outside, queries=tmp_path)
    inside = evaluate_truth(shop, truth)
    assert found.scores.settings["all"].map == pytest.approx(inside.scores.settings["all"].map, abs=1e-9)
    assert found.protocol["own"] == "queries are not in the database"
    assert found.costs["describe_seconds"] > 0
    with pytest.raises(MissingImages, match=r"4 query images are not in the collection: jpg/q-.*; give the folder"):
        evaluate_truth(shop, outside)
    (tmp_path / f"q-{truth.queries[1].image}.jpg").unlink()
    with pytest.raises(MissingImages, match=r"1 query image is not in the collection, nor in .*--allow-missing") as one:
        evaluate_truth(shop, outside, queries=tmp_path)
    assert one.value.missing == (f"jpg/q-{truth.queries[1].image}.jpg",)


def test_only_the_named_database_is_searched_unless_distractors_are_wanted(shop, mini, truth):
    named = tuple(stem(i.path) for i in shop.items() if "elsewhere" not in i.path)
    closed = dataclasses.replace(truth, database=named)
    seen = []
    for open_, count in ((False, 14), (True, 22)):
        result = evaluate_truth(
            shop, with_distractors(closed, open_), then=["aqe:k=2"], each=lambda query, paths: seen.append(len(paths))
        )
        assert result.protocol["database"] == count
        assert result.protocol["distractors"] == count - 14
        assert seen[-4:] == [count] * 4


def test_missing_images(shop, mini, truth):
    gone = dataclasses.replace(
        truth, queries=tuple(
            dataclasses.replace(q, groups={**q.groups, "ok": q.groups["ok"] | {"lost"}}) for q in truth.queries
        )
    )  # fmt: skip
    with pytest.raises(InputError, match=r"1 of the .* is not in the collection: lost:.*--allow-missing"):
        evaluate_truth(shop, gone)
    whole, less = evaluate_truth(shop, truth), evaluate_truth(shop, gone, allow_missing=True)
    assert less.missing == ("lost",)
    assert less.protocol["missing"] == 1
    assert less.key != whole.key
    ap, lower = (one.scores.settings["all"].map_trapezoid for one in (whole, less))
    assert lower == pytest.approx(ap * 6 / 7)  # seven right answers instead of six, the last never found


def test_the_fingerprint_follows_what_matters(shop, truth):
    plain = evaluate_truth(shop, truth)
    assert plain.key == evaluate_truth(shop, truth, budget=None, ks=(1,)).key
    keys = [plain.key]
    for change in ({"crop": "map"}, {"then": ["aqe"]}, {"then": ["aqe"], "budget": 9.0}, {"then": ["aqe:k=2"]}):
        keys.append(evaluate_truth(shop, truth, **change).key)
    assert len(set(keys)) == len(keys)
    assert plain.protocol["size"] == 160
    assert plain.protocol["weights"] == shop.encoder.backbone.hash
    assert plain.costs["bytes_per_image"] == 4 * 1280
    assert (plain.protocol["space"], plain.protocol["stage"]) == (shop.space, "last")
    assert plain.as_dict()["fingerprint"] == plain.protocol


def test_the_whitening_is_known_by_its_numbers(collection, tmp_path, encoder):
    """Two whitenings of one length from collections of one name are two protocols."""
    truth = labelled_truth(list(collection.items()), "folder")
    keys = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        with resight.Collection.create(tmp_path / str(seed) / "o.resight", encoder) as other:
            made = np.random.default_rng(seed).standard_normal((30, encoder.dim)).astype(np.float32)
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            other.add_vectors([f"{i}.jpg" for i in range(30)], made)
            collection.whiten(4, fitted_on=other)
        found = evaluate_truth(collection, truth)
        assert found.protocol["whitening"] == "4 dimensions, fitted on o.resight"
        keys.append(found.key)
    assert keys[0] != keys[1]


def test_memory_is_that_of_the_process(shop, truth):
    import psutil

    peak = evaluate_truth(shop, truth).costs["peak_bytes"]
    assert 0.5 * psutil.Process().memory_info().rss <= peak < 64 * 2**30


def test_preparing_and_searching_are_watched(shop, truth):
    seen = []

    @contextlib.contextmanager
    def watch(verb, total, unit):
        seen.append((verb, total, unit))
        yield lambda done, failed: seen.append((verb, done))

    evaluate_truth(shop, truth, then=["aqe:k=2"], watch=watch)
    assert seen[0] == ("searching", 4, "queries") and seen[1:] == [("searching", i) for i in (1, 2, 3, 4)]
    seen.clear()
    evaluate_truth(shop, truth, then=["dba:k=3", "k-reciprocal:k1=5,k2=2"], watch=watch)
    parts = [one for one in seen if len(one) == 3]
    assert parts == [("preparing the steps", 22, "images")] * 2 + [("searching", 4, "queries")]
    assert ("preparing the steps", 22) in seen


def test_the_size_is_said_even_if_it_was_not_chosen(collection):
    truth = truth_from_labels([i.path for i in collection.items()], [i.label for i in collection.items()])
    assert evaluate_truth(collection, truth).protocol["size"] == collection.encoder.size == 224


def test_of_several_settings_what_is_right_in_any_is_shown_as_right(shop, truth):
    settings = {"E": Setting(("good",), ("ok", "junk")), "H": Setting(("ok",), ("junk",))}
    both = dataclasses.replace(truth, settings=settings)
    result = evaluate_truth(shop, both)
    assert set(result.scores.settings) == {"E", "H"}
    shown = {stem(one.path): one.right for query in result.run.queries for one in query.shown}
    assert {name for name, right in shown.items() if right is None} <= {"north_gate_006", "old_mill_006"}


def test_doors(shop, mini, truth, tmp_path):
    def with_box(box):
        return dataclasses.replace(truth, queries=(dataclasses.replace(truth.queries[0], box=box), *truth.queries[1:]))

    for crop in ("pixels", "map"):
        with pytest.raises(InputError, match="a query box lies outside the image"):
            evaluate_truth(shop, with_box((900.0, 900.0, 950.0, 950.0)), crop=crop)
    evaluate_truth(shop, with_box((900.0, 900.0, 950.0, 950.0)), crop="none")
    with pytest.raises(InputError, match="crop must be one of pixels, map, none, got 'pixel'"):
        evaluate_truth(shop, truth, crop="pixel")
    with pytest.raises(InputError, match="a budget is for the steps after the search"):
        evaluate_truth(shop, truth, budget=1.0)
    with pytest.raises(InputError, match="did you mean 'aqe'"):
        evaluate_truth(shop, truth, then=["aq"])
    with resight.Collection.create(tmp_path / "e", shop.encoder) as empty, pytest.raises(InputError, match="empty"):
        evaluate_truth(empty, truth)
