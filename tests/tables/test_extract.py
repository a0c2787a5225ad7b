"""A table of a folder: right rows in order, resumable from any moment, nothing lost and nothing computed twice."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.images import read_image
from resight.tables import extract as module
from resight.tables import open_table
from resight.tables.columns import META
from resight.tables.extract import extract

SMALL = EncoderConfig("test_resnet", weights="random", size=64, device="cpu")


def run(photos, to, wanted="gem", **options):
    return extract(photos, to, wanted, network=SMALL, **options)


def content(path):
    return open_table(path).table().to_pydict()


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        if name in META:
            assert one[name] == other[name], name
        else:
            np.testing.assert_array_equal(np.array(one[name], float), np.array(other[name], float), name)


def test_rows_are_the_images_in_order_with_what_is_known_of_them(photos, tmp_path):
    report = run(photos, tmp_path / "t.parquet", "gem,layer:layer2")
    found = content(tmp_path / "t.parquet")
    assert (report.rows, report.extracted, report.reused, report.failed) == (12, 12, 0, 0)
    assert found["path"] == [str(photos / name) for name in [*(f"a/{i}.jpg" for i in range(6)), "b/10.png", "b/11.png",
                                                           *(f"b/{i}.png" for i in range(6, 10))]]  # fmt: skip
    assert found["label"] == ["a"] * 6 + ["b"] * 6
    assert set(found["width"]) == {80} and set(found["height"]) == {60} and set(found["status"]) == {"ok"}
    assert found["sha256"][0] == hashlib.sha256((photos / "a/0.jpg").read_bytes()).hexdigest()
    encoder = Encoder.from_config(SMALL)
    expected = encoder.encode_many([read_image(path) for path in found["path"]])
    np.testing.assert_allclose(np.array(found["gem:test_resnet"]), expected, atol=1e-6)


def test_the_table_says_how_it_was_made(photos, tmp_path):
    run(photos, tmp_path / "t.parquet")
    metadata = open_table(tmp_path / "t.parquet").schema.metadata
    (made,) = metadata["extractors"]
    assert made["weights"] == Encoder.from_config(SMALL).backbone.hash and made["size"] == 64
    assert set(metadata["decoder"]) == {"Pillow", "torchvision"} and metadata["resight"]
    assert json.loads(pq.read_metadata(tmp_path / "t.parquet").metadata[b"resight"])["metadata"] == metadata


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy"])
def test_again_computes_only_what_is_new_or_changed(photos, tmp_path, suffix):
    to = tmp_path / f"t{suffix}"
    run(photos, to)
    before = content(to)
    assert run(photos, to).reused == 12
    same(content(to), before)
    os.utime(photos / "a/0.jpg", (1, 1))  # another date, the same bytes
    Image.fromarray(picture(99)).save(photos / "b/7.png")
    Image.fromarray(picture(98)).save(photos / "b/99.png")
    (photos / "a/1.jpg").unlink()
    report = run(photos, to)
    assert (report.rows, report.extracted, report.reused) == (12, 2, 10)
    fresh = tmp_path / f"fresh{suffix}"
    run(photos, fresh)
    same(content(to), content(fresh))


@pytest.mark.parametrize("labels", ["folder", "none"])
def test_arff_has_the_features_and_the_class(photos, tmp_path, labels):
    report = run(photos, tmp_path / "t.arff", "gem,fractal:set=mink-44", labels=labels)
    found = content(tmp_path / "t.arff")
    assert report.extracted == 12 and len(found["MinkLAC1"]) == 12
    assert found.get("label") == (["a"] * 6 + ["b"] * 6 if labels == "folder" else None)


def test_a_restart_over_a_finished_table_keeps_what_was_computed_since(photos, tmp_path, monkeypatch):
    run(photos, tmp_path / "t.parquet")
    Image.fromarray(picture(99)).save(photos / "b/7.png")

    def fail(*_):
        raise KeyboardInterrupt

    for computed in (1, 0):
        with monkeypatch.context() as patched:
            patched.setattr(module, "_assemble", fail)
            before = len(list((tmp_path / "t.parquet.parts").glob("*.arrow")))
            with pytest.raises(KeyboardInterrupt):
                run(photos, tmp_path / "t.parquet")
            after = len(list((tmp_path / "t.parquet.parts").glob("*.arrow")))
        assert (after > before) == bool(computed)
    assert run(photos, tmp_path / "t.parquet").extracted == 0
    run(photos, tmp_path / "fresh.parquet")
    same(content(tmp_path / "t.parquet"), content(tmp_path / "fresh.parquet"))


def test_images_without_a_value_are_counted(photos, tmp_path):
    report = run(photos, tmp_path / "t.parquet", "fractal:scales=3:61:2,percolation=no")
    assert report.gaps == 12  # 60 pixels high
    assert run(photos, tmp_path / "u.parquet", "fractal:scales=3:59:2,percolation=no").gaps == 0


def test_two_names_that_would_be_one(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for name in (b"bad\xff.png", rb"bad\xff.png"):
        try:
            Image.fromarray(picture(len(name))).save(folder / os.fsdecode(name))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(InputError, match="would have the same path"):
        run(folder, tmp_path / "t.parquet")


def test_other_features_are_computed_anew(photos, tmp_path):
    run(photos, tmp_path / "t.parquet")
    assert run(photos, tmp_path / "t.parquet", "gem,spoc").extracted == 12
    assert "spoc:test_resnet" in content(tmp_path / "t.parquet")


def test_a_bad_image_is_a_row(photos, tmp_path):
    (photos / "a/2.jpg").write_bytes(b"")
    (photos / "b/8.png").write_bytes((photos / "b/8.png").read_bytes()[:60])
    report = run(photos, tmp_path / "t.parquet")
    found = content(tmp_path / "t.parquet")
    assert (report.extracted, report.failed) == (10, 2)
    assert [reason for _, reason in report.failures] == [found["error"][2], found["error"][10]]
    assert found["status"][2] == "failed" and found["error"][2] == "the file is empty"
    assert np.isnan(found["gem:test_resnet"][2]).all() and found["width"][2] is None
    Image.fromarray(picture(2)).save(photos / "a/2.jpg")  # mended: it is tried again, the other too
    report = run(photos, tmp_path / "t.parquet")
    assert (report.extracted, report.reused, report.failed) == (1, 10, 1)


def test_same_names_in_two_folders_and_all_kinds_of_pixels(tmp_path):
    folder = tmp_path / "mixed"
    for place, image in {
        "x/1.png": Image.fromarray(picture(0)),
        "y/1.png": Image.fromarray(picture(1)).convert("L"),
        "y/rgba.png": Image.fromarray(picture(2)).convert("RGBA"),
        "y/deep.png": Image.fromarray((np.arange(4800).reshape(60, 80) * 13).astype(np.uint16)),
        "y/odd.png": Image.fromarray(picture(3, 31, 97)),
    }.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / place)
    report = run(folder, tmp_path / "t.parquet")
    found = content(tmp_path / "t.parquet")
    assert report.extracted == 5 and len(set(found["path"])) == 5
    assert len({tuple(row) for row in found["gem:test_resnet"]}) == 5


def test_names_that_are_hard_to_hold(tmp_path):
    folder = tmp_path / "hard"
    folder.mkdir()
    for name in (b"a,b 'c' \"d\".png", "\u5199\n.png".encode(), b"\xff.png"):
        try:
            Image.fromarray(picture(len(name))).save(folder / os.fsdecode(name))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    for suffix in (".parquet", ".csv"):
        assert run(folder, tmp_path / f"t{suffix}").extracted == 3
        assert run(folder, tmp_path / f"t{suffix}").reused == 3
        assert any(path.endswith("/\\xff.png") for path in content(tmp_path / f"t{suffix}")["path"])


def test_labels_and_splits_from_a_csv_and_from_folders(photos, tmp_path):
    (photos / "list.csv").write_text("path,label,split\na/0.jpg,cat,train\nb/6.png,dog,test\nb/7.png,,\n")
    run(photos / "list.csv", tmp_path / "t.parquet")
    found = content(tmp_path / "t.parquet")
    assert found["label"] == ["cat", "dog", None] and found["split"] == ["train", "test", None]
    (photos / "b").rename(photos / "valid")
    run(photos, tmp_path / "u.parquet", labels="none")
    found = content(tmp_path / "u.parquet")
    assert found["label"] == [None] * 12 and found["split"] == [None] * 6 + ["valid"] * 6
    run(photos, tmp_path / "v.parquet", labels=f"csv:{photos / 'list.csv'}")
    assert content(tmp_path / "v.parquet")["label"].count("cat") == 1


def test_a_changed_label_needs_no_computing(photos, tmp_path):
    run(photos, tmp_path / "t.parquet")
    for number in range(6):
        assert (photos / f"a/{number}.jpg").exists()
    report = run(photos, tmp_path / "t.parquet", labels="none")
    assert report.extracted == 0 and set(content(tmp_path / "t.parquet")["label"]) == {None}


SCRIPT = """
import sys
from resight.features.config import EncoderConfig
from resight.tables import extract as module
module.COMMIT_ROWS = 8
config = EncoderConfig("test_resnet", weights="random", size=64, device="cpu")
module.extract(sys.argv[1], sys.argv[2], "gem", network=config, progress=lambda done, failed: print(done, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_and_run_again_the_table_is_the_same(tmp_path, kill):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        Image.fromarray(picture(number, 200, 300)).save(folder / f"{number:03d}.png")
    to = tmp_path / "t.parquet"
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(to)], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    for line in child.stdout:
        if int(line) >= 24:
            child.send_signal(kill)
            break
    child.wait()
    assert not to.exists()
    report = run(folder, to)
    assert report.reused >= 24 and report.extracted == 300 - report.reused
    run(folder, tmp_path / "fresh.parquet")
    same(content(to), content(tmp_path / "fresh.parquet"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("t.", "."))] == ["t.parquet"]


def test_a_damaged_part_is_made_again(photos, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_assemble", fail)
        with pytest.raises(KeyboardInterrupt):
            run(photos, tmp_path / "t.parquet")
    for part in (tmp_path / "t.parquet.parts").glob("*.arrow"):
        part.write_bytes(part.read_bytes()[:500])
    assert run(photos, tmp_path / "t.parquet").extracted == 12


def test_two_at_the_same_table(photos, tmp_path):
    began, go_on = threading.Event(), threading.Event()

    def wait(done, failed):
        began.set()
        assert go_on.wait(60)

    first = threading.Thread(target=run, args=(photos, tmp_path / "t.parquet"), kwargs={"progress": wait})
    first.start()
    assert began.wait(60)
    with pytest.raises(InputError, match="is being made by another process"):
        run(photos, tmp_path / "t.parquet")
    go_on.set()
    first.join()
    assert len(content(tmp_path / "t.parquet")["path"]) == 12


@pytest.mark.parametrize(
    ("to", "wanted", "message"),
    [
        ("t.xlsx", "gem", "unknown format"),
        ("no/such/t.parquet", "gem", "does not exist"),
        ("t.parquet", "gme", "did you mean 'gem'"),
    ],
)
def test_wrong_wishes_leave_nothing(photos, tmp_path, to, wanted, message):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        run(photos, tmp_path / to, wanted)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_images(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images found \(1 other files were left out\)"):
        run(tmp_path / "empty", tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_another_file_of_that_name_is_replaced_only_by_a_whole_table(photos, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"not a table")
    assert run(photos, tmp_path / "t.parquet").extracted == 12
    assert pq.read_metadata(tmp_path / "t.parquet").num_rows == 12
