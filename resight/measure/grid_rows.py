"""The rows of a grid on disk: its finished cells, and receipts of runs in which all were finished.

A receipt says which cells a grid came to, as long as nothing that can be seen without the network has changed: then
their scores are read, and neither network nor images are loaded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from resight._version import __version__
from resight.errors import InputError, WorkError
from resight.images.lines import read_bytes_of
from resight.measure.checking import is_number
from resight.measure.grid_config import MOST_CELLS, OWN_WEIGHTS, Cell, Grid
from resight.measure.grid_inputs import Inputs, digest, truth_key
from resight.measure.runs import Run, load_run

LIMIT = 100 * MOST_CELLS  # bytes of a receipt
DECIDING = ("torch", "timm")  # the packages that decide what a network's name and its random weights mean


@dataclass(frozen=True)
class Row:
    """What came of a cell.

    cell    the experiment
    key     its folder's name below OUT/cells; "" if it never came so far
    run     its scores; None if it could not be done, and `reason` says why
    dim     length of the vectors that were searched
    reused  it was there already
    unread  images that could not be read and took no part
    """

    cell: Cell
    key: str = ""
    run: Run | None = None
    reason: str = ""
    dim: int = 0
    reused: bool = False
    unread: int = 0


def finished_run(folder: Path, ks: Sequence[int]) -> Run | None:
    """The run of a cell if a whole one is in its folder; what is damaged is done again."""
    if not (folder / "run.json").is_file():
        return None
    try:
        run = load_run(folder)
    except InputError:
        return None
    return run if _has_scores(run, ks) else None


def receipt_file(grid: Grid, inputs: Inputs) -> Path | None:
    """Where the receipt of this grid is or will be: named by its values, versions, and every file's size and date.

    None if it can have none: timm's hub may give other weights under the same name.
    """
    if grid.encoder.weights == "hub":
        return None
    own = grid.encoder.weights in OWN_WEIGHTS
    values = {key: value for key, value in asdict(grid).items() if key not in ("name", "out")}
    key = digest({
        "version": [__version__, *map(_version, DECIDING)], "grid": values,
        "truth": truth_key(inputs.truth) if inputs.truth is not None else "", "labels": inputs.labelled,
        "queries": inputs.asked, "weights": [] if own else _seen(grid.encoder.weights),
        "files": [[_seen(path) for path in paths] for paths in (inputs.images, inputs.whitening)],
    })  # fmt: skip
    return Path(grid.out) / "features" / f"finished-{key}.json"


def receipt(rows: Sequence[Row]) -> str:
    """The text of a receipt."""
    return json.dumps([[row.key, row.dim, row.unread] for row in rows])


def rows_of_receipt(file: Path, grid: Grid) -> list[Row] | None:
    """The rows that a receipt stands for, with their scores; None if there is none, or a cell is gone or damaged."""
    if not file.is_file():
        return None
    try:
        known = json.loads(read_bytes_of(file, LIMIT))
    except (InputError, WorkError, ValueError, RecursionError):
        return None
    if not isinstance(known, list) or len(known) != len(grid.cells) or not all(map(_is_entry, known)):
        return None
    rows = []
    for cell, (key, dim, unread) in zip(grid.cells, known):
        run = finished_run(Path(grid.out) / "cells" / key, grid.ks)
        if run is None:
            return None
        rows.append(Row(cell, key, replace(run, name=str(cell)), dim=dim, reused=True, unread=unread))
    return rows


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    key, *numbers = entry
    named = isinstance(key, str) and re.fullmatch(r"[0-9a-f]{16}", key) is not None
    return named and all(type(number) is int and number >= 0 for number in numbers)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _seen(path: str) -> list[Any]:
    try:
        found = os.stat(path)
    except OSError:
        return [path, -1, -1]
    return [path, found.st_size, found.st_mtime_ns]


def _has_scores(run: Run, ks: Sequence[int]) -> bool:
    """Whether its scores are of the form that `ProtocolScores.as_dict` gives, for these depths."""
    settings = run.scores.get("settings")
    if not isinstance(settings, dict) or tuple(settings) != run.settings:
        return False
    return all(isinstance(one, dict) and _is_setting(one, ks) for one in settings.values())


def _is_setting(one: dict[str, Any], ks: Sequence[int]) -> bool:
    depths = [one.get(name) for name in ("mp", "precision")]
    if not all(isinstance(at, dict) and {str(k) for k in ks} <= set(at) for at in depths):
        return False
    values = [
        one.get("map_standard", ""),
        one.get("map_trapezoid", ""),
        *(v for at in depths if at for v in at.values()),
    ]
    return all(value is None or is_number(value) for value in values)
