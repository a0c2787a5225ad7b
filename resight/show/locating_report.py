"""A benchmark of template finders as a folder: tables, distributions, pictures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.measure.locating import Answer
from resight.measure.locating_text import (
    boxes_csv,
    describe_csv,
    masks_csv,
    pairs_text,
    report_json,
    results_csv,
    table_csv,
    table_text,
)
from resight.measure.tiers import Case
from resight.show.files import write_atomic
from resight.show.locating import histograms, panels
from resight.show.saving import save_picture

SIFT = "sift-ransac"  # the classical baseline


def write_report(
    folder: Path, answers: Sequence[Answer], make: Callable[[str, int], Case], *, settings: Mapping[str, Any],
    notes: Sequence[str] = (), boxes: Mapping[int, tuple[int, Sequence[float]]] | None = None, masks: bool = False,
) -> list[str]:  # fmt: skip
    """Write a benchmark into a folder that is there; returns the names of the files.

    make:  (tier, number) -> the case, made again for the pictures
    boxes: number -> (id of the annotation, x1, y1, x2, y2), for the tier "boxes": then boxes.csv is written, too
    masks: results.csv has a column of run lengths, and masks.csv those of "boxes"

    Files: results.csv (each answer), table.csv, describe.csv, report.json, report.txt, histograms.png and the panels
    model-better.png, sift-better.png, both-failed.png, where there are such cases. Each appears whole.
    Raises InputError without answers, WorkError if the disk refuses.
    """
    if not answers:
        raise InputError("no case could be made, so there is nothing to report")
    methods = list(dict.fromkeys(one.method for one in answers))
    model, sift = compared(methods)
    facts = [*notes, machine()]
    texts = {
        "results.csv": results_csv(answers, masks=masks), "table.csv": table_csv(answers),
        "describe.csv": describe_csv(answers), "report.json": report_json(answers, settings, facts),
        "report.txt": "\n".join([report_text(answers), "", *facts, ""]),
    }  # fmt: skip
    if boxes and any(one.tier == "boxes" for one in answers):
        texts["boxes.csv"] = boxes_csv(answers, model, sift, boxes)
        if masks:
            texts["masks.csv"] = masks_csv(answers, model, sift, boxes)
    for name, text in texts.items():
        write_atomic(folder / name, text.encode("utf-8", "backslashreplace"))
    write_atomic(folder / "histograms.png", histograms(answers, f"{len(answers) // len(methods):,} cases"))
    made = panels(answers, make, model, sift) if sift else {}
    for kind, picture in made.items():
        save_picture(picture, folder / f"{kind}.png")
    return [*texts, "histograms.png", *(f"{kind}.png" for kind in made)]


def report_text(answers: Sequence[Answer], *, brief: bool = False) -> str:
    """The table for people; of image pairs a line for each as well. brief: without differences in single tiers."""
    pairs = [one for one in answers if one.tier == "pairs"]
    return "\n\n".join([*([pairs_text(pairs)] if pairs else []), table_text(answers, brief=brief)])


def compared(methods: Sequence[str]) -> tuple[str, str]:
    """The method under test, and the one that stands for SIFT beside it: the classical baseline, or else the second.

    >>> compared(["auto", "orb", "sift-ransac"]), compared(["sift-ransac", "orb"]), compared(["auto"])
    (('auto', 'sift-ransac'), ('sift-ransac', 'orb'), ('auto', ''))
    """
    model, *others = methods
    return model, SIFT if SIFT in others else (others[0] if others else "")


def machine() -> str:
    """One line about the processor and the libraries that decide times."""
    import os

    import cv2
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [line.split(":", 1)[1].strip() for line in info.read_text("utf-8", "replace").splitlines()
                 if line.startswith("model name")]  # fmt: skip
        model = named[0] if named else model
    gpu = f", GPU {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (f"Machine: {os.cpu_count()} cores of {model}{gpu}, Python {platform.python_version()}, OpenCV "
            f"{cv2.__version__}, torch {torch.__version__}.")  # fmt: skip
