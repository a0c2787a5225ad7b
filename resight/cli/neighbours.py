"""What `resight test` does with a run of `resight train embed`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING

from resight.cli.destinations import check_folder
from resight.cli.progress import duration, progress
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.train.embed_report import EmbedReport


def test_embedding(
    run: Path, data: Path | None, wanted: Path, *, given: bool, part: str, database: str, projection: str,
    allow_leak: bool, device: str, json: bool,
) -> int:  # fmt: skip
    """Tests an embedding, keeps the results in a folder and prints them; the exit code.

    wanted: the folder;  given: whether somebody has named it, otherwise the next free name is taken
    """
    from resight.train.embed_runs import EmbedRun
    from resight.train.embed_testing import test_embedder
    from resight.train.testing import free_folder

    trained = EmbedRun.open(run, device)
    check_folder(wanted)
    report = test_embedder(
        trained, data, part=part, database=database, allow_leak=allow_leak, projection=projection, progress=progress
    )
    place = wanted if given else free_folder(wanted)
    report.save(place)
    if json:
        print(json_module.dumps({**report.as_dict(), "folder": str(place)}, indent=1))
    else:
        _print(report, place)
    return 0


def _print(report: EmbedReport, place: Path) -> None:
    from resight.cli.test import print_notes, print_skipped
    from resight.train.embed_text import SHORT_RULES, score_lines

    searched = "each among the others" if report.database == "same" else f"among {len(report.base_names):,} images"
    print(f"{visible(report.run)} on {visible(report.data)}, part {report.part}: {len(report.trained):,} queries, "
          f"{searched}, in {duration(report.seconds)}")  # fmt: skip
    if report.skipped:
        print_skipped(report.skipped)
    print()
    print("\n".join([*score_lines(report), *SHORT_RULES]))
    print()
    print_notes(report.notes)
    print(f"wrote {visible(str(place))}: results.txt, per_query.csv, per_class.csv, sheet.png, embedding.png and more")
