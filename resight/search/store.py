"""What a collection asks of a storage engine. The embedded one is SQLite + FAISS; a server can stand behind it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resight.features.whitening import Whitening


@dataclass(frozen=True, eq=False)
class Item:
    """One image as the store knows it.

    status  "ok" (has a vector) or "failed" (has an error)
    vector  (D,) float32 as the encoder made it, before whitening; None if failed or not asked for
    """

    path: str
    label: str | None = None
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    width: int = 0
    height: int = 0
    status: str = "ok"
    error: str | None = None
    note: str | None = None
    vector: NDArray[np.float32] | None = None
    id: int = 0


@dataclass(frozen=True)
class Where:
    """Which images: all of the conditions that are not None must hold.

    label   exact label
    path    glob on the whole path: * any characters (also /), ? one, [abc] one of these
    status  "ok" or "failed"
    """

    label: str | None = None
    path: str | None = None
    status: str | None = None


class Store(Protocol):
    """A dozen verbs. What `put` has returned is durable; searches see everything put before them (read your writes)."""

    def meta(self, key: str) -> bytes | None:
        """A named value of the collection, or None."""

    def set_meta(self, values: dict[str, bytes]) -> None:
        """Set named values, all or none."""

    def change_meta(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a named value by what `change` makes of it, with no other writer in between."""

    def put(self, items: Sequence[Item]) -> list[int]:
        """Insert, or replace what has the same path; all or none. Returns ids, which a path keeps for ever."""

    def find(self, paths: Sequence[str]) -> dict[str, Item]:
        """Those of these paths that are known, without vectors."""

    def get(self, ids: Sequence[int], *, vectors: bool = False) -> list[Item]:
        """Items in the order of `ids`. Raises InputError for an unknown id."""

    def scan(self, where: Where, *, vectors: bool = False) -> Iterator[Item]:
        """Matching items in order of id, streamed."""

    def remove(self, ids: Sequence[int]) -> int:
        """Remove items; returns how many there were."""

    def count(self, where: Where) -> int:
        """Number of matching items."""

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best of the matching "ok" items per query, in the whitened space.

        queries: (Q, d)  ->  ids (Q, k) and scores (Q, k), best first; id -1 and score -inf where there are fewer
        """

    def whiten(self, whitening: Whitening | None) -> None:
        """Search in this whitened space from now on."""

    def status(self) -> dict[str, Any]:
        """Facts about the index: kind, vectors, measured recall, bytes on disk."""

    def verify(self) -> list[str]:
        """Problems found, one line each; empty when all is well."""

    def close(self) -> None:
        """Save what is derived and let go of the files."""


def sample_items(store: Store, most: int, seed: int = 0) -> list[Item]:
    """`most` images with their raw vectors drawn at random, or all if there are fewer, in order of id."""
    ids = np.array([item.id for item in store.scan(Where(status="ok"))], np.int64)
    if len(ids) > most:
        ids = np.sort(np.random.default_rng(seed).choice(ids, most, replace=False))
    return [item for item in store.get(ids.tolist(), vectors=True) if item.vector is not None]
