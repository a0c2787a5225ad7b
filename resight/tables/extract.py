"""A feature table of a folder of images: any mix of extractors, in one pass, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight._version import __version__
from resight.errors import ImageError, InputError, WorkError
from resight.features.config import EncoderConfig
from resight.features.extractors import Extractor, make_extractors
from resight.features.pipeline import Encoded, work_stream
from resight.features.wanted import Wanted, parse_wanted
from resight.images import Listing, decode_image, list_images, read_bytes, read_labels
from resight.tables.columns import Column, Scalar, Vector
from resight.tables.formats import format_of, open_table, open_writer
from resight.tables.parts import Parts, Row
from resight.tables.schema import Schema

AT_A_TIME = 4  # images that a worker takes: as many as a CPU's network likes; one if something slow is asked
COMMIT_ROWS = 256
COMMIT_SECONDS = 2.0
MOST_FAILURES_KEPT = 1000
SPLITS = {"train", "training", "valid", "validation", "val", "test", "dev"}

Progress = Callable[[int, int], None]  # (rows done, images that failed)
Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class ExtractReport:
    """What `extract` did.

    path                        the table
    rows, columns               its rows, and its numbers per row
    extracted, reused, failed   images whose features were computed, were known before, could not be read
    failures                    (path, reason), the first of them;  ignored: files left out by suffix
    gaps                        images computed now that have no value (NaN) in some column: boxes larger than they are
    """

    path: str
    rows: int
    columns: int
    extracted: int
    reused: int
    failed: int
    failures: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0
    gaps: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path, "rows": self.rows, "columns": self.columns, "extracted": self.extracted,
            "reused": self.reused, "failed": self.failed, "gaps": self.gaps,
            "failures": [{"path": path, "error": reason} for path, reason in self.failures],
            "ignored": dict(self.ignored), "seconds": round(self.seconds, 3),
        }  # fmt: skip


def path_text(path: Path) -> str:
    """The path as a table holds it: bytes of a name that are not UTF-8 as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass
class _Job:
    """One image on its way; the worker fills in what it finds."""

    listing: Listing
    size: int
    mtime_ns: int
    known: Row | None
    sha256: str = ""
    shape: tuple[int, int] = (0, 0)


def extract(
    source: Source,
    to: str | os.PathLike[str],
    wanted: str | Sequence[str] | Sequence[Wanted],
    *,
    network: EncoderConfig | None = None,
    labels: str = "folder",
    workers: int | None = None,
    progress: Progress | None = None,
) -> ExtractReport:
    """A table with one row per image: path, label, split, width, height, sha256, status, error, features.

    source:  folder, glob, CSV list (columns path, label, split), images, or several of them, as `list_images` takes
    to:      the file; its suffix is the format, see `resight.tables.FORMATS`
    wanted:  what to compute, "fractal,gem:resnet50,layer:resnet50.layer3", see `parse_wanted`
    network: the network of extractors that name none, with size, fit, weights, precision and device for all
    labels:  "folder", "none" or "csv:FILE" (columns path, label)

    Rows are in the order of `list_images`. Finished rows are kept in TO.parts/ until the table is whole: interrupted
    or killed and called again, it goes on. Called again when the table is there, only new and changed images (by
    content) are computed. An image that cannot be read is a row with status "failed", its error, and NaN.

    Raises InputError for a wrong source, extractor or file name, or when another process makes the same table;
    WorkError if the disk refuses.
    """
    start = time.monotonic()
    to = Path(to)
    format_of(to)  # an unknown suffix is refused before anything else
    ignored: Counter[str] = Counter()
    listings = _listings(source, labels, ignored)
    extractors = make_extractors(_wanted(wanted), network or EncoderConfig())
    schema = _schema(extractors, to.stem)
    labels_there = tuple(sorted({listing.label for listing in listings if listing.label is not None}))
    schema = replace(schema, labels=labels_there)
    _refuse_unwritable(to, schema)
    key = str(schema.metadata["key"])
    with Parts(to, schema, key) as parts:
        known = parts.rows()
        work = _Work(parts, extractors, progress, known=_rows_of_table(to, parts, known) | known)
        work.run(listings, workers)
        _assemble(to, schema, parts, listings, work.rows)
        parts.throw_away()
    columns = sum(feature.width or 1 for extractor in extractors for feature in extractor.features)
    return ExtractReport(
        str(to), len(listings), columns, work.counts["extracted"], work.counts["reused"], work.counts["failed"],
        tuple(work.failures), tuple(sorted(ignored.items())), time.monotonic() - start, work.counts["gaps"],
    )  # fmt: skip


