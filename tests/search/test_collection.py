from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from samples import picture

from resight import Collection, Encoder, ImageError, InputError, WorkError
from resight.search import adding


def names(ranking):
    return [os.path.basename(path) for path in ranking.paths]


def counts(report):
    return report.added, report.updated, report.unchanged, report.failed


def test_every_image_finds_itself_by_path_array_pillow_and_id(collection, photos):
    for path in sorted(photos.rglob("*.png")):
        array = np.asarray(Image.open(path))
        by_path = collection.search(path, k=3)
        assert by_path.paths[0] == str(path)
        assert by_path.scores[0] == pytest.approx(1, abs=1e-5)
        (stored,) = [i.id for i in collection.items() if i.path == str(path)]
        for query in (array, Image.fromarray(array), stored):
            ranking = collection.search(query, k=3)
            assert ranking.paths == by_path.paths
            assert_allclose(ranking.scores, by_path.scores, atol=1e-5)


def test_the_stored_vector_is_the_one_the_encoder_makes_alone(collection, encoder):
    items, vectors = collection.vectors()
    assert len(items) == 12
    for item, vector in zip(items, vectors):
        assert_allclose(vector, encoder.encode(item.path), atol=1e-5)


def test_scores_are_cosines_of_all_in_order(collection, encoder):
    query = picture(99)
    ranking = collection.search(query, k=50)
    items, vectors = collection.vectors()
    cosines = {item.path: float(vector @ encoder.encode(query)) for item, vector in zip(items, vectors)}
    assert list(ranking.paths) == sorted(cosines, key=lambda path: -cosines[path])
    assert_allclose(ranking.scores, sorted(cosines.values(), reverse=True), atol=1e-5)


def test_labels_come_from_subfolders_and_filter(collection):
    assert {item.label for item in collection.items()} == {"a", "b"}
    assert set(collection.search(picture(0), k=12, label="b").labels) == {"b"}
    assert len(collection.search(picture(0), k=12, path="*/b/*")) == 6
    assert len(collection.search(picture(0), k=12, label="nothing")) == 0


def test_adding_again_encodes_only_what_is_new_or_changed(collection, photos):
    assert counts(collection.add(photos)) == (0, 0, 12, 0)
    Image.fromarray(picture(50)).save(photos / "b" / "6.png")
    Image.fromarray(picture(51)).save(photos / "b" / "new.png")
    os.utime(photos / "b" / "7.png", ns=(1, 1))  # another date, the same bytes
    before = {item.path: item.id for item in collection.items()}
    assert counts(collection.add(photos)) == (1, 1, 11, 0)
    after = {item.path: item.id for item in collection.items()}
    assert all(after[path] == before[path] for path in before)
    assert names(collection.search(picture(50), k=1)) == ["6.png"]
    assert counts(collection.add(photos)) == (0, 0, 13, 0)


def test_unreadable_images_are_rows_and_tried_again(collection, photos):
    (photos / "bad.jpg").write_bytes(b"<html>not found</html>")
    (photos / "notes.txt").write_text("x")
    report = collection.add(photos)
    assert counts(report) == (0, 0, 12, 1)
    ((path, reason),) = report.failures
    assert path == str(photos / "bad.jpg")
    assert "HTML" in reason
    assert dict(report.ignored)[".txt"] == 1
    assert [i.path for i in collection.items(status="failed")] == [path]
    assert len(collection) == 12
    assert str(photos / "bad.jpg") not in collection.search(picture(0), k=99).paths
    Image.fromarray(picture(60)).save(photos / "bad.jpg")
    assert counts(collection.add(photos)) == (1, 0, 12, 0)
    (photos / "bad.jpg").write_bytes(b"")
    assert counts(collection.add(photos)) == (0, 0, 12, 1)
    assert collection.verify() == []


def test_sync_follows_the_folder(collection, photos):
    (photos / "a" / "0.jpg").unlink()
    shutil.copy(photos / "a" / "1.jpg", photos / "a" / "copy.jpg")
    Image.fromarray(picture(70)).save(photos / "b" / "6.png")
    report = collection.sync()
    assert (report.added.added, report.added.updated, report.removed) == (1, 1, 1)
    assert {os.path.basename(i.path) for i in collection.items()} >= {"copy.jpg"}
    assert str(photos / "a" / "0.jpg") not in {i.path for i in collection.items()}
    assert collection.verify() == []


def test_sync_does_not_empty_the_collection_when_a_disk_is_unplugged(collection, photos):
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(WorkError, match="unplugged"):
        collection.sync()
    assert len(collection) == 12
    assert collection.sync(forget_missing_sources=True).removed == 12
    assert collection.sources == {}


def test_remove_by_path_folder_label_and_glob(collection, photos):
    assert collection.remove([photos / "a" / "0.jpg"]) == 1
    assert collection.remove([photos / "b"]) == 6
    assert collection.remove(pattern="*/1.jpg") == 1
    with pytest.raises(InputError, match="is not in"):
        collection.remove([photos / "a" / "2.jpg", photos / "nothing.jpg"])
    assert len(collection) == 4
    assert collection.remove(label="a") == 4
    assert len(collection.search(picture(0))) == 0


