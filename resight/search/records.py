"""The truth of an embedded collection: one SQLite file (WAL, synchronous FULL) with paths, metadata and vectors.

Every change carries a sequence number, so that derived indexes can catch up: `changes(since)`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.search.store import Item, Where

APPLICATION_ID = 0x72736774  # "rsgt"
FORMAT = 1
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, label TEXT, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')), error TEXT, note TEXT, seq INTEGER NOT NULL);
CREATE INDEX images_seq ON images (seq);
CREATE INDEX images_label ON images (label);
CREATE INDEX images_status ON images (status);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE removed (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE INDEX removed_seq ON removed (seq);
INSERT INTO meta VALUES ('seq', '0');
"""
COLUMNS = "id, path, label, size, mtime_ns, sha256, width, height, status, error, note"
BATCH = 4096  # rows or vectors held at a time when streaming
MOST_VARIABLES = 900


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode("utf-8", "surrogateescape")


class Records:
    """Rows of one collection file; safe to use from several threads and processes at once."""

    def __init__(self, file: Path, *, create: bool = False) -> None:
        self.file = file
        self._lock = threading.RLock()
        self.readonly = not create and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
        with self.guard():
            if self.readonly:
                self._db = _open_to_read(file)
            else:
                self._db = sqlite3.connect(file, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.text_factory = _text
            try:
                self._prepare(create)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, create: bool) -> None:
        if create:
            self._db.execute("PRAGMA page_size = 8192")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self.transaction():
                for statement in SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {FORMAT}")
            return
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise WorkError(f"{self.file} is an SQLite file but not a resight collection")
        if version != FORMAT:
            raise WorkError(f"{self.file} has format {version}, this resight reads format {FORMAT}: update resight")
        if not self.readonly:
            self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA mmap_size = 1073741824")

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn SQLite's errors into one clear line."""
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise WorkError(f"{self.file}: {_advice(error)}") from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when it ends."""
        with self.guard():
            if self.readonly:
                raise WorkError(f"{self.file}: no permission to write; the collection is open for searching only")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def meta(self, key: str) -> bytes | None:
        """A named value, or None."""
        with self.guard():
            row = self._db.execute("SELECT CAST(value AS BLOB) FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_meta(self, values: dict[str, bytes]) -> None:
        """Set named values together."""
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def change_meta(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a named value by what `change` makes of it, in one transaction."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, change(self.meta(key))))

    def _next_seq(self, db: sqlite3.Connection) -> int:
        db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'seq'")
        (seq,) = db.execute("SELECT value FROM meta WHERE key = 'seq'").fetchone()
        return int(seq)

    def seq(self) -> int:
        """Number of the last change."""
        return int(self.meta("seq") or b"0")

    def put(self, items: Sequence[Item]) -> list[int]:
        """Insert or replace by path, one durable transaction."""
        ids = []
        with self.transaction() as db:
            seq = self._next_seq(db)
            for item in items:
                (row_id,) = db.execute(
                    "INSERT INTO images (path, label, size, mtime_ns, sha256, width, height, status, error, note, seq)"
                    " VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?)"
                    " ON CONFLICT (path) DO UPDATE SET label = excluded.label, size = excluded.size,"
                    " mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, width = excluded.width,"
                    " height = excluded.height, status = excluded.status, error = excluded.error,"
                    " note = excluded.note, seq = excluded.seq RETURNING id",
                    (_bytes(item.path), _bytes(item.label), item.size, item.mtime_ns, item.sha256, item.width,
                     item.height, item.status, _bytes(item.error), _bytes(item.note), seq),
                ).fetchone()  # fmt: skip
                ids.append(int(row_id))
            good = [(i, item.vector.tobytes()) for i, item in zip(ids, items) if item.vector is not None]
            db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", good)
            db.executemany("DELETE FROM vectors WHERE id = ?",
                           [(i,) for i, item in zip(ids, items) if item.status == "failed"])  # fmt: skip
        return ids

    def find(self, paths: Sequence[str]) -> dict[str, Item]:
        """Known items among `paths`, without vectors."""
        found: dict[str, Item] = {}
        for start in range(0, len(paths), MOST_VARIABLES):
            part = [_bytes(p) for p in paths[start : start + MOST_VARIABLES]]
            marks = ",".join(["CAST(? AS TEXT)"] * len(part))
            with self.guard():
                rows = self._db.execute(f"SELECT {COLUMNS} FROM images WHERE path IN ({marks})", part).fetchall()
            found.update((row[1], _item(row)) for row in rows)
        return found

    def get(self, ids: Sequence[int], *, vectors: bool = False) -> list[Item]:
        """Items in the order of `ids`."""
        found: dict[int, Item] = {}
        wanted = [int(i) for i in ids]
        for start in range(0, len(wanted), MOST_VARIABLES):
            part = wanted[start : start + MOST_VARIABLES]
            marks = ",".join("?" * len(part))
            with self.guard():
                rows = self._db.execute(f"{_select(vectors)} WHERE images.id IN ({marks})", part).fetchall()
            found.update((row[0], _item(row)) for row in rows)
        for i in wanted:
            if i not in found:
                raise InputError(f"no image with id {i} in {self.file.parent}")
        return [found[i] for i in wanted]

    def scan(self, where: Where, *, vectors: bool = False) -> Iterator[Item]:
        """Matching items in order of id, in batches, so that writers are never held up."""
        condition, values = _condition(where)
        last = 0
        while True:
            with self.guard():
                rows = self._db.execute(
                    f"{_select(vectors)} WHERE images.id > ? AND {condition} ORDER BY images.id LIMIT {BATCH}",
                    [last, *values],
                ).fetchall()
            yield from map(_item, rows)
            if len(rows) < BATCH:
                return
            last = rows[-1][0]

    def ids(self, where: Where) -> NDArray[np.int64]:
        """Ids of matching items, ascending."""
        condition, values = _condition(where)
        with self.guard():
            rows = self._db.execute(f"SELECT id FROM images WHERE {condition} ORDER BY id", values).fetchall()
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def count(self, where: Where) -> int:
        """Number of matching items."""
        condition, values = _condition(where)
        with self.guard():
            (number,) = self._db.execute(f"SELECT count(*) FROM images WHERE {condition}", values).fetchone()
        return int(number)

    def remove(self, ids: Sequence[int]) -> int:
        """Delete items and note that they went."""
        gone = 0
        with self.transaction() as db:
            seq = self._next_seq(db)
            for i in ids:
                gone += db.execute("DELETE FROM images WHERE id = ?", (int(i),)).rowcount
                db.execute("DELETE FROM vectors WHERE id = ?", (int(i),))
                db.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (int(i), seq))
        return gone

    def changes(self, since: int) -> tuple[int, NDArray[np.int64], Iterator[tuple[NDArray[np.int64], list[bytes]]]]:
        """What happened after change number `since`.

        -> (last change, ids whose old vector is void, batches of (ids (n,), raw vectors))
        """
        last = self.seq()
        with self.guard():
            touched = self._db.execute(
                "SELECT id FROM images WHERE seq > ? AND seq <= ? UNION SELECT id FROM removed WHERE seq > ? AND"
                " seq <= ? ORDER BY 1", (since, last, since, last)).fetchall()  # fmt: skip
        void = np.fromiter((row[0] for row in touched), np.int64, len(touched))
        return last, void, self._vectors(since, last)

    def _vectors(self, since: int, last: int) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
        after = 0
        while True:
            with self.guard():
                rows = self._db.execute(
                    "SELECT images.id, vector FROM images JOIN vectors ON vectors.id = images.id WHERE +images.seq > ?"
                    " AND +images.seq <= ? AND images.id > ? ORDER BY images.id LIMIT ?"
                    if since == 0 else
                    "SELECT images.id, vector FROM images JOIN vectors ON vectors.id = images.id WHERE images.seq > ?"
                    " AND images.seq <= ? AND images.id > ? ORDER BY images.id LIMIT ?",
                    (since, last, after, BATCH)).fetchall()  # fmt: skip
            if rows:
                yield np.fromiter((row[0] for row in rows), np.int64, len(rows)), [row[1] for row in rows]
                after = rows[-1][0]
            if len(rows) < BATCH:
                return

    def check(self, bytes_per_vector: int | None) -> list[str]:
        """SQLite's own check, then that every good row has its vector and no other does."""
        with self.guard():
            problems = [f"damaged file: {row[0]}" for row in self._db.execute("PRAGMA integrity_check(20)")]
            problems = [] if problems == ["damaged file: ok"] else problems
            for sentence, query in (
                ("images without a vector", "SELECT count(*) FROM images LEFT JOIN vectors ON vectors.id = images.id"
                 " WHERE status = 'ok' AND vector IS NULL"),
                ("vectors without an image", "SELECT count(*) FROM vectors LEFT JOIN images ON vectors.id = images.id"
                 " WHERE images.id IS NULL OR status <> 'ok'"),
                ("vectors of a wrong length", "SELECT count(*) FROM vectors WHERE length(vector) <> "
                 f"{bytes_per_vector or 'length(vector)'}"),
            ):  # fmt: skip
                (number,) = self._db.execute(query).fetchone()
                if number:
                    problems.append(f"{number} {sentence}")
        return problems

    def close(self) -> None:
        """Let go of the file."""
        with self.guard():
            self._db.close()