class _Work:
    """Computes what is not known yet, and commits it as it goes."""

    def __init__(
        self, parts: Parts, extractors: Sequence[Extractor], progress: Progress | None, known: dict[str, Row]
    ) -> None:
        self.parts, self.extractors, self.progress = parts, extractors, progress
        self.rows = known
        self.counts: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self._ready: list[Encoded[_Job]] = []
        self._last = 0.0  # the first row is committed at once

    def run(self, listings: Sequence[Listing], workers: int | None) -> None:
        """Rows for all images. Interrupting it loses nothing that `progress` was told of."""
        together = all(extractor.on_cpu for extractor in self.extractors)
        chunk = 1 if any(extractor.slow for extractor in self.extractors) else AT_A_TIME
        stream = work_stream(
            self._jobs(listings), self._prepare, self._finish, chunk=chunk, together=together, workers=workers
        )
        try:
            for result in stream:
                self._take(result)
        finally:
            stream.close()  # type: ignore[attr-defined]
            self._commit()

    def _jobs(self, listings: Sequence[Listing]) -> Iterator[_Job]:
        for listing in listings:
            path = str(listing.path)
            try:
                stat = os.stat(path)
                size, mtime = stat.st_size, stat.st_mtime_ns
            except (OSError, ValueError):
                size, mtime = 0, 0  # reading it will say why
            known = self.rows.get(path_text(listing.path))
            if known is not None and (known.size, known.mtime_ns) == (size, mtime):
                self.counts["reused"] += 1
                continue
            yield _Job(listing, size, mtime, known)

    def _prepare(self, job: _Job) -> list[Any] | None:
        """What the extractors keep of an image; None if its content is known. Runs in a worker."""
        path = str(job.listing.path)
        data = read_bytes(path)
        job.sha256 = hashlib.sha256(data).hexdigest()
        if job.known is not None and job.known.sha256 == job.sha256:
            return None
        image = decode_image(data, path)
        job.shape = (image.shape[0], image.shape[1])
        try:
            return [extractor.prepare(image) for extractor in self.extractors]
        except InputError as error:  # this image is not for this extractor: too small, say
            raise ImageError(path, str(error)) from error

    def _finish(self, prepared: list[list[Any]]) -> list[list[Any]]:
        """The values of all features for each image, in the order of the columns."""
        found: list[list[Any]] = [[] for _ in prepared]
        for extractor, own in zip(self.extractors, zip(*prepared)):
            for row, values in zip(found, extractor.finish(list(own))):
                row += values
        return found

    def _take(self, result: Encoded[_Job]) -> None:
        path = path_text(result.item.listing.path)
        if result.error is not None:
            self.counts["failed"] += 1
            if len(self.failures) < MOST_FAILURES_KEPT:
                self.failures.append((path, result.error.reason))
            self._ready.append(result)
        elif result.vector is None:
            self.counts["reused"] += 1
        else:
            self.counts["extracted"] += 1
            self.counts["gaps"] += any(isinstance(value, float) and value != value for value in result.vector)
            self._ready.append(result)
        if len(self._ready) >= COMMIT_ROWS or time.monotonic() - self._last > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        if self._ready:
            jobs = [result.item for result in self._ready]
            batch = self.parts.schema.batch(self._columns())
            self.rows |= self.parts.put(batch, [job.size for job in jobs], [job.mtime_ns for job in jobs])
            self._ready = []
        self._last = time.monotonic()
        if self.progress is not None:
            done = self.counts["extracted"] + self.counts["reused"] + self.counts["failed"]
            self.progress(done, self.counts["failed"])

    def _columns(self) -> dict[str, Any]:
        """Facts and features of what is ready, by column."""
        results, jobs = self._ready, [result.item for result in self._ready]
        columns: dict[str, Any] = {
            "path": [path_text(job.listing.path) for job in jobs],
            "width": [job.shape[1] or None for job in jobs],
            "height": [job.shape[0] or None for job in jobs],
            "sha256": [job.sha256 or None for job in jobs],
            "status": ["ok" if result.error is None else "failed" for result in results],
            "error": [None if result.error is None else result.error.reason for result in results],
        }
        for place, column in enumerate(self.parts.schema.columns):
            lacking: Any = np.full(column.dim, np.nan, np.float32) if isinstance(column, Vector) else np.nan
            columns[column.name] = np.array([
                lacking if result.vector is None else result.vector[place] for result in results
            ])  # fmt: skip
        return columns


