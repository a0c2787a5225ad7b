"""`resight search`: find the images that look like a query."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.cli.progress import progress
from resight.errors import ImageError, InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resight.explain.pairs import Pair
    from resight.search import Collection, Ranking
    from resight.search.after import After

RESULTS_EXPLAINED, MOST_EXPLAINED = 20, 10  # results of a query, and queries: their pictures are held until written
ALIKE_COLUMNS = 6  # two results of three pictures each


def search(
    queries: tuple[str, ...],
    /,
    *,
    in_: Annotated[Path, Parameter(name="--in")],
    k: Annotated[int, Parameter(name=["--k", "-k"])] = 20,
    box: str | None = None,
    box_on: Literal["pixels", "map"] = "pixels",
    then: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = (),
    budget: str | None = None,
    label: str | None = None,
    path: str | None = None,
    html: Path | None = None,
    sheet: Path | None = None,
    explain: Annotated[bool, Parameter(negative="")] = False,
    json: bool = False,
) -> int:
    """Find the images that look like a query.

    Parameters
    ----------
    queries
        Images, folders or globs.
    in_
        The collection to search in.
    k
        How many results per query.
    box
        x1,y1,x2,y2 in pixels: search for this part of the query.
    box_on
        Cut the box out of the image's pixels before it is described, or out of the network's feature map.
    then
        A step after the search, as name:option=value,...; give --then several times for several steps, taken in
        order. aqe, alpha-qe, dqe (query expansion), dba (database augmentation), cam-online, cam-regions, ransac,
        k-reciprocal, diffusion; e.g. --then alpha-qe:k=10,alpha=3 --then cam-regions:top=100. See docs/after.md.
    budget
        Time for these steps per query, e.g. 200ms or 2s; what did not fit is said.
    label
        Only among images with this label.
    path
        Only among images whose whole path matches this glob, e.g. `'*/2023/*'`.
    html
        Write a self-contained HTML page.
    sheet
        Write a contact sheet (.png or .jpg; several queries get numbers).
    explain
        In --html and --sheet show where each of the first 20 results is like the query: heat maps over both that sum to
        the similarity, each result on its own scale with its strength in percent, and lines between points that agree
        (--then ransac). For up to 10 queries. See docs/explain.md.
    json
        Print the result as JSON.
    """
    from resight.images import list_images
    from resight.search import Collection
    from resight.show import write_atomic
    from resight.show.rankings import ranking_report
    from resight.show.saving import check_suffix

    if sheet is not None:
        check_suffix(sheet)
    if explain and html is None and sheet is None:
        raise InputError("--explain is drawn into a page or a sheet: add --html out.html or --sheet out.png")
    if not queries:
        raise InputError("no query: give one or more images, folders or globs")
    with Collection.open(in_) as photos:
        paths = [str(listing.path) for query in queries for listing in list_images(query)]
        if not paths:
            raise InputError(f"no images among the queries: {', '.join(queries)}")
        if explain and len(paths) > MOST_EXPLAINED:
            raise InputError(f"--explain is for at most {MOST_EXPLAINED} queries at a time, got {len(paths)}")
        region = parse_box(box) if box is not None else None
        if region is not None and len(paths) != 1:
            raise InputError(f"--box needs exactly one query, got {len(paths)}")
        if len(photos) == 0:
            raise InputError(f"{in_} is empty: add images with `resight index FOLDER --to {in_}`")
        failed: list[ImageError] = []
        after = ready(photos, then, budget, label=label, path=path)
        rankings = photos.search_many(
            paths, k, boxes=[region] * len(paths), box_on=box_on, label=label, path=path, after=after, failed=failed
        )
        explained = explain_all(photos, rankings) if explain else None
        encoder = photos.config
        searched = f"{len(photos):,} images in {in_}, described by {encoder.backbone}, {encoder.descriptor}."
    for error in failed:
        print(f"resight: {visible(str(error))}", file=sys.stderr)
    if rankings:
        if region is not None:
            tell_clipped(rankings[0].query, region)
        _print_all(rankings, failed, json)
        if html is not None:
            write_atomic(html, ranking_report(rankings, searched, explained))
        if sheet is not None:
            _write_sheets(rankings, sheet, explained)
        for written in (html, sheet):
            if written is not None and not json:
                print(f"wrote {visible(str(written))}")
    return 1 if failed else 0


def _print_all(rankings: list[Ranking], failed: list[ImageError], json: bool) -> None:
    if json:
        errors = [{"query": error.where, "error": error.reason} for error in failed]
        print(json_module.dumps({"queries": [ranking.as_dict() for ranking in rankings], "failed": errors}, indent=1))
    else:
        for ranking in rankings:
            _print(ranking)
    sys.stdout.flush()


def tell_clipped(image: str | Path, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The part of the box that lies in the image; where that is not all, it is said on the error output, so that JSON
    stays JSON."""
    from resight.images import read_image
    from resight.measure.readable import box_fit

    height, width = read_image(image).shape[:2]
    if box_fit(box, (width, height)) != "clipped":
        return box
    part = max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
    shown = ",".join(f"{side:g}" for side in part)
    print(f"resight: the box reaches beyond the image, {width} x {height}: used is {shown}", file=sys.stderr)
    return part


