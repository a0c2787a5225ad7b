"""What a score was measured by: everything that must be equal for two scores to be comparable, or said if it is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from resight.errors import InputError, unknown
from resight.images.truth import Truth
from resight.measure.names import NameIndex
from resight.search.after import Step, parse_step

CROPS = ("pixels", "map", "none")
AP = "mAP: area under the curve as compute_ap; mAP std: mean precision at each positive; of all positives"
_OWN = {
    "counts": "the query's image is in the database and counts",
    "removed": "the query's image is taken out of its own ranking",
    "absent": "queries are not in the database",
}


def fingerprint(
    truth: Truth,
    index: NameIndex,
    *,
    crop: str,
    backbone: str,
    weights: str,
    descriptor: str,
    size: int | str | None,
    fit: str,
    scales: Sequence[float] = (1.0,),
    stage: int | None = None,
    precision: str = "float32",
    space: str = "",
    whitening: str = "none",
    whitening_key: str = "",
    leak: bool | str = False,
    unreadable: int = 0,
    after: Sequence[str | Step] = (),
    budget: float | None = None,
) -> dict[str, Any]:
    """The protocol of an evaluation as plain values, for printing, saving and comparing.

    truth, index: as they were scored
    crop:         what the query's box cuts: "pixels" (before resizing), "map" (the feature map) or "none" (unused)
    weights:      hash of the model's weights
    size:         side in pixels, None for native size
    stage:        the intermediate stage that the maps come from, None for the last map
    space:        key of the embedding space, in which all that makes a vector is: preprocessing, part whitening ...
    whitening:    what it was fitted on and to how many dimensions, or "none"; whitening_key: of its numbers
    leak:         something was fitted on the images that are evaluated; a text if nobody knows
    unreadable:   image files that the steps or queries need and that are gone or damaged
    after:        the steps after the first search, in order, with their options
    budget:       seconds a query may take, None without limit

    `transductive` is whether a query's ranking depends on the query's own image, or on the query, among the images that
    are searched; `transductive_by` says how, see `influences`.
    `database` counts the images searched and `published` those of the published set; `distractors` are images beyond
    these, `missing` images of the ground truth that the collection lacks.
    Raises InputError for an unknown crop.
    """
    if crop not in CROPS:
        raise unknown("crop", crop, CROPS)
    by = influences(truth, index, after)
    return {
        **rules(truth, index),
        "unreadable": unreadable,
        "crop": crop,
        "size": "native" if size is None else size,
        "fit": fit,
        "scales": [float(scale) for scale in scales],
        "stage": "last" if stage is None else stage,
        "precision": precision,
        "backbone": backbone,
        "weights": weights,
        "descriptor": descriptor,
        "space": space,
        "whitening": whitening,
        "whitening_key": whitening_key,
        "leak": leak,
        "after": [str(step) for step in after],
        "budget": budget,
        "transductive": bool(by),
        "transductive_by": by,
    }


def rules(truth: Truth, index: NameIndex) -> dict[str, Any]:
    """The part of a fingerprint that any ranking has, whoever made it: what is searched, and what is right."""
    searched = int(index.database.sum())
    return {
        "protocol": truth.name,
        "queries": len(truth.queries),
        "own": _OWN[truth.own],
        "junk": {name: _rule(setting.positive, setting.ignored) for name, setting in truth.settings.items()},
        "ap": AP,
        "database": searched,
        "published": truth.published_images,
        "distractors": _distractors(truth, index, searched),
        "missing": len(index.missing),
    }


def influences(truth: Truth, index: NameIndex, after: Sequence[str | Step]) -> list[str]:
    """How a query takes part in its own ranking, as short sentences; none if it does not.

    A query's own image that is taken out of its ranking (`own` "removed") is still a neighbour of other images: steps
    that use these, by `Step.uses_neighbours`, let it pull its neighbours up. `Step.transductive` is asked for.
    """
    steps = [parse_step(step) for step in after]
    own = index.queries[index.queries >= 0]
    near = [step.name for step in steps if step.uses_neighbours]
    asked = [step.name for step in steps if step.transductive]
    found = []
    if near and truth.own == "removed" and index.database[own].any():
        found.append(f"the query's own image is a neighbour of others in {', '.join(dict.fromkeys(near))}")
    if asked:
        found.append(f"the query is one of the images in {', '.join(dict.fromkeys(asked))}")
    return found


def fingerprint_key(protocol: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 of a fingerprint's canonical JSON: equal for equal protocols, in any key order.

    Raises InputError if it holds what JSON cannot.

    >>> fingerprint_key({"a": 1, "b": 2}) == fingerprint_key({"b": 2, "a": 1})
    True
    """
    try:
        text = json.dumps(dict(protocol), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"a fingerprint holds plain JSON values only: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rule(positive: Sequence[str], ignored: Sequence[str]) -> str:
    return f"{'+'.join(positive)} right, {'+'.join(ignored) or 'nothing'} ignored"


def _distractors(truth: Truth, index: NameIndex, searched: int) -> int:
    if truth.database is not None:
        return searched - sum(name in index.rows for name in set(truth.database))
    return max(0, searched - truth.published_images) if truth.published_images else 0
