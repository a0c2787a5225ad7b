"""`resight calibrate`: the score of `resight match`, fitted to one's own pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight._version import __version__
from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.measure.calibrating import Calibrated, Point
    from resight.measure.locating_pool import Pool
    from resight.show.calibrating_journal import CalibratingJournal

CASES = 850


def calibrate(
    photos: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    cases: int = CASES,
    false_alarms: float = 0.02,
    tiers: list[str] | None = None,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Fit the score of `resight match` to your own pictures, and the threshold with the false alarms that you allow.

    Cases are made from the photographs: a template is cut out and looked for in its photograph, which was changed, or,
    in a third of them, in a scene without it. Run it again to go on after an interruption, or with more --cases or
    other --false-alarms: the cases that are done are kept beside the calibration, in NAME.cases.jsonl.

    Parameters
    ----------
    photos
        Folder, glob or CSV file of photographs, without near copies of each other.
    out
        NAME.json, for `resight match --calibration`; NAME.png beside it shows how far the score can be trusted.
    cases
        So many; below some 500 the threshold is rough.
    false_alarms
        Share of the absent templates that may be called found.
    tiers
        How scenes differ from the photographs; default: identity, photometric, light, blur, noise, rotation,
        scale, similarity, perspective, occlusion, the last two twice. Also several (docs/bench_match.md).
    seed
        Of the cases.
    json
        Print the calibration as JSON, and nothing else.
    """
    from resight.cli.destinations import check_file
    from resight.measure.calibrating import calibrate as fit_all
    from resight.measure.calibrating_places import MIX, plan_mix
    from resight.measure.locating_pool import Pool
    from resight.show.calibrating_journal import CalibratingJournal

    if cases < 1:
        raise InputError(f"--cases must be at least 1, got {cases}")
    if not 0 <= false_alarms < 1:
        raise InputError(f"--false-alarms is a share from 0 to below 1, as 0.02, got {false_alarms:g}")
    chosen = [name.strip() for word in tiers or () for name in word.split(",") if name.strip()] or list(MIX)
    plan = plan_mix(chosen, cases)
    _check_names(out, photos)
    check_file(out)
    pool = Pool.read(photos)
    settings = _settings(photos, pool, chosen, seed)
    with CalibratingJournal(_beside(out, ".cases.jsonl"), settings) as journal:
        left = _ask(plan, pool, journal, seed, not json)
        found = fit_all([journal.cases[one] for one in plan if one in journal.cases], false_alarms=false_alarms)
        _write(out, found, {**settings, "cases": cases, "false_alarms": false_alarms}, len(pool.photographs))
    if json:
        print(out.read_text("utf-8"), end="")
        return 0
    for line in [*_table(found), *_notes(found, left, pool, false_alarms)]:
        print(visible(line))
    print(f"wrote {visible(str(out))} and {visible(_beside(out, '.png').name)}; use it: "
          f"resight match TEMPLATE SCENES --calibration {visible(str(out))}")  # fmt: skip
    return 0


def _ask(
    plan: Sequence[tuple[str, int]], pool: Pool, journal: CalibratingJournal, seed: int, tell: bool
) -> list[str]:  # fmt: skip
    """Do the cases that are not done yet; returns those that cannot be made, with the reason."""
    from resight.cli.progress import progress
    from resight.measure.calibrating_places import ask_cases
    from resight.measure.tiers import make_case

    left: list[str] = []
    todo = [one for one in plan if one not in journal.cases]
    if tell:
        before = len(plan) - len(todo)
        kept = f", {before:,} of them done before" if before else ""
        print(f"{len(plan):,} cases of {len(pool.photographs):,} photographs{kept}", flush=True)
    with progress("searching", len(todo), "cases") as show:
        asked = ask_cases(
            todo, lambda tier, number: make_case(pool, tier, number, seed),
            left_out=lambda tier, number, reason: left.append(f"{tier} {number}: {reason}"),
        )  # fmt: skip
        for count, case in enumerate(asked, 1):
            journal.add(case)
            show(count, len(left))
    return left


