"""Pose voting: each match of two features says where the whole template would lie; those that agree are a candidate.

A feature has a place, a scale and an angle, so one match fixes a similarity (Lowe 2004, section 7.3). Agreement is
tested pair by pair rather than in bins, which have edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.features.local import LocalFeatures

Floats = NDArray[np.floating[Any]]

OCTAVES, TURN, SHIFT = 0.7, 0.5, 0.3  # by how much two that agree may differ: log2 scale, radians, centre over size
MOST = 900  # matches that vote: their square is what it costs


@dataclass(frozen=True, eq=False)
class Votes:
    """What each match says: (n,) log2 of the scale, (n,) turn in radians, (n, 2) where the centre lies in the scene,
    (n,) how much it counts; pairs: (n, 2) the matches themselves."""

    pairs: NDArray[np.int64]
    octaves: Floats
    turns: Floats
    centres: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class Candidate:
    """A place that votes agree on: its similarity as scale, turn and centre in the scene; support: the sum of their
    weights; members: (k,) which votes."""

    scale: float
    turn: float
    centre: Floats
    support: float
    members: NDArray[np.int64]


def vote(template: LocalFeatures, scene: LocalFeatures, pairs: NDArray[np.int64], weights: Floats) -> Votes:
    """The similarity that each match speaks for; the MOST weightiest of them."""
    if len(pairs) > MOST:
        kept = np.sort(np.argpartition(-weights, MOST)[:MOST])
        pairs, weights = pairs[kept], weights[kept]
    ours, theirs = pairs[:, 0], pairs[:, 1]
    scales = (scene.scales[theirs] / template.scales[ours]).astype(np.float64)
    turns = np.deg2rad((scene.angles[theirs] - template.angles[ours]).astype(np.float64))
    middle = np.array([template.size[1], template.size[0]]) / 2
    reach = middle - template.points[ours]
    cosine, sine = scales * np.cos(turns), scales * np.sin(turns)
    shift = np.stack([cosine * reach[:, 0] - sine * reach[:, 1], sine * reach[:, 0] + cosine * reach[:, 1]], 1)
    return Votes(pairs, np.log2(scales), turns, scene.points[theirs] + shift, weights)


def candidates(votes: Votes, size: tuple[int, int], most: int) -> list[Candidate]:
    """Places that votes agree on, best supported first, no vote in two of them; size: (H, W) of the template."""
    if not len(votes.pairs):
        return []
    agree = _agreement(votes, size)
    free = np.ones(len(votes.pairs), bool)
    found: list[Candidate] = []
    while len(found) < most and free.any():
        support = agree[:, free] @ votes.weights[free]
        support[~free] = -1
        best = int(support.argmax())
        members = np.flatnonzero(agree[best] & free)
        found.append(_candidate(votes, members))
        free[members] = False
        free[best] = False
    return found


def _agreement(votes: Votes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(n, n) which pairs of votes agree; centres are compared in the size that the two say the template has."""
    octaves, turns = votes.octaves.astype(np.float32), votes.turns.astype(np.float32)
    agree = np.abs(octaves[:, None] - octaves) < OCTAVES
    turned = np.abs(turns[:, None] - turns)
    agree &= np.minimum(turned, np.abs(2 * np.pi - turned)) < TURN
    length = np.sqrt(size[0] * size[1]) * np.exp2((octaves[:, None] + octaves) / 2)
    x, y = votes.centres.astype(np.float32).T
    agree &= (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < (SHIFT * length) ** 2
    return np.asarray(agree)


def _candidate(votes: Votes, members: NDArray[np.int64]) -> Candidate:
    weights = votes.weights[members]
    turns = votes.turns[members]
    turn = float(np.arctan2((np.sin(turns) * weights).sum(), (np.cos(turns) * weights).sum()))
    scale = float(np.exp2(np.average(votes.octaves[members], weights=weights)))
    centre = np.average(votes.centres[members], axis=0, weights=weights)
    return Candidate(scale, turn, centre, float(weights.sum()), members)
