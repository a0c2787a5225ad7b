"""What training an embedding network has changed: the images of a part, each searched for among the others."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.images.examples import Example, Examples, read_examples
from resight.images.identical import identical
from resight.measure.watching import Watch, unwatched
from resight.train.embed_report import BEFORE, EmbedReport, Stage
from resight.train.held_out import HeldOut, held_out
from resight.train.neighbour_scores import neighbour_scores
from resight.train.plane import in_plane, plane_kind
from resight.train.seen_before import same_contents, seen_before

if TYPE_CHECKING:
    from resight.features import Encoder
    from resight.features.whitening import Whitening
    from resight.train.runs import Run

Vectors = NDArray[np.float32]
SAME = "same"


class Embedded(Protocol):
    """What a test asks of a run: see `resight.train.EmbedRun`."""

    @property
    def folder(self) -> Path:
        """Where it is."""

    @property
    def record(self) -> dict[str, Any]:
        """run.json as a whole."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it was trained on."""

    @property
    def split_file(self) -> Path:
        """CSV of path, label, part and group of every image of its data."""

    def encoder(self) -> Encoder:
        """The trained encoder."""

    def started(self) -> Encoder:
        """The encoder as training began with it. Raises WorkError if it is not to be had."""

    def frozen(self) -> Encoder:
        """The same without a projection. Raises WorkError if it is not to be had."""


@dataclass(frozen=True)
class _AnyLabel:
    """A run as `held_out` sees it, of images whose labels it need not know."""

    folder: Path
    record: dict[str, Any]
    split_file: Path
    classes: tuple[str, ...]
    unit: str = "images"
    sequences: bool = False

    @property
    def options(self) -> _AnyLabel:
        """Of which only `sequences` is asked."""
        return self


@dataclass(frozen=True)
class _Base:
    """What is searched: images, and for each query the rows that it is not compared with."""

    items: tuple[Example, ...]
    name: str
    left_out: list[list[int]]
    notes: tuple[str, ...] = ()


def test_embedder(
    run: Embedded, data: str | os.PathLike[str] | Examples | None = None, *, part: str = "test",
    database: str | os.PathLike[str] = SAME, allow_leak: bool = False, projection: str = "auto",
    progress: Watch | None = None,
) -> EmbedReport:  # fmt: skip
    """Search for every image of a part, with the encoder as it was, with the projection that was fitted, and trained.

    data, part, allow_leak: which images, see `resight.train.held_out.held_out`; labels need not be known to the run
    database:   same (each image is searched for among the others of the part), or class folders or a CSV to search;
                there, files of the same content as the query are left out of its ranking
    projection: of the picture: auto, tsne or pca, see `resight.train.plane`
    progress:   see `resight.measure.watching`

    If the weights that training started from are not to be had, only the trained encoder is tested, and a note says so.
    Raises InputError as `held_out`, and if labels leave nothing to measure; WorkError if no image can be read.
    """
    plane_kind(0, projection)
    chosen, digest = _chosen(run, data, part, allow_leak)
    others = None if database == SAME else read_examples(database, least=1)
    watch, started = progress or unwatched, time.perf_counter()
    paths = list(dict.fromkeys([item.path for item in (*chosen.items, *(others.items if others else ()))]))
    trained, skipped = _encode(run.encoder(), paths, "encoding, trained", watch)
    items = tuple(item for item in chosen.items if item.path in trained)
    base = _same(items) if others is None else _other(run, items, others, trained)
    if not items or not base.items:
        what = chosen.source if not items else base.name
        raise WorkError(f"{what}: no image of it can be read: {skipped[0][0]}: {skipped[0][1]}")
    _check_labels(chosen.source, items, base.items)
    before, notes = _before(run, list(trained), watch)
    found = {"trained": trained, **before}
    stages = {name: _stage(name, found[name], items, base) for name in (*BEFORE, "trained") if name in found}
    kind = plane_kind(len(items), projection)
    with watch(f"drawing, {kind}", len(stages), "pictures") as show:
        stages = _with_points(stages, kind, show)
    notes = [*chosen.notes, *base.notes, *notes, *_label_notes(items, base.items, others is not None)]
    return EmbedReport(
        str(run.folder), chosen.source, part, base.name, digest, tuple(str(item.path) for item in items),
        tuple(str(item.label) for item in items), tuple(str(item.path) for item in base.items),
        tuple(str(item.label) for item in base.items), tuple(run.classes), stages, kind, tuple(skipped), tuple(notes),
        time.perf_counter() - started,
        {"part": part, "database": base.name, "allow_leak": allow_leak, "projection": projection},
    )  # fmt: skip


def _chosen(
    run: Embedded, data: str | os.PathLike[str] | Examples | None, part: str, allow_leak: bool
) -> tuple[HeldOut, str]:
    """The images to be tested, and the digest of the data that they come from."""
    if data is not None and not isinstance(data, Examples):
        data = read_examples(data, least=1)
    own = read_examples(run.split_file, least=1) if data is None else data
    digest = str(run.record["data"].get("digest") or "") if data is None else own.digest
    view = _AnyLabel(run.folder, run.record, run.split_file, own.classes)
    # Once to learn which classes the part has: those that it lacks are then no classes to be told as absent.
    items = held_out(cast("Run", view), data, part=part, allow_leak=True).items
    view = replace(view, classes=tuple(sorted({str(item.label) for item in items})))
    return held_out(cast("Run", view), data, part=part, allow_leak=allow_leak), digest


