"""`resight match`: find a template in images, videos, or what a camera sees."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from resight.cli.destinations import check_folder
from resight.cli.search import parse_box, tell_clipped
from resight.errors import InputError

MOST = 20


def match(
    template: Path,
    /,
    *scenes: str,
    template_box: str | None = None,
    polygon: str | None = None,
    method: Literal["auto", "sift", "correlate", "mask"] = "auto",
    model: Path | None = None,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    most: int | None = None,
    threshold: float | None = None,
    calibration: Path | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    every: int | None = None,
    camera: int | None = None,
    panel: bool = False,
    strict: bool = False,
    json: bool = False,
) -> int:
    """Find a template in scenes: where it is, how it is turned and scaled, or that it is absent.

    Prints the probability that it is there, and its place, for each scene. A scene that cannot be read is a line with
    the reason; the exit code is 1 if none could be read. That the template is absent is no failure.

    Parameters
    ----------
    template
        Image of the thing to find; transparent pixels do not belong to it.
    scenes
        Images, folders, globs, CSV lists (column path), videos.
    template_box
        x1,y1,x2,y2 in pixels: the part of the image that is the template.
    polygon
        x1,y1,x2,y2,x3,y3,... in pixels of the image: only what lies inside is the template.
    method
        auto, sift (local features), correlate (small things and such without texture) or mask (a trained network).
    model
        Run of a mask network.
    all_
        Find all of it in a scene, not the best one. In videos each frame is then searched, which is slower.
    most
        With --all: so many at most; default 20.
    threshold
        Probability from which it counts as found; default: the one at which false alarms are rare (docs/match.md).
    calibration
        File of `resight calibrate`: its score and threshold.
    out
        Folder for pictures and videos of what is found, matches.csv and manifest.json; it must not exist yet.
    every
        Of videos only every so-many-th frame.
    camera
        Number of a camera, from 0, instead of scenes; Ctrl-C ends it.
    panel
        With --out: of videos a second one of four pictures: frame, template, mask, what is found.
    strict
        Exit with 1 if any scene could not be read.
    json
        Print as JSON: an object with all scenes; with videos a line for each image and frame.
    """
    from resight.cli.match_scenes import find_scenes, is_video
    from resight.cli.match_work import MatchWork
    from resight.images.places import is_there
    from resight.match import Finder, Template
    from resight.show.folders import check_free

    if (camera is None) == (not scenes):
        raise InputError("give scenes (images, folders, globs, CSV lists, videos) or --camera NUMBER"
                         f"{', not both' if scenes else ''}")  # fmt: skip
    _check_numbers(most, every, threshold)
    if most is not None and not all_:
        raise InputError("--most has no effect without --all; leave it out")
    if model is not None and method in ("sift", "correlate"):
        raise InputError(f"--model has no effect beside --method {method}, which needs no network; leave it out")
    if calibration is not None and method == "mask":
        raise InputError("--calibration has no effect beside --method mask, whose score is its network's; leave it out")
    if panel and out is None:
        raise InputError("--panel is a video in the folder of the results: add --out FOLDER")
    places: list[Path | int] = find_scenes(scenes) if camera is None else [camera]
    moving = any(map(is_video, places))
    if not moving and (panel or every is not None):
        raise InputError(f"{'--panel' if panel else '--every'} is for videos, and there is none among the scenes")
    if out is not None:
        check_free(out)
        check_folder(out)
    box = None if template_box is None else parse_box(template_box, "--template-box")
    corners = None if polygon is None else parse_polygon(polygon)
    if not is_there(template):
        raise InputError(f"{template}: there is no such file to take the template from")
    wanted = Template.read(template, box=box, polygon=corners)
    if box is not None:
        tell_clipped(template, box)
    finder = Finder(wanted, method=method, threshold=threshold, model=model, calibration=calibration)
    about = {
        "template": {"path": str(template), "size": list(wanted.size), "box": box, "polygon": corners},
        "method": method, "threshold": finder.threshold,
        "calibration": None if calibration is None else str(calibration), "all": all_,
    }  # fmt: skip
    work = MatchWork(finder, about, out, (most or MOST) if all_ else None, every or 1, panel, json, moving)
    return work.run(places, strict)


def parse_polygon(text: str) -> list[tuple[float, float]]:
    """Corners from "x1,y1,x2,y2,x3,y3,...".

    >>> parse_polygon("0,0,10,0,5,8.5")
    [(0.0, 0.0), (10.0, 0.0), (5.0, 8.5)]
    """
    try:
        numbers = [float(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        raise InputError(f"--polygon takes x1,y1,x2,y2,x3,y3,... of three corners at least, in pixels; got {text!r}")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _check_numbers(most: int | None, every: int | None, threshold: float | None) -> None:
    for name, value in (("--most", most), ("--every", every)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold is a probability from 0 to 1, got {threshold:g}")
