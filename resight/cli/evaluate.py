"""`resight evaluate`: retrieval scores of a collection, by labels or by a published protocol."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from resight.cli.destinations import check_file, check_folder
from resight.cli.progress import progress
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.images.truth import Query, Truth
    from resight.measure.evaluation import Evaluated
    from resight.search import Collection, Item


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
    missing_list: Path | None = None,
    allow_leak: bool = False,
    save: Path | None = None,
    save_rankings: Path | None = None,
    load: Path | None = None,
    per_query: Path | None = None,
    json: bool = False,
) -> int:
    """Measure retrieval: by labels, or by a published protocol such as oxford5k, roxford5k or holidays.

    mAP is by the trapezoid rule, as papers print it; mAP std by the standard rule, as TREC and scikit-learn have it.
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
        Images of the ground truth that are not there count as never found, queries whose image is nowhere or cannot
        be read with an average precision of 0; the fingerprint says how many.
    missing_list
        Write the names of all missing images into this file, one per line, also if they are refused.
    allow_leak
        Score a collection whose whitening was fitted on its own images; the result says so.
    save
        Write the run into this folder: run.json and per_query.csv, for `resight compare`.
    save_rankings
        Write every full ranking into this folder as text: QUERY.txt, one name per line; --load reads them.
    load
        Score rankings from such a folder: of a --protocol with --truth, or of a collection by its labels.
    per_query
        Write a CSV with the average precision of every query (labels only; --save has it for protocols).
    json
        Print as JSON.
    """
    from resight.images.truth import read_truth
    from resight.measure.missing import MissingImages

    if protocol is None and (truth or queries or distractors):
        raise InputError("--truth, --queries and --distractors belong to a --protocol")
    if load is not None and (then or save or save_rankings or queries or budget):
        raise InputError("--load scores rankings that are there: without --then, --queries, --save, --save-rankings")
    if per_query is not None and (protocol or then or save or save_rankings or load):
        raise InputError("--per-query is for labels without steps; --save FOLDER writes per_query.csv in all cases")
    if protocol is not None and truth is None:
        raise InputError(f"--protocol {protocol} needs --truth PATH, see `resight datasets {protocol}`")
    if collection is None and (load is None or protocol is None):
        raise InputError("which collection? give its path, or --load a folder of rankings with --protocol and --truth")
    for folder in (save, save_rankings):
        check_folder(folder)
    for file in (per_query, missing_list):
        check_file(file)
    known = read_truth(protocol, truth) if protocol is not None and truth is not None else None
    asked = _Asked(labels, queries, crop, then, k, allow_missing, allow_leak, json, missing_list)
    try:
        if load is not None:
            return _loaded(load, collection, known, distractors, asked)
        if collection is not None:
            return _evaluate(collection, known, distractors, budget, asked, save, save_rankings, per_query)
    except MissingImages as error:
        _list_missing(missing_list, [*error.missing, *error.unreadable])
        if json:
            print(json_module.dumps({"missing": list(error.missing), "unreadable": list(error.unreadable)}, indent=1))
        raise
    return 0


@dataclass(frozen=True)
class _Asked:
    """The options that several ways of evaluating share."""

    labels: str
    queries: Path | None
    crop: str
    then: tuple[str, ...]
    k: tuple[int, ...]
    allow_missing: bool
    allow_leak: bool
    json: bool
    missing_list: Path | None


def _evaluate(
    collection: Path, known: Truth | None, distractors: bool, budget: str | None, asked: _Asked, save: Path | None,
    save_rankings: Path | None, per_query: Path | None,
) -> int:  # fmt: skip
    from resight.cli.scores_text import print_evaluated
    from resight.cli.search import parse_budget
    from resight.measure.evaluation import evaluate_truth
    from resight.search import Collection

    seconds = parse_budget(budget, asked.then)
    with Collection.open(collection) as photos:
        if known is None and not (asked.then or save or save_rankings):
            return _labelled(photos, collection, asked, per_query)
        items = list(photos.items(status="ok"))
        truth = _truth(known, distractors, items, asked.labels)
        each = _writer(save_rankings, truth, items) if save_rankings is not None else None
        result = evaluate_truth(
            photos, truth, crop=asked.crop, then=asked.then, budget=seconds, queries=asked.queries, ks=asked.k,
            watch=progress, allow_missing=asked.allow_missing, allow_leak=asked.allow_leak, each=each,
        )  # fmt: skip
    _list_missing(asked.missing_list, [*result.missing, *result.unreadable])
    written = _save(result, save) if save is not None else []
    if save_rankings is not None:
        written.append(f"{save_rankings} ({len(truth.queries):,} rankings)")
    if asked.json:
        print(json_module.dumps(result.as_dict(), indent=1))
        return 0
    print_evaluated(collection, result, len(items) - len(truth.database or ()) if known is None else 0)
    for name in written:
        print(f"wrote {visible(str(name))}")
    return 0


def _truth(known: Truth | None, distractors: bool, items: list[Item], labels: str) -> Truth:
    from resight.measure.collections import labelled_truth
    from resight.measure.evaluation import with_distractors

    return with_distractors(known, distractors) if known is not None else labelled_truth(items, labels)


def _list_missing(file: Path | None, names: list[str]) -> None:
    """All that is missing, one per line; a line end in a name is written as it would be in Python."""
    from resight.show import write_atomic

    if file is not None:
        write_atomic(file, "".join(f"{visible(name)}\n" for name in names))


def _writer(folder: Path, truth: Truth, items: list[Item]) -> Callable[[Query, list[str]], None]:
    from resight.measure.names import name_index
    from resight.measure.rankings_text import ranking_file, ranking_names
    from resight.show import write_atomic

    # Names that cannot stand in a file, or on a line of one, are found before anything long begins.
    files = {query.name: folder / ranking_file(query.name) for query in truth.queries}
    paths = [item.path for item in items]
    names = ranking_names(truth, name_index(truth, paths, allow_missing=True), paths)

    def write(query: Query, ranked: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(files[query.name], "".join(f"{names[path]}\n" for path in ranked))

    return write


def _save(result: Evaluated, folder: Path) -> list[str]:
    from resight.measure.runs import run_files
    from resight.show import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in run_files(replace(result.run, name=folder.name)).items():
        write_atomic(folder / name, text)
    return [str(folder / "run.json")]


def _loaded(folder: Path, collection: Path | None, known: Truth | None, distractors: bool, asked: _Asked) -> int:
    """Scores of rankings in text form, made by whatever programme."""
    from resight.cli.scores_text import print_loaded
    from resight.measure.fingerprint import fingerprint_key, rules
    from resight.measure.names import name_index
    from resight.measure.protocols import score_rankings
    from resight.measure.rankings_text import index_of_rankings, ranked_rows, rankings_key, read_rankings
    from resight.search import Collection

    items: list[Item] = []
    if collection is not None:
        with Collection.open(collection) as photos:
            items = list(photos.items(status="ok"))
    truth = _truth(known, distractors, items, asked.labels)
    rankings = read_rankings(folder, truth)
    names = list(dict.fromkeys(name for ranking in rankings for name in ranking))
    if collection is None:
        index = index_of_rankings(truth, names)
        place = {name: row for row, name in enumerate(names)}
        rows = [[place[name] for name in ranking] for ranking in rankings]
    else:
        paths = [item.path for item in items]
        index = name_index(truth, paths, allow_missing=asked.allow_missing)
        rows = ranked_rows(rankings, index, paths)
    scores = score_rankings(rows, truth, index, ks=asked.k)
    protocol: dict[str, Any] = {**rules(truth, index), "rankings": rankings_key(truth, rankings)}
    _list_missing(asked.missing_list, list(index.missing))
    if asked.json:
        found = {**scores.as_dict(), "fingerprint": protocol, "key": fingerprint_key(protocol)}
        print(json_module.dumps({**found, "missing": list(index.missing)}, indent=1))
    else:
        print_loaded(folder, scores, protocol, len(names), index.missing)
    return 0


def _labelled(photos: Collection, collection: Path, asked: _Asked, per_query: Path | None) -> int:
    from resight.cli.scores_text import print_labelled
    from resight.measure import collections
    from resight.show import write_atomic

    result = collections.evaluate(photos, asked.labels, ks=asked.k, allow_leak=asked.allow_leak)
    if per_query is not None:
        write_atomic(per_query, collections.per_query_csv(result))
    if asked.json:
        print(json_module.dumps(result.as_dict(), indent=1))
    else:
        print_labelled(collection, result)
    return 0
