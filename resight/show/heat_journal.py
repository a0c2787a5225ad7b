"""What a folder of explained images holds so far: a line for each image, from which the same work goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from resight.show.journal import Journal
from resight.show.text import visible

JOURNAL = "manifest.jsonl"
FORMAT = "resight-explain-1"


class HeatJournal(Journal):
    """{"image": ...} or {"skipped": ...} for each image when it is done; `rows` has them.

    folder:   must be there
    settings: as of `Journal`; None: it is no matter with what, nothing goes on

    A line whose files are gone is made again, with all behind it. Errors as of `Journal`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None) -> None:
        self.rows: list[dict[str, Any]] = []
        shown = visible(str(folder))
        taken = f"{shown} is there already and is not overwritten"
        damaged = f"{taken}: its {JOURNAL} is damaged or of something else; give another name or remove it"
        super().__init__(
            folder / JOURNAL, FORMAT, settings or {}, shown=shown, damaged=damaged, begun=f"{taken}: it was"
        )

    def take(self, row: dict[str, Any]) -> bool:
        """Keep a line whose files are there."""
        whole = _whole(self.path.parent, row)
        self.rows += [row] if whole else []
        return whole


def begun(folder: Path) -> bool:
    """Whether explanations were written here and did not come to an end."""
    file = folder / JOURNAL
    return not folder.is_symlink() and file.is_file() and not file.is_symlink()


def _whole(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether a line says what it must and the files that it names are there."""
    try:
        if "skipped" in row:
            return all(isinstance(row["skipped"][word], str) for word in ("path", "reason"))
        return isinstance(row["image"]["path"], str) and all(_is_there(folder, name) for name in files_of(row))
    except (KeyError, TypeError, AttributeError, OSError):  # not as it was written; a name that no file can have
        return False


def files_of(row: Mapping[str, Any]) -> Iterator[str]:
    """Names of the maps and pictures of a line, within the folder."""
    for one in row["image"]["maps"] if "image" in row else ():
        for part in (one, *one.get("parts", ())):
            if "map" in part:
                yield part["map"]
                yield from part["pictures"].values()


def _is_there(folder: Path, name: str) -> bool:
    """A name that leads out of the folder is none of its files."""
    place = PurePath(name)
    return not place.is_absolute() and ".." not in place.parts and (folder / place).is_file()
