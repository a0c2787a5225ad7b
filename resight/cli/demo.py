"""`resight demo`: the whole way on real photographs."""

from __future__ import annotations

import time
from pathlib import Path

from resight.cli.progress import duration, progress
from resight.show.text import visible


def demo(*, photos: Path | None = None, to: Path = Path("demo")) -> int:
    """Index photographs and altered copies of them, search, and write an HTML report.

    Parameters
    ----------
    photos
        A folder of your photographs; default: those that come with scikit-image and scikit-learn.
    to
        Folder for the copies, the collection and the report.
    """
    from resight.demo import FIRST, MOST_PHOTOS, MOST_QUERIES, VARIANTS, choose, demonstrate
    from resight.show import write_atomic
    from resight.show.rankings import demo_report, next_steps, pictures
    from resight.show.saving import save_picture
    from resight.show.sheet import sheet

    start = time.monotonic()
    paths, _ = choose(photos)
    altered = min(len(paths), MOST_QUERIES) * len(VARIANTS)
    first = f"the first {MOST_PHOTOS:,}" if len(paths) == MOST_PHOTOS else f"{len(paths):,}"
    print(f"{first} photographs; making altered copies, describing all of them")
    with progress("describing", len(paths) + altered) as show:
        result = demonstrate(photos, to, show)
    made, number = result.report, len(result.trials)
    how = f"{made.encoded / made.seconds:.0f} images/s" if made.encoded else "all known from before"
    print(f"{result.images} images in {result.collection} ({how})\n")
    folder = result.collection.parent
    (folder / "sheets").mkdir(exist_ok=True)
    print(f"  {'query':<34} {'first right answer':<20} right among the first {result.answers}")
    for trial in result.trials:
        rank = trial.first_right
        name = Path(trial.ranking.query).stem
        where = "not found" if rank is None else f"rank {rank}"
        print(f"  {visible(name)[:33]:<34} {where:<20} {sum(trial.right[: result.answers])} of {result.answers}")
        picture = sheet(pictures(trial.ranking, trial.right), columns=5, side=200, title=name)
        save_picture(picture, folder / "sheets" / f"{name}.png")
    report = folder / "report.html"
    write_atomic(report, demo_report(result))
    print(f"\nRight answer first: {result.within(1)} of {number} queries; in the first {FIRST}: "
          f"{result.within(FIRST)} of {number}; {100 * result.found:.0f} % of all right answers found "
          f"({duration(time.monotonic() - start)})")  # fmt: skip
    for skipped in result.skipped:
        print(f"skipped: {visible(skipped)}")
    print(f"\nReport:         {report}\nContact sheets: {folder / 'sheets'}\n\nNext:")
    for what, command in next_steps(result):
        print(f"  {command:<75} # {what.lower()}")
    return 0
