"""Retrieval scores of a labelled collection, with the protocol that they were measured by."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError
from resight.images import Truth, read_labels, truth_from_labels
from resight.measure.fingerprint import fingerprint, fingerprint_key
from resight.measure.leaks import refuse_leak, whitening_text
from resight.measure.names import NameIndex, name_index
from resight.measure.retrieval import RetrievalScores, evaluate_labels

if TYPE_CHECKING:
    from resight.search import Collection, Item
    from resight.search.after import Step


@dataclass(frozen=True)
class Evaluation:
    """Scores, how many images had no label and so took no part, the fingerprint, and the labelled images row by row."""

    scores: RetrievalScores
    unlabelled: int
    protocol: dict[str, Any]
    paths: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def key(self) -> str:
        """12 hex digits that name the fingerprint: those of `evaluate_truth` without steps."""
        return fingerprint_key(self.protocol)

    def as_dict(self, per_query: bool = False) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "protocol": "labels", **self.scores.as_dict(per_query), "unlabelled": self.unlabelled,
            "fingerprint": self.protocol, "key": self.key,
        }  # fmt: skip


def evaluate(
    photos: Collection, labels: str = "folder", *, ks: Sequence[int] = (1, 5, 10), allow_leak: bool = False
) -> Evaluation:
    """Leave-one-out retrieval: every labelled image is a query, those with its label are its positives.

    labels: "folder", "stored" (as at indexing) or "csv:FILE" (columns path, label); images without a label are left
            out of the database too

    Raises InputError if the collection's whitening was fitted on the images it is evaluated on (unless `allow_leak`),
    if no image has a label, or if all have the same.
    """
    leak = refuse_leak(photos, allow_leak)
    items, vectors = photos.vectors()
    if not items:
        raise InputError(f"{photos.path.name} is empty: nothing to measure")
    found = labels_of(items, labels)
    rows = [i for i, label in enumerate(found) if label is not None]
    if not rows:
        raise InputError(f"none of the {len(items):,} images in {photos.path.name} has a label in {labels!r}")
    scores = evaluate_labels(vectors[rows], [str(found[i]) for i in rows], ks=tuple(ks))
    truth = labelled_truth(items, labels)
    protocol = collection_fingerprint(photos, truth, name_index(truth, [item.path for item in items]), leak=leak)
    return Evaluation(
        scores, len(items) - len(rows), protocol, tuple(items[i].path for i in rows), tuple(str(found[i]) for i in rows)
    )


def collection_fingerprint(
    photos: Collection, truth: Truth, index: NameIndex, *, leak: bool | str, crop: str = "none", unreadable: int = 0,
    after: Sequence[str | Step] = (), budget: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The fingerprint of a collection's scores; arguments as of `fingerprint`."""
    config, space = photos.config, photos.encoder_space
    return fingerprint(
        truth, index, crop=crop, backbone=config.backbone, weights=space.get("weights", ""),
        descriptor=config.descriptor, size=space.get("size"), fit=config.fit, scales=config.scales, stage=config.stage,
        precision=config.precision, space=photos.space, whitening=whitening_text(photos),
        whitening_key=photos.whitening.key if photos.whitening else "", leak=leak, unreadable=unreadable, after=after,
        budget=budget,
    )  # fmt: skip


def labels_of(items: Sequence[Item], labels: str) -> list[str | None]:
    """The label of each image: "folder", "stored" or "csv:FILE", as in `evaluate`; None for one without."""
    if labels == "stored":
        return [item.label for item in items]
    label_of = read_labels(labels)
    return [label_of(Path(item.path)) for item in items]


def labelled_truth(items: Sequence[Item], labels: str) -> Truth:
    """The labels as a ground truth, for `evaluate_truth`: images without a label are not searched, as in `evaluate`.

    A query's name is its path below what all images have in common.
    """
    paths, found = [item.path for item in items], labels_of(items, labels)
    truth = truth_from_labels(paths, found)
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    queries = tuple(replace(q, name=os.path.relpath(q.image, root)) for q in truth.queries)
    return replace(
        truth, queries=queries, database=tuple(path for path, label in zip(paths, found) if label is not None)
    )


def per_query_csv(evaluation: Evaluation) -> str:
    """A CSV text with columns path, label, ap, ap_trapezoid: one line per query."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "ap", "ap_trapezoid"])
    scores = evaluation.scores
    for row, ap, trapezoid in zip(scores.query_index.tolist(), scores.ap.tolist(), scores.ap_trapezoid.tolist()):
        path = evaluation.paths[row].encode("utf-8", "backslashreplace").decode()
        writer.writerow([path, evaluation.labels[row], f"{ap:.6f}", f"{trapezoid:.6f}"])
    return text.getvalue()
