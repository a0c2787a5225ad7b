"""Kept maps: what comes back, what is not believed, and that no failure of the file changes a result."""

import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import resight
from resight.features.look import Look
from resight.search.after import Clock
from resight.search.kept_maps import MAPS_FILE, KeptMaps, as_kept

pytestmark = pytest.mark.usefixtures("one_thread")


def look(seed=0, channels=6, height=3, width=4, source=False):
    draw = torch.Generator().manual_seed(seed)
    maps = 10 * torch.rand(1, channels, height, width, generator=draw)
    maps[maps < 2] = 0
    return Look(maps, torch.rand(1, 5, 2, 2, generator=draw) if source else maps)


def filled(file, count=5, seen="net", source=False):
    kept = KeptMaps(file, seen)
    kept.put([(i, f"sha{i}", look(i, source=source)) for i in range(count)])
    return kept


@pytest.mark.parametrize("source", [False, True])
def test_what_was_kept_comes_back_in_another_process_life(tmp_path, source):
    filled(tmp_path / "m", source=source).close()
    kept = KeptMaps(tmp_path / "m", "net")
    found = kept.get([(i, f"sha{i}") for i in (3, 1)])
    assert sorted(found) == [1, 3]
    for i, one in found.items():
        made = look(i, source=source)
        scale = made.maps.max()
        np.testing.assert_allclose(one.maps, made.maps, atol=float(scale) / 2048)
        assert (one.maps == 0).equal(made.maps == 0)  # the channel weight of cam counts zeros
        np.testing.assert_allclose(one.source, made.source, atol=float(scale) / 2048)
        assert (one.source is one.maps) == (not source)
        assert one.maps.equal(as_kept(made).maps)
        assert one.source.equal(as_kept(made).source)


@given(st.integers(0, 99), st.floats(1e-20, 1e20))
def test_kept_twice_is_kept_once(seed, size):
    made = Look(look(seed).maps * size)
    once = as_kept(made)
    np.testing.assert_allclose(once.maps, made.maps, atol=float(made.maps.max()) / 2048)
    np.testing.assert_allclose(as_kept(once).maps, once.maps, rtol=1e-6)


def test_maps_of_zeros_and_of_signs(tmp_path):
    zero, signed = Look(torch.zeros(1, 2, 3, 3)), Look(look().maps - 5)
    kept = KeptMaps(tmp_path / "m", "net")
    kept.put([(1, "a", zero), (2, "b", signed)])
    found = kept.get([(1, "a"), (2, "b")])
    assert not found[1].maps.any()
    np.testing.assert_allclose(found[2].maps, signed.maps, atol=5 / 2048)


def test_another_file_or_another_network_is_not_used(tmp_path):
    filled(tmp_path / "m").close()
    kept = KeptMaps(tmp_path / "m", "net")
    assert kept.get([(1, "sha2"), (2, "sha2"), (9, "sha9")]).keys() == {2}
    assert kept.known([(1, "sha2"), (2, "sha2"), (9, "sha9")]) == {2}
    other = KeptMaps(tmp_path / "m", "another")
    assert other.get([(1, "sha1")]) == {}
    assert other.known([(1, "sha1")]) == set()
    other.put([(1, "sha1", look(50))])  # both live side by side
    assert kept.get([(1, "sha1")])[1].maps.equal(as_kept(look(1)).maps)
    kept.put([(1, "new", look(60))])
    assert kept.get([(1, "sha1")]) == {}
    assert kept.get([(1, "new")])[1].maps.equal(as_kept(look(60)).maps)


def test_a_reader_beside_a_writer(tmp_path):
    """Two connections, as of two processes: the reader sees what was there, then what is added, and never fails."""
    writer = filled(tmp_path / "m")
    reader = KeptMaps(tmp_path / "m", "net")
    writer._db.execute("BEGIN IMMEDIATE")
    assert reader.known([(i, f"sha{i}") for i in range(9)]) == set(range(5))
    writer._db.execute("COMMIT")
    writer.put([(7, "sha7", look(7))])
    assert reader.get([(7, "sha7")])[7].maps.equal(as_kept(look(7)).maps)


