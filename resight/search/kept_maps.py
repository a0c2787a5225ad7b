"""Feature maps of a collection's images kept on disk, for steps that look at them again.

A cache: every row says which image, bytes and network it belongs to and has a checksum, anything that does not fit is
made again, and the file may be deleted at any time. Values are float16 with one scale per image, read as needed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.look import Look

MAPS_FILE = "maps.sqlite"
MOST_BYTES = 64 << 30  # of the file; past it maps are made when needed and not kept
READ_AT_A_TIME = 64
VERSION = 2  # of the table
_COLUMNS = "k, h, w, scale, cells, source_k, source_h, source_w, source_scale, source, checksum"
_SCHEMA = f"CREATE TABLE IF NOT EXISTS maps(id INTEGER, seen TEXT, sha256 TEXT, {_COLUMNS}, PRIMARY KEY(id, seen))"


class KeptMaps:
    """A file of feature maps, (id, what the network saw, sha256 of the image's file) -> Look.

    seen  names network, weights and preprocessing: `Encoder.seen_key`

    A file that cannot be opened or written (no permission, disk full) keeps nothing, a damaged one is thrown away:
    neither is an error.
    """

    def __init__(self, file: Path, seen: str) -> None:
        self.file, self.seen = file, seen
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._full = False
        try:
            self._db = self._open()
        except sqlite3.OperationalError:
            return  # not ours to open; another process may well be using it
        except sqlite3.DatabaseError:
            self._renew()

    @property
    def keeps(self) -> bool:
        """Whether it would keep more."""
        return self._db is not None and not self._full

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.file, timeout=10, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")  # a cache: a power cut may cost it, checksums catch damage
            db.execute(f"PRAGMA mmap_size={1 << 34}")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                db.execute("DROP TABLE IF EXISTS maps")
                db.execute(f"PRAGMA user_version={VERSION}")
            db.execute(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _renew(self) -> None:
        """Throw a damaged file away and begin another."""
        self.close()
        with contextlib.suppress(OSError, sqlite3.DatabaseError):
            for suffix in ("", "-wal", "-shm"):
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            self._db = self._open()

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._db is None:
                return []
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                return []  # locked for long, or a disk that fails
            except sqlite3.DatabaseError:
                self._renew()
                return []

    def get(self, wanted: Sequence[tuple[int, str]]) -> dict[int, Look]:
        """The looks of those of these (id, sha256) that are kept, on the CPU in float32, without head and logits."""
        found: dict[int, Look] = {}
        digests = dict(wanted)
        ids = list(digests)
        for start in range(0, len(ids), READ_AT_A_TIME):
            part = ids[start : start + READ_AT_A_TIME]
            marks = ",".join("?" * len(part))
            rows = self._rows(
                f"SELECT id, sha256, {_COLUMNS} FROM maps WHERE seen=? AND id IN ({marks})", (self.seen, *part)
            )
            for image, digest, *row in rows:
                look = _look(row) if digests[image] == digest else None
                if look is not None:
                    found[image] = look
        return found

    def known(self, wanted: Sequence[tuple[int, str]]) -> set[int]:
        """Which of these (id, sha256) are kept, without reading their maps."""
        held = dict(self._rows("SELECT id, sha256 FROM maps WHERE seen=?", (self.seen,)))
        return {i for i, digest in wanted if held.get(i) == digest}

    def put(self, looks: Sequence[tuple[int, str, Look]]) -> None:
        """Keep these (id, sha256, look), if there is room."""
        rows = [(i, self.seen, digest, *_row(look)) for i, digest, look in looks] if self.keeps else []
        with self._lock:
            if self._db is None or not rows:
                return
            try:
                self._full = self._size() > MOST_BYTES
                if not self._full:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.executemany(f"INSERT OR REPLACE INTO maps VALUES({','.join('?' * len(rows[0]))})", rows)
                    self._db.execute("COMMIT")
            except sqlite3.OperationalError:
                self._full = True
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            except sqlite3.DatabaseError:
                self._renew()

    def _size(self) -> int:
        pages, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))  # type: ignore[union-attr]
        return int(pages) * int(size)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def as_kept(look: Look) -> Look:
    """The look as it would be read back, so that no result depends on whether an image was kept before."""
    again = _look(_row(look))
    if again is None:
        raise InputError(f"a look at one image is needed, got {len(look)}")
    return again


def _packed(maps: torch.Tensor) -> tuple[int, int, int, float, bytes]:
    array: NDArray[np.float32] = maps[0].float().cpu().numpy()
    scale = float(np.abs(array).max()) or 1.0
    k, h, w = array.shape
    return k, h, w, scale, np.ascontiguousarray(array / scale, np.float16).tobytes()


def _row(look: Look) -> tuple[object, ...]:
    own = _packed(look.maps)
    shared = look.source is None or look.source is look.maps
    row = (*own, *([None] * 5 if shared else _packed(look.source)))  # type: ignore[arg-type]
    return (*row, _checksum(row))


def _checksum(row: Sequence[object]) -> int:
    """CRC-32 of all values: SQLite itself notices no damage within a large value."""
    total = 0
    for value in row:
        total = zlib.crc32(value if isinstance(value, bytes) else repr(value).encode(), total)
    return total


def _unpacked(k: object, h: object, w: object, scale: object, data: object) -> torch.Tensor | None:
    if not (isinstance(k, int) and isinstance(h, int) and isinstance(w, int) and min(k, h, w) > 0):
        return None
    if not (isinstance(scale, float) and isinstance(data, bytes) and len(data) == 2 * k * h * w):
        return None
    array = np.frombuffer(data, np.float16).reshape(1, k, h, w).astype(np.float32)
    return torch.from_numpy(array * np.float32(scale))


def _look(row: Sequence[object]) -> Look | None:
    """The look that `_row` packed, without head and logits; None if it is damaged."""
    if _checksum(row[:-1]) != row[-1]:
        return None
    maps = _unpacked(*row[:5])
    source = maps if row[9] is None else _unpacked(*row[5:10])
    return None if maps is None or source is None else Look(maps, source)
