"""Ground truth of the image sets that retrieval is measured on, one reader per protocol."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from resight.errors import InputError, unknown
from resight.images.groups import read_copydays, read_holidays, read_ukbench
from resight.images.oxford import read_oxford5k, read_paris6k
from resight.images.pairs import read_pairs
from resight.images.queries import Query, Setting, Truth
from resight.images.revisited import read_roxford5k, read_rparis6k

__all__ = ["PROTOCOLS", "Query", "Setting", "Truth", "read_truth", "truth_from_labels"]

PROTOCOLS: dict[str, Callable[[Path], Truth]] = {
    "oxford5k": read_oxford5k,
    "paris6k": read_paris6k,
    "roxford5k": read_roxford5k,
    "rparis6k": read_rparis6k,
    "holidays": read_holidays,
    "ukbench": read_ukbench,
    "copydays": read_copydays,
    "pairs": read_pairs,
}


def read_truth(protocol: str, path: str | os.PathLike[str]) -> Truth:
    """The ground truth of a protocol.

    protocol: a key of PROTOCOLS
    path:     oxford5k, paris6k: the folder of .txt files; roxford5k, rparis6k: the gnd_*.pkl file (read without
              running anything in it); holidays, ukbench, copydays: the folder of images or a text file of their names,
              one per line; pairs: a CSV file with columns query and positive

    Raises InputError if the protocol is unknown, the path is missing, or what lies there is not that ground truth.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol](Path(path))


def truth_from_labels(names: Sequence[str], labels: Sequence[str | None]) -> Truth:
    """Leave-one-out over labelled images: each is a query, the others with its label are its positives.

    names:  (N,)   image names, each once
    labels: (N,)   None for an image without a label: it is in the database and matches nothing
    ->      own image removed; an image that is alone with its label is no query

    Raises InputError if lengths differ, a name comes twice, or no two images share a label.

    >>> [query.image for query in truth_from_labels(["a", "b", "c"], ["x", "x", "y"]).queries]
    ['a', 'b']
    """
    if len(names) != len(labels):
        raise InputError(f"one label per image is needed, got {len(labels)} labels for {len(names)} images")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"an image may be named once, {twice[0]!r} comes again")
    members: dict[str, list[str]] = {}
    for name, label in zip(names, labels):
        if label is not None:
            members.setdefault(label, []).append(name)
    sets = {label: frozenset(group) for label, group in members.items() if len(group) > 1}
    if not sets:
        raise InputError(f"no two of the {len(names):,} images share a label: no query has a positive")
    queries = tuple(
        Query(name, name, None, {"positive": sets[label]}) for name, label in zip(names, labels) if label in sets
    )
    return Truth("labels", queries, {"all": Setting(("positive",))}, tuple(names), "removed", None, "labels")
