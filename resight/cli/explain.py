"""`resight explain`: what in an image speaks for a class, or for its likeness to another image."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.cli.destinations import check_folder
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
    pair: bool = False,
    in_: Annotated[Path | None, Parameter(name="--in")] = None,
    descriptor: str | None = None,
    report: bool = False,
    weights: str | None = None,
    device: str = "auto",
    strict: bool = False,
    json: bool = False,
) -> int:
    """Write heat maps of what speaks for a class: pictures, the maps as .npy, and manifest.json.

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
    pair
        Of two images: what makes them alike, by --in or --model and --descriptor.
    in_
        With --pair: a collection, whose descriptor and whitening are explained.
    descriptor
        With --pair: spoc, gem, mac, rmac, crow or cam. Default gem.
    report
        Measure how good the explanations are over all images: a table of methods, with intervals, and a figure.
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

    drawing = {"modes": modes, "scale": scale, "signed": signed, "colors": colors, "longest": longest}
    asking = {"method": method, "class": class_, "layer": layer, "fit": fit}
    source = {"model": model, "descriptor": descriptor, "weights": weights}
    _check_together(pair, report, in_, drawing, asking, source)
    style = HeatStyle(tuple(_split(modes) or MODES), scale or "class", signed, colors or "",
                      LONGEST if longest is None else longest)  # fmt: skip
    if not images:
        raise InputError("nothing to explain: give images, folders or globs")
    (check_free if report else check_open)(out)
    check_folder(out)
    model, descriptor, weights = model or MODEL, descriptor or EncoderConfig.descriptor, weights or WEIGHTS
    if pair:
        from resight.cli.explain_pair import pair_images

        return pair_images(images, out, style, in_, model, descriptor, weights, device, json)
    from resight.explain.subject import open_subject

    subject = open_subject(model, weights=weights, device=device, fit=fit)
    paths = _outside(wanted_paths(subject, images), out)
    methods, wanted = _split(method) or [METHOD], _asked(subject, class_ or CLASSES)
    if report:
        from resight.cli.explain_report import report_images

        failed = report_images(subject, paths, methods, wanted, layer, out, json)
    elif len(methods) > 1:
        raise InputError(f"one --method at a time, got {', '.join(methods)}; --report compares several")
    else:
        from resight.cli.explain_images import explain_images

        failed = explain_images(subject, paths, methods[0], wanted, layer, style, out, json, (model, weights, fit))
    return 1 if failed == len(paths) or (strict and failed) else 0


def _check_together(
    pair: bool, report: bool, in_: Path | None, drawing: Mapping[str, object], asking: Mapping[str, object],
    source: Mapping[str, object],
) -> None:  # fmt: skip
    """Raises InputError for options of which one would do nothing beside the other."""
    if pair and report:
        raise InputError("--pair and --report are two questions: ask one at a time")
    if in_ is not None and not pair:
        raise InputError("--in is for --pair: it names the collection whose descriptor is explained")
    if source["descriptor"] is not None and not pair:
        raise InputError("--descriptor is for --pair: what makes two images alike")
    if pair:
        _check_useless(asking, "--pair", "it explains a similarity, which has no class")
    if report:
        _check_useless(drawing, "--report", "it draws no maps")
    if in_ is not None:
        _check_useless(source, "--in", "the collection has a network and a descriptor of its own")
    model = source["model"]
    if not pair and model is not None and source["weights"] is not None and Path(str(model)).is_dir():
        raise InputError(f"--weights has no effect beside --model {model}, a training run with weights of its own: "
                         "leave --weights out, or give a network by its name")  # fmt: skip


def _check_useless(given: Mapping[str, object], beside: str, why: str) -> None:
    useless = [f"--{name}" for name, value in given.items() if value is not None and value is not False and value != ()]
    if useless:
        verb, them = ("has", "it") if len(useless) == 1 else ("have", "them")
        raise InputError(f"{', '.join(useless)} {verb} no effect beside {beside}: {why}; leave {them} out")


def _split(words: Sequence[str]) -> list[str]:
    """Words given several times or with commas, but for commas between options: "a,b:x=1,y=2" is two."""
    found: list[str] = []
    for word in words:
        for part in word.split(","):
            if "=" in part and ":" not in part and found:
                found[-1] += f",{part}"
            elif part.strip():
                found.append(part.strip())
    return found


def _asked(subject: Subject, given: tuple[str, ...]) -> str | list[str | int]:
    """Classes as `ask_classes` takes them; "3_cirrus", as it is printed here, is class 3."""
    count = len(subject.classes)
    for one in given:
        if one in subject.classes:
            continue
        if one.strip().startswith("top:"):
            return _best_asked(given, one, count)
        if re.fullmatch(r"-\d+", one.strip()):
            raise InputError(f"--class {one}: the {count:,} classes are numbered from 0 to {count - 1}")
    printed = {f"{number}_{name}": number for number, name in enumerate(subject.classes)}
    return [printed.get(one, one) for one in given]


def _best_asked(given: tuple[str, ...], best: str, classes: int) -> str:
    """The most probable classes, which are asked for alone."""
    if len(given) > 1:
        raise InputError(f"--class {best} is asked for alone, got {', '.join(given)}: give it, or names and numbers")
    found = re.fullmatch(r"top:0*(\d{1,9})", best.strip())
    if found is None or not 1 <= int(found[1]) <= classes:
        raise InputError(
            f"--class {best}: behind top: comes how many classes, from 1 to the {classes:,} that there are"
        )
    return f"top:{int(found[1])}"


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