def _same(items: tuple[Example, ...]) -> _Base:
    """Each image among the others."""
    copies = identical([item.path for item in items])
    notes = []
    if copies:
        one, other = (items[place].path for place in copies[0][:2])
        notes.append(f"{sum(map(len, copies)):,} images have a copy of the same content among the others, such as "
                     f"{one} and {other}: they find each other, whatever the encoder")  # fmt: skip
    return _Base(items, SAME, [[place] for place in range(len(items))], tuple(notes))


def _other(run: Embedded, items: tuple[Example, ...], others: Examples, readable: dict[Path, Vectors]) -> _Base:
    """The images of another folder, without the queries that lie there."""
    there = tuple(item for item in others.items if item.path in readable)
    left_out: list[list[int]] = [[] for _ in items]
    for group in identical([*(item.path for item in items), *(item.path for item in there)]):
        rows = [place - len(items) for place in group if place >= len(items)]
        for place in group:
            if place < len(items):
                left_out[place] = rows
    notes = [f"the database: {note}" for note in others.notes]
    own = sum(map(bool, left_out))
    if own:
        notes.append(f"{own:,} of the queries are in the database too: none is compared with itself, or with a copy")
    learned = [path for path, its in seen_before(cast("Run", run)).items() if its == "train" and path.exists()]
    met = len(same_contents([item.path for item in there], learned))
    if met:
        notes.append(f"{met:,} of the {len(there):,} images of the database were trained on")
    return _Base(there, others.source, left_out, tuple(notes))


def _encode(
    encoder: Encoder, paths: Sequence[Path], verb: str, watch: Watch
) -> tuple[dict[Path, Vectors], list[tuple[str, str]]]:
    """{path: vector} of what can be read, and (path, reason) of the rest."""
    from resight.features.pipeline import encode_stream
    from resight.images.read import read_image
    from resight.train.inputs import why_not

    vectors: dict[Path, Vectors] = {}
    skipped: list[tuple[str, str]] = []
    with watch(verb, len(paths), "images") as show:
        for result in encode_stream(encoder, paths, read_image):
            if isinstance(result.error, ImageError):
                skipped.append((str(result.item), why_not(result.error, result.item)))
            else:
                vectors[result.item] = result.vector
            show(len(vectors) + len(skipped), len(skipped))
    return vectors, skipped


def _before(run: Embedded, paths: list[Path], watch: Watch) -> tuple[dict[str, dict[Path, Vectors]], list[str]]:
    """{"frozen": vectors, "start": vectors} as far as they are to be had, and notes on what is not."""
    try:
        encoder = run.frozen()
        # A weight file that is gone, or a download that fails, is found here and not after minutes.
        encoder.backbone  # noqa: B018
    except (InputError, WorkError) as error:
        return {}, [f"there is nothing to compare with, only the trained encoder is tested: {error}"]
    frozen, lost = _encode(encoder, paths, "encoding, frozen", watch)
    if lost:
        raise WorkError(f"{lost[0][0]} could be read before and cannot be read now ({lost[0][1]}): were files changed?")
    try:
        fitted: Whitening | None = run.started().projection
    except (InputError, WorkError) as error:
        return {"frozen": frozen}, [f"the projection that training started with is not to be had: {error}"]
    if fitted is None:
        return {"frozen": frozen}, ["training started without a projection"]
    # The projection is the last thing that an encoder does: the images need not go through the network again.
    rows = fitted.apply(np.stack(list(frozen.values())))
    return {"frozen": frozen, "start": dict(zip(frozen, rows, strict=True))}, []


def _stage(name: str, vectors: dict[Path, Vectors], items: Sequence[Example], base: _Base) -> Stage:
    queries, searched = (np.stack([vectors[item.path] for item in part]) for part in (items, base.items))
    labels, names = ([str(item.label) for item in part] for part in (items, base.items))
    return Stage(name, queries, neighbour_scores(queries, labels, searched, names, base.left_out))


def _with_points(stages: dict[str, Stage], kind: str, show: Any) -> dict[str, Stage]:
    """The stages that are drawn, the last before training and the trained one, with their points."""
    before = [name for name in BEFORE if name in stages][-1:]
    for done, name in enumerate((*before, "trained"), 1):
        stages = {**stages, name: replace(stages[name], points=in_plane(stages[name].vectors, kind))}
        show(done, 0)
    return stages


def _check_labels(source: str, items: Sequence[Example], base: Sequence[Example]) -> None:
    labels, names = {item.label for item in items}, {item.label for item in base}
    if len(labels | names) == 1:
        raise InputError(f"{source}: all {len(items):,} images carry one label {next(iter(labels))!r}, every neighbour "
                         "is right: nothing to measure; give a part with at least 2 classes")  # fmt: skip
    counts = Counter(item.label for item in items)
    if base is items and max(counts.values()) < 2:
        raise InputError(f"{source}: no two of the {len(items):,} images share a label: no query has anything to find")
    if not labels & names:
        raise InputError(f"{source}: no image of the database carries a label of the queries, such as "
                         f"{sorted(map(str, labels))[0]!r}")  # fmt: skip


def _label_notes(items: Sequence[Example], base: Sequence[Example], other: bool) -> list[str]:
    counts = Counter(str(item.label) for item in base)
    alone = sorted({str(item.label) for item in items if counts[str(item.label)] < (1 if other else 2)})
    if not alone:
        return []
    shown = ", ".join(map(repr, alone[:5])) + (f" and {len(alone) - 5:,} more" if len(alone) > 5 else "")
    if other:
        return [f"the database has no image of {shown}: images of these classes are no queries"]
    return [f"only one image of {shown}: it is in the database, and is no query"]
