"""What a study of training runs consists of, as a TOML, YAML or JSON file says it; every value is checked at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from resight.errors import InputError, unknown
from resight.images.settings import read_settings
from resight.train.options import TrainOptions, make_options

MOST_RUNS = 1000
ROW_NAME = re.compile(r"[^/\\\x00-\x1f]{1,80}")
WORDS = ("package", "hub", "random")  # of weights; anything else is a file
KEYS = ("data", "rows", "seeds", "options", "preset", "train_images", "test_images", "perturb", "out")


@dataclass(frozen=True)
class Study:
    """Training runs to be compared: every row with every seed, on the same images.

    Raises InputError, naming the key, for a value that cannot be.
    """

    data: str
    """Class folders or a CSV, as `resight train classify` takes them, with a test part."""
    rows: tuple[tuple[str, TrainOptions], ...]
    """Name and options of each row; the seed is the study's."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the split, the new layers, the order, the augmentation, and of the images drawn for `train_images`."""
    train_images: int = 0
    """Images of each class that training and validation share, drawn by the seed; 0: all."""
    test_images: int = 0
    """Images of each class that are tested, the same for all seeds; 0: all."""
    perturb: tuple[str, ...] = ()
    """Changes of the test images, such as "rotate=90": each is one more column."""
    out: str = "study"
    """Folder of runs and tables."""
    name: str = "study"
    """Of the tables in it."""

    def __post_init__(self) -> None:
        for name in ("rows", "seeds"):
            if not getattr(self, name):
                raise InputError(f"{name} is empty: give at least one")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds has one twice: {list(self.seeds)}")
        if len({options.sequences for _, options in self.rows}) > 1:
            raise InputError("rows of sequences and rows of single images do not go together: make two studies")
        count = len(self.rows) * len(self.seeds)
        if count > MOST_RUNS:
            raise InputError(f"a study has at most {MOST_RUNS:,} runs, this one has {count:,}: make several")
        for name, least in (("train_images", 2), ("test_images", 1)):
            value = getattr(self, name)
            if value != 0 and value < least:
                raise InputError(f"{name} must be 0 (all) or at least {least}, got {value}")
        for name, _ in self.rows:
            if not ROW_NAME.fullmatch(name) or name.strip(" .") != name:
                raise InputError(
                    f"a row's name is that of its folder: 1 to 80 characters without / and \\, got {name!r}"
                )
        folded = [name.casefold() for name, _ in self.rows]
        if len(set(folded)) < len(folded):
            raise InputError("two rows have the same name but for case: they would share a folder")
        from resight.train.perturb import parse_perturbation

        for text in self.perturb:
            parse_perturbation(text)

    @property
    def sequences(self) -> bool:
        """Whether each example is a sequence of frames."""
        return self.rows[0][1].sequences


def read_study(file: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Study:
    """The study in a file; paths in it are relative to its folder.

    out: folder of results, instead of the file's own

    Keys: data, rows (a table of tables: the options of each row), options (of every row), preset, seeds, train_images,
    test_images, perturb, out.
    Raises InputError if it cannot be read, a key is unknown (with the closest match), or a value is wrong.
    """
    path = Path(file)
    content = read_settings(path)
    try:
        study = _study(content, Path(os.path.abspath(path)).parent, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if out is None:
        return study
    values = {one.name: getattr(study, one.name) for one in fields(Study)}
    return Study(**{**values, "out": os.path.abspath(os.path.expanduser(out))})


def _study(content: dict[str, Any], folder: Path, name: str) -> Study:
    for key in content:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    for key in ("data", "rows"):
        if key not in content:
            raise InputError(f"expected a key {key!r}")
    common = _table(content.get("options", {}), "options")
    rows = []
    for row, own in _table(content["rows"], "rows").items():
        given = {**common, **_table(own or {}, f"rows.{row}")}
        if "seed" in given:
            raise InputError(f"rows.{row}: seed is given by seeds, of the whole study")
        try:
            rows.append((str(row), make_options(_text(content, "preset"), **_placed_weights(given, folder))))
        except InputError as error:
            raise InputError(f"rows.{row}: {error}") from error
    data, place = _text(content, "data"), _text(content, "out")
    return Study(
        data=_placed(folder, data or ""),
        rows=tuple(rows),
        seeds=tuple(_whole(seed, "seeds") for seed in _list(content.get("seeds", [0, 1, 2]), "seeds")),
        train_images=_whole(content.get("train_images", 0), "train_images"),
        test_images=_whole(content.get("test_images", 0), "test_images"),
        perturb=tuple(str(text) for text in _list(content.get("perturb", []), "perturb")),
        out=_placed(folder, place or name),
        name=name,
    )


def _placed(folder: Path, text: str) -> str:
    return os.path.normpath(folder / os.path.expanduser(text))


def _placed_weights(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    files = {
        key: _placed(folder, given[key])
        for key in ("weights", "sift_weights")
        if isinstance(given.get(key), str) and given[key] not in WORDS
    }
    return {**given, **files}


def _table(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{key} must be a table of names and values, got {type(value).__name__}")
    return dict(value)


def _text(content: dict[str, Any], key: str) -> str | None:
    value = content.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise InputError(f"{key} must be text, got {value!r}")
    return value


def _list(value: object, key: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_RUNS:
        raise InputError(f"{key} must be a list of at most {MOST_RUNS:,}, got {type(value).__name__}")
    return value


def _whole(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"{key} takes whole numbers from 0, got {value!r}")
    return value
