"""`resight explain`: what in an image speaks for a class, or for its likeness to another image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.cli.destinations import check_folder
from resight.cli.explain_options import asked_classes, check_segments_of, check_together, split_words
from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.subject import Subject

MODEL, METHOD, MODES, CLASSES = "tf_efficientnet_lite0", "gradcam", ("overlay",), ("top:1",)
WEIGHTS, LONGEST = "package", 1024
Several = Annotated[tuple[str, ...], Parameter(consume_multiple=False)]


def explain(
    images: tuple[str, ...],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: str | None = None,
    method: Several = (),
    class_: Annotated[tuple[str, ...], Parameter(name="--class", consume_multiple=False)] = (),
    modes: Several = (),
    layer: str | None = None,
    fit: Literal["crop", "squash"] | None = None,
    scale: Literal["class", "image"] | None = None,
    signed: bool = False,
    colors: str | None = None,
    longest: int | None = None,
    segments: Path | None = None,
    pair: bool = False,
    box: str | None = None,
    in_: Annotated[Path | None, Parameter(name="--in")] = None,
    descriptor: str | None = None,
    encoder: Path | None = None,
    report: bool = False,
    boxes: Path | None = None,
    weights: str | None = None,
    device: str = "auto",
    strict: bool = False,
    json: bool = False,
) -> int:
    """Write heat maps of what speaks for a class: pictures, the maps as .npy, sheet.png and manifest.json.

    Prints probability -> class of each image. An image that cannot be read is a line with the reason; the exit code
    is 1 if none could be read. Interrupted or killed, the same command goes on where it was.

    Parameters
    ----------
    images
        Images, folders, globs or CSV lists (column path); of a run on sequences folders of frames or videos.
    out
        Folder for the results, which must not exist yet, or be one that the same command had begun.
    model
        Folder of a training run, or the name of a timm network with the classes of its own weights. Default
        tf_efficientnet_lite0.
    method
        cam, gradcam, gradcam++, xgrad, layercam, hires, eigen, score, ablation or lime; default gradcam. With options
        as name:option=value, e.g. lime:samples=500. With --report several may be given.
    class_
        top:5 (the most probable), or a name or a number from 0, which may be given several times. Default top:1.
    modes
        gray, color, overlay, multiply, with commas or given several times; of several each has a folder. Default
        overlay.
    layer
        Where the map is made, a name as `resight layers` shows it; default: the last layer with places.
    fit
        How a network given by its name is shown an image: crop, its middle (default, as its weights were tested), or
        squash, all of it.
    scale
        What is drawn brightest: the largest value for each class, or over all classes of an image.
        Default class.
    signed
        Show what speaks against the class as well, in a colour map with two ends.
    colors
        turbo (default), jet, inferno, viridis, magma or gray; with --signed coolwarm (default), bwr or PuOr_r.
    longest
        Pixels of a picture's longer side at most; 0: as many as the image has. Default 1024.
    segments
        With --method lime: superpixels of your own, a .png (one channel) or .npy (whole numbers) as large as the image;
        for several images a folder with a file of each one's name.
    pair
        Of two images: what makes them alike, by --in, by --encoder, or by --model and --descriptor.
    box
        With --pair: x1,y1,x2,y2 in pixels: compare this part of the first image only.
    in_
        With --pair: a collection, whose descriptor and whitening are explained.
    descriptor
        With --pair: spoc, gem, mac, rmac, crow or cam. Default gem.
    encoder
        With --pair: folder of a run of `resight train embed`, whose network, descriptor and projection are explained.
    report
        Measure how good the explanations are over all images: a table of methods, with intervals, and a figure.
    boxes
        With --report: a .csv (path,x1,y1,x2,y2[,label]) or COCO's .json of the objects, for the pointing game.
    weights
        Of a network given by its name: package, hub, or a file. Default package.
    device
        auto, cpu, cuda or mps.
    strict
        Exit with 1 if any image could not be read.
    json
        Print as JSON.
    """
    from resight.show.folders import check_free
    from resight.show.heat import HeatStyle
    from resight.show.heat_folder import check_open

    check_together(pair, report, {
        "modes": modes, "scale": scale, "signed": signed, "colors": colors, "longest": longest, "method": method,
        "class": class_, "layer": layer, "fit": fit, "segments": segments, "model": model, "descriptor": descriptor,
        "weights": weights, "in": in_, "encoder": encoder, "box": box, "boxes": boxes,
    })  # fmt: skip
    style = HeatStyle(tuple(split_words(modes) or MODES), scale or "class", signed, colors or "",
                      LONGEST if longest is None else longest)  # fmt: skip
    methods = split_words(method) or [METHOD]
    if len(methods) > 1 and not report:
        raise InputError(f"one --method at a time, got {', '.join(methods)}; --report compares several")
    check_segments_of(segments, methods[0])
    if not images:
        raise InputError("nothing to explain: give images, folders or globs")
    (check_free if report else check_open)(out)
    check_folder(out)
    model, descriptor, weights = model or MODEL, descriptor or EncoderConfig.descriptor, weights or WEIGHTS
    if pair:
        from resight.cli.explain_pair import pair_images

        return pair_images(images, out, style, in_, model, descriptor, weights, device, json, box, encoder)
    from resight.explain.subject import open_subject

    subject = open_subject(model, weights=weights, device=device, fit=fit)
    paths = _outside(wanted_paths(subject, images), out)
    wanted = asked_classes(class_ or CLASSES, subject.classes)
    if report:
        from resight.cli.explain_report import report_images

        failed = report_images(subject, paths, methods, wanted, layer, out, json, boxes)
    else:
        from resight.cli.explain_images import explain_images

        source = model, weights, fit
        failed = explain_images(subject, paths, methods[0], wanted, layer, style, out, json, source, segments)
    return 1 if failed == len(paths) or (strict and failed) else 0


def _outside(paths: list[Path], out: Path) -> list[Path]:
    """Without what an earlier start of the same command wrote into a folder among the images."""
    own = os.path.abspath(out)
    kept = [path for path in paths if not f"{os.path.abspath(path)}{os.sep}".startswith(own + os.sep)]
    if not kept:
        raise InputError(f"nothing to explain but what is in {visible(str(out))}, the folder of the results")
    return kept


def wanted_paths(subject: Subject, images: Sequence[str]) -> list[Path]:
    """The images, or sequences, that were asked for. Raises InputError if there are none."""
    from resight.images import list_images
    from resight.images.class_folders import sequences_at
    from resight.images.contents import LeftOut, absolute, left_out_notes

    left_out: LeftOut = []
    ignored: Counter[str] = Counter()
    paths: list[Path] = []
    for one in images:
        place = Path(one).expanduser()
        if not subject.frames or place.suffix.lower() == ".csv":
            paths += [listing.path for listing in list_images([one], labels="none", ignored=ignored)]
        elif place.is_dir():
            paths += sequences_at(absolute(place), subject.classes, left_out)
        elif place.exists():
            paths.append(place)
        else:
            raise InputError(f"{place}: there is no such file or folder")
    if not paths:
        left_out += [(kind, place) for kind in ignored.elements()]
        why = "".join(f"; {note}" for note in left_out_notes(left_out))
        raise InputError(f"no {'sequences' if subject.frames else 'images'} in {', '.join(images[:5])}{why}")
    return paths
