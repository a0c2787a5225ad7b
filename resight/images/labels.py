"""The label of an image, from its folder or from a CSV file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from resight.errors import InputError, unknown
from resight.images.rows import read_rows


def read_labels(spec: str) -> Callable[[Path], str | None]:
    """A function from an image's path to its label.

    spec: "folder", the name of the folder it lies in; or "csv:FILE", a CSV file with columns path and label
    ->    path -> label, None for an image without one

    A CSV path is taken relative to the CSV's folder; a symbolic link is not followed. An image that is not listed
    under its own path is found by its file name, if that name has one label only.
    Raises InputError if the spec or the CSV is wrong, or one path has two labels; the function raises InputError
    if it has to go by a file name that has two.

    >>> read_labels("folder")(Path("photos/cats/tom.jpg"))
    'cats'
    """
    if spec == "folder":
        return _folder_label
    kind, colon, file = spec.partition(":")
    if kind != "csv" or not colon:
        raise unknown("labels", spec, ["folder", "csv:FILE"])
    if not file:
        raise InputError("expected a file behind 'csv:', for example csv:labels.csv")
    return _csv_labels(Path(file))


def _folder_label(path: Path) -> str | None:
    return Path(path).absolute().parent.name or None


def _csv_labels(file: Path) -> Callable[[Path], str | None]:
    folder = file.absolute().parent
    by_path: dict[str, tuple[str, int]] = {}
    by_name: dict[str, dict[str, int]] = {}
    for line, row in read_rows(file, ["path", "label"]):
        place, label = os.path.normpath(folder / row["path"]), row["label"].strip()
        known, first = by_path.setdefault(place, (label, line))
        if known != label:
            raise InputError(
                f"{file}, line {line}: {row['path']!r} has the label {label!r}, and {known!r} on line {first}"
            )
        by_name.setdefault(Path(place).name, {}).setdefault(label, line)

    def label_of(path: Path) -> str | None:
        own = by_path.get(os.path.normpath(Path(path).absolute()))
        if own is not None:
            return own[0] or None
        named = by_name.get(Path(path).name, {})
        if len(named) > 1:
            found = ", ".join(f"{label!r} on line {line}" for label, line in named.items())
            raise InputError(
                f"{file}: {path} is not listed, and its file name stands for several labels: {found}; "
                f"list the image under its own path, relative to {folder}"
            )
        return next(iter(named), None) or None

    return label_of
