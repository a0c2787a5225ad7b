"""Add images to a store: skip what is known, encode the rest, commit as it goes, report everything."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.encoder import Encoder
from resight.images import Listing, decode_image, image_notes, read_bytes
from resight.search.store import Item, Store

LOOK_UP = 512  # paths looked up in the store at a time
COMMIT_IMAGES = 256
COMMIT_SECONDS = 0.5
MOST_FAILURES_KEPT = 1000

Progress = Callable[[int, int], None]  # (images looked at and safe on disk, images that failed)


@dataclass(frozen=True)
class AddReport:
    """What `add` did, in images; `failures` are (path, reason), `ignored` files left out by suffix."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0

    @property
    def encoded(self) -> int:
        """Images that went through the network."""
        return self.added + self.updated

    def __add__(self, other: AddReport) -> AddReport:
        return AddReport(
            self.added + other.added, self.updated + other.updated, self.unchanged + other.unchanged,
            self.failed + other.failed, (self.failures + other.failures)[:MOST_FAILURES_KEPT],
            tuple(sorted((Counter(dict(self.ignored)) + Counter(dict(other.ignored))).items())),
            self.seconds + other.seconds,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "added": self.added, "updated": self.updated, "unchanged": self.unchanged, "failed": self.failed,
            "failures": [{"path": path, "error": reason} for path, reason in self.failures],
            "ignored": dict(self.ignored), "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass
class _Job:
    """One file on its way through the pipeline; the worker fills in what it reads."""

    known: Item | None
    item: Item


def add(
    store: Store,
    encoder: Encoder,
    listings: Iterable[Listing],
    ignored: Counter[str],
    progress: Progress | None = None,
    *,
    empty_ok: bool = False,
) -> AddReport:
    """Encode and store what is new or changed. Interrupting it loses nothing that `progress` was told of."""
    from resight.features.pipeline import encode_stream

    start = last = time.monotonic()
    counts: Counter[str] = Counter()
    failures: list[tuple[str, str]] = []
    ready: list[Item] = []

    def flush() -> None:
        nonlocal last
        if ready:
            store.put(ready)
            ready.clear()
        last = time.monotonic()
        if progress:
            progress(sum(counts.values()), counts["failed"])

    stream = encode_stream(encoder, _jobs(store, listings, counts), _load)
    try:
        for result in stream:
            job = result.item
            if result.error is not None:
                counts["failed"] += 1
                if len(failures) < MOST_FAILURES_KEPT:
                    failures.append((job.item.path, result.error.reason))
                ready.append(replace(job.item, status="failed", error=result.error.reason))
            elif result.vector is None:  # the same bytes with another date: keep the vector
                counts["unchanged"] += 1
                ready.append(job.item)
            else:
                counts["updated" if job.known and job.known.status == "ok" else "added"] += 1
                ready.append(replace(job.item, vector=result.vector))
            if len(ready) >= COMMIT_IMAGES or time.monotonic() - last > COMMIT_SECONDS:
                flush()
    finally:
        stream.close()  # type: ignore[attr-defined]
        flush()
    if not sum(counts.values()) and not empty_ok:
        left = f" ({sum(ignored.values())} other files were left out)" if ignored else ""
        raise InputError(f"no images found{left}; known suffixes are .jpg, .png, .webp, .tif, .bmp, .gif, .ppm ...")
    return AddReport(
        counts["added"], counts["updated"], counts["unchanged"], counts["failed"], tuple(failures),
        tuple(sorted(ignored.items())), time.monotonic() - start,
    )  # fmt: skip


def _jobs(store: Store, listings: Iterable[Listing], counts: Counter[str]) -> Iterator[_Job]:
    """Files that need reading; unchanged ones are counted and, if their label changed, relabelled."""
    source = iter(listings)
    while part := list(islice(source, LOOK_UP)):
        known = store.find([str(listing.path) for listing in part])
        relabelled = []
        for listing in part:
            path = str(listing.path)
            old = known.get(path)
            try:
                stat = os.stat(path)
                size, mtime = stat.st_size, stat.st_mtime_ns
            except OSError:
                size, mtime = 0, 0  # reading it will say why
            if old is not None and old.status == "ok" and (old.size, old.mtime_ns) == (size, mtime):
                counts["unchanged"] += 1
                if listing.label is not None and old.label != listing.label:
                    relabelled.append(replace(old, label=listing.label))
                continue
            label = listing.label if listing.label is not None or old is None else old.label
            yield _Job(old, Item(path=path, label=label, size=size, mtime_ns=mtime))
        if relabelled:
            store.put(relabelled)


def _load(job: _Job) -> NDArray[np.uint8] | None:
    """Pixels of a job's file; None if its bytes are those already described. Runs in a worker."""
    data = read_bytes(job.item.path)
    digest = hashlib.sha256(data).hexdigest()
    job.item = replace(job.item, sha256=digest)
    old = job.known
    if old is not None and old.status == "ok" and old.sha256 == digest:
        job.item = replace(job.item, width=old.width, height=old.height, note=old.note)
        return None
    image = decode_image(data, job.item.path)
    notes = image_notes(data, job.item.path)
    job.item = replace(
        job.item, height=image.shape[0], width=image.shape[1], note="; ".join(notes) if notes else None
    )  # fmt: skip
    return image
