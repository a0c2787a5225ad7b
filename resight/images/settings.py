"""A file of settings, TOML, YAML or JSON, as plain values."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.images.lines import read_bytes_of

SUFFIXES = (".toml", ".yaml", ".yml", ".json")
LIMIT = 2**20  # bytes


def read_settings(file: Path) -> dict[str, Any]:
    """The keys and values of a .toml, .yaml or .json file of at most a megabyte; nothing in it can run.

    Raises InputError if it is none of these, cannot be parsed, or holds something else than keys and values.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{file}: expected a .toml, .yaml or .json file")
    data = read_bytes_of(file, LIMIT)
    try:
        content = _parse(data.decode("utf-8-sig"), suffix)
    except RecursionError as error:
        raise InputError(f"{file}: nested too deep") from error
    except Exception as error:  # whatever the parsers of three formats raise
        raise InputError(f"{file}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected keys and values, got {type(content).__name__}")
    return content


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)
