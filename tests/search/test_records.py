from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from resight.errors import InputError, WorkError
from resight.search.records import Records
from resight.search.store import Item, Where


def item(path, value=1.0, **more):
    return Item(path=path, vector=np.full(4, value, np.float32), **more)


@pytest.fixture
def records(tmp_path):
    made = Records(tmp_path / "collection.sqlite", create=True)
    yield made
    made.close()


def everything(records, since=0):
    last, void, batches = records.changes(since)
    found = [
        (int(i), np.frombuffer(blob, np.float32)[0].item()) for ids, blobs in batches for i, blob in zip(ids, blobs)
    ]
    return last, void.tolist(), found


def test_a_row_comes_back_as_it_went_in(records):
    full = item("/a/b.jpg", 2.5, label="b", size=7, mtime_ns=10**18, sha256="ab", width=3, height=4, note="first of 2")
    (i,) = records.put([full])
    (back,) = records.get([i], vectors=True)
    assert back.vector.tolist() == [2.5] * 4
    for name in ("path", "label", "size", "mtime_ns", "sha256", "width", "height", "status", "error", "note"):
        assert getattr(back, name) == getattr(full, name)
    assert records.find(["/a/b.jpg", "/a/c.jpg"]).keys() == {"/a/b.jpg"}


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE images; --", 'x".jpg', "日本\u202e.jpg", "a\nb.jpg", "", "%s{0}", os.fsdecode(b"\xff\xfe.jpg")],
)
def test_hostile_names_are_just_data(records, name):
    (i,) = records.put([item("/p/" + name, label=name)])
    assert records.find(["/p/" + name])["/p/" + name].id == i
    assert [x.path for x in records.scan(Where(label=name))] == ["/p/" + name]
    (failed,) = records.put([Item(path="/q/" + name, status="failed", error=name)])
    assert records.get([failed])[0].error == name


def test_a_path_keeps_its_id_and_a_removed_one_is_never_given_again(records):
    (first, second) = records.put([item("/a"), item("/b")])
    assert records.put([item("/a", 3.0)]) == [first]
    assert records.remove([second]) == 1
    assert records.remove([second]) == 0
    (third,) = records.put([item("/b")])
    assert third not in (first, second)


def test_changes_are_what_happened_since(records):
    a, b = records.put([item("/a", 1.0), item("/b", 2.0)])
    seq, void, found = everything(records)
    assert (void, found) == ([a, b], [(a, 1.0), (b, 2.0)])
    (c,) = records.put([item("/c", 3.0)])
    records.put([item("/a", 9.0)])
    records.remove([b])
    after, void, found = everything(records, seq)
    assert after == seq + 3
    assert (void, found) == ([a, b, c], [(a, 9.0), (c, 3.0)])
    assert everything(records, after) == (after, [], [])


def test_a_good_image_that_becomes_unreadable_loses_its_vector(records):
    (a,) = records.put([item("/a")])
    seq = records.seq()
    records.put([Item(path="/a", status="failed", error="truncated")])
    assert everything(records, seq)[1:] == ([a], [])
    assert records.check(16) == []
    assert (records.count(Where(status="ok")), records.count(Where(status="failed"))) == (0, 1)


def test_conditions_combine_and_globs_match_whole_paths(records):
    records.put([item("/x/1.jpg", label="cat"), item("/x/2.jpg", label="dog"), item("/y/[1].jpg", label="cat")])
    paths = lambda **w: [i.path for i in records.scan(Where(**w))]  # noqa: E731
    assert paths(label="cat") == ["/x/1.jpg", "/y/[1].jpg"]
    assert paths(label="cat", path="/x/*") == ["/x/1.jpg"]
    assert paths(path="x/*") == []
    assert paths(path="/y/[[]1].jpg") == ["/y/[1].jpg"]
    assert records.ids(Where(label="dog")).tolist() == [2]