def _open_to_read(file: Path) -> sqlite3.Connection:
    """A connection for somebody who may not write here: live beside a writer, or on media that nobody writes."""
    uri = f"{file.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, timeout=60, uri=True, check_same_thread=False, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except sqlite3.OperationalError:
        db.close()
    # SQLite may not make its shared-memory file here. Without a log beside the file, the file is all there is.
    log = Path(f"{file}-wal")
    if log.exists() and log.stat().st_size:
        raise WorkError(f"{file}: a writer was stopped before it had tidied up ({log.name}); somebody with permission "
                        "to write must open it once: resight verify")  # fmt: skip
    return sqlite3.connect(f"{uri}&immutable=1", uri=True, check_same_thread=False, isolation_level=None)


def _select(vectors: bool) -> str:
    columns = ", ".join(f"images.{name.strip()}" for name in COLUMNS.split(","))
    if vectors:
        return f"SELECT {columns}, vector FROM images LEFT JOIN vectors ON vectors.id = images.id"
    return f"SELECT {columns} FROM images"


def _item(row: tuple) -> Item:  # type: ignore[type-arg]
    vector = np.frombuffer(row[11], np.float32) if len(row) > 11 and row[11] is not None else None
    names = ("path", "label", "size", "mtime_ns", "sha256", "width", "height", "status", "error", "note")
    return Item(id=row[0], vector=vector, **dict(zip(names, row[1:11])))


def _condition(where: Where) -> tuple[str, list[bytes]]:
    parts, values = ["1"], []
    for column, test, value in (
        ("label", "=", where.label), ("path", "GLOB", where.path), ("status", "=", where.status),
    ):  # fmt: skip
        if value is not None:
            parts.append(f"images.{column} {test} CAST(? AS TEXT)")
            values.append(value.encode("utf-8", "surrogateescape"))
    return " AND ".join(parts), values


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return "the disk is full; free some space and run the same command again, nothing that was reported is lost"
    if "malformed" in text or "not a database" in text:
        return f"not a readable collection ({text}); restore it from a backup or index the folder again"
    if "disk I/O" in text:
        return "the disk refused to write (full, quota, or gone); run the same command again when it is back"
    if "locked" in text:
        return "another process has held the collection for a minute; try again when it is done"
    if "readonly" in text or "unable to open" in text:
        return f"cannot be opened for writing ({text}); check the permissions of the folder"
    return text
