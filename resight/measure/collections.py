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
from resight.measure.leaks import refuse_leak, whitening_text
from resight.measure.retrieval import RetrievalScores, evaluate_labels

if TYPE_CHECKING:
    from resight.search import Collection, Item


@dataclass(frozen=True)
class Evaluation:
    """Scores, how many images had no label and so took no part, the protocol, and the labelled images row by row."""

    scores: RetrievalScores
    unlabelled: int
    protocol: dict[str, Any]
    paths: tuple[str, ...]
    labels: tuple[str, ...]

    def as_dict(self, per_query: bool = False) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.scores.as_dict(per_query), "unlabelled": self.unlabelled, "protocol": self.protocol}


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
    config = photos.config
    protocol = {
        "ranking": "every image against all others, itself removed",
        "ap": "map: mean precision at each positive; map_trapezoid: VGG's rule",
        "labels": labels,
        "backbone": config.backbone,
        "descriptor": config.descriptor,
        "space": photos.space,
        "size": config.size or "native",
        "fit": config.fit,
        "scales": list(config.scales),
        "stage": "last" if config.stage is None else config.stage,
        "precision": config.precision,
        "whitening": whitening_text(photos),
        "leak": leak,
    }  # fmt: skip
    return Evaluation(
        scores, len(items) - len(rows), protocol, tuple(items[i].path for i in rows), tuple(str(found[i]) for i in rows)
    )


def labels_of(items: Sequence[Item], labels: str) -> list[str | None]:
    """The label of each image: "folder", "stored" or "csv:FILE", as in `evaluate`; None for one without."""
    if labels == "stored":
        return [item.label for item in items]
    label_of = read_labels(labels)
    return [label_of(Path(item.path)) for item in items]


def labelled_truth(items: Sequence[Item], labels: str) -> Truth:
    """The labels as a ground truth, for `evaluate_truth`; a query's name is its path below what all have in common."""
    paths = [item.path for item in items]
    truth = truth_from_labels(paths, labels_of(items, labels))
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return replace(truth, queries=tuple(replace(q, name=os.path.relpath(q.image, root)) for q in truth.queries))


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