def test_a_writer_in_another_process(tmp_path):
    kept = filled(tmp_path / "m")
    code = (
        "import sys, torch; from pathlib import Path; from resight.features.look import Look\n"
        "from resight.search.kept_maps import KeptMaps\n"
        "kept = KeptMaps(Path(sys.argv[1]), 'net')\n"
        "for i in range(100, 140): kept.put([(i, f'sha{i}', Look(torch.full((1, 2, 2, 2), float(i))))])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "m")]) as writer:
        for i in range(200, 240):
            kept.put([(i, f"sha{i}", look(i))])
            assert len(kept.get([(i, f"sha{i}"), (3, "sha3")])) == 2
        assert writer.wait(timeout=120) == 0
    wanted = [(i, f"sha{i}") for i in (*range(5), *range(100, 140), *range(200, 240))]
    assert len(kept.get(wanted)) == 85


def damage(file, how, seed=0):
    data = bytearray(file.read_bytes())
    draw = np.random.default_rng(seed)
    if how == "noise":
        data = bytearray(draw.bytes(len(data)))
    elif how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    elif how == "middle":
        data[4096:] = draw.bytes(len(data) - 4096)
    elif how == "text":
        data = bytearray(b"not a database\n" * 900)
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["noise", "truncated", "empty", "middle", "text"])
@pytest.mark.parametrize("big", [False, True])
def test_a_damaged_file_is_thrown_away_and_made_again(tmp_path, how, big):
    file = tmp_path / "m"
    channels = 2000 if big else 6  # beyond a page of the file, and within
    kept = KeptMaps(file, "net")
    kept.put([(i, f"sha{i}", look(i, channels)) for i in range(30)])
    kept.close()
    damage(file, how)
    wanted = [(i, f"sha{i}") for i in range(30)]
    kept = KeptMaps(file, "net")
    for i, one in kept.get(wanted).items():  # whatever is still believed is right
        assert one.maps.equal(as_kept(look(i, channels)).maps)
    for _ in range(2):  # the first try may be what meets the damage
        kept.put([(i, f"sha{i}", look(i, channels)) for i in range(30)])
    assert kept.keeps
    assert len(kept.get(wanted)) == 30
    kept.close()
    assert len(KeptMaps(file, "net").get(wanted)) == 30


@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_one_changed_byte_never_gives_another_map(tmp_path_factory, place, value):
    file = tmp_path_factory.mktemp("byte") / "m"
    filled(file, 4).close()
    data = bytearray(file.read_bytes())
    data[place % len(data)] = value
    file.write_bytes(data)
    for i, one in KeptMaps(file, "net").get([(i, f"sha{i}") for i in range(4)]).items():
        assert one.maps.equal(as_kept(look(i)).maps)


@pytest.mark.parametrize(
    "change",
    [
        {"cells": b"short"}, {"cells": "text"}, {"k": -1, "h": -3}, {"k": "many"}, {"scale": None}, {"scale": "wide"},
        {"scale": 3.0}, {"h": 4, "w": 3}, {"source_k": 5}, {"source": b"xx"}, {"checksum": None}, {"k": 2**62},
    ],
    ids=str,
)  # fmt: skip
def test_a_row_that_does_not_fit_is_made_again(tmp_path, change):
    filled(tmp_path / "m", 2).close()
    db = sqlite3.connect(tmp_path / "m")
    for name, value in change.items():
        db.execute(f"UPDATE maps SET {name}=? WHERE id=1", (value,))
    db.commit()
    db.close()
    assert KeptMaps(tmp_path / "m", "net").get([(0, "sha0"), (1, "sha1")]).keys() == {0}


def test_a_row_of_the_right_checksum_and_the_wrong_kind_is_made_again(tmp_path):
    """Somebody else's file: nothing in it is believed to be what its columns say."""
    from resight.search.kept_maps import _checksum

    KeptMaps(tmp_path / "m", "net").close()
    db = sqlite3.connect(tmp_path / "m")
    rows = [(-1, -2, 3, 1.0, b"x" * 12), ("a", 1, 1, 1.0, b"xx"), (1, 1, 1, "b", b"xx"), (2, 1, 1, 1.0, b"xx")]
    for i, row in enumerate(rows):
        row = (*row, *[None] * 5)
        db.execute(f"INSERT INTO maps VALUES({','.join('?' * 14)})", (i, "net", "s", *row, _checksum(row)))
    db.commit()
    db.close()
    assert KeptMaps(tmp_path / "m", "net").get([(i, "s") for i in range(4)]) == {}


def test_another_version_of_the_file_is_replaced(tmp_path):
    db = sqlite3.connect(tmp_path / "m")
    db.execute("CREATE TABLE maps(id INTEGER, other TEXT)")
    db.commit()
    db.close()
    assert len(filled(tmp_path / "m").get([(1, "sha1")])) == 1


