"""The cases of a calibration that are done so far: a line for each, from which the same work goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.measure.calibrating_places import Asked, as_row, from_row
from resight.show.journal import Journal
from resight.show.text import visible

FORMAT = "resight-calibrating-1"


class CalibratingJournal(Journal):
    """Each case when it is done; `cases` has them by (tier, number).

    path, settings, errors: see `Journal`
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.cases: dict[tuple[str, int], Asked] = {}
        shown = visible(str(path))
        damaged = f"{shown} is no journal of a calibration; give --out another name"
        super().__init__(path, FORMAT, settings, shown=shown, damaged=damaged, begun=f"{shown} was")

    def add(self, case: Asked) -> None:
        """One more case, which is with the system when this returns."""
        self.write(as_row(case))
        self.cases[case.tier, case.number] = case

    def take(self, row: dict[str, Any]) -> bool:
        """Keep a case that was there."""
        try:
            found = from_row(row)
        except InputError:
            return False
        self.cases[found.tier, found.number] = found
        return True
