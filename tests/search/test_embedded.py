from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from resight.errors import InputError, WorkError
from resight.features.whitening import pca_whitening
from resight.search.embedded import INDEX_FILE, RECORDS_FILE, EmbeddedStore, create_store, is_free
from resight.search.store import Item, Where

D = 8


def vectors(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def items(rows, first=0, label=None):
    return [Item(path=f"/{first + n}.jpg", vector=row, label=label) for n, row in enumerate(rows)]


def make(folder, **options):
    return create_store(folder, {"uuid": b"u", "space": b"s", "dim": str(D).encode()}, **options)


def naive(rows, query, k):
    return np.lexsort((np.arange(len(rows)), -(rows @ query)))[:k] + 1  # ids begin at 1


def test_searches_see_every_change_at_once(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(30)
    assert store.search(rows[:1], 3, Where())[0].tolist() == [[-1, -1, -1]]
    store.put(items(rows))
    assert store.search(rows[:4], 5, Where())[0].tolist() == [naive(rows, q, 5).tolist() for q in rows[:4]]
    store.remove([1])
    assert 1 not in store.search(rows[:1], 29, Where())[0]
    store.put([Item(path="/5.jpg", vector=rows[0])])
    assert store.search(rows[:1], 1, Where())[0].tolist() == [[6]]
    store.put([Item(path="/5.jpg", status="failed", error="gone bad")])
    assert 6 not in store.search(rows[:1], 28, Where())[0]


def test_filters_are_exact(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(40)
    store.put(items(rows[:20], label="cat"))
    store.put(items(rows[20:], first=20, label="dog"))
    found, _ = store.search(rows[:1], 5, Where(label="dog"))
    assert (found[0] - 21).tolist() == (naive(rows[20:], rows[0], 5) - 1).tolist()
    assert store.search(rows[:1], 2, Where(path="/1?.jpg"))[0].min() >= 11
    assert store.search(rows[:1], 1, Where(label="fish"))[0].tolist() == [[-1]]


def test_a_second_reader_sees_what_the_first_writes(tmp_path):
    writer, rows = make(tmp_path / "c"), vectors(20)
    reader = EmbeddedStore(tmp_path / "c")
    for n in range(20):
        writer.put(items(rows[n : n + 1], first=n))
        assert reader.search(rows[n : n + 1], 1, Where())[0].tolist() == [[n + 1]]


def test_the_index_file_is_only_a_copy(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(25)
    store.put(items(rows))
    expected = store.search(rows, 5, Where())[0].tolist()
    store.close()
    file = tmp_path / "c" / INDEX_FILE
    assert file.is_file()
    for damage in (lambda: None, lambda: file.unlink(), lambda: file.write_bytes(b"rubbish" * 99)):
        damage()
        again = EmbeddedStore(tmp_path / "c")
        assert again.search(rows, 5, Where())[0].tolist() == expected
        assert again.verify() == []
        again.close()
    assert not [f for f in (tmp_path / "c").iterdir() if f.name.startswith(".index")]


def test_an_old_index_file_is_caught_up_from_the_records(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(25)
    store.put(items(rows[:20]))
    store.search(rows[:1], 1, Where())
    store.close()
    old = (tmp_path / "c" / INDEX_FILE).read_bytes()
    store = EmbeddedStore(tmp_path / "c")
    store.put(items(rows[20:], first=20))
    store.remove([3])
    store.search(rows[:1], 1, Where())
    store.save_index(always=True)
    store.close()
    (tmp_path / "c" / INDEX_FILE).write_bytes(old)
    again = EmbeddedStore(tmp_path / "c")
    assert again.search(rows[20:], 1, Where())[0].ravel().tolist() == [21, 22, 23, 24, 25]
    assert 3 not in again.search(rows[2:3], 24, Where())[0]
    assert again.verify() == []


def test_an_index_that_lies_is_built_again(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(10)
    store.put(items(rows))
    index = store._current()
    index.apply(index.state.seq, np.array([4]), np.empty(0, np.int64), rows[:0])  # one vector lost, number unchanged
    index.save(tmp_path / "c" / INDEX_FILE)
    store.records.close()
    again = EmbeddedStore(tmp_path / "c")
    assert again.verify() != []  # named, not hidden
    again.put(items(vectors(1, 5), first=10))
    assert again.search(rows[3:4], 1, Where())[0].tolist() == [[4]]
    assert again.verify() == []


@pytest.mark.parametrize("limit", [None, 900], ids=["exact", "lists"])
def test_verify_names_an_index_that_holds_other_images(tmp_path, limit):
    store, rows = make(tmp_path / "c", exact_up_to=limit), vectors(1000)
    store.put(items(rows))
    index = store._current()
    index.apply(index.state.seq, np.array([4]), np.array([7777]), rows[:1])  # as many as before, but not the same
    assert "differs from the records" in store.verify()[0]


def test_one_more_image_does_not_rewrite_the_file(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(25)
    store.put(items(rows))
    store.search(rows[:1], 1, Where())
    store.save_index()
    before = (tmp_path / "c" / INDEX_FILE).stat().st_mtime_ns
    store.put(items(vectors(1, 7), first=25))
    store.search(rows[:1], 1, Where())
    store.close()
    assert (tmp_path / "c" / INDEX_FILE).stat().st_mtime_ns == before
    assert EmbeddedStore(tmp_path / "c").search(vectors(1, 7), 1, Where())[0].tolist() == [[26]]


def test_whitening_changes_the_space_and_can_be_taken_off(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(60)
    store.put(items(rows))
    plain = store.search(rows[:3], 5, Where())[0].tolist()
    whitening = pca_whitening(rows, 4)
    store.whiten(whitening)
    white = whitening.apply(rows)
    found, scores = store.search(white[:3], 5, Where())
    assert found.tolist() == [naive(white, q, 5).tolist() for q in white[:3]]
    assert_allclose(scores[0], white[found[0] - 1] @ white[0], atol=1e-6)
    assert store.verify() == []
    store.whiten(None)
    assert store.search(rows[:3], 5, Where())[0].tolist() == plain


def test_above_the_limit_it_searches_lists_and_says_how_well(tmp_path):
    store, rows = make(tmp_path / "c", exact_up_to=900), vectors(1000)
    store.put(items(rows))
    assert store.status()["kind"] == "ivf"
    assert store.status()["recall"] >= 0.99
    assert store.search(rows[:50], 1, Where())[0].ravel().tolist() == list(range(1, 51))
    store.remove([1])
    store.put(items(vectors(1, 3), first=1000, label="new"))
    assert 1 not in store.search(rows[:1], 10, Where())[0]
    assert store.search(vectors(1, 3), 1, Where(label="new"))[0].tolist() == [[1001]]
    store.close()
    again = EmbeddedStore(tmp_path / "c", exact_up_to=900)
    assert again.status()["kind"] == "ivf"
    assert again.verify() == []


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(D + 1, np.float32), "length 8"),
        (np.ones(D, np.float64), "float32"),
        (np.full(D, np.nan, np.float32), "NaN"),
    ],
)
def test_a_wrong_vector_is_refused(tmp_path, vector, message):
    store = make(tmp_path / "c")
    with pytest.raises(InputError, match=message):
        store.put([Item(path="/a", vector=np.ones(D, np.float32)), Item(path="/b", vector=vector)])
    assert store.count(Where()) == 0


def test_threads_may_search_and_add_together(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(200)
    store.put(items(rows[:100]))
    problems = []

    def look():
        for n in range(60):
            if store.search(rows[n : n + 1], 1, Where())[0][0, 0] != n + 1:
                problems.append(n)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(100, 200, 10):
        store.put(items(rows[n : n + 10], first=n))
    for thread in threads:
        thread.join()
    assert not problems
    assert store.verify() == []


def test_verify_compares_lists_too(tmp_path):
    store, rows = make(tmp_path / "c", exact_up_to=900), vectors(1000)
    store.put(items(rows))
    index = store._current()
    assert index.state.kind == "ivf"
    assert store.verify() == []
    index.apply(index.state.seq, np.array([4]), np.array([4]), rows[:1])  # one vector is not what the records say
    assert "differs from the records" in store.verify()[0]
    assert store.search(rows[:1], 2, Where())[0].tolist() == [[1, 4]]  # and it goes on working after the check


def test_a_damaged_index_is_built_again_and_never_answers(tmp_path):
    store, rows = make(tmp_path / "c"), vectors(60)
    store.put(items(rows))
    expected = store.search(rows, 3, Where())[0].tolist()
    store.close()
    file = tmp_path / "c" / INDEX_FILE
    whole = file.read_bytes()
    for place in (40, 200, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        again = EmbeddedStore(tmp_path / "c")
        assert again.search(rows, 3, Where())[0].tolist() == expected, place
        again.close()


def test_an_index_that_cannot_be_saved_costs_nothing_but_a_warning(tmp_path, caplog):
    store, rows = make(tmp_path / "c"), vectors(10)
    store.put(items(rows))
    (tmp_path / "c" / INDEX_FILE).mkdir()
    assert store.search(rows[:1], 1, Where())[0].tolist() == [[1]]
    store.close()
    assert "could not be saved" in caplog.text
    assert not [f for f in (tmp_path / "c").iterdir() if f.name.startswith(".index")]


def test_creation_is_exclusive_and_leaves_nothing_half_made(tmp_path):
    first = make(tmp_path / "c")
    first.put(items(vectors(3)))
    with pytest.raises(InputError, match="already there"):
        make(tmp_path / "c")
    assert first.count(Where()) == 3
    assert EmbeddedStore(tmp_path / "c").count(Where()) == 3
    assert not [f for f in (tmp_path / "c").iterdir() if f.name.startswith(".creating")]
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".creating-0123.sqlite").write_bytes(b"")  # what a kill during creation leaves
    assert is_free(tmp_path / "killed")
    assert make(tmp_path / "killed").count(Where()) == 0
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkError):
        make(tmp_path / "file" / "c")


def test_a_new_collection_is_whole_in_its_own_file(tmp_path):
    store = make(tmp_path / "c")
    alone = tmp_path / "copy"
    alone.mkdir()
    (alone / RECORDS_FILE).write_bytes((tmp_path / "c" / RECORDS_FILE).read_bytes())  # without any log beside it
    assert EmbeddedStore(alone).meta("uuid") == b"u"
    store.close()