def _wanted(wanted: str | Sequence[str] | Sequence[Wanted]) -> list[Wanted]:
    if isinstance(wanted, str):
        return list(parse_wanted(wanted))
    texts = [one if isinstance(one, str) else str(one) for one in wanted]
    return list(parse_wanted(texts))


def _listings(source: Source, labels: str, ignored: Counter[str]) -> list[Listing]:
    """The images with their labels and splits, each path once."""
    how = labels if labels in ("folder", "none") else "none"
    label_of = read_labels(labels) if labels not in ("folder", "none") else None
    found: dict[Path, Listing] = {}
    for listing in list_images(source, labels=how, ignored=ignored):
        label = label_of(listing.path) if label_of is not None else listing.label
        found.setdefault(listing.path, replace(listing, label=label, split=listing.split or _split(listing)))
    if not found:
        left = f" ({sum(ignored.values())} other files were left out)" if ignored else ""
        raise InputError(f"no images found{left}: nothing was made")
    texts: dict[str, Path] = {}
    for path in found:
        other = texts.setdefault(path_text(path), path)
        if other != path:
            raise InputError(f"two files would have the same path in the table, {path_text(path)!r}: rename one")
    return list(found.values())


def _split(listing: Listing) -> str | None:
    """A folder called train, valid, test ... between the folder listed and the image, or that folder itself."""
    if listing.root is None or not listing.path.is_relative_to(listing.root):
        return None
    parts = (listing.root.name, *listing.path.relative_to(listing.root).parts[:-1])
    return next((part for part in parts if part.lower() in SPLITS), None)


def _schema(extractors: Sequence[Extractor], relation: str) -> Schema:
    columns: list[Column] = [
        Vector(feature.name, feature.width) if feature.width else Scalar(feature.name)
        for extractor in extractors
        for feature in extractor.features
    ]
    import PIL
    import torchvision

    recipe = {
        "resight": __version__, "extractors": [extractor.settings for extractor in extractors],
        "decoder": {"Pillow": PIL.__version__, "torchvision": torchvision.__version__},
        "pixels": "8-bit RGB, upright; transparency on white; 16-bit grey divided by 257",
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return Schema(tuple(columns), relation=relation, metadata={**recipe, "key": key})


class _Refused(Exception):
    """Leaves a writer without a file."""


def _refuse_unwritable(to: Path, schema: Schema) -> None:
    """Raises before hours of work what the writer would raise after them."""
    with contextlib.suppress(_Refused), open_writer(to, schema):
        raise _Refused


def _rows_of_table(to: Path, parts: Parts, known: dict[str, Row]) -> dict[str, Row]:
    """The rows of a finished table of the same recipe that are not known better, taken into the parts."""
    if not to.is_file():
        return {}
    try:
        table = open_table(to)
        if table.schema.metadata.get("key") != parts.key or table.schema.names != parts.schema.names:
            return {}
        found: dict[str, Row] = {}
        for batch in table.batches():
            there = pc.is_in(batch.column("path"), pa.array(list(known), pa.string()))
            good = batch.filter(pc.and_(pc.equal(batch.column("status"), "ok"), pc.invert(there)))
            if len(good):
                found |= parts.put(parts.schema.conform(good), [-1] * len(good), [-1] * len(good))
        return found
    except (InputError, WorkError):  # another file of that name, or damaged: it will be replaced as a whole
        return {}


def _assemble(to: Path, schema: Schema, parts: Parts, listings: Sequence[Listing], rows: dict[str, Row]) -> None:
    """The whole table, in the order of the images, with their labels and splits of today."""
    place = 0
    with open_writer(to, schema) as writer:
        for some in parts.gather([rows[path_text(listing.path)] for listing in listings]):
            own = listings[place : place + len(some)]
            for name, values in (("label", [one.label for one in own]), ("split", [one.split for one in own])):
                some = some.set_column(schema.names.index(name), name, pa.array(values, pa.string()))
            writer.write(some)
            place += len(some)
