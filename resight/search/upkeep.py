"""Small matters of a collection: what it begins with, what it was made from, which images a removal means, facts."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight._version import __version__
from resight.errors import InputError, WorkError
from resight.features.encoder import Encoder
from resight.features.whitening import Whitening
from resight.search.adding import AddReport
from resight.search.store import Store, Where

UNIT_TOLERANCE = 0.01


def recorded(store: Store, name: str, empty: bytes) -> dict[str, Any]:
    """A named value of a collection that holds JSON. Raises WorkError if it is damaged."""
    try:
        return dict(json.loads(store.meta(name) or empty))
    except (ValueError, TypeError) as error:
        raise WorkError(f"the collection is damaged: its record {name!r} is not readable ({error}); describe the "
                        "images again into a new one") from error  # fmt: skip


def first_record(encoder: Encoder) -> dict[str, bytes]:
    """The named values that a collection begins with; loads the encoder's weights."""
    record = {
        "uuid": uuid.uuid4().hex.encode(), "space": encoder.key.encode(), "dim": str(encoder.dim).encode(),
        "encoder": json.dumps(asdict(encoder.config)).encode(),
        "encoder_space": json.dumps(encoder.space).encode(), "made_by": f"resight {__version__}".encode(),
        "sources": b"[]",
    }  # fmt: skip
    if encoder.part_whitening is not None:
        record["part_whitening"] = encoder.part_whitening.to_bytes()
    if encoder.projection is not None and encoder.config.encoder is None:  # that of a run stays with the run
        record["projection"] = encoder.projection.to_bytes()
    return record


def remember_encoder(store: Store, encoder: Encoder) -> None:
    """Record where the run of a collection's encoder is now; the caller has checked that the space is the same."""
    store.set_meta({"encoder": json.dumps(asdict(encoder.config)).encode()})


def ids_matching(store: Store, paths: Iterable[str | os.PathLike[str]], wanted: Where, name: str) -> set[int]:
    """Ids of the images at these paths (a folder means all below it) that also match; of all that match, if no path.

    Raises InputError if a path is not in the collection called `name`.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    listed = [_below(store, path, name) for path in paths]
    ids: set[int] = set().union(*listed) if listed else set()
    if wanted != Where():
        matching = {item.id for item in store.scan(wanted)}
        ids = ids & matching if listed else matching
    return ids


def _below(store: Store, path: str | os.PathLike[str], name: str) -> set[int]:
    """Ids of the image at a path, or of those below it."""
    absolute = os.path.abspath(os.path.expanduser(os.fspath(path)))
    found = {item.id for item in store.find([absolute]).values()}
    found = found or {item.id for item in store.scan(Where(path=_escape(absolute.rstrip("/")) + "/*"))}
    if not found:
        raise InputError(f"{str(path)!r} is not in {name}, nor is anything below it")
    return found


def _escape(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def facts(store: Store, whitening: Whitening | None) -> dict[str, Any]:
    """Counts, whitening and index, as plain values."""
    total, failed = store.count(Where()), store.count(Where(status="failed"))
    w = whitening
    return {
        "images": total - failed, "failed": failed,
        "whitening": {"dim": w.projection.shape[1], "fitted_on": w.fitted_on, "sample": w.sample} if w else None,
        "index": store.status(), "made_by": (store.meta("made_by") or b"").decode(),
    }  # fmt: skip


def described_more(value: bytes | None, report: AddReport) -> bytes:
    """The record of images described and seconds taken, with those of a report added."""
    images, seconds = json.loads(value or b"[0, 0]")
    return json.dumps([images + report.encoded, seconds + report.seconds]).encode()


def remember_source(store: Store, source: str, labels: str) -> None:
    """Record a folder, glob or CSV list that images come from, and how they are labelled, for `sync`."""
    name = os.path.abspath(os.path.expanduser(source))
    if Path(name).is_file() and not name.lower().endswith(".csv"):
        return  # a single image: sync looks after it by its own row
    if recorded(store, "sources", b"[]").get(name) != labels:
        _change_sources(store, lambda known: {**known, name: labels})


def forget_sources(store: Store, missing: Sequence[str]) -> None:
    """Take sources out of the record."""
    _change_sources(store, lambda known: {name: how for name, how in known.items() if name not in missing})


def _change_sources(store: Store, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    def rewrite(value: bytes | None) -> bytes:
        return json.dumps(sorted(change(dict(json.loads(value or b"[]"))).items())).encode()

    store.change_meta("sources", rewrite)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors (N, D) as float32. Raises InputError unless all lengths are 1 (or 0): scores would be no cosines."""
    rows = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(rows, axis=1) if rows.ndim == 2 else np.empty(0)
    wrong = np.flatnonzero(~((np.abs(lengths - 1) < UNIT_TOLERANCE) | (lengths == 0)))
    if len(wrong):
        raise InputError(f"vectors must have length 1, number {wrong[0]} has {lengths[wrong[0]]:.4g}: divide each by "
                         "its length")  # fmt: skip
    return rows
