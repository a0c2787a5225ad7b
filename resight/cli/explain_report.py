"""`resight explain --report`: how good the explanations are, over many images."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.cli.progress import progress
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.subject import Subject

SKIPPED_SHOWN = 5


def report_images(
    subject: Subject, paths: Sequence[Path], methods: Sequence[str], wanted: Any, layer: str | None, out: Path,
    json: bool,
) -> int:  # fmt: skip
    """Measure methods over images, write the folder and print the tables; returns how many could not be read."""
    from resight.explain.report import explain_report
    from resight.explain.report_text import as_dict

    target = None if wanted == "top:1" else wanted
    if isinstance(target, list) and len(target) == 1:
        (target,) = target
    elif target is not None:
        raise InputError("--report explains one class of each image: give one --class, or none for the most probable")
    with progress("measuring", len(paths)) as show:
        report = explain_report(paths, subject, methods, targets=target, layer=layer, progress=show)
    report.save(out)
    for message in report.skipped[:SKIPPED_SHOWN]:
        print(f"  -    {visible(message)}", file=sys.stderr)
    if json:
        print(json_module.dumps({**as_dict(report), "folder": str(out)}, indent=1))
    else:
        print(report.text())
        print(f"wrote {visible(str(out))}: report.txt, report.json, table.csv, images.csv, curves.png")
    return len(report.skipped)
