"""Claims on 100,000 x 512: each method after a first search stays under 4 GB; times; ratios against plain NumPy code.

python benchmarks/after_search.py [--quick]      (--quick: 10,000 vectors)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from _common import interleaved, machine, peak_memory_mb
from numpy.typing import NDArray

from resight.search.diffusion import DiffusionGraph
from resight.search.expansion import alpha_expansion, augment_database
from resight.search.neighbours import nearest_neighbours
from resight.search.reciprocal import ReciprocalIndex

D, GROUP, QUERIES, TOP = 512, 100, 100, 1000
Floats = NDArray[np.float32]


def grouped(n: int) -> tuple[Floats, Floats]:
    """n unit vectors, row i around centre i % (n / 100), and 100 queries around the first 100 centres.

    Mates have a cosine of 0.17 in the mean and strangers of 0, both with a spread of 0.04: a hard search.
    """
    random = np.random.default_rng(0)
    groups = n // GROUP
    centres = random.standard_normal((groups, D), dtype=np.float32)

    def around(count: int) -> Floats:
        vectors = random.standard_normal((count, D), dtype=np.float32)
        for start in range(0, count, groups):
            part = vectors[start : start + groups]
            part *= 2.2
            part += centres[: len(part)]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        return vectors

    return around(n), around(QUERIES)


def first(vectors: Floats, query: Floats, count: int) -> tuple[NDArray[np.intp], Floats]:
    """A first search: the best `count` rows and their cosines, best first."""
    sims = vectors @ query
    best = np.argpartition(-sims, count)[:count]
    best = best[np.argsort(-sims[best])]
    return best, sims[best]


def recall(found: list[NDArray[np.intp]], groups: int) -> float:
    """Share of the query's 100 mates among the first 100."""
    return float(np.mean([(ids[:GROUP] % groups == number % groups).mean() for number, ids in enumerate(found)]))


def measured(n: int, method: str) -> dict[str, float]:
    """Build and query one method, in this process."""
    vectors, queries = grouped(n)
    searched = [first(vectors, query, TOP) for query in queries]
    result = {"data MB": peak_memory_mb(), "recall before": recall([ids for ids, _ in searched], n // GROUP)}
    start = time.perf_counter()
    near = (
        nearest_neighbours(vectors, {"diffusion": 50, "k-reciprocal": 20}.get(method, 10)) if method in NEAR else None
    )
    result["neighbours s"] = time.perf_counter() - start
    start = time.perf_counter()
    act = METHODS[method](vectors, near)
    result["build s"] = time.perf_counter() - start
    found, times = [], []
    for query, (ids, sims) in zip(queries, searched):
        start = time.perf_counter()
        found.append(act(query, ids, sims))
        times.append(time.perf_counter() - start)
    result |= {"query ms": statistics.median(times) * 1e3, "peak MB": peak_memory_mb()}
    return result | {"recall after": recall(found, n // GROUP)}


Act = Callable[[Floats, NDArray[np.intp], Floats], NDArray[np.intp]]


def expanding(vectors: Floats, near: object) -> Act:
    def act(query: Floats, ids: NDArray[np.intp], sims: Floats) -> NDArray[np.intp]:
        return first(vectors, alpha_expansion(query, vectors[ids[:10]], sims[:10]), TOP)[0]

    return act


def augmenting(vectors: Floats, near: tuple[NDArray[np.int32], Floats]) -> Act:
    augmented = augment_database(vectors, *near)
    return lambda query, ids, sims: first(augmented, query, TOP)[0]


def reciprocal(vectors: Floats, near: tuple[NDArray[np.int32], Floats]) -> Act:
    index = ReciprocalIndex.build(vectors, neighbours=near)
    return lambda query, ids, sims: ids[np.argsort(index.distances(query, ids), kind="stable")]


def diffusing(vectors: Floats, near: tuple[NDArray[np.int32], Floats]) -> Act:
    graph = DiffusionGraph.build(vectors, neighbours=near)
    return lambda query, ids, sims: ids[np.argsort(-graph.scores(query, ids, sims), kind="stable")]


METHODS: dict[str, Callable[..., Act]] = {
    "alpha-QE": expanding, "DBA": augmenting, "k-reciprocal": reciprocal, "diffusion": diffusing,
}  # fmt: skip
NEAR = ("DBA", "k-reciprocal", "diffusion")


def dense_reciprocal(queries: Floats, gallery: Floats, k1: int = 20, k2: int = 6, weight: float = 0.3) -> Floats:
    """k-reciprocal re-ranking as its paper's code does it: every pair of queries and gallery in dense matrices."""
    everything, half = np.concatenate([queries, gallery]), round(k1 / 2)
    distance = 2 - 2 * everything @ everything.T
    distance = (distance / distance.max(axis=0)).T
    rank = np.argsort(distance)
    weights = np.zeros_like(distance)

    def mutual(i: int, k: int) -> NDArray[np.intp]:
        forward = rank[i, : k + 1]
        return forward[np.where(rank[forward, : k + 1] == i)[0]]

    for i in range(len(everything)):
        own = members = mutual(i, k1)
        for j in own:
            theirs = mutual(j, half)
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        values = np.exp(-distance[i, members])
        weights[i, members] = values / values.sum()
    weights = np.array([weights[rank[i, :k2]].mean(axis=0) for i in range(len(everything))])
    holders = [np.where(column)[0] for column in weights.T]
    jaccard = np.zeros((len(queries), len(everything)), np.float32)
    for i in range(len(queries)):
        shared = np.zeros(len(everything), np.float32)
        for j in np.where(weights[i])[0]:
            shared[holders[j]] += np.minimum(weights[i, j], weights[holders[j], j])
        jaccard[i] = 1 - shared / (2 - shared)
    return ((1 - weight) * jaccard + weight * distance[: len(queries)])[:, len(queries) :]


def beside_dense(n: int, kind: str) -> dict[str, float]:
    """All 100 queries against the whole gallery, ours or dense, everything included."""
    vectors, queries = grouped(n)
    before, start = peak_memory_mb(), time.perf_counter()
    if kind == "dense":
        distances = dense_reciprocal(queries, vectors)
    else:
        index = ReciprocalIndex.build(vectors)
        distances = np.array([index.distances(query, np.arange(n)) for query in queries])
    seconds = time.perf_counter() - start
    found = list(np.argsort(distances, axis=1, kind="stable"))
    return {"s": seconds, "MB": peak_memory_mb() - before, "recall": recall(found, n // GROUP)}


def beside_expression() -> tuple[float, float]:
    """Time of alpha_expansion over the usual NumPy expression (columns are vectors), without and with the search."""
    vectors, queries = grouped(20_000)
    columns, query = np.ascontiguousarray(vectors.T), queries[0]
    ids, sims = first(vectors, query, 10)

    def plain() -> Floats:
        expanded = query + (columns[:, ids] * sims**3).sum(axis=1)
        return np.asarray(expanded / np.linalg.norm(expanded))

    def ours() -> Floats:
        return alpha_expansion(query, vectors[ids], sims)

    np.testing.assert_allclose(ours(), plain(), atol=1e-6)
    times = interleaved({"plain": plain, "ours": ours, "plain+": lambda: plain() @ columns,
                         "ours+": lambda: ours() @ columns}, 201)  # fmt: skip
    return times["ours"] / times["plain"], times["ours+"] / times["plain+"]


def beside_product(n: int) -> float:
    """Time of nearest_neighbours (k 50) over that of nothing but its matrix products, in the same blocks."""
    vectors, scores = grouped(n)[0], np.empty((1024, n), np.float32)

    def product() -> None:
        for start in range(0, n, 1024):
            part = vectors[start : start + 1024]
            np.matmul(part, vectors.T, out=scores[: len(part)])

    times = interleaved({"product": product, "ours": lambda: nearest_neighbours(vectors, 50, block=1024)}, 3)
    return times["ours"] / times["product"]


def apart(*arguments: object) -> dict[str, float]:
    """A part of this script in a process of its own, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(n: int) -> None:
    print(
        f"{machine()}\n{n:,} x {D} in groups of {GROUP}, {QUERIES} queries; peak memory of each process, data included"
    )
    print("| method | neighbours s | build s | query ms | peak MB | data alone MB | recall@100 before | after |")
    print("|---|---|---|---|---|---|---|---|")
    for method in METHODS:
        r = apart("measured", n, method)
        print(f"| {method} | {r['neighbours s']:.1f} | {r['build s']:.1f} | {r['query ms']:.1f} | {r['peak MB']:,.0f} "
              f"| {r['data MB']:,.0f} | {r['recall before']:.3f} | {r['recall after']:.3f} |", flush=True)  # fmt: skip
    size = min(n, 5000)
    ours, dense = apart("beside_dense", size, "ours"), apart("beside_dense", size, "dense")
    print(f"k-reciprocal, {QUERIES} queries x {size:,}: {ours['s']:.2f} s, +{ours['MB']:,.0f} MB, recall "
          f"{ours['recall']:.3f}; dense {dense['s']:.2f} s, +{dense['MB']:,.0f} MB, recall {dense['recall']:.3f}: "
          f"{ours['s'] / dense['s']:.3f}x the time, {ours['MB'] / dense['MB']:.3f}x the memory")  # fmt: skip
    part = min(n, 20_000)
    print(f"nearest neighbours, {part:,} x {D}, k 50: {beside_product(part):.2f}x the time of the bare matrix product")
    alone, search = beside_expression()
    print(f"alpha-QE beside the NumPy expression: {alone:.2f}x the time alone, {search:.2f}x with the search of 20,000")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measured"]:
        print(json.dumps(measured(int(sys.argv[2]), sys.argv[3])))
    elif sys.argv[1:2] == ["beside_dense"]:
        print(json.dumps(beside_dense(int(sys.argv[2]), sys.argv[3])))
    else:
        main(10_000 if "--quick" in sys.argv else 100_000)