def test_a_put_is_all_or_nothing(records):
    with pytest.raises(WorkError):
        records.put([item("/a"), Item(path="/b", status="nonsense")])
    assert records.count(Where()) == 0
    assert records.seq() == 0


def test_scan_and_get_cross_their_batches(records, monkeypatch):
    monkeypatch.setattr("resight.search.records.BATCH", 3)
    monkeypatch.setattr("resight.search.records.MOST_VARIABLES", 2)
    ids = records.put([item(f"/{n}", float(n)) for n in range(10)])
    assert [i.path for i in records.scan(Where())] == [f"/{n}" for n in range(10)]
    assert [i.path for i in records.get(ids[::-1])] == [f"/{n}" for n in range(9, -1, -1)]
    assert len(records.find([f"/{n}" for n in range(10)])) == 10
    assert [v for _, v in everything(records)[2]] == [float(n) for n in range(10)]


def test_an_unknown_id_is_named(records):
    with pytest.raises(InputError, match="no image with id 77"):
        records.get([77])


def test_check_finds_what_is_missing(records):
    a, b = records.put([item("/a"), item("/b")])
    assert records.check(16) == []
    assert records.check(20) == ["2 vectors of a wrong length"]
    with sqlite3.connect(records.file) as db:
        db.execute("DELETE FROM vectors WHERE id = ?", (a,))
        db.execute("DELETE FROM images WHERE id = ?", (b,))
    assert records.check(16) == ["1 images without a vector", "1 vectors without an image"]


def test_foreign_and_damaged_files_say_so(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(WorkError, match="not a resight collection"):
        Records(other)
    (tmp_path / "text").write_text("hello, this is not a database at all" * 100)
    with pytest.raises(WorkError, match="not a readable collection"):
        Records(tmp_path / "text")
    good = Records(tmp_path / "good", create=True)
    good.put([item(f"/{n}") for n in range(2000)])
    good.close()
    data = bytearray((tmp_path / "good").read_bytes())
    data[20_000:60_000] = b"\x5a" * 40_000
    (tmp_path / "good").write_bytes(data)
    with pytest.raises(WorkError, match="not a readable collection"):
        Records(tmp_path / "good").check(16)
    newer = Records(tmp_path / "newer", create=True)
    newer._db.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(WorkError, match="format 99"):
        Records(tmp_path / "newer")


def test_every_commit_is_durable(records):
    assert records._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert records._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    again = Records(records.file)
    assert again._db.execute("PRAGMA synchronous").fetchone() == (2,)
    again.close()


def test_read_only_media_can_be_searched_but_not_written(records, monkeypatch):
    records.put([item("/a")])
    records._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    monkeypatch.setattr("resight.search.records.os.access", lambda *_: False)
    reader = Records(records.file)
    assert reader.count(Where()) == 1
    with pytest.raises(WorkError, match="no permission to write"):
        reader.put([item("/b")])
    reader.close()


READER = """
import os, sys, numpy
from pathlib import Path
from resight.errors import WorkError
from resight.search.records import Records
from resight.search.store import Where
os.setuid(65534)  # nobody: may read, may not write
try:
    records = Records(Path(sys.argv[1]))
    print(records.count(Where()), records.readonly)
except WorkError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become somebody else")
def test_somebody_without_permission_reads_what_was_committed(tmp_path):
    """Beside a living writer, after one that was killed, and on a tidy file."""
    folder = tmp_path / "open"
    folder.mkdir()
    for place in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in place.parents:
            place.chmod(0o755)

    def look():
        done = subprocess.run([sys.executable, "-c", READER, folder / "r"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    writer = Records(folder / "r", create=True)
    writer.put([item(f"/{n}") for n in range(5)])
    assert look() == "5 True"
    log = (folder / "r-wal").read_bytes()
    writer.close()
    assert look() == "5 True"
    (folder / "r-wal").write_bytes(log)  # as a killed writer leaves it
    (folder / "r-shm").unlink(missing_ok=True)
    assert "resight verify" in look()  # and not a wrong number