def test_it_opens_as_it_was_left_and_makes_its_own_encoder(tmp_path, photos):
    with Collection.create(tmp_path / "c.resight", Encoder(descriptor="mac", size=96, scales=(1, 0.5))) as made:
        made.add(photos)
        made.whiten(4)
        expected = made.search(picture(3), k=5)
    with Collection.open(tmp_path / "c.resight") as again:
        assert again.config.descriptor == "mac"
        assert again.whitening.projection.shape == (1280, 4)
        found = again.search(picture(3), k=5)
        assert found.paths == expected.paths
        assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_two_embedding_spaces_do_not_mix(collection):
    with pytest.raises(InputError, match=r"another embedding space.*descriptor: spoc here, gem given"):
        Collection.open(collection.path, Encoder(descriptor="gem"))
    with pytest.raises(InputError, match="length 1280, got 5"):
        collection.search_vectors(np.ones((1, 5), np.float32))


def test_weights_that_changed_are_noticed(tmp_path, photos, encoder):
    with Collection.create(tmp_path / "c", encoder) as made:
        made.add(photos)
        made.store.set_meta({"space": b"of other weights"})
    with Collection.open(tmp_path / "c") as again, pytest.raises(WorkError, match="another embedding space"):
        again.search(picture(0))


def test_whitened_search_equals_whitening_by_hand(collection, encoder):
    items, raw = collection.vectors()
    whitening = collection.whiten(5)
    query = whitening.apply(encoder.encode(picture(42))[None])[0]
    cosines = whitening.apply(raw) @ query
    ranking = collection.search(picture(42), k=12)
    assert_allclose(ranking.scores, np.sort(cosines)[::-1], atol=1e-4)
    assert ranking.paths[0] == items[int(np.argmax(cosines))].path
    with pytest.raises(InputError, match="11"):
        collection.whiten(12)  # twelve images span eleven dimensions
    assert collection.whitening is whitening


def test_whitening_from_another_collection(tmp_path, collection, encoder):
    with Collection.create(tmp_path / "d", encoder) as other:
        whitening = other.whiten(3, fitted_on=collection)
        assert whitening.fitted_on == str(collection.path)
        assert whitening.key == collection.whiten(3).key
    with Collection.create(tmp_path / "e", Encoder(descriptor="mac")) as alien, pytest.raises(InputError):
        alien.whiten(3, fitted_on=collection)


def test_box_searches_for_the_part(collection, photos):
    wide = np.concatenate([picture(1), picture(8)], axis=1)
    assert names(collection.search(wide, k=1, box=(80, 0, 160, 60))) == ["8.png"]
    with pytest.raises(InputError, match="160"):
        collection.search(wide, box=(300, 0, 400, 60))
    with pytest.raises(InputError):
        collection.search(wide, box=(10, 10, 5, 60))


def test_many_queries_are_the_single_ones(collection):
    queries = [picture(1), picture(2), picture(77)]
    together = collection.search_many(queries, k=4)
    for query, ranking in zip(queries, together):
        alone = collection.search(query, k=4)
        assert alone.paths == ranking.paths
        assert_allclose(alone.scores, ranking.scores, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.search("/nowhere/x.jpg"), ImageError, "/nowhere/x.jpg"),
        (lambda c: c.search(picture(0), k=0), InputError, "at least 1"),
        (lambda c: c.search(12345), InputError, "12345"),
        (lambda c: c.add("/nowhere"), InputError, "/nowhere"),
        (lambda c: c.add_vectors(["/x"], np.ones((2, 1280), np.float32)), InputError, "1 paths, 2 vectors"),
        (lambda c: Collection.create(c.path), InputError, "already there"),
        (lambda c: Collection.open(c.path.parent / "none"), InputError, "resight index"),
    ],
)
def test_bad_requests_say_what_is_wrong(collection, call, error, message):
    with pytest.raises(error, match=message):
        call(collection)
    assert len(collection) == 12


