"""`resight explain --report`: how good the explanations are, over many images."""

from __future__ import annotations

import json as json_module
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.cli.progress import progress
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.pointing import Boxes
    from resight.explain.subject import Subject

SKIPPED_SHOWN = 5


def report_images(
    subject: Subject, paths: Sequence[Path], methods: Sequence[str], wanted: Any, layer: str | None, out: Path,
    json: bool, boxes: Path | None = None,
) -> int:  # fmt: skip
    """Measure methods over images, write the folder and print the tables; returns how many could not be read.

    boxes: a file as of `read_boxes`, for the pointing game
    """
    from resight.explain.report import explain_report
    from resight.explain.report_text import as_dict

    target = None if wanted == "top:1" else wanted
    if isinstance(target, list) and len(target) == 1:
        (target,) = target
    elif target is not None:
        raise InputError("--report explains one class of each image: give one --class, or none for the most probable")
    known = None if boxes is None else _known_boxes(boxes, paths, subject)
    with progress("measuring", len(paths)) as show:
        report = explain_report(paths, subject, methods, targets=target, boxes=known, layer=layer, progress=show)
    report.save(out)
    for message in report.skipped[:SKIPPED_SHOWN]:
        print(f"  -    {visible(message)}", file=sys.stderr)
    if json:
        print(json_module.dumps({**as_dict(report), "folder": str(out)}, indent=1))
    else:
        print(report.text())
        print(f"wrote {visible(str(out))}: report.txt, report.json, table.csv, images.csv, curves.png")
    return len(report.skipped)


def _known_boxes(file: Path, paths: Sequence[Path], subject: Subject) -> list[Boxes | None]:
    """The boxes of each image; says on the error output which labels are no class of the model."""
    from resight.explain.box_files import read_boxes
    from resight.explain.pointing import labelled_classes

    found = read_boxes(file, paths)
    labels = Counter(label for one in found if one is not None for label in one.labels or ())
    strange = [label for label, _ in labels.most_common() if not labelled_classes(label, subject.classes)]
    if labels and len(strange) == len(labels):
        raise InputError(f"{file}: no label of these images' boxes is a class of {subject.name}: {_some(strange)}; "
                         "without labels, in a .csv, every box counts")  # fmt: skip
    if strange:
        print(f"{visible(str(file))}: {len(strange):,} of {len(labels):,} labels are no class of {subject.name}, and "
              f"their boxes do not count: {visible(_some(strange))}", file=sys.stderr)  # fmt: skip
    return found


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(label[:40] for label in labels[:SKIPPED_SHOWN])
    return f"{shown} ..." if len(labels) > SKIPPED_SHOWN else shown
