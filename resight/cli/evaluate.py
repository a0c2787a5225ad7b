"""`resight evaluate`: retrieval scores of a collection, by labels or by a published protocol."""

from __future__ import annotations

import json as json_module
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from resight.cli.progress import progress
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.images.truth import Query, Truth
    from resight.measure.collections import Evaluation
    from resight.measure.evaluation import Evaluated
    from resight.measure.protocols import ProtocolScores
    from resight.search import Collection


def evaluate(
    collection: Path | None = None,
    /,
    *,
    labels: str = "folder",
    protocol: str | None = None,
    truth: Path | None = None,
    queries: Path | None = None,
    crop: Literal["pixels", "map", "none"] = "pixels",
    then: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = (),
    budget: str | None = None,
    k: Annotated[tuple[int, ...], Parameter(name=["--k", "-k"])] = (1, 5, 10),
    distractors: bool = False,
    allow_missing: bool = False,
    allow_leak: bool = False,
    save: Path | None = None,
    save_rankings: Path | None = None,
    load: Path | None = None,
    per_query: Path | None = None,
    json: bool = False,
) -> int:
    """Measure retrieval: by labels, or by a published protocol such as oxford5k, roxford5k or holidays.

    With labels, every image is a query against all others, and those with its label are right answers. With
    --protocol, queries and right answers come from the ground truth in --truth; `resight datasets` says what there is.

    Parameters
    ----------
    collection
        The collection.
    labels
        folder (an image's folder is its label), stored (as at indexing) or csv:FILE (columns path, label).
    protocol
        oxford5k, paris6k, roxford5k, rparis6k, holidays, ukbench, copydays or pairs (a CSV of query, positive).
    truth
        The protocol's ground truth: a folder of .txt files, a gnd_*.pkl, a CSV or a folder of images.
    queries
        Folder with query images that are not in the collection.
    crop
        What a query's box cuts: the image before resizing, the feature map, or nothing.
    then
        A step after the search, e.g. alpha-qe:k=10; several in order. As in `resight search`.
    budget
        Time for these steps per query, e.g. 200ms.
    k
        Depths for precision and recall.
    distractors
        Search also the images that the ground truth does not list (the +100k and +1M sets).
    allow_missing
        Images of the ground truth that are not there count as never found; the fingerprint says how many.
    allow_leak
        Score a collection whose whitening was fitted on its own images; the result says so.
    save
        Write the run into this folder: run.json and per_query.csv, for `resight compare`.
    save_rankings
        Write every full ranking into this folder as text: QUERY.txt, one name per line.
    load
        Score rankings from such a folder instead of a collection's; needs --protocol and --truth.
    per_query
        Write a CSV with the average precision of every query (labels only; --save has it for protocols).
    json
        Print as JSON.
    """
    from resight.images.truth import read_truth

    if protocol is None and (truth or queries or distractors or load):
        raise InputError("--truth, --queries, --distractors and --load belong to a --protocol")
    if load is not None and (collection or then or save or save_rankings):
        raise InputError("--load scores rankings that are there: without a collection, --then, --save, --save-rankings")
    if per_query is not None and (protocol or then or save or save_rankings):
        raise InputError("--per-query is for labels without steps; --save FOLDER writes per_query.csv in all cases")
    known: Truth | None = None
    if protocol is not None:
        if truth is None:
            raise InputError(f"--protocol {protocol} needs --truth PATH, see `resight datasets {protocol}`")
        known = read_truth(protocol, truth)
    if load is not None and known is not None:
        return _loaded(load, known, k, json)
    if collection is None:
        raise InputError("which collection? give its path, or --load a folder of rankings")
    return _evaluate(
        collection, known, labels=labels, queries=queries, crop=crop, then=then, budget=budget, k=k,
        distractors=distractors, allow_missing=allow_missing, allow_leak=allow_leak, save=save,
        save_rankings=save_rankings, per_query=per_query, json=json,
    )  # fmt: skip


