"""Encode a stream of images with decoding and the network overlapped.

On the CPU every worker decodes AND runs the network on one thread: no barriers between threads, so other load on the
machine slows it in proportion and no further. On an accelerator the workers decode and this thread feeds the device.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.features.encoder import Encoder

T = TypeVar("T")
Fitted = NDArray[np.uint8]
CHUNK = 16  # images of 224 x 224 a worker takes at a time; fewer of larger ones, so that memory stays bounded
MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Encoded(Generic[T]):
    """One result of the stream: the item, and its vector (D,) or the error. Both None: `load` had nothing to encode."""

    item: T
    vector: Any = None
    error: ImageError | None = None


def cores() -> int:
    """Processor cores this process may use: those it is bound to, and no more than torch (OMP_NUM_THREADS) may."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, torch.get_num_threads()))


def encode_stream(
    encoder: Encoder,
    items: Iterable[T],
    load: Callable[[T], NDArray[np.uint8] | None],
    *,
    run: Callable[[list[Fitted]], Sequence[Any] | NDArray[np.float32]] | None = None,
    workers: int | None = None,
) -> Iterator[Encoded[T]]:
    """Yield one `Encoded` per item, in order, with a bounded number of images in memory.

    load: item -> (H, W, 3) uint8, or None if there is nothing to encode; raises ImageError if it cannot be read
    run:  what is made of fitted images, one thing for each; default `encoder.encode_fitted`, their vectors

    Any other error of `items` or `load` ends the stream and is raised here. Raises InputError if workers is below 1.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    encoder.backbone  # noqa: B018  (load the network before the workers race for it)
    on_cpu = encoder.backbone.device.type == "cpu"
    threads_before, available = torch.get_num_threads(), cores()
    workers = workers or min(available, MOST_WORKERS)
    threads = max(1, available // workers) if on_cpu else 1
    chunk_size = max(1, CHUNK * (1 if on_cpu else 4) * 224 * 224 // max(encoder.size, 224) ** 2)

    def prepare(chunk: list[T]) -> list[Encoded[T] | tuple[T, Fitted]]:
        ready: list[Encoded[T] | tuple[T, Fitted]] = []
        for item in chunk:
            try:
                image = load(item)
                ready.append(Encoded(item) if image is None else (item, encoder.fit(image)))
            except ImageError as error:
                ready.append(Encoded(item, error=error))
        return ready

    def finish(ready: list[Encoded[T] | tuple[T, Fitted]]) -> list[Encoded[T]]:
        fitted = [entry[1] for entry in ready if isinstance(entry, tuple)]
        vectors = iter((run or encoder.encode_fitted)(fitted) if fitted else ())
        return [Encoded(entry[0], next(vectors)) if isinstance(entry, tuple) else entry for entry in ready]

    def both(chunk: list[T]) -> list[Encoded[T]]:
        return finish(prepare(chunk))

    source = iter(items)
    # The number of torch's threads is a setting of the thread that makes it, and of those born later.
    pool = ThreadPoolExecutor(workers, "resight", initializer=torch.set_num_threads, initargs=(threads,))
    try:
        if on_cpu:
            for done in _in_order(pool, both, source, chunk_size, workers * 2):
                yield from done
        else:
            for prepared in _in_order(pool, prepare, source, chunk_size, workers * 2):
                yield from finish(prepared)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads_before)


R = TypeVar("R")


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[list[T]], R], source: Iterator[T], chunk: int, ahead: int
) -> Iterator[R]:
    """Results of `work` on chunks of `source`, in order, never more than `ahead` chunks in flight."""
    waiting: deque[Future[R]] = deque()
    while True:
        while len(waiting) < ahead and (part := list(islice(source, chunk))):
            waiting.append(pool.submit(work, part))
        if not waiting:
            return
        yield waiting.popleft().result()
