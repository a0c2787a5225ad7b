"""Scores of rankings: average precision, precision and recall at k, leave-one-out over a labelled set."""

from resight.measure.average_precision import RULES, average_precision, positive_ranks
from resight.measure.retrieval import (
    RetrievalScores,
    bootstrap_interval,
    coverage_at,
    evaluate_labels,
    precision_at,
    recall_at,
    revisited_precision_at,
)

__all__ = [
    "RULES",
    "RetrievalScores",
    "average_precision",
    "bootstrap_interval",
    "coverage_at",
    "evaluate_labels",
    "positive_ranks",
    "precision_at",
    "recall_at",
    "revisited_precision_at",
]
