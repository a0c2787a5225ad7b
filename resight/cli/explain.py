"""`resight explain`: what in an image speaks for a class, or for its likeness to another image."""

from __future__ import annotations

import json as json_module
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from resight.cli.destinations import check_folder
from resight.cli.progress import progress
from resight.errors import ImageError, InputError
from resight.features.config import EncoderConfig
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.explaining import Explained
    from resight.explain.subject import Subject
    from resight.show.heat import HeatStyle
    from resight.show.heat_folder import HeatFolder

TOP = 5
METHOD, MODES, CLASSES = "gradcam", ("overlay",), ("top:1",)
Several = Annotated[tuple[str, ...], Parameter(consume_multiple=False)]


def explain(
    images: tuple[str, ...],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: str = "tf_efficientnet_lite0",
    method: Several = (),
    class_: Annotated[tuple[str, ...], Parameter(name="--class", consume_multiple=False)] = (),
    modes: Several = (),
    layer: str | None = None,
    scale: Literal["class", "image"] = "class",
    signed: bool = False,
    colors: str | None = None,
    longest: int = 1024,
    pair: bool = False,
    in_: Annotated[Path | None, Parameter(name="--in")] = None,
    descriptor: str = EncoderConfig.descriptor,
    report: bool = False,
    weights: str = "package",
    device: str = "auto",
    strict: bool = False,
    json: bool = False,
) -> int:
    """Write heat maps of what speaks for a class: pictures, the maps as .npy, and manifest.json.

    Prints probability -> class of each image. An image that cannot be read is a line with the reason; the exit code
    is 1 if none could be read.

    Parameters
    ----------
    images
        Images, folders, globs or CSV lists (column path); of a run on sequences folders of frames or videos.
    out
        Folder for the results, which must not exist yet.
    model
        Folder of a training run, or the name of a timm network with the classes of its own weights.
    method
        cam, gradcam, gradcam++, xgrad, layercam, hires, eigen, score, ablation or lime; default gradcam. With options
        as name:option=value, e.g. lime:samples=500. With --report several may be given.
    class_
        top:5 (the most probable), a name, or a number from 0; may be given several times. Default top:1.
    modes
        gray, color, overlay, multiply, with commas or given several times; of several each has a folder. Default
        overlay.
    layer
        Where the map is made, a name as `resight layers` shows it; default: the last layer with places.
    scale
        What is drawn brightest: the largest value for each class, or over all classes of an image.
    signed
        Show what speaks against the class as well, in a colour map with two ends.
    colors
        turbo (default), jet, inferno, viridis, magma or gray; with --signed coolwarm (default), bwr or PuOr_r.
    longest
        Pixels of a picture's longer side at most; 0: as many as the image has.
    pair
        Of two images: what makes them alike, by --in or --model and --descriptor.
    in_
        With --pair: a collection, whose descriptor and whitening are explained.
    descriptor
        With --pair: spoc, gem, mac, rmac, crow or cam.
    report
        Measure how good the explanations are over all images: a table of methods, with intervals, and a figure.
    weights
        Of a network given by its name: package, hub, or a file.
    device
        auto, cpu, cuda or mps.
    strict
        Exit with 1 if any image could not be read.
    json
        Print as JSON.
    """
    from resight.show.folders import check_free
    from resight.show.heat import HeatStyle

    style = HeatStyle(tuple(_split(modes) or MODES), scale, signed, colors or "", longest)
    if pair and report:
        raise InputError("--pair and --report are two questions: ask one at a time")
    if in_ is not None and not pair:
        raise InputError("--in is for --pair: it names the collection whose descriptor is explained")
    if not images:
        raise InputError("nothing to explain: give images, folders or globs")
    check_free(out)
    check_folder(out)
    if pair:
        from resight.cli.explain_pair import pair_images

        return pair_images(images, out, style, in_, model, descriptor, weights, device, json)
    from resight.explain.subject import open_subject

    subject = open_subject(model, weights=weights, device=device)
    paths = wanted_paths(subject, images)
    methods, wanted = _split(method) or [METHOD], _asked(subject, class_ or CLASSES)
    if report:
        from resight.cli.explain_report import report_images

        failed = report_images(subject, paths, methods, wanted, layer, out, json)
    elif len(methods) > 1:
        raise InputError(f"one --method at a time, got {', '.join(methods)}; --report compares several")
    else:
        failed = _images(subject, paths, methods[0], wanted, layer, style, out, json)
    return 1 if failed == len(paths) or (strict and failed) else 0


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
    if len(given) == 1 and given[0].strip().startswith("top:"):
        return given[0]
    printed = {f"{number}_{name}": number for number, name in enumerate(subject.classes)}
    return [printed.get(one, one) for one in given]


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


