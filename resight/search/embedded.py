"""The default store: SQLite holds the truth, FAISS an index that is caught up, or rebuilt, from it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening
from resight.search.records import Records
from resight.search.store import Item, Where
from resight.search.vectors import EXACT_UP_TO, IndexState, VectorIndex

logger = logging.getLogger("resight")
RECORDS_FILE = "collection.sqlite"
INDEX_FILE = "index.faiss"


class EmbeddedStore:
    """A folder with `collection.sqlite` (the truth) and `index.faiss` (derived; may be deleted at any time).

    exact_up_to  number of vectors up to which search is exact; above, inverted lists with a measured recall

    Raises InputError if there is no collection, WorkError if it is foreign or damaged.
    """

    def __init__(self, folder: Path, *, exact_up_to: int | None = None) -> None:
        self.folder = folder
        self.exact_up_to = exact_up_to if exact_up_to is not None else EXACT_UP_TO
        file = folder / RECORDS_FILE
        if not file.is_file():
            raise InputError(f"no collection at {str(folder)!r}: make one with `resight index FOLDER --to {folder}`")
        self.records = Records(file)
        self._lock = threading.RLock()
        self._index: VectorIndex | None = None
        self._saved_seq = 0
        self._pending = 0  # changes that the index has in memory and the file has not
        self._whitening: Whitening | None = None

    def meta(self, key: str) -> bytes | None:
        """A named value of the collection, or None."""
        return self.records.meta(key)

    def set_meta(self, values: dict[str, bytes]) -> None:
        """Set named values, all or none."""
        self.records.set_meta(values)

    def change_meta(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a named value by what `change` makes of it, with no other writer in between."""
        self.records.change_meta(key, change)

    def put(self, items: Sequence[Item]) -> list[int]:
        """Insert or replace by path; durable when it returns."""
        dim = self._dim()
        for item in items:
            if item.vector is not None and (item.vector.shape != (dim,) or item.vector.dtype != np.float32):
                raise InputError(f"vectors here are float32 of length {dim}, got {item.vector.dtype} "
                                 f"{item.vector.shape} for {item.path}")  # fmt: skip
            if item.vector is not None and not np.isfinite(item.vector).all():
                raise InputError(f"the vector of {item.path} has NaN or infinite values")
        return self.records.put(items)

    def find(self, paths: Sequence[str]) -> dict[str, Item]:
        """Those of these paths that are known, without vectors."""
        return self.records.find(paths)

    def get(self, ids: Sequence[int], *, vectors: bool = False) -> list[Item]:
        """Items in the order of `ids`."""
        return self.records.get(ids, vectors=vectors)

    def scan(self, where: Where, *, vectors: bool = False) -> Iterator[Item]:
        """Matching items in order of id."""
        return self.records.scan(where, vectors=vectors)

    def remove(self, ids: Sequence[int]) -> int:
        """Remove items; returns how many there were."""
        return self.records.remove(ids)

    def count(self, where: Where) -> int:
        """Number of matching items."""
        return self.records.count(where)

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best matching items per query: ids (Q, k), scores (Q, k)."""
        with self._lock:
            index = self._current()
            allowed = None if where == Where() else self.records.ids(where)
            return index.search(queries, k, allowed)

    def whiten(self, whitening: Whitening | None) -> None:
        """Search in this whitened space from now on; the index is rebuilt at the next search."""
        with self._lock:
            if whitening is not self._whitening:
                self._whitening, self._index, self._saved_seq = whitening, None, 0

    def status(self) -> dict[str, Any]:
        """Facts about the index and the files."""
        with self._lock:
            index = self._current()
            size = sum(f.stat().st_size for f in self.folder.iterdir() if f.is_file())
            return {
                "kind": index.state.kind,
                "vectors": len(index),
                "dim": index.state.dim,
                "recall": index.state.recall,
                "bytes": size,
            }

    def verify(self) -> list[str]:
        """Check the records, every vector, and that the index holds exactly the same vectors."""
        dim = self._dim()
        problems = self.records.check(4 * dim if dim else None)
        if problems:
            return problems
        with self._lock:
            index = self._current()
            for item in self.records.scan(Where(status="ok"), vectors=True):
                if item.vector is None or not np.isfinite(item.vector).all():
                    problems.append(f"the vector of {item.path} is not finite; remove it and index it again")
            good = self.records.count(Where(status="ok"))
            if len(index) != good:
                problems.append(f"the index holds {len(index)} vectors, the records {good}: delete {INDEX_FILE}")
            else:
                problems += self._compare(index)
        return problems[:50]

    def _compare(self, index: VectorIndex) -> list[str]:
        differs = [f"the index differs from the records: delete {self.folder / INDEX_FILE}, it will be rebuilt"]
        _, _, batches = self.records.changes(0)
        for ids, blobs in batches:
            try:
                held = index.reconstruct(ids)
            except (KeyError, RuntimeError):  # an id that the index does not hold
                return differs
            if not np.allclose(held, self._transform(blobs), atol=1e-5):
                return differs
        return []

    def close(self) -> None:
        """Save the index if it has moved on enough to be worth it, and close the files."""
        with self._lock:
            try:
                self.save_index()
            except WorkError as error:  # nothing is lost: whoever opens the collection next builds it again
                logger.warning("%s", error)
            finally:
                self.records.close()

    def save_index(self, *, always: bool = False) -> None:
        """Write the derived index, unless nearly all of what is in the file is still true."""
        with self._lock:
            if self._index is None or self.records.readonly or self._index.state.seq == self._saved_seq:
                return
            worth = max(1000, len(self._index) // 20)
            if always or self._saved_seq == 0 or self._pending >= worth:
                self._index.save(self.folder / INDEX_FILE)
                self._saved_seq, self._pending = self._index.state.seq, 0

    def _dim(self) -> int:
        return int(self.records.meta("dim") or b"0")

    def _expected(self) -> IndexState:
        meta = self.records.meta
        space = (meta("space") or b"") + (self._whitening.key.encode() if self._whitening else b"")
        dim = self._whitening.projection.shape[1] if self._whitening else self._dim()
        return IndexState(
            collection=(meta("uuid") or b"").decode(), space=hashlib.sha256(space).hexdigest()[:16], dim=dim,
            seq=self.records.seq(),
        )  # fmt: skip

    def _transform(self, blobs: list[bytes]) -> NDArray[np.float32]:
        dim = self._dim()
        try:
            vectors = np.frombuffer(b"".join(blobs), np.float32).reshape(len(blobs), dim)
        except ValueError as error:
            raise WorkError(f"{self.folder}: vectors of a wrong length; run `resight verify {self.folder}`") from error
        return self._whitening.apply(vectors) if self._whitening else vectors

    def _current(self) -> VectorIndex:
        """The index with every change in it."""
        expected = self._expected()
        if self._index is None:
            self._index = VectorIndex.load(self.folder / INDEX_FILE, expected)
            if self._index is None:
                self._index = self._empty(expected)
            else:
                self._saved_seq = self._index.state.seq
        if self._index.state.seq != expected.seq:
            self._catch_up(self._index)
            if len(self._index) != self.records.count(Where(status="ok")) and self.records.seq() == expected.seq:
                self._index = self._empty(expected)  # the file was wrong about something: start over
                self._catch_up(self._index)
        if self._index.state.kind == "exact" and len(self._index) > self.exact_up_to:
            self._index.to_lists()
            self._saved_seq = 0
        elif self._index.state.kind == "ivf" and len(self._index) > 2 * self._index.state.trained:
            self._index = self._empty(expected)
            self._catch_up(self._index)
            self._index.to_lists()
        return self._index

    def _empty(self, expected: IndexState) -> VectorIndex:
        self._saved_seq = 0
        return VectorIndex(IndexState(expected.collection, expected.space, expected.dim))

    def _catch_up(self, index: VectorIndex) -> None:
        last, void, batches = self.records.changes(index.state.seq)
        self._pending += len(void)
        if len(index):
            index.apply(index.state.seq, void, np.empty(0, np.int64), np.empty((0, index.state.dim), np.float32))
        for ids, blobs in batches:
            index.apply(index.state.seq, np.empty(0, np.int64), ids, self._transform(blobs))
        nothing = np.empty(0, np.int64)
        index.apply(last, nothing, nothing, np.empty((0, index.state.dim), np.float32))


UNFINISHED = ".creating-"


def is_free(folder: Path) -> bool:
    """Whether a collection can be made here: an empty folder, but for the rest of a creation that was killed."""
    return folder.is_dir() and all(file.name.startswith(UNFINISHED) for file in folder.iterdir())


def create_store(folder: Path, meta: dict[str, bytes], *, exact_up_to: int | None = None) -> EmbeddedStore:
    """Make an empty store with these named values; it appears complete or not at all.

    Raises InputError if another process has made one here first, WorkError if the folder cannot be written.
    """
    made_folder = not folder.exists()
    temporary = folder / f"{UNFINISHED}{secrets.token_hex(6)}.sqlite"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        records = Records(temporary, create=True)
        try:
            records.set_meta(meta)
        finally:
            records.close()
        try:
            os.link(temporary, folder / RECORDS_FILE)  # unlike a rename, it never replaces what is there
        except FileExistsError:
            raise InputError(f"{str(folder)!r} is already there; open it with Collection.open") from None
        except OSError:  # a file system without hard links
            temporary.rename(folder / RECORDS_FILE)
    except OSError as error:
        raise WorkError(f"cannot make the collection {str(folder)!r}: {error.strerror or error}") from error
    finally:
        for rest in (temporary, *(Path(f"{temporary}{end}") for end in ("-wal", "-shm", "-journal"))):
            with contextlib.suppress(OSError):
                rest.unlink()
        if made_folder:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if it is empty, that is, if nothing came of it
    return EmbeddedStore(folder, exact_up_to=exact_up_to)
