"""Calibrations as files: JSON that names its measures, so that weights of other measures are never taken for these."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.lines import read_bytes_of
from resight.match.score import NAMES, PLAIN, Calibration

FORMAT, VERSION = "resight-match-calibration", 1
MAX_BYTES = 4 * 2**20
LARGEST = 1e6  # of a weight: the sum of all stays finite
EXPECTED = "expected a calibration made by `resight calibrate`"

Place = str | os.PathLike[str]


def as_calibration(source: Calibration | Place) -> Calibration:
    """A calibration as it is, or read from a file. Raises InputError for anything else, and as `read_calibration`."""
    if isinstance(source, Calibration):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_calibration(source)
    raise InputError(
        f"expected a calibration, or the file of one made by `resight calibrate`, got {type(source).__name__}"
    )


def read_calibration(path: Place) -> Calibration:
    """The calibration in a file that `resight calibrate` wrote.

    Raises InputError, in one line, if there is no such file or it is something else: too large, not JSON, of another
    version or other measures, with weights that are no finite numbers; WorkError if it cannot be read.
    """
    file = Path(path).expanduser()
    try:
        found = json.loads(read_bytes_of(file, MAX_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: {EXPECTED}, got something that is not JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{file}: {EXPECTED}, got another file")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise InputError(
            f"{file}: expected version {VERSION} of the format, got {_short(found.get('version'))}: calibrate again"
        )
    for key, names in (("names", NAMES), ("plain_names", PLAIN)):
        if found.get(key) != list(names):
            raise InputError(f"{file}: its {key} are not the measures of this version of resight: calibrate again")
    threshold = _number(file, "threshold", found.get("threshold"))
    if not 0 <= threshold <= 1:
        raise InputError(f"{file}: expected threshold from 0 to 1, got {threshold:g}")
    return Calibration(
        _numbers(file, "weights", found.get("weights"), len(NAMES)), _number(file, "bias", found.get("bias")),
        _numbers(file, "plain_weights", found.get("plain_weights"), len(PLAIN)),
        _number(file, "plain_bias", found.get("plain_bias")), threshold,
    )  # fmt: skip


def calibration_text(calibration: Calibration, made_of: Mapping[str, Any] | None = None) -> str:
    """What a file of a calibration holds; made_of: what it was made from, which nothing reads."""
    record = {
        "format": FORMAT, "version": VERSION, "names": list(NAMES), "plain_names": list(PLAIN),
        **asdict(calibration), "made_of": dict(made_of or {}),
    }  # fmt: skip
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _numbers(file: Path, name: str, value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        what = f"{len(value)}" if isinstance(value, list) else _short(value)
        raise InputError(f"{file}: expected {name} as a list of {count} numbers, got {what}")
    return tuple(_number(file, name, one) for one in value)


def _number(file: Path, name: str, value: Any) -> float:
    # Compared before it is made a float: NaN fails, and an integer of any length does not overflow.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        raise InputError(f"{file}: expected {name} as finite numbers up to {LARGEST:,.0f}, got {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    """What a value is, in a few characters, whatever it holds."""
    if isinstance(value, (str, list, dict)):
        return f"{type(value).__name__} of length {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
        return "a larger one"
    return repr(value)
