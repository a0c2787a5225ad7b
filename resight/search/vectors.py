"""The derived index over a collection's vectors: exact while small, inverted lists (IVF) when large.

It holds nothing that the records do not: any doubt about the file and it is built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from resight.errors import WorkError

EXACT_UP_TO = 200_000
TARGET_RECALL = 0.99
TUNING_QUERIES = 200
MAGIC = b"resight index 1\n"
DIGEST = 32
GROUP = 64
SCORES_AT_A_TIME = 16 << 20  # scores of one block of queries, as numbers


@dataclass(frozen=True)
class IndexState:
    """What an index file must agree with its collection on, and what was measured about it.

    seq     last change it contains;  recall  measured recall@10 of the lists it visits (1.0 when exact)
    probes  lists visited per query;  trained  vectors there were when the lists were made
    """

    collection: str
    space: str
    dim: int
    seq: int = 0
    kind: str = "exact"
    recall: float = 1.0
    probes: int = 0
    trained: int = 0


class VectorIndex:
    """Unit vectors by id; inner-product search, best first, ties by lower id."""

    def __init__(self, state: IndexState, index: Any = None) -> None:
        import faiss

        self.state = state
        self._faiss = faiss
        self._index = index if index is not None else faiss.IndexIDMap2(faiss.IndexFlatIP(state.dim))
        self._ids: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def apply(self, seq: int, void: NDArray[np.int64], ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Take out `void`, put in `vectors` (n, d) under `ids`, and be at change `seq`."""
        self._ids = None
        if len(void) and len(self):
            self._index.remove_ids(self._faiss.IDSelectorBatch(void))
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors), ids)
        self.state = replace(self.state, seq=seq)

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids in the order of `matrix`; exact index only."""
        if self._ids is None:
            self._ids = self._faiss.vector_to_array(self._index.id_map)
        return self._ids

    @property
    def matrix(self) -> NDArray[np.float32]:
        """(N, d) the stored vectors themselves, not a copy; exact index only."""
        codes = self._faiss.downcast_index(self._index.index).codes
        flat: NDArray[np.uint8] = self._faiss.rev_swig_ptr(codes.data(), codes.size())
        return flat.view(np.float32).reshape(-1, self.state.dim)

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(Q, d) -> ids (Q, k), scores (Q, k). `allowed`: only these ids, and then exact whatever the kind."""
        queries = np.ascontiguousarray(queries, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if len(self) == 0 or len(queries) == 0 or (allowed is not None and len(allowed) == 0):
            return ids, scores
        if self.state.kind != "exact":
            return self._search_lists(queries, k, allowed)
        rows = None if allowed is None else np.flatnonzero(np.isin(self.ids, allowed, assume_unique=True))
        own = self.ids if rows is None else self.ids[rows]
        matrix = self.matrix if rows is None else self.matrix[rows]
        # One matrix product per block: Faiss 1.15 scans the database once per query when nq * d < 128000.
        block = max(1, SCORES_AT_A_TIME // max(len(own), 1))
        for start in range(0, len(queries), block):
            part = queries[start : start + block]
            found = (matrix @ part[0])[None] if len(part) == 1 else part @ matrix.T
            for row, line in enumerate(found, start):
                best = top(line, own, k)
                ids[row, : len(best)], scores[row, : len(best)] = own[best], line[best]
        return ids, scores

    def _search_lists(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        parameters = self._faiss.SearchParametersIVF(nprobe=self.state.probes)
        if allowed is not None:
            selector = self._faiss.IDSelectorBatch(allowed)
            parameters = self._faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nlist)
        scores, ids = self._index.search(queries, min(k, len(self)), params=parameters)
        scores[ids < 0] = -np.inf
        short = k - ids.shape[1]
        if short:
            ids = np.pad(ids, ((0, 0), (0, short)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        order = np.lexsort((ids, -scores), axis=1)
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)

    def to_lists(self, target: float = TARGET_RECALL) -> None:
        """Turn an exact index into inverted lists, visiting as many as a measured recall@10 of `target` needs.

        Recall is measured on held-out vectors: stored ones that took no part in training the lists and that do not
        count as their own neighbours.
        """
        faiss, matrix, ids = self._faiss, self.matrix, self.ids
        total, dim = matrix.shape
        order = np.random.default_rng(0).permutation(total)
        held, rest = order[: min(TUNING_QUERIES, total // 2)], order[min(TUNING_QUERIES, total // 2) :]
        lists = max(1, min(int(4 * total**0.5), len(rest) // 39))
        index = faiss.index_factory(dim, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(matrix[np.sort(rest[: 64 * lists])]))
        for start in range(0, total, 65536):
            index.add_with_ids(matrix[start : start + 65536], ids[start : start + 65536])
        queries = matrix[held]
        exact, _ = self.search(queries, 11)
        probes, recall = 1, 0.0
        while True:
            found = index.search(queries, 11, params=faiss.SearchParametersIVF(nprobe=probes))[1]
            recall = _recall(exact, found, ids[held])
            if recall >= target or probes >= lists:
                break
            probes = min(lists, probes + max(1, probes // 4))
        self._index, self._ids = index, None
        self.state = replace(self.state, kind="ivf", recall=round(recall, 4), probes=probes, trained=total)

    def reconstruct(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d) stored vectors of some ids, for checks."""
        if self.state.kind != "exact":
            self._index.set_direct_map_type(self._faiss.DirectMap.Hashtable)
            try:
                vectors: NDArray[np.float32] = self._index.reconstruct_batch(ids)
                return vectors
            finally:
                self._index.set_direct_map_type(self._faiss.DirectMap.NoMap)
        place = {int(i): row for row, i in enumerate(self.ids)}
        return self.matrix[[place[int(i)] for i in ids]]

    def save(self, file: Path) -> None:
        """Write to a temporary file and rename. Raises WorkError if the disk refuses."""
        header = json.dumps(asdict(self.state)).encode()
        temporary = file.with_name(f".index-{secrets.token_hex(6)}.tmp")
        try:
            with temporary.open("xb") as stream:
                digest = hashlib.sha256()

                def write(data: bytes) -> None:
                    digest.update(data)
                    stream.write(data)

                write(MAGIC + len(header).to_bytes(4, "little") + header)
                writer = self._faiss.PyCallbackIOWriter(write, 1 << 24)
                self._faiss.write_index(self._index, writer)
                del writer
                stream.write(digest.digest())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise WorkError(f"{file}: the index could not be saved ({error}); the images are safe") from error

    @staticmethod
    def load(file: Path, expected: IndexState) -> VectorIndex | None:
        """The index in `file`, or None if it is missing, damaged, or of another collection, space or dimension."""
        import faiss

        try:
            with file.open("rb") as stream:
                if stream.read(len(MAGIC)) != MAGIC or not _is_whole(stream):
                    return None
                header = stream.read(min(int.from_bytes(stream.read(4), "little"), 65536))
                state = IndexState(**json.loads(header))
                same = (state.collection, state.space, state.dim) == (
                    expected.collection, expected.space, expected.dim)  # fmt: skip
                if not same or state.seq > expected.seq:
                    return None
                index = faiss.read_index(faiss.PyCallbackIOReader(stream.read, 1 << 24))
        except (OSError, ValueError, TypeError, RuntimeError):
            return None
        if index.d != state.dim:
            return None
        return VectorIndex(state, index)


def _is_whole(stream: BinaryIO) -> bool:
    """Whether the file ends in the sha256 of what comes before; leaves the stream behind the magic."""
    size = os.fstat(stream.fileno()).st_size - DIGEST
    digest, done = hashlib.sha256(), 0
    stream.seek(0)
    while done < size and (part := stream.read(min(1 << 20, size - done))):
        digest.update(part)
        done += len(part)
    whole = stream.read(DIGEST) == digest.digest()
    stream.seek(len(MAGIC))
    return whole


def top(scores: NDArray[np.float32], ids: NDArray[np.int64], k: int) -> NDArray[np.intp]:
    """Places of the k highest scores, best first, equal scores by lower id.

    >>> top(np.float32([1, 3, 3, 2]), np.int64([7, 9, 8, 1]), 3).tolist()
    [2, 1, 3]
    """
    groups = len(scores) // GROUP
    if groups > k:
        # k groups have a best score at or above `edge`, so at least k scores are: the rest need no sorting.
        best = scores[: groups * GROUP].reshape(GROUP, groups).max(axis=0)
        edge = np.partition(best, groups - k)[groups - k]
        places = np.flatnonzero(scores >= edge)
    else:
        places = np.arange(len(scores))
    return places[np.lexsort((ids[places], -scores[places]))][:k]


def _recall(exact: NDArray[np.int64], found: NDArray[np.int64], own: NDArray[np.int64]) -> float:
    shares = []
    for truth, answer, self_id in zip(exact, found, own):
        wanted = [i for i in truth if i not in (self_id, -1)][:10]
        shares.append(len(set(wanted) & set(answer.tolist())) / max(len(wanted), 1))
    return float(np.mean(shares)) if shares else 1.0
