"""What a collection begins with, its sources, which images a removal means, facts."""

import json

import numpy as np
import pytest

from resight import Encoder
from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening
from resight.search.adding import AddReport
from resight.search.embedded import create_store
from resight.search.store import Item, Where
from resight.search.upkeep import described_more, facts, first_record, forget_sources, ids_matching, remember_source

PATHS = ("/p/a/1.jpg", "/p/a/2.jpg", "/p/ab/3.jpg", "/p/[x]/4.jpg", "/p/x/5.jpg", "/q/6.jpg")


@pytest.fixture
def store(tmp_path):
    made = create_store(tmp_path / "s", {"dim": b"2", "uuid": b"1", "space": b"s", "sources": b"[]", "made_by": b"me"})
    vectors = np.eye(2, dtype=np.float32)
    made.put([Item(path=p, label=p.split("/")[-2], vector=vectors[i % 2]) for i, p in enumerate(PATHS)])
    made.put([Item(path="/p/a/bad.jpg", status="failed", error="damaged")])
    yield made
    made.close()


def named(store, ids):
    return {item.path for item in store.get(sorted(ids))}


@pytest.mark.parametrize(
    ("paths", "where", "expected"),
    [
        (["/p/a"], Where(), {"/p/a/1.jpg", "/p/a/2.jpg", "/p/a/bad.jpg"}),  # and not /p/ab
        (["/p/a/"], Where(), {"/p/a/1.jpg", "/p/a/2.jpg", "/p/a/bad.jpg"}),
        ("/p/a/1.jpg", Where(), {"/p/a/1.jpg"}),
        (["/p/a/../ab/3.jpg"], Where(), {"/p/ab/3.jpg"}),
        (["/p/[x]"], Where(), {"/p/[x]/4.jpg"}),  # brackets of a folder's name are no pattern
        (["/p/a/1.jpg", "/q"], Where(), {"/p/a/1.jpg", "/q/6.jpg"}),
        (["/p"], Where(label="a"), {"/p/a/1.jpg", "/p/a/2.jpg"}),
        (["/p/a"], Where(path="*/2.jpg"), {"/p/a/2.jpg"}),
        (["/p/a"], Where(label="q"), set()),
        ([], Where(label="q"), {"/q/6.jpg"}),
        ([], Where(label="a", path="*1*"), {"/p/a/1.jpg"}),
        ([], Where(), set()),  # nothing named, nothing meant
    ],
)
def test_which_images_a_removal_means(store, paths, where, expected):
    assert named(store, ids_matching(store, paths, where, "c")) == expected


@pytest.mark.parametrize("path", ["/p/b", "/p/a/9.jpg", "/p/?", "/p/*"])
def test_a_path_that_is_not_there_is_said(store, path):
    with pytest.raises(InputError, match=r"is not in photos, nor is anything below it"):
        ids_matching(store, ["/p/a", path], Where(), "photos")


def test_sources_are_remembered_by_their_whole_name(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "one.jpg").write_bytes(b"x")
    (tmp_path / "LIST.CSV").write_text("path\n")
    for source in ("photos", "~/more/*.jpg", "one.jpg", "LIST.CSV", "photos"):
        remember_source(store, source, "folder")
    remember_source(store, "photos", "none")  # how it is labelled may change
    kept = dict(json.loads(store.meta("sources")))
    assert kept == {
        str(tmp_path / "photos"): "none", str(tmp_path / "more/*.jpg"): "folder", str(tmp_path / "LIST.CSV"): "folder",
    }  # fmt: skip  # a single image is looked after by its own row
    forget_sources(store, [str(tmp_path / "photos"), "/not/there"])
    assert set(dict(json.loads(store.meta("sources")))) == {str(tmp_path / "more/*.jpg"), str(tmp_path / "LIST.CSV")}


def test_a_source_known_already_writes_nothing(store, monkeypatch):
    remember_source(store, "/p", "folder")
    monkeypatch.setattr(store, "change_meta", None)
    remember_source(store, "/p", "folder")


def test_described_adds_up():
    first = described_more(None, AddReport(added=3, updated=1, unchanged=9, failed=2, seconds=2.5))
    assert json.loads(described_more(first, AddReport(added=1, seconds=0.5))) == [5, 3.0]
    assert json.loads(first) == [4, 2.5]


def test_facts_count(store):
    found = facts(store, None)
    assert (found["images"], found["failed"], found["whitening"], found["made_by"]) == (6, 1, None, "me")
    assert found["index"]["vectors"] == 6
    whitening = Whitening(np.zeros(2), np.eye(2)[:, :1], "others", 30)
    assert facts(store, whitening)["whitening"] == {"dim": 1, "fitted_on": "others", "sample": 30}


def test_a_collection_begins_with_what_its_encoder_is():
    encoder = Encoder(descriptor="spoc", size=64, device="cpu")
    record, other = first_record(encoder), first_record(encoder)
    assert record["uuid"] != other["uuid"]
    assert record["space"].decode() == encoder.key
    assert json.loads(record["encoder_space"]) == json.loads(json.dumps(encoder.space))
    assert json.loads(record["encoder"])["descriptor"] == "spoc"
    assert (record["dim"], record["sources"]) == (b"1280", b"[]")
    assert "part_whitening" not in record


def test_the_whitening_of_parts_is_recorded():
    whitening = Whitening(np.zeros(1280), np.eye(1280)[:, :3])
    record = first_record(Encoder(descriptor="rmac", size=64, device="cpu", part_whitening=whitening))
    assert Whitening.from_bytes(record["part_whitening"]) == whitening
    assert record["dim"] == b"3"


def test_vectors_from_elsewhere_have_length_one(collection):
    unit = np.zeros((2, collection.dim), np.float32)
    unit[0, 3] = 1
    assert len(collection.add_vectors(["one.jpg", "zero.jpg"], unit)) == 2
    with pytest.raises(InputError, match="number 1 has 5: divide each by its length"):
        collection.add_vectors(["a.jpg", "b.jpg"], np.eye(2, collection.dim, dtype=np.float32) * [[1], [5]])


def test_a_damaged_record_is_told(collection):
    collection.store.change_meta("sources", lambda _: b"[1, 2")
    with pytest.raises(WorkError, match="its record 'sources' is not readable"):
        collection.sources  # noqa: B018
