"""A collection: images that were described by one encoder and can be searched."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight._version import __version__
from resight.errors import ImageError, InputError, WorkError
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.features.whitening import Whitening, pca_whitening
from resight.images import ImageLike, list_images
from resight.search import adding
from resight.search.adding import AddReport, Progress
from resight.search.embedded import RECORDS_FILE, EmbeddedStore, create_store, is_free
from resight.search.ranking import Ranking
from resight.search.store import Item, Store, Where, sample_vectors
from resight.search.syncing import SyncReport, missing_sources, sync

WHITENING_SAMPLE = 50_000
Query = ImageLike | int


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

    @staticmethod
    def create(path: str | os.PathLike[str], encoder: Encoder | None = None) -> Collection:
        """Make an empty collection; the default encoder is `Encoder()`.

        Raises InputError if something is already there, WorkError if the folder cannot be written.
        """
        folder = _folder(path)
        encoder = encoder or Encoder()
        if folder.exists() and not is_free(folder):
            found = (folder / RECORDS_FILE).is_file()
            raise InputError(f"{str(folder)!r} is already there" + ("; open it with Collection.open" if found else ""))
        dim, space = encoder.dim, encoder.key  # loads the weights: before anything is written
        meta = {
            "uuid": uuid.uuid4().hex.encode(), "space": space.encode(), "dim": str(dim).encode(),
            "encoder": json.dumps(asdict(encoder.config)).encode(),
            "encoder_space": json.dumps(encoder.space).encode(), "made_by": f"resight {__version__}".encode(),
            "sources": b"[]",
        }  # fmt: skip
        return Collection(folder, create_store(folder, meta), encoder)

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
        self.store.close()

    @property
    def config(self) -> EncoderConfig:
        """The configuration that its vectors were made with."""
        try:
            return EncoderConfig.from_dict(json.loads(self.store.meta("encoder") or b"{}"))
        except (ValueError, TypeError) as error:
            raise WorkError(f"{str(self.path)!r}: its encoder's record is damaged ({error})") from error

    @property
    def encoder(self) -> Encoder:
        """The encoder of this collection. Raises WorkError if its weights are not the recorded ones."""
        if self._encoder is None:
            self._encoder = Encoder.from_config(self.config)
        if not self._checked:
            self._check(self._encoder, WorkError)
        return self._encoder

    def _check(self, encoder: Encoder, kind: type[InputError] | type[WorkError]) -> None:
        if encoder.key != self.space:
            mine = json.loads(self.store.meta("encoder_space") or b"{}")
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
            self._remember(str(sources[0]), labels)
        return adding.add(self.store, self.encoder, listings, ignored, progress)

    def add_vectors(
        self, paths: Sequence[str], vectors: NDArray[np.float32], *, labels: Sequence[str | None] | None = None
    ) -> list[int]:
        """Add vectors made elsewhere with this collection's encoder: paths (N), vectors (N, D) -> ids. Durable."""
        if len(paths) != len(vectors) or (labels is not None and len(labels) != len(paths)):
            raise InputError(f"{len(paths)} paths, {len(vectors)} vectors: one of each is needed per image")
        vectors = np.asarray(vectors, np.float32)
        names = labels or [None] * len(paths)
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
            self._change_sources(lambda known: {name: how for name, how in known.items() if name not in missing})
        return sync(self.store, self.encoder, self.sources, progress)

    def remove(
        self, paths: Iterable[str | os.PathLike[str]] = (), *, label: str | None = None, pattern: str | None = None
    ) -> int:
        """Take images out of the collection (not off the disk): by path (a folder takes all below it), label and glob.

        All conditions that are given must hold, as in `search`. An image whose file stays in an indexed folder comes
        back with the next `add` or `sync` of that folder.
        Raises InputError, with nothing removed, if a path is not in the collection.
        """
        wanted = Where(label=label, path=pattern)
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        listed = [self._below(path) for path in paths]
        ids = set().union(*listed) if listed else set()
        if wanted != Where():
            matching = {item.id for item in self.store.scan(wanted)}
            ids = ids & matching if listed else matching
        return self.store.remove(sorted(ids)) if ids else 0

    def _below(self, path: str | os.PathLike[str]) -> set[int]:
        """Ids of the image at a path, or of those below it."""
        absolute = os.path.abspath(os.path.expanduser(os.fspath(path)))
        below = Where(path=_escape(absolute.rstrip("/")) + "/*")
        found = {item.id for item in self.store.find([absolute]).values()}
        found = found or {item.id for item in self.store.scan(below)}
        if not found:
            raise InputError(f"{str(path)!r} is not in {self.path.name}, nor is anything below it")
        return found

    def get(self, ids: Sequence[int], *, vectors: bool = False) -> list[Item]:
        """Items by id, in that order."""
        return self.store.get(ids, vectors=vectors)

    def items(self, *, label: str | None = None, path: str | None = None, status: str | None = None) -> Iterator[Item]:
        """Matching items in order of id; `status` "ok" or "failed"."""
        return self.store.scan(Where(label=label, path=path, status=status))

    def vectors(self) -> tuple[list[Item], NDArray[np.float32]]:
        """Every good item and its search vector (N, d), whitened if the collection is."""
        items, raw = [], []
        for item in self.store.scan(Where(status="ok"), vectors=True):
            items.append(item)
            raw.append(item.vector)
        matrix = np.stack(raw) if raw else np.empty((0, self.dim), np.float32)  # type: ignore[arg-type]
        return items, self.whitening.apply(matrix) if self.whitening else matrix

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
        return dict(json.loads(self.store.meta("sources") or b"[]"))

    def _remember(self, source: str, labels: str) -> None:
        name = os.path.abspath(os.path.expanduser(source))
        if Path(name).is_file() and not name.lower().endswith(".csv"):
            return  # a single image: sync looks after it by its own row
        if self.sources.get(name) != labels:
            self._change_sources(lambda known: {**known, name: labels})

    def _change_sources(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        def rewrite(value: bytes | None) -> bytes:
            return json.dumps(sorted(change(dict(json.loads(value or b"[]"))).items())).encode()

        self.store.change_meta("sources", rewrite)

    def search(
        self,
        query: Query,
        k: int = 20,
        *,
        box: Sequence[float] | None = None,
        label: str | None = None,
        path: str | None = None,
    ) -> Ranking:
        """The k images most like `query`: a path, (H, W, 3) uint8 array, Pillow image, or the id of a stored image.

        box:   x1, y1, x2, y2 in pixels of the query: search for this part
        label, path:  only among images with this label / whose path matches this glob (exact, whatever the size)
        """
        return self.search_many([query], k, boxes=[box], label=label, path=path)[0]

    def search_many(
        self,
        queries: Sequence[Query],
        k: int = 20,
        *,
        boxes: Sequence[Sequence[float] | None] | None = None,
        label: str | None = None,
        path: str | None = None,
        failed: list[ImageError] | None = None,
    ) -> list[Ranking]:
        """`search` for several queries at once: one matrix product for all.

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
                read.append((query, region, self._vector(query, region)))
            except ImageError as error:
                if failed is None:
                    raise
                failed.append(error)
        if not read:
            return []
        found, scores = self.search_vectors(np.stack([v for _, _, v in read]), k, label=label, path=path)
        return [self._ranking(q, b, i, line) for (q, b, _), i, line in zip(read, found, scores)]

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

    def _vector(self, query: Query, box: Sequence[float] | None) -> NDArray[np.float32]:
        if isinstance(query, bool):
            raise InputError(f"a query is a path, an array, a Pillow image or an id, got {query}")
        if isinstance(query, (int, np.integer)):
            item = self.store.get([int(query)], vectors=True)[0]
            if item.vector is None:
                raise InputError(f"image {query} ({item.path}) could not be read, so it cannot be searched for")
            if box is None:
                return item.vector
            query = item.path
        return self.encoder.encode(query, box=box)

    def _ranking(
        self, query: Query, box: Sequence[float] | None, ids: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> Ranking:
        image: ImageLike
        if isinstance(query, (int, np.integer)):
            image = name = self.store.get([int(query)])[0].path
        else:
            image = query
            name = os.fspath(query) if isinstance(query, (str, os.PathLike)) else "image"
        keep = ids >= 0
        items = self.store.get(ids[keep].tolist())
        region = (float(box[0]), float(box[1]), float(box[2]), float(box[3])) if box is not None else None
        return Ranking(
            ids=ids[keep], paths=tuple(i.path for i in items), scores=scores[keep].astype(np.float32),
            labels=tuple(i.label for i in items), query=name, box=region, image=image,
        )  # fmt: skip

    def whiten(self, dim: int | None = None, *, fitted_on: Collection | None = None) -> Whitening:
        """Fit PCA-whitening and search in its space from now on; later images use the same one.

        dim:        length of the whitened vectors; None: all that the sample supports, at most D
        fitted_on:  fit on another collection's images (the honest choice before an evaluation), default: on this one's

        Raises InputError if there are too few images for `dim`.
        """
        other = fitted_on or self
        if other.space != self.space:
            raise InputError(f"{other.path.name} was made by another encoder: whitening cannot be carried over")
        sample = sample_vectors(other.store, WHITENING_SAMPLE)
        if len(sample) < 3:
            raise InputError(f"whitening needs at least 3 images, {other.path.name} has {len(sample)}")
        most = min(self.dim, len(sample) - 1)
        name = "itself" if other is self else str(other.path)
        whitening = pca_whitening(sample, most if dim is None else dim, fitted_on=name)
        self.store.set_meta({"whitening": whitening.to_bytes()})
        self.whitening = whitening
        self.store.whiten(whitening)
        return whitening

    def info(self) -> dict[str, Any]:
        """Counts, encoder, whitening and index, as plain values."""
        total, failed = self.store.count(Where()), self.store.count(Where(status="failed"))
        w = self.whitening
        return {
            "path": str(self.path), "images": total - failed, "failed": failed, "dim": self.dim,
            "encoder": asdict(self.config), "space": self.space,
            "whitening": {"dim": w.projection.shape[1], "fitted_on": w.fitted_on, "sample": w.sample} if w else None,
            "index": self.store.status(), "sources": list(self.sources),
            "made_by": (self.store.meta("made_by") or b"").decode(),
        }  # fmt: skip

    def verify(self) -> list[str]:
        """Problems, one line each; empty when the records, every vector and the index agree."""
        return self.store.verify()


def _folder(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(os.path.expanduser(os.fspath(path))))


def _escape(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