def explain_all(photos: Collection, rankings: list[Ranking]) -> list[tuple[Pair | None, ...]]:
    """Why the first results of each ranking are like its query, with progress shown."""
    from resight.explain.results import explain_results

    with progress("explaining", sum(min(RESULTS_EXPLAINED, len(ranking)) for ranking in rankings)) as show:
        found: list[tuple[Pair | None, ...]] = []
        done = failed = 0
        for ranking in rankings:

            def count(own: int, lost: int, done: int = done, failed: int = failed) -> None:
                show(done + own, failed + lost)

            found.append(explain_results(photos, ranking, RESULTS_EXPLAINED, count))
            done, failed = done + len(found[-1]), failed + found[-1].count(None)
    return found


def _write_sheets(rankings: list[Ranking], path: Path, explained: list[tuple[Pair | None, ...]] | None) -> None:
    from resight.show import save_picture
    from resight.show import sheet as draw
    from resight.show.alike import alike_pictures

    for number, ranking in enumerate(rankings, 1):
        own = path if len(rankings) == 1 else path.with_stem(f"{path.stem}-{number}")
        if explained is None or not len(ranking):
            ranking.sheet(own)
            continue
        pictures = alike_pictures(ranking, explained[number - 1])
        scale = " (colours: 100 % is the strongest place of all)" if len(pictures) > ALIKE_COLUMNS // 2 else ""
        title = f"{Path(ranking.query).name}{scale}"
        save_picture(draw(pictures, columns=ALIKE_COLUMNS, title=title), own)


def ready(
    photos: Collection, then: tuple[str, ...], budget: str | None, *, label: str | None = None, path: str | None = None
) -> After | None:
    """The steps after a search, prepared with progress shown; None if there are none."""
    from resight.measure.watching import prepare

    seconds = parse_budget(budget, then)
    if not then:
        return None
    after = photos.after(then, label=label, path=path, budget=seconds)
    prepare(after, progress)
    return after


def parse_budget(text: str | None, then: Sequence[str]) -> float | None:
    """Seconds of a --budget, None for none. Raises InputError for what is no time, or without steps to be timed."""
    from resight.measure.times import parse_time

    seconds = None if text is None else parse_time(text)
    if seconds is not None and not then:
        raise InputError("--budget is for the steps of --then, and none was given")
    return seconds


def parse_box(text: str, flag: str = "--box") -> tuple[float, float, float, float]:
    """Four numbers from "x1,y1,x2,y2"; flag: what an error calls it.

    >>> parse_box("10,20,30.5,40")
    (10.0, 20.0, 30.5, 40.0)
    """
    try:
        x1, y1, x2, y2 = (float(part) for part in text.replace(" ", "").split(","))
    except ValueError:
        raise InputError(f"{flag} takes x1,y1,x2,y2 in pixels, e.g. 10,20,300,240; got {text!r}") from None
    return x1, y1, x2, y2


def _print(ranking: Ranking) -> None:
    where = f" in box {','.join(f'{side:g}' for side in ranking.box)}" if ranking.box else ""
    print(f"{visible(ranking.query)}{where}")
    for done in ranking.steps:
        print(f"       then {done}")
    if not len(ranking):
        print("  nothing matches these filters")
    for row, ((path, score), label) in enumerate(zip(ranking, ranking.labels)):
        notes = f"  [{visible(label)}]" if label else ""
        found = ranking.found_in(row)
        notes += f"  box {','.join(f'{side:.0f}' for side in found)}" if found else ""
        print(f"  {row + 1:>3}  {score:6.3f}  {visible(path)}{notes}")