def test_an_empty_folder_is_an_error_that_names_what_was_left_out(collection, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images.*1 other"):
        collection.add(tmp_path / "empty")


def test_a_failed_creation_leaves_nothing(tmp_path):
    with pytest.raises(InputError):
        Collection.create(tmp_path / "c", Encoder("resnet50"))  # no packaged weights
    assert not (tmp_path / "c").exists()


def test_progress_tells_only_what_is_on_disk(tmp_path, photos, encoder, monkeypatch):
    monkeypatch.setattr(adding, "COMMIT_IMAGES", 1)
    with Collection.create(tmp_path / "c", encoder) as made:
        seen = []

        def watch(done, failed):
            with Collection.open(tmp_path / "c") as other:
                seen.append((done, len(other)))

        made.add(photos, progress=watch)
    assert seen[-1] == (12, 12)
    assert all(done <= stored for done, stored in seen)


def test_interrupting_keeps_what_is_done_and_goes_on(tmp_path, photos, encoder, monkeypatch):
    monkeypatch.setattr(adding, "COMMIT_IMAGES", 1)
    monkeypatch.setattr("resight.features.pipeline.CHUNK", 2)
    with Collection.create(tmp_path / "c", encoder) as made:

        def interrupt(done, failed):
            if done >= 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            made.add(photos, progress=interrupt)
        kept = len(made)
        assert 4 <= kept < 12
        assert made.verify() == []
        report = made.add(photos)
        assert (report.added, report.unchanged) == (12 - kept, kept)


def test_info_counts(collection, photos):
    (photos / "bad.png").write_bytes(b"x")
    collection.add(photos)
    info = collection.info()
    assert (info["images"], info["failed"], info["dim"], info["whitening"]) == (12, 1, 1280, None)
    assert info["encoder"]["descriptor"] == "spoc"
    assert info["index"]["kind"] == "exact"
    assert info["sources"] == [str(photos)]


def test_labels_stay_when_a_later_source_has_none(collection, photos):
    (item,) = [i for i in collection.items() if i.path.endswith("/a/0.jpg")]
    collection.add(photos / "a" / "0.jpg")
    collection.add(photos / "a")
    assert collection.get([item.id])[0].label == "a"
    Image.fromarray(picture(80)).save(photos / "a" / "0.jpg")
    assert collection.add(photos / "a" / "0.jpg").updated == 1
    assert collection.get([item.id])[0].label == "a"
    (photos.parent / "list.csv").write_text("path,label\nphotos/a/0.jpg,special\n")
    collection.add(photos.parent / "list.csv")
    assert collection.get([item.id])[0].label == "special"


def test_sync_also_looks_after_images_that_came_one_by_one(tmp_path, photos, encoder):
    with Collection.create(tmp_path / "c", encoder) as made:
        made.add([photos / "a" / "0.jpg", photos / "a" / "1.jpg"])
        made.add_vectors(["not a file"], np.eye(1, 1280, dtype=np.float32))
        assert made.sources == {}
        Image.fromarray(picture(81)).save(photos / "a" / "0.jpg")
        (photos / "a" / "1.jpg").unlink()
        report = made.sync()
        assert (report.added.updated, report.removed, len(made)) == (1, 1, 2)
        assert names(made.search(picture(81), k=1)) == ["0.jpg"]


def test_sources_added_at_once_by_two_are_both_kept(collection, photos):
    with Collection.open(collection.path) as other:
        before = collection.sources
        other.add(photos / "a")
        collection.add(photos / "b")
        assert collection.sources.keys() == before.keys() | {str(photos / "a"), str(photos / "b")}


def test_sync_of_a_glob_and_of_a_single_image_that_vanished(tmp_path, photos, encoder):
    with Collection.create(tmp_path / "c", encoder) as made:
        made.add(str(photos / "b" / "*.png"))
        made.add(photos / "a" / "0.jpg")
        assert made.sources.keys() == {str(photos / "b" / "*.png")}
        for path in (photos / "b").glob("*.png"):
            path.unlink()
        (photos / "a" / "0.jpg").unlink()
        assert made.sync().removed == 7
        assert len(made) == 0


def test_remove_narrows_by_every_condition(collection, photos):
    assert collection.remove([photos / "a"], pattern="*/b/*") == 0
    assert collection.remove(label="a", pattern="*/b/*") == 0
    assert collection.remove([photos / "a"], label="b") == 0
    assert collection.remove(photos / "a", pattern="*/1.jpg") == 1
    assert len(collection) == 11


def test_unreadable_queries_can_be_left_out(collection, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    failed = []
    rankings = collection.search_many([picture(6), tmp_path / "bad.jpg", picture(7)], k=1, failed=failed)
    assert [names(ranking) for ranking in rankings] == [["6.png"], ["7.png"]]
    assert [error.where for error in failed] == [str(tmp_path / "bad.jpg")]


@pytest.mark.parametrize("k", [2.5, "3", True, -1])
def test_k_is_a_whole_number(collection, k):
    with pytest.raises(InputError, match="whole number"):
        collection.search(picture(0), k=k)


def test_no_query_by_accident(collection):
    with pytest.raises(InputError):
        collection.search(True)
    with pytest.raises(InputError, match="NaN"):
        collection.search_vectors(np.full((1, 1280), np.nan, np.float32))
    with pytest.raises(InputError, match="0"):
        collection.whiten(0)


def test_what_was_left_out_is_counted_over_all_sources(photos, collection):
    (photos / "a" / "x.txt").write_text("x")
    (photos / "b" / "y.doc").write_text("x")
    report = collection.add(photos / "a") + collection.add(photos / "b")
    assert dict(report.ignored) == {".doc": 1, ".txt": 1}
    assert dict(collection.sync().added.ignored)[".txt"] >= 1
