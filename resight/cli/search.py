"""`resight search`: find the images that look like a query."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from resight.errors import ImageError, InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.search import Ranking


def search(
    queries: tuple[str, ...],
    /,
    *,
    in_: Annotated[Path, Parameter(name="--in")],
    k: Annotated[int, Parameter(name=["--k", "-k"])] = 20,
    box: str | None = None,
    label: str | None = None,
    path: str | None = None,
    html: Path | None = None,
    sheet: Path | None = None,
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
    label
        Only among images with this label.
    path
        Only among images whose whole path matches this glob, e.g. '*/2023/*'.
    html
        Write a self-contained HTML page.
    sheet
        Write a contact sheet (.png or .jpg; several queries get numbers).
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
    if not queries:
        raise InputError("no query: give one or more images, folders or globs")
    with Collection.open(in_) as photos:
        paths = [str(listing.path) for query in queries for listing in list_images(query)]
        if not paths:
            raise InputError(f"no images among the queries: {', '.join(queries)}")
        region = parse_box(box) if box is not None else None
        if region is not None and len(paths) != 1:
            raise InputError(f"--box needs exactly one query, got {len(paths)}")
        if len(photos) == 0:
            raise InputError(f"{in_} is empty: add images with `resight index FOLDER --to {in_}`")
        failed: list[ImageError] = []
        rankings = photos.search_many(paths, k, boxes=[region] * len(paths), label=label, path=path, failed=failed)
        encoder = photos.config
        searched = f"{len(photos):,} images in {in_}, described by {encoder.backbone}, {encoder.descriptor}."
    for error in failed:
        print(f"resight: {visible(str(error))}", file=sys.stderr)
    if rankings:
        _print_all(rankings, failed, json)
        if html is not None:
            write_atomic(html, ranking_report(rankings, searched))
        if sheet is not None:
            _write_sheets(rankings, sheet)
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


def _write_sheets(rankings: list[Ranking], path: Path) -> None:
    for number, ranking in enumerate(rankings, 1):
        ranking.sheet(path if len(rankings) == 1 else path.with_stem(f"{path.stem}-{number}"))


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Four numbers from "x1,y1,x2,y2".

    >>> parse_box("10,20,30.5,40")
    (10.0, 20.0, 30.5, 40.0)
    """
    try:
        x1, y1, x2, y2 = (float(part) for part in text.replace(" ", "").split(","))
    except ValueError:
        raise InputError(f"--box takes x1,y1,x2,y2 in pixels, e.g. 10,20,300,240; got {text!r}") from None
    return x1, y1, x2, y2


def _print(ranking: Ranking) -> None:
    where = f" in box {','.join(f'{side:g}' for side in ranking.box)}" if ranking.box else ""
    print(f"{visible(ranking.query)}{where}")
    if not len(ranking):
        print("  nothing matches these filters")
    for rank, ((path, score), label) in enumerate(zip(ranking, ranking.labels), 1):
        print(f"  {rank:>3}  {score:6.3f}  {visible(path)}{f'  [{visible(label)}]' if label else ''}")