def _settings(photos: str, pool: Pool, tiers: Sequence[str], seed: int) -> dict[str, Any]:
    """What decides the cases and the places that are proposed in them."""
    from dataclasses import asdict

    from resight.match.score import CALIBRATION

    built_in = {name: value for name, value in asdict(CALIBRATION).items() if name != "threshold"}
    names = "\n".join(f"{os.fsdecode(photo.path)} {photo.label}" for photo in pool.photographs)
    digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return {
        "photos": os.path.abspath(photos), "photographs": f"{len(pool.photographs)} {digest}", "tiers": list(tiers),
        "seed": seed, "version": __version__, "built_in_score": built_in,
    }  # fmt: skip


def _check_names(out: Path, photos: str) -> None:
    """Nothing of anybody else's is written over, and no picture comes among the photographs."""
    shown = visible(str(out))
    if out.suffix.lower() != ".json":
        raise InputError(f"--out is a file NAME.json, got {shown}")
    inside = Path(os.path.abspath(out)), Path(os.path.abspath(photos))
    if inside[1].is_dir() and inside[0].is_relative_to(inside[1]):
        raise InputError(f"{shown} lies in {visible(photos)}, where the photographs are: write elsewhere")
    if not _beside(out, ".cases.jsonl").exists():
        for file in (out, _beside(out, ".png")):
            if os.path.lexists(file):
                raise InputError(f"{visible(str(file))} is there already, without {_beside(out, '.cases.jsonl').name}, "
                                 "from which a calibration goes on; give another name")  # fmt: skip


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.stem + suffix)


def _write(out: Path, found: Calibrated, settings: dict[str, Any], photographs: int) -> None:
    from resight.match.calibration_file import calibration_text
    from resight.show.calibrating import calibration_picture
    from resight.show.files import write_atomic

    title = f"{out.stem}: {len(found.tiers):,} cases of {photographs:,} photographs"
    write_atomic(_beside(out, ".png"), calibration_picture(found, title))
    write_atomic(out, calibration_text(found.calibration, {**settings, **found.as_dict()}))


def _table(found: Calibrated) -> list[str]:
    """False alarms and recall of every tier at both thresholds."""
    points = (found.usual, found.chosen)

    def row(name: str, count: int, values: Sequence[str]) -> str:
        return f"{name:<22}{count:>7,}" + "".join(f"{value:>14}" for value in values)

    lines = ["", f"{'':<22}{'cases':>7}" + "".join(f"{f'at {point.threshold:.3f}':>14}" for point in points)]
    lines += [row("absent, called found", found.usual.absent, [f"{point.rate:.1%}" for point in points])]
    lines += [row("  95 % interval", found.usual.absent, [_interval(point) for point in points])]
    for tier, (_, count) in found.usual.recall.items():
        lines.append(row(f"{tier}, found", count, [f"{point.recall[tier][0] / count:.1%}" for point in points]))
    lines.append(row("all there, found", found.usual.found[1],
                     [f"{point.found[0] / point.found[1]:.1%}" for point in points]))  # fmt: skip
    return [*lines, "", f"score: log loss {found.log_loss:.3f}, Brier {found.brier:.3f}, calibration error "
            f"{found.reliability.error:.3f}, in cases that it was not fitted on"]  # fmt: skip


def _interval(point: Point) -> str:
    low, high = point.interval
    return f"{100 * low:.1f}-{100 * high:.1f}%"


def _notes(found: Calibrated, left: list[str], pool: Pool, false_alarms: float) -> list[str]:
    few = found.chosen.absent * false_alarms < 1
    return [
        *([f"{found.chosen.absent} absent templates are too few for a share of {false_alarms:.1%}: the threshold lets "
           "none of them pass. Ask for more --cases."] if few else []),
        *([f"{len(left):,} cases could not be made and are left out, the first: {left[0]}."] if left else []),
        *([f"{len(pool.unread):,} photographs could not be read, others were taken."] if pool.unread else []),
    ]  # fmt: skip
