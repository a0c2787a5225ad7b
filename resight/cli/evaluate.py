"""`resight evaluate`: retrieval scores of a labelled collection."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def evaluate(
    collection: Path,
    /,
    *,
    labels: str = "folder",
    k: Annotated[tuple[int, ...], Parameter(name=["--k", "-k"])] = (1, 5, 10),
    allow_leak: bool = False,
    per_query: Path | None = None,
    json: bool = False,
) -> int:
    """Measure retrieval on a labelled collection: mAP, P@k, recall@k.

    Every image is a query against all others; those with its label are right answers.

    Parameters
    ----------
    collection
        The collection.
    labels
        folder (an image's folder is its label), stored (as at indexing) or csv:FILE (columns path, label).
    k
        Depths for precision and recall.
    allow_leak
        Score a collection whose whitening was fitted on itself; the result says so.
    per_query
        Write a CSV with the average precision of every query.
    json
        Print as JSON.
    """
    from resight.measure import collections
    from resight.search import Collection
    from resight.show import write_atomic

    with Collection.open(collection) as photos:
        result = collections.evaluate(photos, labels, ks=k, allow_leak=allow_leak)
        if per_query is not None:
            write_atomic(per_query, collections.per_query_csv(result))
    if json:
        print(json_module.dumps(result.as_dict(), indent=1))
        return 0
    scores, protocol = result.scores, result.protocol
    left_out = f", {result.unlabelled:,} without a label" if result.unlabelled else ""
    print(f"{collection}: {scores.queries:,} queries, {len(scores.per_label)} labels{left_out}")
    print(f"  mAP        {scores.map:.4f}   (trapezoid rule {scores.map_trapezoid:.4f})")
    for depth in scores.precision:
        print(f"  P@{depth:<8} {scores.precision[depth]:.4f}   recall@{depth} {scores.recall[depth]:.4f}")
    worst = sorted(scores.per_label.items(), key=lambda pair: pair[1])[:3]
    print(f"  hardest    {', '.join(f'{label} {value:.3f}' for label, value in worst)}")
    print(f"  protocol   {protocol['backbone']} {protocol['descriptor']}, {protocol['fit']} {protocol['size']}, "
          f"whitening {protocol['whitening']}, space {protocol['space']}"
          + (" - LEAK: whitening fitted on the evaluated images" if protocol["leak"] else ""))  # fmt: skip
    return 0
