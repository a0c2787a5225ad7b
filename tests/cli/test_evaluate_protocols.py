"""The whole way through the command line: index, search, evaluate by a protocol, save, load, compare; and its doors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from oxford_miniature import build, photographed, photographs
from PIL import Image

from resight import Collection
from resight.cli import run
from resight.images import read_image

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = (
    "aqe:k=3", "alpha-qe:alpha=2,k=3", "dqe:negatives=20,positives=3", "dba:k=2", "cam-online:count=8",
    "cam-regions:top=6", "ransac:longest=160,top=3", "k-reciprocal:k1=6,k2=3,top=20", "diffusion:k=6,top=30",
)  # fmt: skip


@pytest.fixture
def call(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run_it(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return build(tmp_path_factory.mktemp("mini"), photographs())


@pytest.fixture(scope="module")
def shop(mini, one_thread):
    """45 images, indexed by the command line."""
    to = mini.images.parent / "c.resight"
    words = ["index", mini.images, "--to", to, "--descriptor", "cam:count=8", "--size", 160, "--fit", "longest"]
    assert run([str(word) for word in words]) == 0
    return to


@pytest.fixture
def evaluate(call, shop, mini):
    """Scores by the miniature's ground truth, as JSON."""

    def run_it(*words, collection=shop):
        code, out, err = call("evaluate", collection, "--protocol", "oxford5k", "--truth", mini.truth, "--json", *words)
        assert code == 0, err
        return json.loads(out)

    return run_it


def score(result):
    return result["settings"]["all"]["map_trapezoid"]


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


def by_hand(folder, mini):
    """{query: average precision} of the text rankings in a folder."""
    found = {}
    for query in mini.queries:
        names = (folder / f"{query}.txt").read_text().split()
        junk = mini.groups[query.rpartition("_")[0]]["junk"]
        found[query] = compute_ap(names, mini.positives(query), junk)
    return found


def one_line(err, *words):
    """Whether an error is one line that holds these words."""
    return err.count("\n") == 1 and all(word in err for word in words)


@pytest.mark.parametrize(
    "chain", [(), *((step,) for step in STEPS), ("cam-regions:top=6", "dba:k=2", "aqe:k=3")], ids=str
)
def test_saved_rankings_give_the_score_that_was_said(call, evaluate, shop, mini, tmp_path, chain):
    """By hand from the text files, and by `--load` of them; every ranking names every image once."""
    then = [word for step in chain for word in ("--then", step)]
    result = evaluate(*then, "--save-rankings", tmp_path / "r", "--save", tmp_path / "run")
    expected = by_hand(tmp_path / "r", mini)
    assert score(result) == pytest.approx(np.mean(list(expected.values())), abs=1e-9)
    everything = sorted(path.stem for path in mini.images.iterdir())
    for query in mini.queries:
        assert sorted((tmp_path / "r" / f"{query}.txt").read_text().split()) == everything
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    code, out, _ = call("evaluate", *truth, "--load", tmp_path / "r", "--json")
    assert code == 0
    assert score(json.loads(out)) == pytest.approx(score(result), abs=1e-9)
    rows = (tmp_path / "run" / "per_query.csv").read_text().splitlines()
    assert len(rows) == 9
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert result["fingerprint"]["after"] == list(chain)
    assert kept["protocol"] == result["fingerprint"]
    assert score(result) > (0.6 if photographed() else 0.1)  # the landmarks are there to be found


def test_the_raw_ranking_is_a_sort_by_cosine(evaluate, shop, mini, tmp_path):
    evaluate("--save-rankings", tmp_path / "r")
    image, box = mini.queries["clock_tower_2"]
    with Collection.open(shop) as photos:
        items, vectors = photos.vectors()
        x1, y1, x2, y2 = (round(side) for side in box)
        query = photos.encoder.encode(read_image(mini.path(image))[y1:y2, x1:x2])
    names = [items[i].path.rpartition("/")[2].removesuffix(".jpg") for i in np.argsort(-(vectors @ query))]
    assert (tmp_path / "r" / "clock_tower_2.txt").read_text().split() == names


