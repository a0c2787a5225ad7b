"""Retrieval scores of a labelled collection, with the protocol that they were measured by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images import read_labels
from resight.measure.retrieval import RetrievalScores, evaluate_labels
from resight.search import Collection


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
    whitening = photos.whitening
    leak = whitening is not None and whitening.fitted_on == "itself"
    if leak and not allow_leak:
        raise InputError(
            f"the whitening of {photos.path.name} was fitted on the very images to be evaluated; fit it on others "
            "(resight index --whiten N --whiten-from OTHER) or say --allow-leak to report the score with that remark"
        )
    items, vectors = photos.vectors()
    if not items:
        raise InputError(f"{photos.path.name} is empty: nothing to measure")
    if labels == "stored":
        found = [item.label for item in items]
    else:
        label_of = read_labels(labels)
        found = [label_of(Path(item.path)) for item in items]
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
        "whitening": f"{whitening.projection.shape[1]} dimensions, fitted on {whitening.fitted_on}" if whitening else
        "none",
        "leak": leak,
    }  # fmt: skip
    return Evaluation(
        scores, len(items) - len(rows), protocol, tuple(items[i].path for i in rows), tuple(str(found[i]) for i in rows)
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
