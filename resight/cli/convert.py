"""`resight convert`, `merge`, `concat`, `map-folder` and `group-folder`: feature tables and folders as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Out = Annotated[Path, Parameter(name=["--out", "-o"])]


def convert(source: Path, target: Path, /) -> int:
    """Write a feature table in another format, chosen by the suffix: .parquet, .csv, .arff, .npy or .json.

    Parameters
    ----------
    source
        The table to read.
    target
        The file to write; if it is there, it is replaced when all is done.
    """
    from resight.tables import convert as run

    return _written(run(source, target), target)


def merge(left: Path, right: Path, /, *, out: Out) -> int:
    """Put the features of two tables side by side; both must have the same rows in the same order.

    Parameters
    ----------
    left
        The table whose features come first.
    right
        The table whose features come behind them.
    out
        The table to write.
    """
    from resight.tables import merge as run

    return _written(run(left, right, out), out)


def concat(tables: tuple[Path, ...], /, *, out: Out) -> int:
    """Put the rows of tables one after another; all must have the same features.

    Parameters
    ----------
    tables
        Two tables or more.
    out
        The table to write.
    """
    from resight.tables import concat as run

    return _written(run(tables, out), out)


def map_folder(folder: Path, /, *, out: Out, column: Literal["class", "label"] = "class") -> int:
    """Write a CSV with the path and the class of each image in a folder of class folders.

    Parameters
    ----------
    folder
        The folder; an image's class is the name of the subfolder it lies in.
    out
        The CSV to write.
    column
        What the class is called: class, or label as the commands that take a CSV of images want it.
    """
    from resight.show.text import visible
    from resight.tables import map_folder as run

    print(f"wrote {visible(str(out))}: {run(folder, out, column=column):,} images")
    return 0


def group_folder(folder: Path, size: int, /, *, out: Out, how: Literal["copy", "hardlink", "symlink"] = "copy") -> int:
    """Deal the images of a folder out to folders 1, 2, .. of so many images each. The originals stay as they are.

    Parameters
    ----------
    folder
        The images; subfolders are kept inside the groups.
    size
        Images per group.
    out
        The folder to make; it must not be there yet.
    how
        copy, or a hardlink or symlink, which take no space: whoever then changes an image changes the original.
    """
    from resight.show.text import visible
    from resight.tables import group_folder as run

    groups = run(folder, size, out, how=how)
    print(f"made {visible(str(out))}: {groups:,} {'folder' if groups == 1 else 'folders'} of up to {size:,} images")
    return 0


def _written(rows: int, path: Path) -> int:
    from resight.show.text import visible

    print(f"wrote {visible(str(path))}: {rows:,} rows")
    return 0
