"""What a benchmark of template finders has done so far: a line for each case, from which the same work goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resight.errors import InputError, WorkError, advice
from resight.measure.locating import Answer, answer_from
from resight.measure.locating_text import FORMAT, finite
from resight.show.journal import Journal
from resight.show.text import visible

JOURNAL = "answers.jsonl"


class LocatingJournal(Journal):
    """The answers to each case when it is done; `answers` has them.

    folder: is made if it is not there; with other things in it, and no journal, it is refused
    settings, errors: see `Journal`
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.answers: list[tuple[Answer, ...]] = []
        path, shown = folder / JOURNAL, visible(str(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.is_file() and any(folder.iterdir()):
                raise InputError(f"{shown} is there already and no benchmark was begun in it: give another name")
        except OSError as error:
            raise WorkError(f"cannot write {visible(str(path))}: {advice(error)}") from error
        damaged = f"{shown}: its {JOURNAL} is damaged or of something else; give another name"
        super().__init__(path, FORMAT, settings, shown=shown, damaged=damaged, begun=f"{shown} was")

    def add(self, answers: Sequence[Answer]) -> None:
        """The answers to one more case, which are with the system when this returns."""
        self.write({"answers": [finite(asdict(one)) for one in answers]})
        self.answers.append(tuple(answers))

    def take(self, row: dict[str, Any]) -> bool:
        """Keep the answers to a case that were there."""
        try:
            self.answers.append(tuple(answer_from(one) for one in row["answers"]))
        except (InputError, KeyError, TypeError):
            return False
        return True
