"""Scores as `resight evaluate` prints them: one table, what it cost, and the protocol under its key."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.show.text import visible

if TYPE_CHECKING:
    from resight.measure.collections import Evaluation
    from resight.measure.evaluation import Evaluated
    from resight.measure.protocols import ProtocolScores, SettingScores
    from resight.measure.retrieval import RetrievalScores

WIDTH = 66


def print_labelled(collection: Path, result: Evaluation) -> None:
    """Scores by labels without steps."""
    scores, p = result.scores, result.protocol
    left_out = f", {result.unlabelled:,} without a label" if result.unlabelled else ""
    where = visible(str(collection))
    print(f"{where}: {scores.queries:,} queries, {len(scores.per_label):,} labels{left_out}")
    _print_table({"all": scores})
    worst = sorted(scores.per_label.items(), key=lambda pair: pair[1])[:3]
    _print_rows("hardest", [", ".join(f"{label} {value:.3f}" for label, value in worst) + " (mAP std)"])
    _print_rows("protocol", _protocol(result.key, p))


def print_evaluated(collection: Path, result: Evaluated, unlabelled: int = 0) -> None:
    """Scores by a protocol, or by labels with steps."""
    p = result.protocol
    published = f" of {p['published']:,} published" if p["published"] else ""
    left_out = f", {unlabelled:,} without a label" if unlabelled else ""
    where = visible(str(collection))
    print(f"{where}: {p['protocol']}, {p['queries']:,} queries, {p['database']:,} images searched{published}{left_out}")
    _print_scores(result.scores)
    _print_missing(result.missing)
    if result.unreadable:
        what = "1 image file" if len(result.unreadable) == 1 else f"{len(result.unreadable):,} image files"
        listed = [f"{path} ({why})" for path, why in result.unreadable.items()]
        _print_rows("UNREADABLE", [f"{what} gone or damaged; queries among them count as AP 0: {_some(listed)}"])
    if result.clipped:
        what = "1 query box reaches" if result.clipped == 1 else f"{result.clipped:,} query boxes reach"
        _print_rows("clipped", [f"{what} beyond the image, and the part inside is used"])
    _print_rows("then", list(p["after"]), each=True)
    _print_rows("cost", _costs(result.costs))
    _print_rows("protocol", _protocol(result.key, p))


def print_loaded(
    folder: Path, scores: ProtocolScores, protocol: Mapping[str, Any], ranked: int, missing: Sequence[str]
) -> None:
    """Scores of rankings from files."""
    from resight.measure.fingerprint import fingerprint_key

    where = visible(str(folder))
    print(f"{where}: {protocol['protocol']}, {protocol['queries']:,} queries, {ranked:,} images ranked")
    _print_scores(scores)
    _print_missing(missing)
    key = f"{fingerprint_key(protocol)}: rankings from files, {protocol['rankings']}"
    _print_rows("protocol", [key, *_rules(protocol)])


def _print_scores(scores: ProtocolScores) -> None:
    _print_table(scores.settings)
    if scores.ns is not None:
        print(f"  N-S score  {scores.ns:.3f} of 4")


def _print_table(settings: Mapping[str, SettingScores | RetrievalScores]) -> None:
    wide = max(9, *map(len, settings))
    print(f"  {'':<{wide}}  {'queries':>8} {'mAP':>8} {'mAP std':>8}")
    for name, one in settings.items():
        print(f"  {name:<{wide}}  {one.queries:8,} {one.map_trapezoid:8.4f} {one.map:8.4f}")
    first: SettingScores | RetrievalScores = next(iter(settings.values()))
    depths = list(first.precision)
    print(f"  {'at depth':<{wide}}  {'':>8} " + " ".join(f"{k:8,}" for k in depths))
    for name, one in settings.items():
        for measure, at in (("mP@k", getattr(one, "mp", None)), ("P@k", one.precision), ("R@k", one.recall)):
            if at is not None:
                print(f"  {name:<{wide}}  {measure:>8} " + " ".join(f"{at[k]:8.4f}" for k in depths))


def _print_missing(missing: Sequence[str]) -> None:
    if missing:
        what = "1 image" if len(missing) == 1 else f"{len(missing):,} images"
        _print_rows("MISSING", [f"{what} of the ground truth, never found or asked: {_some(missing)}"])


def _some(names: Sequence[str]) -> str:
    from resight.measure.missing import some_of

    return some_of(names)


def _print_rows(head: str, rows: Sequence[str], each: bool = False) -> None:
    """Wrapped rows; `head` before the first, or before each."""
    for row in rows:
        for number, line in enumerate(
            textwrap.wrap(visible(row), WIDTH, break_long_words=False, break_on_hyphens=False)
        ):
            print(f"  {head if not number else '':<10} {line}")
        head = head if each else ""


def _costs(costs: Mapping[str, float]) -> list[str]:
    describing = f"{1000 * costs['describe_seconds']:.0f} ms to describe, " if costs["describe_seconds"] else ""
    prepared = f"; {costs['prepare_seconds']:.1f} s to prepare the steps" if costs["prepare_seconds"] > 0.05 else ""
    indexed = f", {1000 * costs['index_seconds']:.1f} ms to index" if costs["index_seconds"] else ""
    peak = f"{costs['peak_bytes'] / 2**20:,.0f} MiB" if "peak_bytes" in costs else ""
    return [
        f"per query {describing}{1000 * costs['search_seconds']:.1f} ms to search{prepared}",
        f"per image {costs['bytes_per_image']:,.0f} bytes{indexed}",
        *([f"peak resident memory of the process {peak}"] if peak else ()),
    ]


def _rules(p: Mapping[str, Any]) -> list[str]:
    rules = dict.fromkeys(p["junk"].values())
    return [
        p["own"],
        next(iter(rules)) if len(rules) == 1 else "; ".join(f"{name}: {rule}" for name, rule in p["junk"].items()),
        "mAP by the trapezoid rule (compute_ap), mAP std by the standard rule",
    ]


def _protocol(key: str, p: Mapping[str, Any]) -> list[str]:
    from resight.measure.leaks import leak_text

    stage = "" if p["stage"] == "last" else f", stage {p['stage']}"
    own, *rules = _rules(p)
    more = [
        f"{p['distractors']:,} distractors" if p["distractors"] else "",
        f"{p['missing']:,} missing" if p["missing"] else "",
        f"{p['unreadable']:,} unreadable" if p["unreadable"] else "",
        f"budget {p['budget']:g} s" if p["budget"] else "",
    ]
    return [
        f"{key}: {p['backbone']} {p['weights']}{stage}, {p['precision']}",
        f"{p['descriptor']}, {p['fit']} {p['size']}, scales {' '.join(f'{scale:g}' for scale in p['scales'])}",
        f"embedding space {p['space']}",
        f"crop {p['crop']}; {own}",
        *rules,
        *([f"transductive: {by}" for by in p["transductive_by"]] or ["not transductive"]),
        "; ".join([f"whitening {p['whitening']}{leak_text(p['leak'])}", *filter(None, more)]),
    ]