def _evaluate(
    collection: Path, known: Truth | None, *, labels: str, queries: Path | None, crop: str, then: tuple[str, ...],
    budget: str | None, k: tuple[int, ...], distractors: bool, allow_missing: bool, allow_leak: bool,
    save: Path | None, save_rankings: Path | None, per_query: Path | None, json: bool,
) -> int:  # fmt: skip
    from resight.cli.search import parse_budget
    from resight.measure.collections import labelled_truth
    from resight.measure.evaluation import evaluate_truth, with_distractors
    from resight.search import Collection

    seconds = parse_budget(budget, then)
    with Collection.open(collection) as photos:
        if known is None and not (then or save or save_rankings):
            return _labelled(photos, collection, labels, k, allow_leak, per_query, json)
        everything = list(photos.items(status="ok")) if known is None else []
        truth = with_distractors(known, distractors) if known else labelled_truth(everything, labels)
        each = _writer(save_rankings, truth) if save_rankings is not None else None
        result = evaluate_truth(
            photos, truth, crop=crop, then=then, budget=seconds, queries=queries, ks=k, watch=progress,
            allow_missing=allow_missing, allow_leak=allow_leak, each=each,
        )  # fmt: skip
    written = _save(result, save) if save is not None else []
    if save_rankings is not None:
        written.append(f"{save_rankings} ({len(truth.queries):,} rankings)")
    if json:
        print(json_module.dumps(result.as_dict(), indent=1))
        return 0
    _print(collection, result)
    for name in written:
        print(f"wrote {visible(str(name))}")
    return 0


def _writer(folder: Path, truth: Truth) -> Callable[[Query, list[str]], None]:
    from resight.measure.rankings_text import ranking_file, rankings_text
    from resight.show import write_atomic

    files = {query.name: folder / ranking_file(query.name) for query in truth.queries}  # before anything long begins
    folder.mkdir(parents=True, exist_ok=True)

    def write(query: Query, paths: list[str]) -> None:
        write_atomic(files[query.name], rankings_text(paths, range(len(paths))))

    return write


def _save(result: Evaluated, folder: Path) -> list[str]:
    from resight.measure.runs import run_files
    from resight.show import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in run_files(replace(result.run, name=folder.name)).items():
        write_atomic(folder / name, text)
    return [str(folder / "run.json")]


def _loaded(folder: Path, truth: Truth, k: tuple[int, ...], json: bool) -> int:
    """Scores of rankings in text form, made by whatever programme."""
    from resight.measure.names import name_index
    from resight.measure.protocols import score_rankings
    from resight.measure.rankings_text import ranked_rows, read_rankings

    rankings = read_rankings(folder, truth)
    names = list(dict.fromkeys(name for ranking in rankings for name in ranking))
    index = name_index(truth, names, allow_missing=True)
    scores = score_rankings(ranked_rows(rankings, index, names), truth, index, ks=k)
    if json:
        print(json_module.dumps({**scores.as_dict(), "missing": list(index.missing)}, indent=1))
        return 0
    print(f"{folder}: {truth.name}, {len(truth.queries)} queries, {len(names):,} images ranked")
    _print_scores(scores)
    if index.missing:
        print(f"  {len(index.missing):,} images of the ground truth are ranked nowhere and count as never found")
    return 0


def _labelled(
    photos: Collection, collection: Path, labels: str, k: tuple[int, ...], allow_leak: bool, per_query: Path | None,
    json: bool,
) -> int:  # fmt: skip
    from resight.measure import collections
    from resight.show import write_atomic

    result = collections.evaluate(photos, labels, ks=k, allow_leak=allow_leak)
    if per_query is not None:
        write_atomic(per_query, collections.per_query_csv(result))
    if json:
        print(json_module.dumps(result.as_dict(), indent=1))
    else:
        _print_labelled(collection, result)
    return 0


def _print_labelled(collection: Path, result: Evaluation) -> None:
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


