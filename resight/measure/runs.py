"""A run on disk: one evaluation with its protocol, its scores, and what every query found.

A folder with two files: run.json, which `load_run` reads, and per_query.csv, for spreadsheets. Both are made by
`run_files` as texts, which the caller writes, per_query.csv first: a folder with a run.json is complete.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.lines import read_bytes_of
from resight.measure.checking import Box, box_or_none, fields_of, is_number, items_of, shares_of, text_of

FORMAT = "resight-run-1"
LIMIT = 256 * 2**20  # bytes of run.json; 100,000 queries with ten results each take half of it


@dataclass(frozen=True)
class Shown:
    """One result of a query: the image, its score, whether it is right (None: neither), and the region found."""

    path: str
    score: float
    right: bool | None = None
    box: Box | None = None


@dataclass(frozen=True)
class RunQuery:
    """One query of a run.

    name, image, box:   as in the ground truth, the image as a path
    ap, ap_trapezoid:   {setting: average precision}, NaN where the query is left out of the setting
    seconds:            time the query took, after-steps included
    shown:              its first results, best first
    """

    name: str
    image: str
    box: Box | None
    ap: dict[str, float]
    ap_trapezoid: dict[str, float]
    seconds: float = 0.0
    shown: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class Run:
    """An evaluation that can be compared with another.

    name:     what the run is called
    protocol: the fingerprint, see `fingerprint`
    scores:   `ProtocolScores.as_dict()`
    queries:  one entry per query, in the order of the ground truth
    """

    name: str
    protocol: dict[str, Any]
    scores: dict[str, Any]
    queries: tuple[RunQuery, ...] = field(default=())

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that its queries have average precisions for."""
        return tuple(self.queries[0].ap) if self.queries else ()

    def __repr__(self) -> str:
        protocol, settings = self.protocol.get("protocol", "no protocol"), ", ".join(self.settings) or "none"
        return f"<Run {self.name!r}: {protocol}, {len(self.queries):,} queries, settings {settings}>"


def run_files(run: Run) -> dict[str, str]:
    """The files of a run: {"per_query.csv": text, "run.json": text}, to be written in this order.

    Raises InputError if the run holds what JSON cannot, or its queries do not agree on the settings.
    """
    for query in run.queries:
        if tuple(query.ap) != run.settings or tuple(query.ap_trapezoid) != run.settings:
            raise InputError(f"query {query.name!r} has other settings than the first one, {', '.join(run.settings)}")
    content = {"format": FORMAT, **asdict(run)}
    for query in content["queries"]:
        for rule in ("ap", "ap_trapezoid"):
            query[rule] = {name: None if math.isnan(value) else value for name, value in query[rule].items()}
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"run {run.name!r} cannot be saved as JSON: {error}") from error
    return {"per_query.csv": _per_query(run), "run.json": text + "\n"}


def load_run(folder: str | os.PathLike[str]) -> Run:
    """The run that was saved in a folder.

    Raises InputError, naming the entry, if there is no run.json or it is not one of a run; WorkError if it cannot be
    read.
    """
    file = Path(folder) / "run.json"
    if not file.is_file():
        raise InputError(
            f"{folder}: expected the folder of a run (resight evaluate ... --save FOLDER), got no run.json"
        )
    content = fields_of(_parse(file), str(file), "name protocol scores queries")
    if content.get("format") != FORMAT:
        raise InputError(f"{file}: expected the format {FORMAT!r}, got {str(content.get('format'))[:40]!r}")
    queries = tuple(_query(item, where) for item, where in items_of(content["queries"], f"{file}, queries"))
    twice = [name for name, count in Counter(query.name for query in queries).items() if count > 1]
    if twice:
        raise InputError(f"{file}: two queries are called {twice[0]!r}")
    run = Run(
        text_of(content["name"], f"{file}, name"),
        fields_of(content["protocol"], f"{file}, protocol"),
        fields_of(content["scores"], f"{file}, scores"),
        queries,
    )
    for query in queries:
        if set(query.ap) != set(run.settings) or set(query.ap_trapezoid) != set(run.settings):
            raise InputError(f"{file}: query {query.name!r} has other settings than the first one")
    return run


def _parse(file: Path) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(read_bytes_of(file, LIMIT).decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON, or damaged: {str(error)[:120]}") from error


def _query(item: Any, where: str) -> RunQuery:
    found = fields_of(item, where, "name image box ap ap_trapezoid seconds shown")
    if not is_number(found["seconds"]) or found["seconds"] < 0:
        raise InputError(f"{where}, seconds: expected a number of at least 0")
    return RunQuery(
        text_of(found["name"], f"{where}, name"),
        text_of(found["image"], f"{where}, image"),
        box_or_none(found["box"], f"{where}, box"),
        shares_of(found["ap"], f"{where}, ap"),
        shares_of(found["ap_trapezoid"], f"{where}, ap_trapezoid"),
        float(found["seconds"]),
        tuple(_shown(one, place) for one, place in items_of(found["shown"], f"{where}, shown")),
    )


def _shown(item: Any, where: str) -> Shown:
    found = fields_of(item, where, "path score right box")
    right = found["right"]
    if not is_number(found["score"]) or not (right is None or isinstance(right, bool)):
        raise InputError(f"{where}: expected a number as score and true, false or null as right")
    path = text_of(found["path"], f"{where}, path")
    return Shown(path, float(found["score"]), right, box_or_none(found["box"], f"{where}, box"))


def _per_query(run: Run) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rules = [f"{rule}_{name}" for name in run.settings for rule in ("ap", "ap_trapezoid")]
    writer.writerow(["query", "image", "x1", "y1", "x2", "y2", *rules, "seconds"])
    for query in run.queries:
        values = [rule[name] for name in run.settings for rule in (query.ap, query.ap_trapezoid)]
        writer.writerow([
            *(part.encode("utf-8", "backslashreplace").decode() for part in (query.name, query.image)),
            *(query.box or ("", "", "", "")),
            *("" if math.isnan(value) else f"{value:.6f}" for value in values),
            f"{query.seconds:.4f}",
        ])  # fmt: skip
    return text.getvalue()
