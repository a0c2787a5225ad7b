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
    backbone = encoder.backbone  # loaded before the workers race for it
    on_cpu = backbone.device.type == "cpu"

    def prepare(item: T) -> Fitted | None:
        image = load(item)
        return None if image is None else encoder.fit(image)

    chunk = max(1, CHUNK * (1 if on_cpu else 4) * 224 * 224 // max(encoder.size, 224) ** 2)
    return work_stream(items, prepare, run or encoder.encode_fitted, chunk=chunk, together=on_cpu, workers=workers)


def work_stream(
    items: Iterable[T],
    prepare: Callable[[T], Any],
    finish: Callable[[list[Any]], Sequence[Any] | NDArray[np.float32]],
    *,
    chunk: int,
    together: bool,
    workers: int | None = None,
) -> Iterator[Encoded[T]]:
    """Yield one `Encoded` per item, in order, with a bounded number of prepared items in memory.

    prepare:  item -> what `finish` takes, or None for nothing; raises ImageError. Run by workers
    finish:   prepared items -> one thing for each
    chunk:    items prepared and finished at a time
    together: workers also finish what they have prepared (a CPU); otherwise this thread does (an accelerator)

    Raises as `encode_stream` does.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    return _work_stream(items, prepare, finish, chunk, together, workers)


def _work_stream(
    items: Iterable[T], prepare: Callable[[T], Any], finish: Callable[[list[Any]], Any], chunk: int, together: bool,
    workers: int | None,
) -> Iterator[Encoded[T]]:  # fmt: skip
    threads_before, available = torch.get_num_threads(), cores()
    workers = workers or min(available, MOST_WORKERS)
    threads = max(1, available // workers) if together else 1

    def first(part: list[T]) -> list[Encoded[T] | tuple[T, Any]]:
        ready: list[Encoded[T] | tuple[T, Any]] = []
        for item in part:
            try:
                prepared = prepare(item)
                ready.append(Encoded(item) if prepared is None else (item, prepared))
            except ImageError as error:
                ready.append(Encoded(item, error=error))
        return ready

    def second(ready: list[Encoded[T] | tuple[T, Any]]) -> list[Encoded[T]]:
        prepared = [entry[1] for entry in ready if isinstance(entry, tuple)]
        results = iter(finish(prepared) if prepared else ())
        return [Encoded(entry[0], next(results)) if isinstance(entry, tuple) else entry for entry in ready]

    source = iter(items)
    # The number of torch's threads is a setting of the thread that makes it, and of those born later.
    pool = ThreadPoolExecutor(workers, "resight", initializer=torch.set_num_threads, initargs=(threads,))
    try:
        if together:
            for done in _in_order(pool, lambda part: second(first(part)), source, chunk, workers * 2):
                yield from done
        else:
            for ready in _in_order(pool, first, source, chunk, workers * 2):
                yield from second(ready)
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
