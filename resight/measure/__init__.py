"""Scores of rankings: average precision, precision and recall at k, labelled sets, published protocols, comparisons."""

from resight.measure.average_precision import RULES, average_precision, positive_ranks
from resight.measure.protocols import ProtocolScores, RankingScorer, name_index, score_rankings
from resight.measure.resampling import bootstrap_interval
from resight.measure.retrieval import (
    RetrievalScores,
    coverage_at,
    evaluate_labels,
    precision_at,
    recall_at,
    revisited_precision_at,
)
from resight.measure.runs import Run, RunQuery, Shown, load_run, run_files

__all__ = [
    "RULES",
    "ProtocolScores",
    "RankingScorer",
    "RetrievalScores",
    "Run",
    "RunQuery",
    "Shown",
    "average_precision",
    "bootstrap_interval",
    "coverage_at",
    "evaluate_labels",
    "load_run",
    "name_index",
    "positive_ranks",
    "precision_at",
    "recall_at",
    "revisited_precision_at",
    "run_files",
    "score_rankings",
]
