"""Claims on 200,000 x 512: exact search at most 1.2x plain FAISS flat; insert, add-and-find and reopen times.

python benchmarks/search.py
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from _common import interleaved, machine, peak_memory_mb
from numpy.typing import NDArray

from resight.search.embedded import EmbeddedStore, create_store
from resight.search.store import Item, Where

N, D, K = 200_000, 512, 20


def unit(n: int, seed: int) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal((n, D), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="resight-bench-")) / "c.resight"
    store = create_store(folder, {"uuid": b"bench", "space": b"bench", "dim": str(D).encode()})
    vectors, queries = unit(N, 0), unit(100, 1)
    print(machine())

    rates = []
    for start in range(0, N, 1000):
        part = [Item(path=f"/photos/{i:07d}.jpg", label=f"l{i % 100}", size=1, mtime_ns=1, sha256=f"{i:064x}",
                     vector=vectors[i]) for i in range(start, start + 1000)]  # fmt: skip
        before = time.perf_counter()
        store.put(part)
        rates.append(1000 / (time.perf_counter() - before))
    print(f"  durable inserts (transactions of 1,000, synchronous FULL): median {np.median(rates):,.0f}/s, "
          f"slowest {min(rates):,.0f}/s, over all {N / sum(1000 / r for r in rates):,.0f}/s")  # fmt: skip

    before = time.perf_counter()
    store.search(queries[:1], K, Where())
    print(f"  first search after the inserts (builds the index): {time.perf_counter() - before:.2f} s")

    flat = faiss.IndexFlatIP(D)
    flat.add(vectors)
    found, expected = store.search(queries, K, Where())[0] - 1, flat.search(queries, K)[1]
    print(f"  same answers as FAISS flat: {(found == expected).mean():.4f} of {found.size}")
    one, every = queries[:1], Where()
    times = interleaved(
        {
            "resight 1 query": lambda: store.search(one, K, every),
            "faiss 1 query": lambda: flat.search(one, K),
            "resight 100 queries": lambda: store.search(queries, K, every),
            "faiss 100 queries": lambda: flat.search(queries, K),
            "resight 1 query, label filter (1 %)": lambda: store.search(one, K, Where(label="l7")),
        },
        11,
    )
    for name, seconds in times.items():
        print(f"  {name:<38} {seconds * 1e3:8.1f} ms")
    for n in ("1 query", "100 queries"):
        ratio = times[f"resight {n}"] / times[f"faiss {n}"]
        print(f"  exact search, {n}: {ratio:.2f}x the time of FAISS flat")

    before = time.perf_counter()
    store.close()
    print(f"  close (saves the index): {time.perf_counter() - before:.2f} s")
    opens, adds = [], []
    for turn in range(5):
        before = time.perf_counter()
        store = EmbeddedStore(folder)
        store.search(queries[:1], K, Where())
        opens.append(time.perf_counter() - before)
        new = unit(1, 100 + turn)
        before = time.perf_counter()
        store.put([Item(path=f"/new/{turn}.jpg", vector=new[0])])
        if store.search(new, 1, Where())[0][0, 0] != N + turn + 1:
            raise SystemExit("the new image was not found")
        adds.append(time.perf_counter() - before)
        store.close()
    print(f"  reopen and answer a first query: median {np.median(opens):.2f} s")
    print(f"  add one vector and find it: median {np.median(adds) * 1e3:.0f} ms")
    print(f"  peak memory, with the data twice for the comparison: {peak_memory_mb():.0f} MB")
    shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