def _images(
    subject: Subject, paths: list[Path], method: str, wanted: Any, layer: str | None, style: HeatStyle, out: Path,
    json: bool,
) -> int:  # fmt: skip
    """Explain images one after the other; returns how many could not be read."""
    from resight.explain.methods import find_method
    from resight.show.heat_folder import HeatFolder
    from resight.train.inputs import why_not

    failed = 0
    method, _ = find_method(method)
    stream = _stream(subject, paths, method, wanted, layer)
    about = {"model": subject.name, "method": method, "asked": wanted}
    # Lines are progress enough.
    with HeatFolder(out, style, about) as folder, _progress(paths, json) as show:
        for done, (path, (found, facts)) in enumerate(zip(paths, stream, strict=True), 1):
            if isinstance(found, ImageError):
                failed += 1
                reason = why_not(found, path)
                folder.skip(path, reason)
                print(f"  -    {visible(str(path))}: {visible(reason)}", file=sys.stderr, flush=True)
            else:
                folder.add(path, found.heats, found.image, _best(found), facts)
                if not json:
                    _print(path, found, facts, alone=len(paths) == 1)
            show(done, failed)
    _tell(folder, len(paths) - failed, failed, json)
    return failed


def _stream(
    subject: Subject, paths: list[Path], method: str, wanted: Any, layer: str | None
) -> Iterator[tuple[Explained[Path] | ImageError, list[dict[str, Any]]]]:
    """Each image explained, or its error, and what else is to be said of its maps."""
    from resight.cli.explain_lime import lime_each
    from resight.explain.explaining import explain_each

    if method.partition(":")[0] == "lime" and not subject.frames:
        return lime_each(subject, paths, method, wanted, layer)
    return ((found, []) for found in explain_each(paths, subject, method, wanted, layer=layer))


def _progress(paths: list[Path], json: bool) -> Any:
    return progress("explaining", len(paths)) if json else nullcontext(lambda done, failed: None)


def _best(found: Explained[Any]) -> list[dict[str, Any]]:
    """The most probable classes."""
    order = sorted(range(len(found.classes)), key=lambda number: (-found.probabilities[number], number))[:TOP]
    return [
        {"class": found.classes[number], "number": number, "probability": float(found.probabilities[number])}
        for number in order
    ]


def _print(path: Path, found: Explained[Any], facts: list[dict[str, Any]], alone: bool) -> None:
    """The most probable classes of a single image, or the explained ones of one among several."""
    from resight.cli.explain_lime import steadiness
    from resight.show.heat_folder import class_name

    best = _best(found) if alone else []
    lines = [(one["number"], one["probability"], f"{one['number']}_{one['class']}") for one in best]
    lines += [(heat.target, heat.probability, class_name(heat)) for heat in found.heats]
    steady = {heat.target: steadiness(one) for heat, one in zip(found.heats, facts)}
    shown = dict.fromkeys(number for number, _, _ in lines)
    words = {number: (probability, name) for number, probability, name in lines}
    for rank, number in enumerate(shown):
        probability, name = words[number]
        print(f"{probability:.3f} -> {visible(name)}{'' if rank else f'   {visible(str(path))}'}", flush=True)
        if number in steady:
            print(f"         {steady[number]}", flush=True)


def _tell(folder: HeatFolder, images: int, failed: int, json: bool) -> None:
    if json:
        print(json_module.dumps({**folder.manifest(), "folder": str(folder.folder)}, indent=1))
        return
    note = f"; {failed:,} could not be read" if failed else ""
    print(f"wrote {visible(str(folder.folder))}: {_counted(folder.pictures, 'picture')} of "
          f"{_counted(images, 'image')}, maps (.npy) and manifest.json{note}")  # fmt: skip


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
