"""What `resight evaluate` says of images, boxes and folders that will not do, and that labels and protocols agree."""

from __future__ import annotations

import json
import shutil

import pytest
from oxford_miniature import build, photographs

from resight.cli import run

pytestmark = pytest.mark.usefixtures("one_thread")


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


def one_line(err, *words):
    """Whether an error is one line that holds these words."""
    return err.count("\n") == 1 and all(word in err for word in words)


def test_missing_images_are_refused_or_counted(call, evaluate, mini, shop, tmp_path):
    """One right answer is not indexed: an error that names it; with --allow-missing it is never found, as is said."""
    shutil.copytree(shop, tmp_path / "less.resight")
    assert call("remove", tmp_path / "less.resight", mini.path("bridge_004"))[0] == 0
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    code, _, err = call("evaluate", tmp_path / "less.resight", *truth)
    assert code == 2
    assert one_line(err, "bridge_004", "--allow-missing")
    code, out, _ = call("evaluate", tmp_path / "less.resight", *truth, "--allow-missing")
    assert code == 0
    assert "MISSING    1 image of" in out
    assert "; 1 missing" in out
    less = evaluate("--allow-missing", "--save-rankings", tmp_path / "r", collection=tmp_path / "less.resight")
    assert less["missing"] == ["bridge_004"]
    assert less["fingerprint"]["missing"] == 1
    assert less["key"] != evaluate("--allow-missing")["key"]
    assert score(less) < score(evaluate())


def test_a_box_outside_its_image_is_named(call, shop, mini, tmp_path):
    shutil.copytree(mini.truth, tmp_path / "t")
    (tmp_path / "t" / "bridge_1_query.txt").write_text("oxc1_bridge_000 900 900 950 950\n")
    truth = ("--protocol", "oxford5k", "--truth", tmp_path / "t")
    for crop in ("pixels", "map"):
        code, _, err = call("evaluate", shop, *truth, "--crop", crop)
        assert code == 2
        assert one_line(err, "bridge_1_query.txt, line 1: box 900,900,950,950, bridge_000.jpg is 320 x 240")
    (tmp_path / "t" / "bridge_1_query.txt").write_text("oxc1_bridge_000 -9 10 950 950\n")
    code, out, _ = call("evaluate", shop, *truth)
    assert code == 0
    assert "clipped    1 query box reaches beyond the image" in out
    image = mini.path("bridge_000")
    code, out, err = call("search", image, "--in", shop, "--box=-9,10,950,230", "-k", 2, "--json")
    assert (code, err) == (0, "resight: the box reaches beyond the image, 320 x 240: used is 0,10,320,230\n")
    assert len(json.loads(out)["queries"][0]["results"]) == 2
    assert call("search", image, "--in", shop, "--box", "9,10,50,50")[2] == ""


def test_all_that_is_missing_can_be_had(call, shop, mini, tmp_path):
    """Twelve right answers are in no collection: ten are named, with their places; all in a list or as JSON."""
    shutil.copytree(mini.truth, tmp_path / "t")
    with (tmp_path / "t" / "bridge_1_ok.txt").open("a") as file:
        file.writelines(f"lost_{number:02d}\n" for number in range(12))
    truth = ("--protocol", "oxford5k", "--truth", tmp_path / "t", "--missing-list", tmp_path / "list.txt")
    lost = [f"lost_{number:02d}" for number in range(12)]
    code, out, err = call("evaluate", shop, *truth)
    assert (code, out) == (2, "")
    assert one_line(err, "lost_00 (bridge_1_ok.txt, line 3), ", "lost_09 (", " and 2 more (--missing-list FILE or")
    assert (tmp_path / "list.txt").read_text().split() == lost
    code, out, _ = call("evaluate", shop, *truth, "--json")
    assert (code, json.loads(out)) == (2, {"missing": lost, "unreadable": []})
    (tmp_path / "list.txt").unlink()
    code, out, _ = call("evaluate", shop, *truth, "--allow-missing")
    assert code == 0
    assert "MISSING    12 images of the ground truth" in out and "and 2 more" in " ".join(out.split())
    assert (tmp_path / "list.txt").read_text().split() == lost


def test_what_is_said_before_anything_is_searched(call, shop, mini, tmp_path, monkeypatch):
    """A folder that cannot be written is found before the first query."""
    from resight.measure import evaluation

    def never(*_, **__):
        raise AssertionError("searched")

    monkeypatch.setattr(evaluation, "evaluate_truth", never)
    truth = ("--protocol", "oxford5k", "--truth", mini.truth)
    for option in ("--save", "--save-rankings"):
        code, _, err = call("evaluate", shop, *truth, option, "/proc/nowhere/run")
        assert code == 1
        assert one_line(err, "cannot write /proc/nowhere/run: ")


def test_labels_say_the_same_with_and_without_steps(call, mini, shop, tmp_path):
    """One table, one key: whether the scores come from one matrix product or query by query."""
    rows = [f"images/{name}.jpg,{place[0]}" for name, place in mini.places.items()]
    (mini.images.parent / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    labels = ("--labels", f"csv:{mini.images.parent / 'labels.csv'}")
    plain = call("evaluate", shop, *labels)[1]
    saved = call("evaluate", shop, *labels, "--save", tmp_path / "run")[1]
    table = [line for line in plain.splitlines() if line.startswith(("  all  ", "  protocol  ", "             "))]
    assert len(table) > 8 and set(table) <= set(saved.splitlines())
    assert "17 without a label" in plain and "17 without a label" in saved
    one, two = (json.loads(call("evaluate", shop, *labels, "--json", *more)[1]) for more in ((), ("--save", tmp_path)))
    assert (one["key"], one["fingerprint"]) == (two["key"], two["fingerprint"])
    for name in ("map_standard", "map_trapezoid"):
        assert one[name] == pytest.approx(two["settings"]["all"][name], abs=1e-9)