def test_expansion_by_hand(evaluate, shop, mini, tmp_path):
    """alpha-QE of one query, from the vectors, in numpy."""
    evaluate("--then", "alpha-qe:k=4,alpha=2", "--crop", "none", "--save-rankings", tmp_path / "r")
    with Collection.open(shop) as photos:
        items, vectors = photos.vectors()
    names = [item.path.rpartition("/")[2].removesuffix(".jpg") for item in items]
    query = vectors[names.index(mini.queries["bridge_1"][0])].astype(np.float64)
    first = np.argsort(-(vectors @ query), kind="stable")[:4]
    better = query + sum(max(vectors[i] @ query, 0) ** 2 * vectors[i] for i in first)
    order = np.argsort(-(vectors @ better), kind="stable")
    assert (tmp_path / "r" / "bridge_1.txt").read_text().split() == [names[i] for i in order]


@pytest.mark.skipif(not photographed(), reason="the photographs of scikit-image and scikit-learn are not here")
def test_verification_puts_the_copies_first(evaluate, mini, tmp_path):
    """What is verified within the box is the landmark and goes before all else: the first three are right."""
    raw = evaluate()
    checked = evaluate("--then", "ransac:top=12,longest=320", "--save-rankings", tmp_path)
    assert score(checked) >= score(raw)
    for query in mini.queries:
        first = (tmp_path / f"{query}.txt").read_text().split()[:3]
        assert set(first) <= mini.positives(query)


@pytest.mark.parametrize("crop", ["pixels", "map", "none"])
def test_crops(evaluate, mini, tmp_path, crop):
    result = evaluate("--crop", crop, "--save-rankings", tmp_path)
    assert result["fingerprint"]["crop"] == crop
    assert score(result) == pytest.approx(np.mean(list(by_hand(tmp_path, mini).values())), abs=1e-9)


def test_a_budget_is_said(call, evaluate, shop, mini):
    result = evaluate("--then", "ransac:longest=160,top=2", "--budget", "2min")
    assert result["fingerprint"]["budget"] == 120
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    code, out, _ = call("evaluate", shop, *truth, "--then", "ransac:top=40", "--budget", "0.001ms")
    assert code == 0
    assert "budget 1e-06 s" in out
    none = evaluate("--then", "ransac:top=40", "--budget", "0.0000001ms")
    assert score(none) == score(evaluate())


def test_what_is_printed(call, shop, mini):
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    code, out, err = call("evaluate", shop, *truth, "--then", "aqe:k=3")
    assert (code, err) == (0, "")
    for words in ("oxford5k, 8 queries, 45 images searched of 5,063 published", "then       aqe:k=3",
                  "cam:count=8, longest 160", "crop pixels", "whitening none", "to describe", "not transductive",
                  "peak resident memory of the process ", ", float32\n", " embedding space "):  # fmt: skip
        assert words in out
    assert "LEAK" not in out
    assert "MISSING" not in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_search_with_steps_in_words_and_pictures(call, shop, mini, tmp_path):
    image, box = mini.queries["old_mill_1"]
    where = ("search", mini.path(image), "--in", shop, "--box", ",".join(map(str, box)), "-k", 5)
    then = ("--then", "cam-regions:top=5", "--then", "ransac:top=5")
    code, out, _ = call(*where, *then, "--html", tmp_path / "o.html", "--sheet", tmp_path / "o.png")
    assert code == 0
    assert "then cam-regions:top=5 (" in out
    assert "then ransac:top=5 (" in out
    assert out.count(" box ") >= 5
    assert Image.open(tmp_path / "o.png").size[0] > 100
    answer = json.loads(call(*where, *then, "--json")[1])["queries"][0]
    assert [step["step"] for step in answer["steps"]] == ["cam-regions:top=5", "ransac:top=5"]
    assert answer["results"][0]["matches"] >= 30
    assert len(answer["results"][0]["box"]) == 4


