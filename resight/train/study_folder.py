"""The folder of a study: a new one or its own, used by one process at a time, with what was asked in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resight.errors import InputError, WorkError, advice
from resight.images.lines import read_bytes_of
from resight.train.run_files import RECORD, write_text
from resight.train.run_folders import reserved
from resight.train.study_config import Study

FORMAT = "resight-study-1"
PLAN = "study.json"
LIMIT = 64 * 2**20  # bytes of it


@contextmanager
def own_folder(study: Study) -> Iterator[None]:
    """The folder of a study, made if need be, locked against a second process, with study.json: what was asked.

    Raises InputError if something else lies there; WorkError if it cannot be written, or another process is at work.
    """
    folder = Path(study.out)
    check_own(folder)
    with reserved(folder):
        plan: dict[str, Any] = {"format": FORMAT, **asdict(study)}
        plan["rows"] = {name: options.as_dict() for name, options in study.rows}
        write_text(folder / PLAN, json.dumps(plan, indent=1) + "\n")
        yield


def check_own(folder: Path) -> None:
    """Raises InputError if there is something at this place that is neither an empty folder nor one of a study."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, or a name that is free, got a file: choose another --out")
    try:
        empty = all(entry.name.startswith(".") for entry in folder.iterdir())
    except OSError as error:
        raise WorkError(f"cannot read {folder}: {advice(error)}") from error
    if not (empty or _is_plan(folder / PLAN) or any(folder.glob(f"runs/*/seed-*/{RECORD}"))):
        raise InputError(f"{folder} is there already and holds no study: choose another --out, or a name that is free")


def _is_plan(file: Path) -> bool:
    try:
        content = json.loads(read_bytes_of(file, LIMIT))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT
