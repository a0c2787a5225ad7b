from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from samples import picture

from resight.cli import run

SMALL = ["--descriptor", "spoc", "--size", "64"]


@pytest.fixture
def call(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run_it(*words):
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture
def indexed(tmp_path, photos, call):
    assert call("index", photos, "--to", tmp_path / "c.resight", *SMALL)[0] == 0
    return tmp_path / "c.resight"


def test_the_main_job(tmp_path, photos, call):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    code, out, _ = call("index", photos, "--to", tmp_path / "c.resight", *SMALL)
    assert code == 0
    assert "12 images (12 added)" in out
    assert "1 could not be read" in out
    assert "broken.jpg: " in out
    page, sheet = tmp_path / "out.html", tmp_path / "out.png"
    code, out, _ = call(
        "search", photos / "b" / "7.png", "--in", tmp_path / "c.resight", "-k", 4, "--html", page, "--sheet", sheet
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["1", "1.000"]
    assert lines[1].split()[2] == str(photos / "b" / "7.png")
    assert len([line for line in lines if line.startswith("   ")]) == 4
    assert page.read_text().count("<img") == 5
    assert Image.open(sheet).width > 300


def test_json_says_the_same(indexed, photos, call):
    _, out, _ = call("info", indexed, "--json")
    info = json.loads(out)
    assert (info["images"], info["failed"]) == (12, 0)
    _, out, _ = call("search", photos / "a", "--in", indexed, "-k", 2, "--json")
    queries = json.loads(out)["queries"]
    assert [q["results"][0]["path"] for q in queries] == [str(photos / "a" / f"{n}.jpg") for n in range(6)]
    assert {len(q["results"]) for q in queries} == {2}
    assert queries[0]["results"][0].keys() == {"rank", "score", "id", "path", "label"}
    _, out, _ = call("evaluate", indexed, "--json")
    scores = json.loads(out)
    assert 0 < scores["map_standard"] <= 1
    assert scores["queries"] == 12
    _, out, _ = call("index", photos, "--to", indexed, "--json")
    assert json.loads(out)["unchanged"] == 12
    _, out, _ = call("remove", indexed, photos / "b", "--json")
    assert json.loads(out) == {"removed": 6, "images": 6}
    _, out, _ = call("sync", indexed, "--json")
    assert json.loads(out)["added"] == 6
    code, out, _ = call("verify", indexed, "--json")
    assert (code, json.loads(out)) == (0, {"images": 12, "problems": []})


def test_the_text_tells_the_same_story(indexed, photos, call):
    _, out, _ = call("info", indexed)
    assert "images     12" in out
    assert "spoc, squash to 64" in out
    (photos / "a" / "0.jpg").unlink()
    _, out, _ = call("sync", indexed)
    assert "1 vanished from disk and were removed" in out
    assert "all well, 11 images" in call("verify", indexed)[1]
    _, out, _ = call("evaluate", indexed)
    assert "mAP" in out
    assert "11 queries, 2 labels" in out


def test_evaluate_by_csv_and_per_query(indexed, photos, tmp_path, call):
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for n in range(10):
            folder, suffix = ("a", "jpg") if n < 6 else ("b", "png")
            writer.writerow([f"photos/{folder}/{n}.{suffix}", "odd" if n % 2 else "even"])
    labels = f"csv:{tmp_path / 'labels.csv'}"
    code, out, _ = call("evaluate", indexed, "--labels", labels, "--per-query", tmp_path / "ap.csv")
    assert code == 0
    assert "10 queries, 2 labels, 2 without a label" in out
    rows = list(csv.DictReader((tmp_path / "ap.csv").open()))
    assert len(rows) == 10
    assert {row["label"] for row in rows} == {"odd", "even"}
    _, out, _ = call("evaluate", indexed, "--labels", labels, "--json")
    mean = sum(float(row["ap"]) for row in rows) / 10
    assert json.loads(out)["map_standard"] == pytest.approx(mean, abs=1e-5)


def test_whitening_is_honest_about_leaks(tmp_path, photos, indexed, call):
    assert call("index", photos, "--to", indexed, "--whiten", 5)[0] == 0
    assert "to 5 dimensions, fitted on itself" in call("info", indexed)[1]
    code, _, err = call("evaluate", indexed)
    assert code == 2
    assert "--allow-leak" in err
    code, out, _ = call("evaluate", indexed, "--allow-leak")
    assert code == 0
    assert "LEAK" in out
    other = tmp_path / "other.resight"
    assert call("index", photos / "a", "--to", other, *SMALL)[0] == 0
    assert call("index", photos / "a", "--to", other, "--whiten", 4, "--whiten-from", indexed)[0] == 0
    assert f"fitted on {indexed}" in call("info", other)[1]


def test_config_file(tmp_path, photos, call):
    (tmp_path / "my.toml").write_text('[index]\ndescriptor = "mac"\nsize = 64\nscales = [1.0, 0.5]\n')
    to = tmp_path / "c.resight"
    assert call("--config", tmp_path / "my.toml", "index", photos, "--to", to)[0] == 0
    encoder = json.loads(call("info", to, "--json")[1])["encoder"]
    assert (encoder["descriptor"], encoder["size"], encoder["scales"]) == ("mac", 64, [1.0, 0.5])
    (tmp_path / "my.yaml").write_text("index:\n  descriptor: crow\n  size: 64\n")
    to = tmp_path / "d.resight"
    words = ["--config", tmp_path / "my.yaml", "index", photos, "--to", to, "--descriptor", "rmac"]
    assert call(*words)[0] == 0
    assert json.loads(call("info", to, "--json")[1])["encoder"]["descriptor"] == "rmac"  # the flag wins
    (tmp_path / "bad.toml").write_text('[index]\ndescriptr = "mac"\n')
    code, _, err = call("--config", tmp_path / "bad.toml", "index", photos, "--to", tmp_path / "e.resight")
    assert code == 2
    assert "descriptor" in err
    assert not (tmp_path / "e.resight").exists()


BAD = [
    (["indxe"], 2, "index"),
    (["index", "{photos}"], 2, "--to"),
    (["index", "--to", "{tmp}/x"], 2, "SOURCES"),
    (["index", "{photos}", "--to", "{tmp}/x", "--bakbone", "a"], 2, "--backbone"),
    (["index", "{photos}", "--to", "{tmp}/x", "--backbone", "resnet5O"], 2, "resnet50"),
    (["index", "{photos}", "--to", "{tmp}/x", "--backbone", "resnet50"], 2, "no package carries weights"),
    (["index", "{photos}", "--to", "{tmp}/x", "--descriptor", "gme"], 2, "did you mean 'gem'"),
    (["index", "{photos}", "--to", "{tmp}/x", "--weights", "{tmp}/none.pth"], 2, "does not exist"),
    (["index", "{photos}", "--to", "{tmp}/x", "--size", "3"], 2, "32..4096"),
    (["index", "{photos}", "--to", "{tmp}/x", "--fit", "squish"], 2, "squash"),
    (["index", "{photos}", "--to", "{tmp}/x", "--device", "gpu9"], 2, "not available"),
    (["index", "{tmp}/phtos", "--to", "{tmp}/x"], 2, "photos"),
    (["index", "{tmp}/empty", "--to", "{tmp}/x"], 2, "no images"),
    (["index", "{photos}", "--to", "{tmp}/text"], 2, "already there"),
    (["index", "{photos}", "--to", "{tmp}/c.resight", "--descriptor", "mac"], 2, "'spoc'"),
    (["index", "{photos}", "--to", "{tmp}/c.resight", "--whiten", "99"], 2, "at most 24"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/none"], 2, "no collection"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/foreign"], 1, "not a resight collection"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/damaged"], 1, "not a readable collection"),
    (["search", "{photos}/a/99.jpg", "--in", "{tmp}/c.resight"], 2, "99.jpg"),
    (["search", "{tmp}/bad.jpg", "--in", "{tmp}/c.resight"], 1, "bad.jpg"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/c.resight", "-k", "0"], 2, "at least 1"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/c.resight", "--box", "1,2,3"], 2, "x1,y1,x2,y2"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/c.resight", "--box", "500,0,600,9"], 2, "80"),
    (["search", "{photos}/a", "--in", "{tmp}/c.resight", "--box", "0,0,9,9"], 2, "exactly one query"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/c.resight", "--sheet", "{tmp}/x.txt"], 2, ".png"),
    (["search", "{photos}/a/0.jpg", "--in", "{tmp}/c.resight", "--html", "{tmp}/no/where.html"], 1, "no"),
    (["evaluate", "{tmp}/c.resight", "--labels", "csv:{tmp}/none.csv"], 2, "none.csv"),
    (["evaluate", "{tmp}/c.resight", "--labels", "foldr"], 2, "folder"),
    (["evaluate", "{tmp}/c.resight", "-k", "0"], 2, "k"),
    (["remove", "{tmp}/c.resight"], 2, "nothing to remove"),
    (["remove", "{tmp}/c.resight", "{tmp}/else.jpg"], 2, "is not in"),
    (["info", "{tmp}/half"], 1, "cut short"),
    (["--config", "{tmp}/none.toml", "info", "{tmp}/c.resight"], 2, "none.toml"),
]


@pytest.mark.parametrize(
    ("words", "code", "message"), BAD, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else ""
)
def test_doors(tmp_path, photos, indexed, call, words, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    (tmp_path / "text").write_text("a file in the way")
    (tmp_path / "bad.jpg").write_bytes(b"<!doctype html><html></html>")
    for name, content in (("damaged", b"rubbish" * 1000), ("foreign", None), ("half", None)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "collection.sqlite"
        if content is not None:
            file.write_bytes(content)
        elif name == "foreign":
            import sqlite3

            with sqlite3.connect(file) as db:
                db.execute("CREATE TABLE x (y)")
        else:
            from resight.search.records import Records

            Records(file, create=True).close()
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    got, out, err = call(*[word.format(tmp=tmp_path, photos=photos) for word in words])
    assert (got, "" if "--html" in words else out) == (code, "")  # a ranking is shown even if no page can be written
    problems = [line for line in err.splitlines() if line.startswith("resight: ")]
    assert len(problems) == 1
    assert message in problems[0]
    after = [p for p in sorted(str(p) for p in tmp_path.rglob("*")) if "c.resight" not in p]
    assert after == [p for p in before if "c.resight" not in p]  # nothing half-written


def test_strict_and_all_failed(tmp_path, photos, call):
    (photos / "bad.png").write_bytes(b"junk")
    assert call("index", photos, "--to", tmp_path / "c", *SMALL, "--strict")[0] == 1
    assert call("index", photos / "bad.png", "--to", tmp_path / "d", *SMALL)[0] == 1


def test_hostile_file_names_are_printed_and_shown_harmlessly(tmp_path, call):
    folder = tmp_path / "p"
    folder.mkdir()
    names = ['<script>alert(1)">.jpg', "new\nline.jpg", "日本.jpg", os.fsdecode(b"\xff\xfe.jpg"), "[x]*?.jpg"]
    for number, name in enumerate(names):
        Image.fromarray(picture(number)).save(tmp_path / "plain.jpg")
        (tmp_path / "plain.jpg").rename(folder / name)
    assert call("index", folder, "--to", tmp_path / "c", *SMALL)[0] == 0
    page = tmp_path / "o.html"
    words = [sys.executable, "-m", "resight", "search", str(folder), "--in", str(tmp_path / "c"), "--html", str(page)]
    done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "<script>alert" not in page.read_text()
    for name in names:
        assert call("remove", tmp_path / "c", folder / name)[0] == 0


def test_a_pipe_that_closes_is_no_error(indexed, photos):
    words = f"{sys.executable} -m resight search {photos} --in {indexed} | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == str(photos / "a" / "0.jpg")


def test_help_names_every_command():
    done = subprocess.run([sys.executable, "-m", "resight", "--help"], capture_output=True, text=True, check=True)
    for command in ("index", "search", "evaluate", "info", "sync", "remove", "verify", "demo"):
        assert f" {command} " in done.stdout


def test_version():
    import resight

    done = subprocess.run([sys.executable, "-m", "resight", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == resight.__version__


def test_two_processes_may_make_the_same_collection(tmp_path, photos):
    """Both images' makers end well and nothing of either is lost, whoever was first."""
    to = tmp_path / "race.resight"
    words = [sys.executable, "-m", "resight", "index", "--to", str(to), *SMALL]
    both = [subprocess.Popen([*words, str(photos / name)], stderr=subprocess.PIPE) for name in ("a", "b")]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    from resight import Collection

    with Collection.open(to) as collection:
        assert len(collection) == 12
        assert collection.verify() == []


def test_many_single_images_are_one_source(tmp_path, photos, call):
    files = sorted((photos / "b").glob("*.png"))
    code, out, _ = call("index", *files, "--to", tmp_path / "c", *SMALL)
    assert code == 0
    assert "6 images (6 added)" in out
    files[0].unlink()
    code, out, _ = call("sync", tmp_path / "c")
    assert (code, "1 vanished" in out) == (0, True)


def test_several_scales_and_depths_in_one_flag(tmp_path, photos, call):
    assert call("index", photos, "--to", tmp_path / "c", *SMALL, "--scales", 1, 0.7071)[0] == 0
    assert json.loads(call("info", tmp_path / "c", "--json")[1])["encoder"]["scales"] == [1.0, 0.7071]
    scores = json.loads(call("evaluate", tmp_path / "c", "-k", 1, 3, "--json")[1])
    assert scores["precision"].keys() == {"1", "3"}


def test_whitening_is_checked_before_anything_is_indexed(tmp_path, photos, call):
    for dim, words in ((0, "1 to 1280"), (-1, "1 to 1280"), (5000, "1 to 1280"), (12, "at most 12")):
        code, _, err = call("index", photos, "--to", tmp_path / "c", *SMALL, f"--whiten={dim}")
        assert code == 2
        assert words in err
    assert json.loads(call("info", tmp_path / "c", "--json")[1])["images"] == 0
    code, out, _ = call("index", photos, "--to", tmp_path / "c", "--whiten", 11)
    assert code == 0
    assert "whitened to 11 dimensions, fitted on itself (12 images)" in out


def test_config_tables_and_broken_files_are_named(tmp_path, photos, call):
    (tmp_path / "a.toml").write_text('[indx]\ndescriptor = "rmac"\n')
    (tmp_path / "b.toml").write_text("[index\n")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    for name, words in (("a.toml", "did you mean 'index'"), ("b.toml", "b.toml"), ("c.yaml", "c.yaml")):
        code, _, err = call("--config", tmp_path / name, "info", tmp_path)
        assert code == 2
        assert words in err


def test_one_bad_query_among_several(indexed, photos, tmp_path, call):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    code, out, err = call("search", tmp_path / "bad.jpg", photos / "a" / "0.jpg", "--in", indexed, "-k", 1, "--json")
    assert code == 1
    assert "bad.jpg" in err
    answer = json.loads(out)
    assert [query["results"][0]["path"] for query in answer["queries"]] == [str(photos / "a" / "0.jpg")]
    assert answer["failed"][0]["query"] == str(tmp_path / "bad.jpg")


def test_only_the_device_may_be_given_again(indexed, photos, call):
    assert call("index", photos, "--to", indexed, "--device", "cpu")[0] == 0


def test_control_characters_do_not_reach_the_terminal(tmp_path, call):
    (tmp_path / "p").mkdir()
    Image.fromarray(picture(1)).save(tmp_path / "p" / "a\x1b[31m\u202e\n.png")
    call("index", tmp_path / "p", "--to", tmp_path / "c", *SMALL)
    _, out, _ = call("search", tmp_path / "p", "--in", tmp_path / "c")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 2


def test_animations_are_noted(tmp_path, photos, call):
    frames = [Image.fromarray(picture(n)) for n in range(3)]
    frames[0].save(photos / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    call("index", photos, "--to", tmp_path / "c", *SMALL)
    notes = json.loads(call("info", tmp_path / "c", "--notes", "--json")[1])["notes"]
    assert notes == [{"path": str(photos / "a" / "moving.gif"), "note": "first of 3 frames"}]
    assert "moving.gif: first of 3 frames" in call("info", tmp_path / "c", "--notes")[1]


def test_every_bad_query_is_named(indexed, tmp_path, call):
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).write_bytes(b"x")
    code, out, err = call("search", tmp_path / "x.jpg", tmp_path / "y.jpg", "--in", indexed)
    assert (code, out) == (1, "")
    assert "x.jpg" in err
    assert "y.jpg" in err


def test_labels_as_stored_at_indexing(tmp_path, photos, call):
    rows = [f"{path},{number % 2}" for number, path in enumerate(sorted(photos.rglob("*.*g")))]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(rows))
    assert call("index", tmp_path / "list.csv", "--to", tmp_path / "c", *SMALL)[0] == 0
    assert json.loads(call("evaluate", tmp_path / "c", "--labels", "stored", "--json")[1])["per_label"].keys() == {
        "0",
        "1",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--descriptor", "gem", "--n-pca", 3], "--n-pca belongs to --part-whiten with the descriptor cam, got no"),
        (["--descriptor", "rmac", "--part-whiten", 4, "--part-whiten-from", "{photos}", "--n-pca", 3],
         "--n-pca belongs to --part-whiten with the descriptor cam, got the descriptor rmac"),
        (["--descriptor", "cam", "--part-whiten", 4, "--part-whiten-from", "{photos}", "--n-pca", 0],
         "--n-pca must be at least 1"),
        (["--whiten-how", "learned"], "--whiten-how learned needs --whiten DIMENSIONS"),
    ],
)  # fmt: skip
def test_index_refuses_what_would_do_nothing(photos, tmp_path, call, words, message):
    words = [str(photos) if word == "{photos}" else word for word in words]
    code, out, err = call("index", photos, "--to", tmp_path / "n.resight", *words)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "n.resight").exists()


def test_a_choice_without_a_close_one_is_said_plainly(indexed, photos, call):
    _, _, err = call("search", photos / "a" / "0.jpg", "--in", indexed, "--then", "")
    assert "unknown step '' (choices: " in err
