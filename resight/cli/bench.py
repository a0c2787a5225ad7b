"""`resight bench match`: template finders measured side by side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from resight._version import __version__
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.measure.locating import Answer
    from resight.measure.locating_pool import Pool
    from resight.measure.tiers import Case

CASES = 200
METHODS = ("auto", "sift", "sift-ransac")

app = App(name="bench", help="Measure methods side by side.")


def match(
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    tiers: list[str] | None = None,
    cases: int | None = None,
    methods: list[str] | None = None,
    model: Path | None = None,
    coco: Path | None = None,
    pairs: bool = False,
    masks: bool = False,
    seed: int = 0,
    threads: int = 1,
    json: bool = False,
) -> int:
    """Measure template finders: overlap with the truth, false alarms on absent templates, and times.

    Cases are made from photographs, the same for all methods: a template is cut out and looked for in its photograph,
    which was changed. With --coco alone every annotated box is looked for in its own image; with --pairs the first
    image of each published pair in the second. Run it again to go on after an interruption.

    Parameters
    ----------
    data
        Folder, glob or CSV file of photographs; of the annotated images (--coco); of image pairs (--pairs).
    out
        Folder for the tables and pictures; new, or begun by the same command.
    tiers
        Names, or all: identity, photometric, blur, noise, light, rotation, scale, similarity, perspective, occlusion,
        several, absent; boxes (--coco).
    cases
        Of each tier, 200 if not given; of boxes so many are drawn, all if not given.
    methods
        auto, sift, correlate, mask; sift-ransac, orb, akaze, matchtemplate, matchtemplate-scales. The first is compared
        with each other one. Default: auto, sift, sift-ransac.
    model
        Run or file of the network of mask.
    coco
        COCO instances file: templates are its boxes of at least 32 pixels.
    pairs
        The data are image pairs with homographies.
    masks
        Keep a column of masks, as run lengths, in results.csv.
    seed
        Of the cases.
    threads
        Of each method.
    json
        Print the report as JSON, and nothing else.
    """
    from resight.cli.destinations import check_folder
    from resight.cli.progress import progress
    from resight.measure.locating import locate_cases
    from resight.measure.locating_methods import read_methods
    from resight.show.locating_journal import LocatingJournal
    from resight.show.locating_report import write_report

    names = _split(methods) or list(METHODS)
    finders = read_methods(names, model)
    for name, value in (("cases", cases), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    work = _pairs(data, coco, tiers, cases) if pairs else _cases(data, coco, _split(tiers), cases, seed)
    check_folder(out)
    _check_outside(out, data)
    settings = {
        "data": os.path.abspath(data), **work.settings, "methods": names, "model": str(model or ""), "seed": seed,
        "threads": threads, "masks": masks, "version": __version__,
    }  # fmt: skip
    left: list[str] = []
    with LocatingJournal(out, settings) as journal:
        done = {(answers[0].tier, answers[0].number) for answers in journal.answers}
        todo = [one for one in work.plan if one not in done]
        if not json:
            kept = f", {len(done):,} of them done before" if done else ""
            print(f"{len(work.plan):,} cases{kept}; {', '.join(names)}; in {visible(str(out))}", flush=True)
        with progress("searching", len(todo), "cases") as show:
            found = locate_cases(
                todo, work.make, finders, masks=masks, threads=threads,
                left_out=lambda tier, number, reason: left.append(f"{tier} {number}: {reason}"),
            )  # fmt: skip
            for count, answers in enumerate(found, 1):
                journal.add(answers)
                show(count, len(left))
        order = {one: place for place, one in enumerate(work.plan)}
        rows = sorted(journal.answers, key=lambda answers: order[answers[0].tier, answers[0].number])
        flat = [one for answers in rows for one in answers]
        notes = _notes(flat, left, threads, work)
        files = write_report(out, flat, work.make, settings=settings, notes=notes, boxes=work.boxes, masks=masks)
    return _print(out, flat, notes, files, json)


@dataclass(frozen=True)
class _Work:
    """What is measured: cases by tier and number, how one is made, and what decides them."""

    plan: list[tuple[str, int]]
    make: Callable[[str, int], Case]
    settings: dict[str, Any]
    boxes: dict[int, tuple[int, tuple[float, ...]]] | None = None
    unread: Callable[[], dict[Path, str]] = field(default=dict)


def _cases(data: str, coco: Path | None, tiers: list[str], cases: int | None, seed: int) -> _Work:
    from resight.errors import unknown
    from resight.measure.locating import plan_cases
    from resight.measure.locating_pool import Pool
    from resight.measure.tiers import TIERS, make_case

    chosen = tiers or (["boxes"] if coco else list(TIERS))
    chosen = list(dict.fromkeys(name for tier in chosen for name in (TIERS if tier == "all" else [tier])))
    for name in chosen:
        if name not in (*TIERS, "boxes"):
            raise unknown("tier", name, (*TIERS, "boxes", "all"))
    if "boxes" in chosen and coco is None:
        raise InputError("the tier boxes takes annotated boxes: name their file with --coco")
    pool = Pool.read(data, coco)
    usual = plan_cases([tier for tier in chosen if tier != "boxes"], cases or CASES)
    boxes = plan_cases(["boxes"], cases or 0, objects=len(pool.objects), seed=seed) if "boxes" in chosen else []
    return _Work(
        usual + boxes, lambda tier, number: make_case(pool, tier, number, seed),
        {"tiers": chosen, "cases": cases, "coco": str(coco or ""), "photographs": _digest(pool)},
        {number: (pool.objects[number][1].annotation, pool.objects[number][1].box) for _, number in boxes},
        lambda: pool.unread,
    )  # fmt: skip


def _pairs(data: str, coco: Path | None, tiers: list[str] | None, cases: int | None) -> _Work:
    from resight.measure.locating_pairs import make_pair, read_pairs

    useless = [f"--{name}" for name, value in (("coco", coco), ("tiers", tiers), ("cases", cases)) if value is not None]
    if useless:
        raise InputError(
            f"{', '.join(useless)}: no effect beside --pairs, which measures every pair once; leave it out"
        )
    found = read_pairs(Path(data))
    plan = [("pairs", number) for number in range(len(found))]
    return _Work(plan, lambda _, number: make_pair(found, number), {"pairs": [pair.name for pair in found]})


def _digest(pool: Pool) -> str:
    """Number of photographs and a hash of their names, on which the cases depend."""
    names = "\n".join(f"{os.fsdecode(photo.path)} {photo.label}" for photo in pool.photographs)
    return f"{len(pool.photographs)} {hashlib.sha256(names.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def _split(words: list[str] | None) -> list[str]:
    """Names given several times or with commas."""
    return [name.strip() for word in words or () for name in word.split(",") if name.strip()]


def _check_outside(out: Path, data: str) -> None:
    """Results among the photographs would be photographs of the next run."""
    inside = Path(os.path.abspath(out)), Path(os.path.abspath(data))
    if inside[1].is_dir() and inside[0].is_relative_to(inside[1]):
        raise InputError(f"{visible(str(out))} lies in {visible(data)}, where the photographs are: write elsewhere")


def _notes(answers: list[Answer], left: list[str], threads: int, work: _Work) -> list[str]:
    failed = [one for one in answers if one.error]
    unread = work.unread()
    return [
        f"Times: {threads} thread{'s' * (threads > 1)} of OpenCV, torch and BLAS in one process, methods in turn for "
        "each case, a first case not counted; a GPU is waited for.",
        *([f"{len(left):,} cases could not be made and are left out, the first: {left[0]}."] if left else []),
        *([f"{len(unread):,} photographs could not be read, others were taken."] if unread else []),
        *([f"{len(failed):,} searches failed and count as absent, the first: {failed[0].method}: {failed[0].error}."]
          if failed else []),
    ]  # fmt: skip


def _print(out: Path, answers: list[Answer], notes: list[str], files: list[str], as_json: bool) -> int:
    from resight.show.locating_report import report_text

    if as_json:
        print((out / "report.json").read_text("utf-8"), end="")
        return 0
    print()
    for line in [*report_text(answers, brief=True).split("\n"), "", *notes]:
        print(visible(line))
    print(f"wrote {', '.join(files)} in {visible(str(out))}")
    return 0


app.command(match, name="match")
