"""What a study of training runs consists of, as a TOML, YAML or JSON file says it; every value is checked at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resight.errors import InputError, unknown
from resight.images.settings import read_settings
from resight.train.effects import check_given, chosen_in
from resight.train.options import WEIGHTS, TrainOptions, make_options

MOST_RUNS = 1000
ROW_NAME = re.compile(r"[^/\\\x00-\x1f]{1,80}")
KEYS = ("data", "rows", "seeds", "options", "preset", "train_images", "test_images", "test", "perturb", "out")
# Options of a single training that a study has another way for.
ELSEWHERE = {
    "seed": "seed is given by seeds, of the whole study",
    "test": "a study tests on what the data itself holds back (folders train and test, or a CSV with a column split, "
    "such as the split.csv of a run), not on a share: leave test out",
    "device": "device is given by --device, of the whole study",
    "devices": "a study trains each run in one process: leave devices out",
    "nodes": "a study trains each run in one process: leave nodes out",
}


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
    """Images of each class that training and validation share, drawn by the seed; 0: all. A class with fewer: all."""
    test_images: int = 0
    """Images of each class that are tested, the same for all seeds; 0: all. A class with fewer: all."""
    perturb: tuple[str, ...] = ()
    """Changes of the test images, such as "rotate=90": each is one more column."""
    test: bool = True
    """False: no test image is looked at, and the table has the validation accuracy alone, to choose options by."""
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
        count = len(self.rows) * len(self.seeds)
        if count > MOST_RUNS:
            raise InputError(f"a study has at most {MOST_RUNS:,} runs, this one has {count:,}: make several")
        for name, least in (("train_images", 2), ("test_images", 1)):
            value = getattr(self, name)
            if value != 0 and value < least:
                raise InputError(f"{name} must be 0 (all) or at least {least}, got {value}")
        for name in ("perturb", "test_images") if not self.test else ():
            if getattr(self, name):
                raise InputError(f"test is false, no test image is looked at: leave {name} out")
        self._check_rows()
        from resight.train.perturb import parse_perturbation

        for text in self.perturb:
            parse_perturbation(text)

    def _check_rows(self) -> None:
        if len({options.sequences for _, options in self.rows}) > 1:
            raise InputError("rows of sequences and rows of single images do not go together: make two studies")
        folded = [name.casefold() for name, _ in self.rows]
        if len(set(folded)) < len(folded):
            raise InputError("two rows have the same name but for case: they would share a folder")
        plain = TrainOptions()
        for place, (name, options) in enumerate(self.rows):
            if not ROW_NAME.fullmatch(name) or name.strip(" .") != name:
                raise InputError(
                    f"a row's name is that of its folder: 1 to 80 characters without / and \\, got {name!r}"
                )
            for key in ("test", "devices", "nodes"):
                if getattr(options, key) != getattr(plain, key):
                    raise InputError(f"rows.{name}: {ELSEWHERE[key]}")
            twin = next((other for other, its in self.rows[:place] if its == options), None)
            if twin is not None:
                raise InputError(f"rows {twin!r} and {name!r} have the same options: leave one out")

    @property
    def sequences(self) -> bool:
        """Whether each example is a sequence of frames."""
        return self.rows[0][1].sequences


def read_study(file: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Study:
    """The study in a file; paths in it are relative to its folder.

    out: folder of results, instead of the file's own

    Keys: data, rows (a table of tables: the options of each row, which may be empty), options (of every row), preset,
    seeds, train_images, test_images, test, perturb, out.
    Raises InputError if it cannot be read, a key is unknown (with the closest match), a value is wrong, or an option
    that a row sets itself has no effect in it.
    """
    path = Path(file)
    content = read_settings(path)
    try:
        study = _study(content, Path(os.path.abspath(path)).parent, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return study if out is None else replace(study, out=os.path.abspath(os.path.expanduser(out)))


def _study(content: dict[str, Any], folder: Path, name: str) -> Study:
    for key in content:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    for key in ("data", "rows"):
        if content.get(key) is None:
            raise InputError(f"expected a key {key!r}")
    said = {key: value for key, value in content.items() if value is not None}  # YAML's empty value: as if left out
    preset, common = _text(said, "preset"), _table(said.get("options", {}), "options")
    rows = [(row, _row(row, own, common, preset, folder)) for row, own in _table(said["rows"], "rows").items()]
    data, place = _text(said, "data"), _text(said, "out")
    return Study(
        data=_placed(folder, data or ""),
        rows=tuple(rows),
        seeds=tuple(_whole(seed, "seeds") for seed in _list(said.get("seeds", [0, 1, 2]), "seeds")),
        train_images=_whole(said.get("train_images", 0), "train_images"),
        test_images=_whole(said.get("test_images", 0), "test_images"),
        perturb=tuple(str(text) for text in _list(said.get("perturb", []), "perturb")),
        test=_switch(said.get("test", True), "test"),
        out=_placed(folder, place or name),
        name=name,
    )


def _row(row: str, own: object, common: dict[str, Any], preset: str | None, folder: Path) -> TrainOptions:
    """The options of a row: its own, which go before the common ones; None: none of its own."""
    mine = {} if own is None else _table(own, f"rows.{row}")
    for where, given in (("options", common), (f"rows.{row}", mine)):
        for name, why in ELSEWHERE.items():
            if name in given:
                raise InputError(f"{where}: {why}")
    try:
        options = make_options(preset, **_placed_weights({**common, **mine}, folder))
        check_given(options, [*mine, *chosen_in(common)])
    except InputError as error:
        raise InputError(f"rows.{row}: {error}") from error
    return options


def _placed(folder: Path, text: str) -> str:
    return os.path.normpath(folder / os.path.expanduser(text))


def _placed_weights(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    files = {
        key: _placed(folder, given[key])
        for key in ("weights", "sift_weights")
        if isinstance(given.get(key), str) and given[key] not in WEIGHTS
    }
    return {**given, **files}


def _table(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{key} must be a table of names and values, got {value!r}"[:200])
    for name in value:
        if not isinstance(name, str):
            raise InputError(f"{key}: a name must be text, got {name!r}: put it into quotes")
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


def _switch(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, got {value!r}")
    return value


def _whole(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"{key} takes whole numbers from 0, got {value!r}")
    return value
