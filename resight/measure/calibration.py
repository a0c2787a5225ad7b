"""Whether a classifier is right as often as its probabilities say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError

BINS = 15
SMALLEST = float(np.finfo(np.float32).eps)  # what scikit-learn's log_loss takes for a float32 probability of 0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Images binned by confidence, the probability of the class that is predicted; bin b is (edges[b], edges[b + 1]].

    edges:      (B + 1,)  from 0 to 1, equally spaced
    counts:     (B,)      images in each bin
    confidence: (B,)      their mean confidence, NaN where there is none
    accuracy:   (B,)      share of them that is right, NaN where there is none
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |accuracy - confidence| over the images' bins. Guo 2017, eq. 3."""
        full = self.counts > 0
        gaps = np.abs(self.accuracy[full] - self.confidence[full])
        return float((self.counts[full] * gaps).sum() / self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        """Mean over all images; above the accuracy: the classifier is too sure."""
        full = self.counts > 0
        return float((self.counts[full] * self.confidence[full]).sum() / self.counts.sum())

    def __repr__(self) -> str:
        return f"<Calibration: ECE {self.error:.4f}, {int(self.counts.sum()):,} images in {len(self.counts)} bins>"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null where a bin is empty."""
        return {
            "ece": self.error,
            "mean_confidence": self.mean_confidence,
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "confidence": [None if np.isnan(value) else float(value) for value in self.confidence],
            "accuracy": [None if np.isnan(value) else float(value) for value in self.accuracy],
        }


def calibration(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """Confidence against accuracy, in bins of equal width.

    confidence: (N,)  probability of what is predicted, in [0, 1]
    right:      (N,)  whether that is true

    Raises InputError if there is no image, shapes differ, a confidence is outside [0, 1], or bins is below 1.

    >>> calibration(np.array([0.9, 0.9]), np.array([True, False]), bins=10).error
    0.4
    """
    sure, true = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if sure.ndim != 1 or not len(sure) or sure.shape != true.shape or bins < 1:
        raise InputError(f"expected confidence and right (N,) with N >= 1, got {sure.shape} and {true.shape}")
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():
        raise InputError(f"expected confidence in [0, 1], got {sure.min()} to {sure.max()}")
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    empty = np.full(bins, np.nan)
    means, hits = (
        np.divide(np.bincount(place, values, bins), counts, out=empty.copy(), where=counts > 0)
        for values in (sure, true.astype(float))
    )
    return Calibration(np.linspace(0, 1, bins + 1), counts.astype(np.int64), means, hits)


def log_loss(scores: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]]) -> float:
    """Mean of -log(probability of the true class), in nats; a probability of 0 counts as 1.2e-7.

    scores: (N, C)  probabilities
    truth:  (N,)    class numbers

    >>> round(log_loss(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 1])), 4)
    1.0397
    """
    own = np.take_along_axis(np.asarray(scores, np.float64), np.asarray(truth)[:, None], 1)[:, 0]
    return float(-np.log(np.clip(own, SMALLEST, 1.0)).mean())