def test_whitening_on_itself_is_a_leak(call, evaluate, mini, shop, tmp_path):
    shutil.copytree(shop, tmp_path / "w.resight")
    with Collection.open(tmp_path / "w.resight") as photos:
        photos.whiten(16)
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    code, out, err = call("evaluate", tmp_path / "w.resight", *truth)
    assert (code, out) == (2, "")
    assert one_line(err, "fitted on the very images to be evaluated", "--allow-leak")
    code, out, _ = call("evaluate", tmp_path / "w.resight", *truth, "--allow-leak", "--then", "aqe:k=3")
    assert code == 0
    assert "16 dimensions, fitted on itself - LEAK" in out
    result = evaluate("--allow-leak", collection=tmp_path / "w.resight")
    assert result["fingerprint"]["leak"] is True
    assert result["costs"]["bytes_per_image"] == 64


def test_two_runs_are_compared(call, evaluate, tmp_path):
    one, two = evaluate("--save", tmp_path / "a"), evaluate("--save", tmp_path / "b", "--then", "aqe:k=3")
    code, out, err = call("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert code == 0, err
    found = json.loads(out)
    text = json.dumps(found)
    assert "aqe:k=3" in text
    part = found["settings"][0]
    difference = 100 * (score(two) - score(one))
    numbers = [value for value in part.values() if isinstance(value, float)]
    assert any(abs(value - difference) < 1e-3 or abs(100 * value - difference) < 1e-3 for value in numbers)
    assert call("compare", tmp_path / "a", tmp_path / "b", "--html", tmp_path / "o.html")[0] == 0


def test_datasets_names_the_protocol(call, mini):
    code, out, _ = call("datasets", "oxford5k")
    assert code == 0
    assert "5,063" in out
    code, out, _ = call("datasets", "oxford5k", "--check", mini.images.parent)
    assert code == 1
    assert "NOT complete" in out


def test_malformed_ground_truth_names_file_and_line(call, shop, mini, tmp_path):
    for number, (file, text, words) in enumerate([
        ("bridge_1_query.txt", "oxc1_bridge_000 1 2 three 4\n", ("bridge_1_query.txt, line 1", "four numbers")),
        ("bridge_1_query.txt", "oxc1_bridge_000 30 30 10 60\n", ("bridge_1_query.txt, line 1", "x1 < x2")),
        ("bridge_1_query.txt", "oxc1_bridge_000\n", ("bridge_1_query.txt, line 1", "name x1 y1 x2 y2")),
        ("bridge_1_good.txt", "bridge_000\nbridge 001\n", ("bridge_1_good.txt, line 2", "without spaces")),
        ("bridge_1_junk.txt", "bridge_000\n", ("bridge_1_junk.txt, line 1", "good")),
        ("bridge_1_ok.txt", None, ("bridge_1_ok.txt", "missing")),
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        shutil.copytree(mini.truth, folder)
        if text is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(text)
        code, out, err = call("evaluate", shop, "--protocol", "oxford5k", "--truth", folder)
        assert (code, out) == (2, "")
        assert one_line(err, *words)


def test_doors(call, shop, mini, tmp_path):
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    for words, said in [
        ((*truth, "--then", "alpha_qe"), ("alpha-qe",)),
        ((*truth, "--then", "cam-regions:topp=3"), ("topp", "did you mean 'top'")),
        ((*truth, "--then", "aqe:k=0"), ("k of aqe", "at least 1")),
        ((*truth, "--then", "aqe", "--budget", "5"), ("--budget takes a time such as 200ms", "'5'")),
        ((*truth, "--then", "aqe", "--budget", "0s"), ("--budget",)),
        ((*truth, "--budget", "1s"), ("budget", "--then")),
        (("--protocol", "oxford5k"), ("--truth",)),
        (("--protocol", "oxfrd5k", "--truth", mini.truth), ("did you mean 'oxford5k'",)),
        (("--truth", mini.truth), ("--protocol",)),
        (("--protocol", "oxford5k", "--truth", tmp_path / "none"), ("expected the folder",)),
        ((*truth, "--crop", "pixel"), ("crop",)),
    ]:
        code, out, err = call("evaluate", shop, *words)
        assert (code, out) == (2, ""), words
        assert one_line(err, *said), err
    image = mini.path("bridge_000")
    for words, said in [
        (("--budget", "200ms"), ("--budget is for the steps of --then",)),
        (("--budget", "5"), ("--budget takes a time",)),
        (("--then", "aqe", "--per-query", tmp_path / "x.csv"), ("--per-query is for labels without steps",)),
        ((*truth, "--per-query", tmp_path / "x.csv"), ("--per-query is for labels without steps",)),
        ((*truth, "--load", tmp_path), ("bridge_1.txt: missing: expected the ranking of query 'bridge_1'",)),
        ((*truth, "--load", tmp_path, "--then", "aqe"), ("--load scores rankings that are there",)),
        ((*truth, "--save", image), ("expected a folder, or a name that is free",)),
        ((*truth, "--save-rankings", image / "x"), ("expected a folder, or a name that is free",)),
        (("--per-query", tmp_path), ("this is a folder",)),
        (("--missing-list", tmp_path / "no" / "x.txt"), ("the folder does not exist; create it first",)),
    ]:
        code, out, err = call("evaluate", shop, *words)
        assert (code, out) == (2, ""), words
        assert one_line(err, *said), err
    for words, said in [
        (("--then", "ransack"), ("did you mean 'ransac'",)),
        (("--budget", "1s"), ("--budget is for the steps of --then",)),
        (("--then", "aqe", "--budget", "5"), ("--budget takes a time",)),
        (("--then", "k-reciprocal:k1=3,k2=9"), ("k2 of k-reciprocal",)),
    ]:
        code, out, err = call("search", image, "--in", shop, *words)
        assert (code, out) == (2, ""), words
        assert one_line(err, *said), err


def test_steps_that_a_collection_cannot_take(call, mini, tmp_path):
    one = mini.path("bridge_000")
    for name, options, step, words in [
        ("gem", ("--descriptor", "gem"), "cam-online", ("cam-online is for collections with the descriptor cam",)),
        ("scales", ("--descriptor", "cam", "--scales", 1, 0.5), "cam-regions", ("one scale only",)),
        (
            "vit",
            ("--backbone", "vit_tiny_patch16_224", "--weights", "random"),
            "cam-regions",
            ("cam-regions", "has none"),
        ),
    ]:
        to = tmp_path / f"{name}.resight"
        size = () if name == "vit" else ("--size", 64)
        assert call("index", one, "--to", to, *options, *size)[0] == 0
        code, out, err = call("search", one, "--in", to, "--then", step)
        assert (code, out) == (2, "")
        assert one_line(err, *words)


def test_a_landmark_is_found_among_real_photographs(call, real_images, tmp_path):
    """The same on photographs of places and of everything: most of what is right comes first, more after expansion."""
    paths = [
        *sorted(real_images("sacre-coeur").glob("*.jpg"))[:1],
        *(real_images("opencv-samples") / name for name in ("building.jpg", "graf1.png", "home.jpg")),
        *(real_images("corel1k") / f"{number}.jpg" for number in range(0, 1000, 60)),
    ]
    mini = build(tmp_path, [read_image(path) for path in paths])
    options = ("--descriptor", "cam:count=8", "--size", 160, "--fit", "longest")
    assert call("index", mini.images, "--to", tmp_path / "c", *options)[0] == 0
    scores = []
    for then in ((), ("--then", "ransac:top=20", "--then", "aqe:k=3")):
        words = ("--protocol", "oxford5k", "--truth", mini.truth, *then, "--json")
        code, out, _ = call("evaluate", tmp_path / "c", *words)
        assert code == 0
        scores.append(score(json.loads(out)))
    assert scores[0] > 0.6
    assert scores[1] > scores[0]


def test_help_shows_globs_as_they_are_typed(call):
    """Help is Markdown, in which two asterisks make what is between them slanted and vanish."""
    assert "'*/2023/*'" in call("search", "--help")[1]
    assert "gnd_*.pkl" in call("evaluate", "--help")[1]
