"""A collection: images that were described by one encoder and can be searched."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.features.whitening import Whitening
from resight.images import list_images
from resight.search import adding, upkeep
from resight.search.adding import AddReport, Progress
from resight.search.after import After, Step, make_acts, parse_step
from resight.search.asking import Query, as_ranking, describe_query
from resight.search.database import Database, StoredDatabase, stored_vectors
from resight.search.embedded import RECORDS_FILE, EmbeddedStore, create_store, is_free
from resight.search.fitting import fit_whitening
from resight.search.kept_maps import MAPS_FILE, KeptMaps
from resight.search.ranking import Ranking
from resight.search.store import Item, Store, Where
from resight.search.syncing import SyncReport, missing_sources, sync
from resight.search.views import Views


class Collection:
    """Images, their descriptors, and search among them.

    A collection is a folder, conventionally `NAME.resight`. Every image in it was described by one encoder: mixing two
    embedding spaces is an error. What `add` has reported is on disk, whatever happens next.

    >>> photos = Collection.create("pictures.resight", Encoder(descriptor="gem"))   # doctest: +SKIP
    >>> photos.add("~/Pictures")                                                    # doctest: +SKIP
    >>> photos.search("query.jpg", k=20).sheet("out.png")                           # doctest: +SKIP
    """

    def __init__(self, path: Path, store: Store, encoder: Encoder | None) -> None:
        self.path = path
        self.store = store
        self._encoder = encoder
        self._checked = False
        blob = store.meta("whitening")
        self.whitening = Whitening.from_bytes(blob) if blob else None
        store.whiten(self.whitening)
        self._kept: KeptMaps | None = None

    @staticmethod
    def create(path: str | os.PathLike[str], encoder: Encoder | None = None) -> Collection:
        """Make an empty collection; the default encoder is `Encoder()`.

        Raises InputError if something is already there, WorkError if the folder cannot be written.
        """
        folder = _folder(path)
        encoder = Encoder() if encoder is None else encoder
        if folder.exists() and not is_free(folder):
            found = (folder / RECORDS_FILE).is_file()
            raise InputError(f"{str(folder)!r} is already there" + ("; open it with Collection.open" if found else ""))
        record = upkeep.first_record(encoder)  # loads the weights: before anything is written
        return Collection(folder, create_store(folder, record), encoder)

    @staticmethod
    def open(path: str | os.PathLike[str], encoder: Encoder | None = None) -> Collection:
        """Open a collection; its encoder is made from what the collection recorded, when it is first needed.

        Raises InputError if there is none or `encoder` makes other vectors, WorkError if it is foreign or damaged.
        """
        folder = _folder(path)
        store = EmbeddedStore(folder)
        if store.meta("dim") is None or store.meta("uuid") is None or store.meta("encoder") is None:
            store.close()
            raise WorkError(f"{str(folder)!r} is not a complete collection: its creation was cut short; delete it")
        collection = Collection(folder, store, encoder)
        if encoder is not None:
            collection._check(encoder, InputError)
        return collection

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether there is a collection at this path."""
        return (_folder(path) / RECORDS_FILE).is_file()

    def __repr__(self) -> str:
        return f"Collection({str(self.path)!r}, {len(self)} images)"

    def __len__(self) -> int:
        return self.store.count(Where(status="ok"))

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Save the derived index and close the files."""
        if self._kept is not None:
            self._kept.close()
        self.store.close()

    @property
    def config(self) -> EncoderConfig:
        """The configuration that its vectors were made with."""
        try:
            return EncoderConfig.from_dict(json.loads(self.store.meta("encoder") or b"{}"))
        except (ValueError, TypeError) as error:
            raise WorkError(f"{str(self.path)!r}: its encoder's record is damaged ({error})") from error

    @property
    def encoder_space(self) -> dict[str, Any]:
        """What two vectors must share to be comparable, as recorded when it was made: `Encoder.space`."""
        return upkeep.recorded(self.store, "encoder_space", b"{}")

    @property
    def part_whitening(self) -> Whitening | None:
        """The whitening of class vectors or regions that its encoder uses, if any."""
        blob = self.store.meta("part_whitening")
        return Whitening.from_bytes(blob) if blob else None

    @property
    def projection(self) -> Whitening | None:
        """The projection that its encoder was given, if any; that of a run is with the run: `Encoder.projection`."""
        blob = self.store.meta("projection")
        return Whitening.from_bytes(blob) if blob else None

    @property
    def encoder(self) -> Encoder:
        """The encoder of this collection. Raises WorkError if its weights are not the recorded ones."""
        if self._encoder is None:
            self._encoder = Encoder.from_config(self.config, self.part_whitening, projection=self.projection)
        if not self._checked:
            self._check(self._encoder, WorkError)
        return self._encoder

    def _lazy(self) -> Encoder:
        return self.encoder

    def _check(self, encoder: Encoder, kind: type[InputError] | type[WorkError]) -> None:
        if encoder.key != self.space:
            mine = self.encoder_space
            theirs = json.loads(json.dumps(encoder.space))
            apart = [f"{k}: {mine.get(k)} here, {v} given" for k, v in theirs.items() if mine.get(k) != v]
            raise kind(f"{str(self.path)!r} holds vectors of another embedding space ({'; '.join(apart[:3])}): "
                       "search it with its own encoder, or make a new collection")  # fmt: skip
        self._checked = True

    def add(
        self,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        labels: str = "folder",
        progress: Progress | None = None,
    ) -> AddReport:
        """Describe and add every image of a folder, glob, CSV list, file, or an iterable of these.

        Unchanged images are not encoded again, changed ones are; unreadable ones are kept as failed rows, counted in
        the report and tried again next time. Interrupt it and call it again: it goes on where it was.

        labels: "folder" (the name of an image's subfolder) or "none"; where this gives none, a label from before stays
        """
        ignored: Counter[str] = Counter()
        listings = list_images(source, labels=labels, ignored=ignored)
        sources = [source] if isinstance(source, (str, os.PathLike)) else []
        if sources:
            upkeep.remember_source(self.store, str(sources[0]), labels)
        report = adding.add(self.store, self.encoder, listings, ignored, progress)
        if report.encoded:
            self.store.change_meta("described", lambda value: upkeep.described_more(value, report))
        return report

    @property
    def seconds_per_image(self) -> float | None:
        """What reading, describing and storing an image took, on average over all calls of `add` that were finished."""
        images, seconds = json.loads(self.store.meta("described") or b"[0, 0]")
        return seconds / images if images else None

    def add_vectors(
        self, paths: Sequence[str], vectors: NDArray[np.float32], *, labels: Sequence[str | None] | None = None
    ) -> list[int]:
        """Add vectors made elsewhere with this collection's encoder: paths (N), vectors (N, D) -> ids. Durable.

        Raises InputError if a vector is not of length 1 (or 0), as those of encoders are.
        """
        if len(paths) != len(vectors) or (labels is not None and len(labels) != len(paths)):
            raise InputError(f"{len(paths)} paths, {len(vectors)} vectors: one of each is needed per image")
        vectors = upkeep.unit_rows(vectors)
        names = [None] * len(paths) if labels is None else labels
        return self.store.put([Item(path=p, label=n, vector=v) for p, v, n in zip(paths, vectors, names)])

    def sync(self, *, forget_missing_sources: bool = False, progress: Progress | None = None) -> SyncReport:
        """Bring the collection up to date with the folders it was made from: new, changed and vanished files.

        A whole folder that is missing (an unplugged disk?) is an error unless `forget_missing_sources`.
        """
        missing = missing_sources(self.sources)
        if missing and not forget_missing_sources:
            raise WorkError(f"{missing[0]!r} is missing (an unplugged disk?): nothing was changed; to forget its "
                            "images use `resight sync --forget-missing`")  # fmt: skip
        if missing:
            upkeep.forget_sources(self.store, missing)
        return sync(self.store, self.encoder, self.sources, progress)

    def remove(
        self, paths: Iterable[str | os.PathLike[str]] = (), *, label: str | None = None, pattern: str | None = None
    ) -> int:
        """Take images out of the collection (not off the disk): by path (a folder takes all below it), label and glob.

        All conditions that are given must hold, as in `search`. An image whose file stays in an indexed folder comes
        back with the next `add` or `sync` of that folder.
        Raises InputError, with nothing removed, if a path is not in the collection.
        """
        ids = upkeep.ids_matching(self.store, paths, Where(label=label, path=pattern), self.path.name)
        return self.store.remove(sorted(ids)) if ids else 0

    def get(self, ids: Sequence[int], *, vectors: bool = False) -> list[Item]:
        """Items by id, in that order."""
        return self.store.get(ids, vectors=vectors)

    def items(self, *, label: str | None = None, path: str | None = None, status: str | None = None) -> Iterator[Item]:
        """Matching items in order of id; `status` "ok" or "failed"."""
        return self.store.scan(Where(label=label, path=path, status=status))

    def vectors(self, where: Where | None = None) -> tuple[list[Item], NDArray[np.float32]]:
        """Every good item that matches and its search vector (N, d), whitened if the collection is; in order of id."""
        return stored_vectors(self.store, self.whitening, where or Where())

    @property
    def dim(self) -> int:
        """Length of the encoder's vectors."""
        return int(self.store.meta("dim") or b"0")

    @property
    def space(self) -> str:
        """The name of its embedding space, `Encoder.key`."""
        return (self.store.meta("space") or b"").decode()

    @property
    def sources(self) -> dict[str, str]:
        """Folders, globs and CSV lists that were added, and how their images were labelled."""
        return upkeep.recorded(self.store, "sources", b"[]")

    def search(
        self,
        query: Query,
        k: int = 20,
        *,
        box: Sequence[float] | None = None,
        box_on: str = "pixels",
        label: str | None = None,
        path: str | None = None,
        then: Sequence[str] = (),
        budget: float | None = None,
    ) -> Ranking:
        """The k images most like `query`: a path, (H, W, 3) uint8 array, Pillow image, or the id of a stored image.

        box:    x1, y1, x2, y2 in pixels of the query: search for this part;  box_on: as in `Encoder.encode`
        label, path:  only among images with this label / whose path matches this glob (exact, whatever the size)
        then:   steps after the search, such as ["alpha-qe:k=10", "cam-regions:top=50"]; see `after`
        budget: seconds for these steps; what did not fit is said in `Ranking.steps`
        """
        after = self.after(then, label=label, path=path, budget=budget) if then else None
        return self.search_many([query], k, boxes=[box], box_on=box_on, label=label, path=path, after=after)[0]

    def after(
        self,
        steps: Sequence[str | Step] | str,
        *,
        label: str | None = None,
        path: str | None = None,
        budget: float | None = None,
        database: Database | None = None,
    ) -> After:
        """Steps after a search, as one function Ranking -> Ranking, for the collection as it is now.

        steps:    texts such as "alpha-qe:k=10,alpha=3", in order; the names are those of `resight.search.after.STEPS`
        label, path, budget: as in `search`
        database: the images that are searched, instead of those with this label and path

        Raises InputError for an unknown step or option, or a step that this collection's encoder cannot take.
        """
        chosen = [parse_step(step) for step in ([steps] if isinstance(steps, (str, Step)) else steps)]
        if database is None:  # an empty one is false
            database = StoredDatabase(self.store, self.whitening, Where(label=label, path=path))
        return After(chosen, make_acts(chosen, database, self._views()), budget)

    def _views(self) -> Views:
        def kept() -> KeptMaps:
            if self._kept is None:
                self._kept = KeptMaps(self.path / MAPS_FILE, self.encoder.seen_key)
            return self._kept

        return Views(self.store, encoder=self._lazy, whitening=self.whitening, kept=kept)

    def search_many(
        self,
        queries: Sequence[Query],
        k: int = 20,
        *,
        boxes: Sequence[Sequence[float] | None] | None = None,
        box_on: str = "pixels",
        label: str | None = None,
        path: str | None = None,
        after: After | None = None,
        failed: list[ImageError] | None = None,
    ) -> list[Ranking]:
        """`search` for several queries at once: one matrix product for all.

        after:  steps made ready by `after`, taken for each query by itself
        failed: if given, queries that cannot be read are left out and their errors put here, instead of raised
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError(f"k must be a whole number of at least 1, got {k!r}")
        regions = list(boxes) if boxes is not None else [None] * len(queries)
        if len(regions) != len(queries):
            raise InputError(f"{len(queries)} queries need as many boxes, got {len(regions)}")
        if not queries:
            return []
        read: list[tuple[Query, Sequence[float] | None, NDArray[np.float32]]] = []
        for query, region in zip(queries, regions):
            try:
                read.append((query, region, describe_query(self.store, self._lazy, query, region, box_on)))
            except ImageError as error:
                if failed is None:
                    raise
                failed.append(error)
        if not read:
            return []
        raw = np.stack([v for _, _, v in read])
        depth = max(k, min(after.depth, len(self))) if after is not None else k
        found, scores = self.search_vectors(raw, depth, label=label, path=path)
        vectors = self.whitening.apply(raw) if self.whitening else raw
        rankings = [
            replace(as_ranking(self.store, q, b, i, line), vector=vector, box_on=box_on)
            for (q, b, _), i, line, vector in zip(read, found, scores, vectors)
        ]
        if after is None:
            return rankings
        after.prepare()
        return [ranking.take(range(min(k, len(ranking)))) for ranking in map(after, rankings)]

    def search_vectors(
        self, vectors: NDArray[np.float32], k: int = 20, *, label: str | None = None, path: str | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search by descriptors: (Q, D) -> ids (Q, k), scores (Q, k); id -1 where there are fewer than k."""
        vectors = np.atleast_2d(np.asarray(vectors, np.float32))
        if vectors.shape[1] != self.dim:
            raise InputError(f"descriptors here have length {self.dim}, got {vectors.shape[1]}")
        if not np.isfinite(vectors).all():
            raise InputError("a query vector has NaN or infinite values")
        if self.whitening:
            vectors = self.whitening.apply(vectors)
        return self.store.search(vectors, min(k, max(len(self), 1)), Where(label=label, path=path))

    def whiten(self, dim: int | None = None, *, how: str = "pca", fitted_on: Collection | None = None) -> Whitening:
        """Fit whitening and search in its space from now on; later images use the same one.

        dim:        length of the whitened vectors; None: all that the sample supports, at most D
        how:        "pca", or "learned" from pairs of images with the same label
        fitted_on:  fit on another collection's images (the honest choice before an evaluation), default: on this one's

        Raises InputError if there are too few images for `dim`.
        """
        other = self if fitted_on is None else fitted_on  # an empty one is false
        if other.space != self.space:
            raise InputError(f"{other.path.name} was made by another encoder: whitening cannot be carried over")
        name = "itself" if other is self else str(other.path)
        self.set_whitening(fit_whitening(other.store, dim, how=how, fitted_on=name))
        return self.whitening  # type: ignore[return-value]

    def set_whitening(self, whitening: Whitening | None) -> None:
        """Search in this whitened space from now on, or in the plain one."""
        if whitening is not None and len(whitening.mean) != self.dim:
            raise InputError(f"this whitening takes vectors of length {len(whitening.mean)}, they have {self.dim} here")
        self.store.set_meta({"whitening": whitening.to_bytes() if whitening else b""})
        self.whitening = whitening
        self.store.whiten(whitening)

    def info(self) -> dict[str, Any]:
        """Counts, encoder, whitening and index, as plain values."""
        return {
            "path": str(self.path), "dim": self.dim, "encoder": asdict(self.config), "space": self.space,
            "sources": list(self.sources), **upkeep.facts(self.store, self.whitening),
        }  # fmt: skip

    def verify(self) -> list[str]:
        """Problems, one line each; empty when the records, every vector and the index agree."""
        return self.store.verify()


def _folder(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(os.path.expanduser(os.fspath(path))))
