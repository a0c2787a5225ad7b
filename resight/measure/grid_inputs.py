"""What a grid works on, looked at before anything long begins: images, ground truth, and whether they overlap."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError, unknown
from resight.images import Listing, list_images, read_labels
from resight.images.truth import Truth, read_truth, truth_from_labels
from resight.measure.collections import labelled_truth
from resight.measure.evaluation import with_distractors
from resight.measure.grid_config import Grid
from resight.measure.names import name_index

if TYPE_CHECKING:
    from resight.search import Collection


@dataclass(frozen=True)
class Inputs:
    """What was found of a grid's inputs.

    images     paths of the images to be evaluated
    whitening  paths of the images that whitenings are fitted on
    truth      the protocol's ground truth; None if labels are it
    asked      16 hex digits of the query images that lie apart, "" without any
    labelled   16 hex digits of the labels, those that a whitening may learn from included
    """

    images: tuple[str, ...]
    whitening: tuple[str, ...]
    truth: Truth | None
    asked: str = ""
    labelled: str = ""

    def __repr__(self) -> str:
        return f"<Inputs {len(self.images):,} images, {len(self.whitening):,} for whitening>"


def read_inputs(grid: Grid) -> Inputs:
    """The inputs of a grid, checked as far as can be without describing an image.

    Raises InputError if a source, ground truth or query image is missing, images of the ground truth are (unless
    `allow_missing`), no two images share a label, or images to be evaluated are, byte for byte, among those that
    whitenings are fitted on (unless `allow_leak`); WorkError if something cannot be read.
    """
    out = Path(grid.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"out: expected a folder or a free name, {grid.out} is a file")
    listings = _listed(grid.images, "images")
    paths = tuple(str(listing.path) for listing in listings)
    truth, labels = None, [listing.label for listing in listings]
    if grid.protocol is not None and grid.truth is not None:
        truth = with_distractors(read_truth(grid.protocol, grid.truth), grid.distractors)
        index = name_index(truth, paths, allow_missing=grid.allow_missing)
        _check_queries(grid, truth, [q.image for q, row in zip(truth.queries, index.queries) if row < 0])
    else:
        labels = _labels(listings, str(grid.labels))
        truth_from_labels(paths, labels)
    others = _listed(grid.whiten_from, "whiten_from") if grid.whitens else []
    whitening = tuple(str(listing.path) for listing in others)
    if others and not grid.allow_leak:
        _refuse_shared(paths, whitening)
    _check_dims(grid, len(whitening))
    named = [listing.label for listing in others]
    if any(cell.how == "learned" for cell in grid.cells) and not _shares_a_label(named):
        raise InputError("a learned whitening needs whiten_from images with the same label, and no two have: take "
                         "folders with a folder for each label, or a CSV list with a column label")  # fmt: skip
    return Inputs(
        paths, whitening, truth, _content_of_queries(grid), digest([[*zip(paths, labels)], [*zip(whitening, named)]])
    )


def _check_dims(grid: Grid, count: int) -> None:
    """Refuse whitenings that these images cannot give, whatever they show."""
    longest = max((cell.dim for cell in grid.cells if cell.how == "pca"), default=0)
    parts = max((cell.part_whitening for cell in grid.cells if cell.descriptor.startswith("cam")), default=0)
    for key, dim in (("whitening", longest), ("part_whitening of cam", parts)):
        if dim >= count > 0:
            raise InputError(f"{key} to {dim:,} dimensions needs more than {dim:,} images in whiten_from, there are "
                             f"{count:,}: take at most {count - 1:,}")  # fmt: skip


def collection_truth(grid: Grid, inputs: Inputs, photos: Collection) -> Truth:
    """The ground truth for a collection of the images: the protocol's, or the labels of those that could be read."""
    if inputs.truth is not None:
        return inputs.truth
    return labelled_truth(list(photos.items(status="ok")), str(grid.labels))


def truth_key(truth: Truth) -> str:
    """16 hex digits that name everything a ground truth says."""
    groups: dict[int, str] = {}  # a label's group is one object that all its queries share: hashed once

    def of(names: frozenset[str]) -> str:
        if id(names) not in groups:
            groups[id(names)] = digest(sorted(names))
        return groups[id(names)]

    queries = [
        [q.name, q.image, q.box, {group: of(names) for group, names in sorted(q.groups.items())}] for q in truth.queries
    ]
    settings = {name: [setting.positive, setting.ignored] for name, setting in truth.settings.items()}
    return digest([truth.name, truth.own, truth.distractors, settings, truth.database, queries])


def digest(content: Any) -> str:
    """16 hex digits of the SHA-256 of plain values.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _listed(sources: Sequence[str], key: str) -> list[Listing]:
    found: dict[Path, Listing] = {}
    for source in sources:
        try:
            listings = list(list_images(source))
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        if not listings:
            raise InputError(f"{key}: no images in {source}")
        found.update((listing.path, listing) for listing in listings)
    return list(found.values())


def _labels(listings: Sequence[Listing], labels: str) -> list[str | None]:
    if labels == "stored":
        return [listing.label for listing in listings]
    if labels != "folder" and not labels.startswith("csv:"):
        raise unknown("labels", labels, ["folder", "stored", "csv:FILE"])
    label_of = read_labels(labels)
    return [label_of(listing.path) for listing in listings]


def _shares_a_label(labels: Sequence[str | None]) -> bool:
    known = [label for label in labels if label is not None]
    return len(set(known)) < len(known)


def _check_queries(grid: Grid, truth: Truth, elsewhere: list[str]) -> None:
    """Refuse query images that are nowhere, as `evaluate_truth` would after hours of describing."""
    if not elsewhere or grid.allow_missing:
        return
    if grid.queries is None:
        raise InputError(f"{len(elsewhere):,} query images of {truth.name} are not among the images, such as "
                         f"{elsewhere[0]!r}: give queries = the folder they are in")  # fmt: skip
    there = {listing.path.stem for listing in _listed([grid.queries], "queries")}
    names = [name.rpartition("/")[2] for name in elsewhere]
    lost = [name for name in names if name not in there and name.rpartition(".")[0] not in there]
    if lost:
        raise InputError(f"queries: {len(lost):,} query images are not in {grid.queries}, such as {lost[0]!r}")


def _content_of_queries(grid: Grid) -> str:
    if grid.queries is None:
        return ""
    paths = sorted(str(listing.path) for listing in _listed([grid.queries], "queries"))
    return digest([[path, _sha256(path)] for path in paths])


def _refuse_shared(images: Sequence[str], whitening: Sequence[str]) -> None:
    """Only files of equal size can be equal, so that few are read."""
    by_size: dict[int, list[str]] = {}
    for path in images:
        by_size.setdefault(_size(path), []).append(path)
    same = [(path, by_size[_size(path)]) for path in whitening if _size(path) in by_size]
    theirs = {path: _sha256(path) for path in {path for _, group in same for path in group}}
    shared = []
    for path, group in same:
        own = _sha256(path)
        shared += [(path, other) for other in group if theirs[other] == own][:1]
    if shared:
        one, other = shared[0]
        alike = "" if one == other else f" (the same bytes as {other})"
        raise InputError(f"{len(shared):,} of the {len(whitening):,} images in whiten_from are to be evaluated too, "
                         f"such as {one}{alike}: take others, or say allow_leak = true to report the scores with that "
                         "remark")  # fmt: skip


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1  # describing it will say why


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected an image, got a folder") from error
    except FileNotFoundError:
        return f"missing {path}"  # equal to nothing else; describing it will say why
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}") from error