def test_a_full_disk_keeps_what_was_there_and_nothing_more(tmp_path):
    kept = filled(tmp_path / "m")
    pages = kept._db.execute("PRAGMA page_count").fetchone()[0]
    kept._db.execute(f"PRAGMA max_page_count={pages}")
    kept.put([(i, "x", look(i, 500)) for i in range(50, 60)])
    assert not kept.keeps
    assert kept.known([(50, "x")]) == set()
    assert len(kept.get([(i, f"sha{i}") for i in range(5)])) == 5
    kept.put([(70, "x", look())])  # and it does not try again
    assert len(KeptMaps(tmp_path / "m", "net").known([(i, f"sha{i}") for i in range(5)])) == 5


def test_past_the_limit_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("resight.search.kept_maps.MOST_BYTES", 1000)
    kept = filled(tmp_path / "m")
    assert not kept.keeps
    assert kept.known([(1, "sha1")]) == set()


def test_a_busy_file_of_another_process_is_not_deleted(tmp_path, monkeypatch):
    filled(tmp_path / "m").close()
    kept = KeptMaps(tmp_path / "m", "net")

    def busy(*_, **__):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("resight.search.kept_maps.sqlite3.connect", busy)
    turned_away = KeptMaps(tmp_path / "m", "net")
    assert not turned_away.keeps
    assert turned_away.get([(1, "sha1")]) == {}
    turned_away.put([(1, "sha1", look())])
    assert len(kept.get([(1, "sha1")])) == 1


def test_no_folder_and_a_folder_in_its_place_keep_nothing(tmp_path):
    for file in (tmp_path / "none" / "m", tmp_path):
        kept = filled(file)
        assert not kept.keeps
        assert kept.known([(1, "sha1")]) == set()
        kept.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_may_not_be_written_keeps_nothing(tmp_path):
    tmp_path.chmod(0o500)
    kept = filled(tmp_path / "m")
    tmp_path.chmod(0o700)
    assert not kept.keeps
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def cam():
    return resight.Encoder(descriptor="cam:count=4", size=64)


@pytest.fixture
def described(tmp_path, photos, cam):
    with resight.Collection.create(tmp_path / "c.resight", cam) as made:
        made.add(photos)
        yield made


def answers(collection, photos, step="cam-online:count=4"):
    return [collection.search(photos / name, 12, then=[step]) for name in ("a/0.jpg", "b/7.png")]


def test_results_are_the_same_whatever_happens_to_the_file(described, photos, monkeypatch):
    """Made afresh, kept, damaged, full, impossible to open: the same rankings."""
    first = answers(described, photos)
    assert answers(described, photos) == first
    with resight.Collection.open(described.path) as again:
        assert answers(again, photos) == first
    described._kept.close()
    described._kept = None
    file = described.path / MAPS_FILE
    for how in ("noise", "truncated", "middle"):
        damage(file, how)
        assert answers(described, photos) == first
        described._kept.close()
        described._kept = None
    file.unlink()
    monkeypatch.setattr("resight.search.kept_maps.MOST_BYTES", -1)
    assert answers(described, photos) == first
    described._kept = KeptMaps(described.path / "nowhere" / "m", "net")
    assert answers(described, photos) == first


def test_an_image_is_looked_at_once(described, photos, cam, monkeypatch):
    """The maps of a collection are made once: by `prepare`, by a query, after a reopening."""
    after = described.after(["cam-online:count=4"])
    after.prepare()
    seen = []
    plain = type(cam).look_fitted

    def count(self, images):
        seen.extend(images)
        return plain(self, images)

    monkeypatch.setattr(type(cam), "look_fitted", count)
    ranking = described.search(photos / "a" / "0.jpg", 12)
    after(ranking)
    after(ranking)
    assert len(seen) == 2  # the query, each time


def test_without_room_the_collection_is_not_looked_at_in_vain(described, photos, cam, monkeypatch):
    """If nothing can be kept, making all maps before each query would double the work for nothing."""
    described._kept = KeptMaps(described.path / "nowhere" / "m", "net")
    monkeypatch.setattr(type(described._views()), "looks", lambda self, ids: [None] * len(ids))
    monkeypatch.setattr("resight.search.views.encode_stream", None)
    act = described.after(["cam-online:count=4"])._acts[0]
    act.prepare()
    found, note = act(described.search(photos / "a" / "0.jpg", 12), Clock())
    assert note == "12 image files could not be read"
    assert len(found) == 12


def test_a_changed_image_is_looked_at_again(described, photos, monkeypatch):
    from PIL import Image
    from samples import picture

    answers(described, photos)
    target = photos / "a" / "3.jpg"
    Image.fromarray(picture(99)).save(target)
    os.utime(target, (1, 1))
    described.add(photos)
    found = described.search(target, 12, then=["cam-online:count=4"])
    assert found.paths[0] == str(target)
    assert found.scores[0] == pytest.approx(1, abs=1e-3)