def _print(collection: Path, result: Evaluated) -> None:
    p = result.protocol
    published = f" of {p['published']:,} published" if p["published"] else ""
    where = visible(str(collection))
    print(f"{where}: {p['protocol']}, {p['queries']:,} queries, {p['database']:,} images searched{published}")
    _print_scores(result.scores)
    if result.missing:
        print(f"  MISSING    {len(result.missing):,} images of the ground truth count as never found, such as "
              f"{visible(', '.join(result.missing[:3]))}")  # fmt: skip
    for step in p["after"]:
        print(f"  then       {step}")
    _print_rows("cost", _costs(result.costs))
    _print_rows("protocol", _protocol(result.key, p))


def _print_rows(head: str, rows: list[str]) -> None:
    for row in rows:
        for line in textwrap.wrap(visible(row), 66, break_long_words=False, break_on_hyphens=False):
            print(f"  {head:<10} {line}")
            head = ""


def _costs(costs: dict[str, float]) -> list[str]:
    describing = f"{1000 * costs['describe_seconds']:.0f} ms to describe, " if costs["describe_seconds"] else ""
    prepared = f"; {costs['prepare_seconds']:.1f} s to prepare the steps" if costs["prepare_seconds"] > 0.05 else ""
    indexed = f", {1000 * costs['index_seconds']:.1f} ms to index" if costs["index_seconds"] else ""
    peak = f"{costs['peak_bytes'] / 2**20:,.0f} MiB" if "peak_bytes" in costs else ""
    return [
        f"per query {describing}{1000 * costs['search_seconds']:.1f} ms to search{prepared}",
        f"per image {costs['bytes_per_image']:,.0f} bytes{indexed}",
        *([f"peak resident memory of the process {peak}"] if peak else ()),
    ]


def _protocol(key: str, p: dict[str, Any]) -> list[str]:
    rules = dict.fromkeys(p["junk"].values())
    stage = "" if p["stage"] == "last" else f", stage {p['stage']}"
    leak = " - LEAK: fitted on the evaluated images" if p["leak"] else ""
    more = [
        f"{p['distractors']:,} distractors" if p["distractors"] else "",
        f"{p['missing']:,} missing" if p["missing"] else "",
        f"budget {p['budget']:g} s" if p["budget"] else "",
    ]
    return [
        f"{key}: {p['backbone']} {p['weights']}{stage}, {p['precision']}",
        f"{p['descriptor']}, {p['fit']} {p['size']}, scales {' '.join(f'{scale:g}' for scale in p['scales'])}",
        f"embedding space {p['space']}",
        f"crop {p['crop']}; {p['own']}",
        next(iter(rules)) if len(rules) == 1 else "; ".join(f"{name}: {rule}" for name, rule in p["junk"].items()),
        "mAP by the trapezoid rule (compute_ap), std by the standard rule",
        *([f"transductive: {by}" for by in p["transductive_by"]] or ["not transductive"]),
        "; ".join([f"whitening {p['whitening']}{leak}", *filter(None, more)]),
    ]


def _print_scores(scores: ProtocolScores) -> None:
    wide = max(9, *map(len, scores.settings))
    print(f"  {'':<{wide}}  {'queries':>8} {'mAP':>8} {'mAP std':>8}")
    for name, one in scores.settings.items():
        print(f"  {name:<{wide}}  {one.queries:8,} {one.map_trapezoid:8.4f} {one.map:8.4f}")
    depths = next(iter(scores.settings.values())).precision
    print(f"  {'at depth':<{wide}}  {'':>8} " + " ".join(f"{k:8,}" for k in depths))
    for name, one in scores.settings.items():
        for measure, at in (("mP@k", one.mp), ("P@k", one.precision), ("R@k", one.recall)):
            print(f"  {name:<{wide}}  {measure:>8} " + " ".join(f"{at[k]:8.4f}" for k in depths))
    if scores.ns is not None:
        print(f"  N-S score  {scores.ns:.3f} of 4")
